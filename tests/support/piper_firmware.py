"""A Piper arm's firmware on python-can's virtual bus, small: enough of it for the genuine SDK to talk to.

Feedback, commands and codes as AgileX's piper_sdk writes and reads them (interface V2). Joints go towards
their targets at the speed that was asked for; an arm without power goes nowhere, keeps its last target, and
sets off for it when power comes: the unkind reading of what is known.
"""

from __future__ import annotations

import struct
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass

import can
from can.interfaces.virtual import VirtualBus

FASTEST_RAD_S, FASTEST_GRIPPER_M_S = 3.0, 0.2
WIRE_PER_RAD = 57295.7795130823
WIRE_PER_M = 1e6
READY, POWERED = 0x01, 0x40
LAST_COMMAND = 0x159
QUEUE = 200

_off_buses: set[str] = set()
_send = VirtualBus.send


def _send_unless_off(bus: VirtualBus, message: can.Message, timeout: float | None = None) -> None:
    if bus.channel_id in _off_buses:
        raise can.CanOperationError("bus off")
    _send(bus, message, timeout)


def switch_bus(channel: str, on: bool) -> None:
    """A bus that is off refuses every frame, of everybody."""
    VirtualBus.send = _send_unless_off
    (_off_buses.discard if on else _off_buses.add)(channel)


@dataclass(frozen=True)
class Received:
    """One set-point, complete with its gripper."""

    at_ns: int
    wire: tuple[int, ...]
    mode: tuple[int, ...]
    """Control mode, move mode, speed in per cent, MIT or not."""
    powered: bool
    measured: tuple[int, ...]
    """Where the arm stood then."""


class PiperFirmware:
    """One arm; every attribute in lower case may be changed while it runs.

    Args:
        channel: of the virtual bus.
        wire: where it stands: six angles in 0.001 degree, the opening in 0.001 mm.
        rate_hz: of the feedback; 200 on a real arm.
        version: of the firmware.
    """

    def __init__(
        self, channel: str, wire: tuple[int, ...], rate_hz: float = 100.0, version: str = "S-V1.6-3"
    ) -> None:
        self.channel, self.version = channel, version
        self.silent = self.is_leader = self.is_deaf = False
        self.stuck: set[int] = set()
        self.unpowerable: set[int] = set()
        self.missing_frames: set[int] = set()
        self.sag_wire = 0
        self.control_mode, self.arm_status, self.error_bits = 0, 0, 0
        self.codes = [0] * 7
        self.received: deque[Received] = deque(maxlen=20000)
        self.frames: Counter[int] = Counter()
        self._period_s = 1.0 / rate_hz
        self._position = [float(number) for number in wire]
        self._target = [0.0] * 7
        self._heard = list(wire)
        self._mode = (0, 0, 0, 0)
        self._speeds = [0] * 6
        self._bus = can.Bus(channel=channel, interface="virtual", rx_queue_size=QUEUE)
        self._cycle = 0
        self._closing = threading.Event()
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def position(self) -> tuple[int, ...]:
        return tuple(round(number) for number in self._position)

    @property
    def is_powered(self) -> bool:
        return all(code & POWERED for code in self.codes)

    def stop_at_once(self) -> None:
        """The red button: motors keep their current, nothing moves any more."""
        self.arm_status = 1

    def cut_power(self) -> None:
        """Somebody disables the motors."""
        self.codes = [code & ~POWERED for code in self.codes]

    def be_led(self) -> None:
        """A leader arm on the same bus sends it a set-point of its own."""
        self._send(0x155, struct.pack(">ii", 1000, 2000))

    def hold_joint_1(self) -> None:
        """Somebody holds on to it."""
        self.stuck = {0}

    def close(self) -> None:
        self._closing.set()
        self._thread.join(2.0)
        self._bus.shutdown()
        if self.failure is not None:
            raise self.failure

    # -- its thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        next_s = time.monotonic()
        try:
            while not self._closing.is_set():
                while not self.is_deaf and (message := self._bus.recv(0)) is not None:
                    self._take(message.arbitration_id, bytes(message.data))
                self._move()
                if not self.silent and self.channel not in _off_buses:
                    self._report()
                next_s = max(next_s + self._period_s, time.monotonic())
                time.sleep(max(0.0, next_s - time.monotonic()))
        except can.CanOperationError:
            if self.channel not in _off_buses:
                raise
        except Exception as error:  # told by close
            self.failure = error

    def _take(self, frame: int, data: bytes) -> None:
        self.frames[frame] += 1
        if frame == 0x150 and data[0] == 1:
            self.stop_at_once()
        elif frame == 0x151:
            self._mode = tuple(data[:4])
            self.control_mode = data[0]
        elif frame in (0x155, 0x156, 0x157):
            first = 2 * (frame - 0x155)
            self._heard[first : first + 2] = struct.unpack(">ii", data)
        elif frame == 0x159:
            self._take_gripper(data)
        elif frame == 0x471:
            self._power(range(6) if data[0] == 7 else [data[0] - 1], data[1] == 2)
        elif frame == 0x4AF and data[0] == 1:
            self._send(0x4AF, self.version.encode().ljust(8, b"\0"))

    def _take_gripper(self, data: bytes) -> None:
        opening, _effort, code, zero = struct.unpack(">iHBB", data)
        assert zero == 0
        self._heard[6] = opening
        self._power([6], bool(code & READY))
        self._target = [float(number) for number in self._heard]
        self.received.append(
            Received(time.monotonic_ns(), tuple(self._heard), self._mode, self.is_powered, self.position)
        )

    def _power(self, motors, on: bool) -> None:
        for motor in motors:
            had_power = bool(self.codes[motor] & POWERED)
            self.codes[motor] &= ~POWERED
            if on and motor not in self.unpowerable:
                self.codes[motor] |= POWERED
                if motor < 6 and not had_power:
                    self._position[motor] += self.sag_wire

    def _move(self) -> None:
        before = self.position
        self._go()
        moved = (now - then for now, then in zip(self.position[:6], before[:6], strict=True))
        self._speeds = [round(1000.0 * wire / WIRE_PER_RAD / self._period_s) for wire in moved]

    def _go(self) -> None:
        if self.control_mode != 1 or self.arm_status or not self.is_powered:
            return
        share = self._mode[2] / 100.0 * self._period_s
        for joint in range(7):
            fastest = FASTEST_GRIPPER_M_S * WIRE_PER_M if joint == 6 else FASTEST_RAD_S * WIRE_PER_RAD
            way = self._target[joint] - self._position[joint]
            if joint not in self.stuck:
                self._position[joint] += max(-fastest * share, min(fastest * share, way))

    def _report(self) -> None:
        self._cycle += 1
        base = 0x3A0 if self.is_leader else 0x2A0
        joints = self.position
        mode = 6 if self.is_leader else self.control_mode
        errors = self.error_bits.to_bytes(2, "big")
        self._send(base + 1, bytes([mode, self.arm_status, self._mode[1], 0, 0, 0]) + errors)
        for first in (0, 2, 4):
            self._send(base + 5 + first // 2, struct.pack(">ii", *joints[first : first + 2]))
        self._send(base + 8, struct.pack(">ihBB", joints[6], 0, self.codes[6], 0))
        for motor, speed in enumerate(self._speeds):
            self._send(0x251 + motor, struct.pack(">hhi", speed, 0, 0))
        if self._cycle % 10 == 1 and not self.is_leader:
            for motor in range(6):
                self._send(0x261 + motor, struct.pack(">HhbBH", 240, 30, 35, self.codes[motor], 0))

    def _send(self, frame: int, data: bytes) -> None:
        if frame not in self.missing_frames:
            self._bus.send(can.Message(arbitration_id=frame, data=data, is_extended_id=False))
