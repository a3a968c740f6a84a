"""One Piper arm behind its CAN bus: enabled when asked to, told the newest set-point, listened to.

Set-points go out in a thread of the arm's own, so that a bus that blocks or fails cannot take its caller's
time. The caller hands in the newest and looks, every now and then, at what the arm reports.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum

import numpy as np

from svam_ros.drivers.piper_frames import CAN_CONTROL, FEEDBACK_IDS, STATUS_ID
from svam_ros.drivers.piper_interface import PiperError, open_bus
from svam_ros.drivers.piper_status import PiperStatus, firmware_trouble, troubles
from svam_ros.drivers.piper_units import RAD_S_PER_WIRE, WireJoints, from_wire, to_wire
from svam_ros.types import ArmReading, FloatArray

LEADER_TEXT = "reports as a leader (frames 0x3A1 to 0x3A8): make it a follower"
FIRST_FEEDBACK_S = 1.0
"""A healthy arm reports 200 times a second from the moment it has power."""
ENABLING_S = 3.0
"""For all motors to confirm that they are on; AgileX's own node waits five seconds."""
ENABLING_PERIOD_S = 0.02
RECENT_NS = 1_000_000_000
"""What is older says nothing about the present."""
STUCK_NS = 200_000_000
"""A set-point that has waited this long for the bus; a healthy one takes it in less than a millisecond."""
SILENT_NS = 500_000_000
"""After the last set-point the caller has let go of the arm."""
MOVED_RAD = 0.05
"""An arm that stands this far from the first set-point has sagged, or was moved, while it was enabled."""


class _Phase(Enum):
    OFF = "off"
    """Nothing is sent."""
    ENABLING = "enabling"
    """The measured joints are sent, and that the motors shall be on."""
    FOLLOWING = "following"
    """Set-points are sent as they come."""


@dataclass(frozen=True)
class ArmReport:
    """What is known of an arm at one moment."""

    reading: ArmReading | None
    """Joints newer than those of the last report, stamped on the steady clock."""
    enabling: bool
    """Set-points do not reach the arm yet."""
    faulty: str
    """Why it does not follow, for a person; empty where it does."""
    unreachable: str
    """Why set-points do not reach it; empty where they do."""
    is_commanded_by_others: bool
    """Somebody else has commanded it since the last report."""


class PiperArm:
    """One arm.

    Args:
        name: ``"left"`` or ``"right"``, for texts.
        interface: CAN interface.
        bus_type: ``"socketcan"`` or ``"virtual"``.
        speed_percent: of 3.0 rad/s, the most that the arm's own planner may use.
        gripper_effort: N m.

    Raises:
        PiperError: piper_sdk is not installed, there is no such interface or it is down, or no feedback
            arrives within a second.
    """

    def __init__(
        self, name: str, interface: str, bus_type: str, speed_percent: int, gripper_effort: float
    ) -> None:
        self._name, self._interface = name, interface
        self._speed_percent, self._gripper_effort = speed_percent, round(gripper_effort * 1000)
        self._wake = threading.Condition()
        self._phase = _Phase.OFF
        self._set_point: WireJoints | None = None
        self._set_point_ns = 0
        """When the caller last asked for something."""
        self._sending_since_ns: int | None = None
        self._enabling_until_s = 0.0
        self._had_no_power = False
        self._failure: tuple[int, str] | None = None
        self._refusal: str | None = None
        """Why nothing is sent although set-points come; forgotten when none come any more."""
        self._last_reading: ArmReading | None = None
        self._foreign_seen_ns: int | None = None
        self._closing = False
        self._bus = open_bus(interface, bus_type)
        try:
            self._await_feedback()
        except PiperError:
            self._bus.close()
            raise
        self._thread = threading.Thread(target=self._drive, name=f"{interface} writer", daemon=True)
        self._thread.start()

    @property
    def firmware(self) -> str:
        """Its version, such as ``S-V1.6-3``; empty where it was not told."""
        return self._bus.firmware

    def begin(self) -> None:
        """Set-points will follow: enable the motors, where they are not, at the pose that is measured.

        Returns at once; :meth:`poll` tells how it goes. The first set-point has to be the measured pose too.
        An arm that is being told set-points goes on without a pause.
        """
        now_ns = time.monotonic_ns()
        with self._wake:
            if self._phase is _Phase.FOLLOWING and now_ns - self._set_point_ns < SILENT_NS:
                return
            self._set_point, self._set_point_ns, self._refusal = None, now_ns, None
            self._enabling_until_s, self._had_no_power = time.monotonic() + ENABLING_S, False
            self._phase = _Phase.ENABLING
            self._wake.notify()

    def submit(self, positions: FloatArray) -> None:
        """Hand in a set-point, ``(7,)`` rad and m; the newest counts. Never waits for the bus.

        Raises:
            ValueError: a number is not finite.
        """
        wire = to_wire(positions)
        with self._wake:
            self._set_point, self._set_point_ns = wire, time.monotonic_ns()
            self._wake.notify()

    def poll(self, now_ns: int) -> ArmReport:
        """What the arm reports by now; to be called more often than ten times a second.

        Args:
            now_ns: steady time.
        """
        status = self._bus.status
        found = self._troubles(status, now_ns)
        with self._wake:
            self._let_go(status, bool(found), now_ns)
            if self._refusal:
                found.append(self._refusal)
        return ArmReport(
            self._new_reading(),
            self._phase is _Phase.ENABLING,
            f"the {self._name} arm {'; '.join(found)}" if found else "",
            self._unreachable(now_ns),
            self._was_commanded_by_others(),
        )

    def close(self) -> None:
        """Let go of the bus.

        Nothing is sent, above all no disabling: without current in its motors an arm in the air falls. It
        holds its last set-point until somebody else tells it another, or takes its power away.
        """
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(ENABLING_PERIOD_S * 5)
        self._bus.close()

    # -- what poll looks at -----------------------------------------------------------------------

    def _troubles(self, status: PiperStatus, now_ns: int) -> list[str]:
        found = troubles(status)
        if self._bus.leader_ns is not None and now_ns - self._bus.leader_ns < RECENT_NS:
            found.append(LEADER_TEXT)
        if old := firmware_trouble(self._bus.firmware):
            found.append(old)
        return found

    def _let_go(self, status: PiperStatus, in_trouble: bool, now_ns: int) -> None:
        """Send nothing more where the arm would not take it, and say so where somebody asks for it.

        An arm in trouble that still has power is told how to brake. Where the power is gone nothing may wait
        for it to come back.
        """
        is_asked = now_ns - self._set_point_ns < SILENT_NS
        if self._phase is _Phase.ENABLING and (in_trouble or not is_asked):
            self._phase = _Phase.OFF
        elif self._phase is _Phase.FOLLOWING and not status.is_ready:
            self._refuse(f"does not take set-points any more: {self._missing(status)}")
        elif self._phase is _Phase.OFF and is_asked and not in_trouble and self._refusal is None:
            self._refuse("is not told set-points: it was not enabled for them; engage again")
        if not is_asked:
            self._refusal = None

    def _unreachable(self, now_ns: int) -> str:
        since_ns = self._sending_since_ns
        if since_ns is not None and now_ns - since_ns > STUCK_NS:
            return f"{self._interface} has not taken a frame for {(now_ns - since_ns) / 1e6:.0f} ms"
        if self._failure is not None and now_ns - self._failure[0] < RECENT_NS:
            return f"{self._interface}: {self._failure[1]}"
        return ""

    def _was_commanded_by_others(self) -> bool:
        newest_ns = self._bus.foreign_ns
        if newest_ns == self._foreign_seen_ns:
            return False
        self._foreign_seen_ns = newest_ns
        return True

    def _new_reading(self) -> ArmReading | None:
        measured, last = self._bus.joints, self._last_reading
        if measured is None or (last is not None and measured[1] <= last.stamp_ns):
            return None
        # The gripper reports no speed.
        velocities = np.array([*self._bus.speeds.values(), 0]) * RAD_S_PER_WIRE
        self._last_reading = ArmReading(from_wire(measured[0]), velocities, measured[1])
        return self._last_reading

    # -- the arm's own thread ---------------------------------------------------------------------

    def _drive(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(self._has_work)
                if self._closing:
                    return
                phase, set_point = self._phase, self._set_point
                if phase is _Phase.FOLLOWING:
                    self._set_point = None
                self._sending_since_ns = time.monotonic_ns()
            try:
                if phase is _Phase.ENABLING:
                    self._enable(set_point)
                elif set_point is not None:
                    self._bus.send_set_point(set_point, self._speed_percent, self._gripper_effort)
            except Exception as error:  # whatever the SDK raises, the next set-point is tried again
                self._failure = time.monotonic_ns(), str(error) or repr(error)
            self._sending_since_ns = None
            if phase is _Phase.ENABLING:
                time.sleep(ENABLING_PERIOD_S)

    def _has_work(self) -> bool:
        following = self._phase is _Phase.FOLLOWING and self._set_point is not None
        return self._closing or following or self._phase is _Phase.ENABLING

    def _enable(self, set_point: WireJoints | None) -> None:
        """One attempt; it is repeated until everything confirms."""
        status, measured = self._bus.status, self._bus.joints
        standing = None if measured is None or self._silent_frames() else measured[0]
        if standing is not None and status.is_ready:
            self._hand_over(set_point, standing)
        elif time.monotonic() > self._enabling_until_s:
            with self._wake:
                self._refuse(f"was not enabled within {ENABLING_S:g} s: {self._missing(status)}")
        elif standing is not None:
            self._had_no_power = True
            pose = (*standing[:6], max(0, standing[6]))
            # The target first: an arm that comes on must find the pose that it is in, not its last target.
            self._bus.send_set_point(pose, self._speed_percent, self._gripper_effort)
            self._bus.enable_motors()
            self._bus.send_set_point(pose, self._speed_percent, self._gripper_effort)

    def _hand_over(self, set_point: WireJoints | None, measured: WireJoints) -> None:
        """The arm is on: from now on it is told set-points, if the first of them is where it stands."""
        if set_point is None:
            return
        off_rad = np.abs(from_wire(set_point) - from_wire(measured))[:6].max()
        with self._wake:
            if self._had_no_power and off_rad > MOVED_RAD:
                self._refuse(f"has moved by {off_rad:.2f} rad while it was being enabled: engage again")
            elif self._phase is _Phase.ENABLING:
                self._phase = _Phase.FOLLOWING

    def _refuse(self, why: str) -> None:
        """Send nothing more; the caller holds the lock."""
        self._refusal, self._phase = why, _Phase.OFF

    def _silent_frames(self) -> list[int]:
        now_ns, arrived_ns = time.monotonic_ns(), self._bus.arrived_ns
        return [f for f in FEEDBACK_IDS if f not in arrived_ns or now_ns - arrived_ns[f] > RECENT_NS]

    def _missing(self, status: PiperStatus) -> str:
        if silent := self._silent_frames():
            return f"no frame {', '.join(f'0x{frame:X}' for frame in silent)}"
        if status.without_power:
            return f"no power at {', '.join(status.without_power)}"
        return f"it is in control mode {status.control_mode}, control over CAN is {CAN_CONTROL}"

    def _await_feedback(self) -> None:
        """Until joints, gripper and status have arrived; asks for the firmware's version meanwhile."""
        deadline_s = time.monotonic() + FIRST_FEEDBACK_S
        while self._bus.joints is None or STATUS_ID not in self._bus.arrived_ns or not self._bus.firmware:
            if time.monotonic() > deadline_s:
                break
            self._bus.ask_for_firmware()
            time.sleep(0.05)
        if self._bus.joints is None or STATUS_ID not in self._bus.arrived_ns:
            reason = LEADER_TEXT if self._bus.leader_ns is not None else "sends no feedback"
            raise PiperError(
                f"the {self._name} arm on {self._interface} {reason}; waited {FIRST_FEEDBACK_S:g} s. Has it "
                f"power, is it plugged in here, and is the bus at 1 Mbit/s?"
            )
