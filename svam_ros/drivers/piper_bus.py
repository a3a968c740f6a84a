"""One Piper arm's CAN bus, through AgileX's piper_sdk. Imported only where there is such an arm.

The SDK encodes and decodes every frame. What is added: when each kind of frame arrived, who else commands
the arm, and an error where the SDK would only log that a frame was not sent.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import can
from piper_sdk import C_PiperInterface_V2

from svam_ros.drivers.piper_frames import (
    ALL_MOTORS,
    CAN_CONTROL,
    COMMAND_IDS,
    FEEDBACK_IDS,
    FIRMWARE_ID,
    GRIPPER_ENABLE,
    GRIPPER_ID,
    JOINT_IDS,
    LEADER_IDS,
    MOVE_J,
    POSITION_VELOCITY_MODE,
    SPEED_IDS,
)
from svam_ros.drivers.piper_status import PiperStatus
from svam_ros.drivers.piper_units import WireJoints

REMEMBERED_FRAMES = 500
LONGEST_WAIT_NS = 1_000_000_000
PAUSE_AFTER_ERROR_S = 0.02
JOIN_S = 0.2


class BusError(OSError):
    """A frame was not sent; the text says which."""


class PiperBus(C_PiperInterface_V2):
    """Reads in a thread of its own; commands go out in their caller's.

    Args:
        interface: network interface, or the name of a virtual channel.
        bus_type: of python-can: ``"socketcan"`` or ``"virtual"``.

    Raises:
        OSError: the bus cannot be opened.
    """

    def __new__(cls, *_arguments: Any, **_options: Any) -> PiperBus:
        """An object of its own each time: the SDK gives out one for ever, with what its last user left."""
        bus: PiperBus = object.__new__(cls)
        bus._initialized = False
        return bus

    def __init__(self, interface: str, bus_type: str) -> None:
        self.arrived_ns: dict[int, int] = {}
        """Frame id -> steady time of the newest."""
        self.leader_ns: int | None = None
        self.foreign_ns: int | None = None
        """Steady time at which somebody else commanded this arm."""
        self.joints: tuple[WireJoints, int] | None = None
        """Newest angles and opening, with the steady time of the oldest frame among them."""
        self.speeds = dict.fromkeys(SPEED_IDS, 0)
        """Joint by joint, in 0.001 rad/s; zeros before the first."""
        self._payloads: dict[int, bytes] = {}
        self._sent: set[tuple[int, bytes]] = set()
        self._sent_before: set[tuple[int, bytes]] = set()
        self._closing = threading.Event()
        super().__init__(interface, judge_flag=False, can_auto_init=False)
        # What cannot be, the guard judges: a value that is dropped here would look like the last one, anew.
        self.DisableFilterAbnormalData()
        self.CreateCanBus(interface, bustype=bus_type, judge_flag=False)
        self._port = self.GetCanBus()
        if self._port.recv_bus is None or self._port.send_bus is None:
            raise BusError(f"CAN interface {interface} cannot be opened ({bus_type})")
        self._watch_port()
        self.ConnectPort(piper_init=False, start_thread=False)
        self._thread = threading.Thread(target=self._read, name=f"{interface} reader", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the bus. Nothing is sent."""
        self._closing.set()
        self._thread.join(JOIN_S)
        self.DisconnectPort()

    # -- commands -------------------------------------------------------------------------------

    def send_set_point(self, wire: WireJoints, speed_percent: int, gripper_effort_mn_m: int) -> None:
        """Five frames: MOVE J at this speed in position-velocity mode, six angles, the gripper.

        The mode is never another one: changing to MIT and back can move an arm's zero.

        Raises:
            BusError: one was not sent; those behind it were not tried.
        """
        self.MotionCtrl_2(CAN_CONTROL, MOVE_J, speed_percent, POSITION_VELOCITY_MODE)
        self.JointCtrl(*wire[:6])
        self.GripperCtrl(wire[6], gripper_effort_mn_m, GRIPPER_ENABLE)

    def enable_motors(self) -> None:
        """Power to all six joints; the gripper gets it with a set-point.

        Raises:
            BusError: it was not sent.
        """
        self.EnableArm(ALL_MOTORS)

    def ask_for_firmware(self) -> None:
        """Have the arm tell its version, which :attr:`firmware` then holds.

        Raises:
            BusError: it was not sent.
        """
        self.SearchPiperFirmwareVersion()

    # -- feedback -------------------------------------------------------------------------------

    @property
    def firmware(self) -> str:
        """Such as ``S-V1.6-3``; empty while the arm has not told."""
        version = self.GetPiperFirmwareVersion()
        return version.strip("\0") if isinstance(version, str) else ""

    @property
    def status(self) -> PiperStatus:
        """The newest codes, zeros before the first."""
        arm, drivers = self.GetArmStatus().arm_status, self.GetArmLowSpdInfoMsgs()
        motors = [getattr(drivers, f"motor_{number}") for number in range(1, 7)]
        return PiperStatus(
            int(arm.ctrl_mode),
            int(arm.arm_status),
            int(arm.err_code),
            tuple(int(motor.foc_status_code) for motor in motors),
            int(self.GetArmGripperMsgs().gripper_state.status_code),
        )

    def ParseCANFrame(self, rx_message: can.Message) -> None:  # noqa: N802  # the SDK's own name
        """Called by the SDK for every frame, in the reading thread."""
        frame, data = rx_message.arbitration_id, bytes(rx_message.data)
        now_ns = time.monotonic_ns()
        if frame in FEEDBACK_IDS:
            if self._payloads.get(frame) != data:  # decoding costs 70 us, and many frames say nothing new
                super().ParseCANFrame(rx_message)
                self._payloads[frame] = data
            self.arrived_ns[frame] = now_ns - _waited_ns(rx_message)
            if frame == JOINT_IDS[-1]:
                self._take_joints()
        elif frame in SPEED_IDS:
            self.speeds[frame] = int.from_bytes(data[:2], "big", signed=True)
        elif frame in LEADER_IDS:
            self.leader_ns = now_ns
        elif frame in COMMAND_IDS:
            # Where a bus gives back what we send ourselves, it is known by its content.
            if (frame, data) not in self._sent and (frame, data) not in self._sent_before:
                self.foreign_ns = now_ns
        elif frame == FIRMWARE_ID:
            super().ParseCANFrame(rx_message)

    # -- within ---------------------------------------------------------------------------------

    def _take_joints(self) -> None:
        needed = (*JOINT_IDS, GRIPPER_ID)
        if any(frame not in self.arrived_ns for frame in needed):
            return
        joints = self.GetArmJointMsgs().joint_state
        opening = self.GetArmGripperMsgs().gripper_state.grippers_angle
        j1, j2, j3, j4, j5, j6 = (getattr(joints, f"joint_{number}") for number in range(1, 7))
        self.joints = (j1, j2, j3, j4, j5, j6, opening), min(self.arrived_ns[frame] for frame in needed)

    def _watch_port(self) -> None:
        """The SDK's commands do not tell whether they were sent; the port that they go through does."""
        send, succeeded = self._port.SendCanMessage, self._port.CAN_STATUS.SEND_MESSAGE_SUCCESS

        def send_or_raise(arbitration_id: int, data: Any, *rest: Any) -> Any:
            self._remember((arbitration_id, bytes(data)))
            answer = send(arbitration_id, data, *rest)
            if answer is not succeeded:
                raise BusError(f"frame 0x{arbitration_id:X} was not sent ({answer})")
            return answer

        self._port.SendCanMessage = send_or_raise
        # Nothing is read from the socket that only sends, so nothing is kept there.
        self._port.send_bus.set_filters([{"can_id": 0x7FF, "can_mask": 0x7FF}])
        wanted = (*FEEDBACK_IDS, *SPEED_IDS, *LEADER_IDS, *COMMAND_IDS, FIRMWARE_ID)
        self._port.recv_bus.set_filters([{"can_id": frame, "can_mask": 0x7FF} for frame in wanted])

    def _remember(self, frame: tuple[int, bytes]) -> None:
        if len(self._sent) >= REMEMBERED_FRAMES:
            self._sent_before, self._sent = self._sent, set()
        self._sent.add(frame)

    def _read(self) -> None:
        good = (self._port.CAN_STATUS.READ_CAN_MSG_OK, self._port.CAN_STATUS.READ_CAN_MSG_TIMEOUT)
        while not self._closing.is_set():
            if self._port.ReadCanMessage() not in good:
                self._closing.wait(PAUSE_AFTER_ERROR_S)  # a bus that is gone fails at once, again and again


def _waited_ns(message: can.Message) -> int:
    """How long a frame has waited for its reader, by the kernel's stamp on it; a wall clock, so bounded."""
    waited_ns = round((time.time() - message.timestamp) * 1e9)
    return min(max(0, waited_ns), LONGEST_WAIT_NS)
