"""A guard on a fake clock, with joint states, wake-ups and a referee that distrusts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from support.fake_clock import FakeClock
from svam_ros.cobot import ARM_NAMES, Cobot, load_cobot
from svam_ros.control.faults import Finding
from svam_ros.control.guard import Command, Guard, GuardSettings, GuardState
from svam_ros.types import ActionChunk, ArmReading, FloatArray, JointLimits

ROS_TO_STEADY_NS = -1_700_000_000_000_000_000
STEP_MS = 40.0


class GuardRig:
    """Runs a guard: one call of :meth:`run` is one stretch of time, command by command.

    The arms are ideal: they stand where the last command put them.
    """

    def __init__(self, settings: GuardSettings | None = None, start: FloatArray | None = None) -> None:
        self.cobot: Cobot = load_cobot()
        self.settings = settings or GuardSettings()
        self.guard = Guard(self.cobot, self.settings)
        self.clock = FakeClock()
        self.measured = self.cobot.home.copy() if start is None else start.copy()
        self.commands: list[Command] = []
        self.joint_states_arrive = True
        self.ros_to_steady_ns = ROS_TO_STEADY_NS

    @property
    def ros_now_ns(self) -> int:
        return self.clock.now_ns() - self.ros_to_steady_ns

    def observe(self, age_ms: float = 0.0) -> Finding | None:
        """Joint states of both arms, measured ``age_ms`` ago; the first that is refused ends it."""
        stamp_ns = self.ros_now_ns - round(age_ms * 1e6)
        for arm in ARM_NAMES:
            finding = self.observe_arm(arm, stamp_ns)
            if finding is not None:
                return finding
        return None

    def observe_arm(self, arm: str, stamp_ns: int) -> Finding | None:
        """A joint state of one arm with this stamp."""
        positions = self.measured[self.cobot.arm_slice(arm)]
        reading = ArmReading(positions, np.zeros(7), stamp_ns)
        return self.guard.observe_arm(arm, reading, self.ros_to_steady_ns, self.clock.now_ns())

    def engage(self) -> list[Finding]:
        self.observe()
        return self.guard.engage(self.clock.now_ns())

    def submit(self, chunk: ActionChunk) -> Finding | None:
        return self.guard.submit(chunk, self.ros_to_steady_ns, self.clock.now_ns())

    def chunk(self, actions: FloatArray, sequence: int, age_ms: float = 0.0, **fields: object) -> ActionChunk:
        """A chunk that was observed ``age_ms`` ago."""
        values: dict[str, object] = {
            "actions": actions,
            "observation_stamp_ns": self.ros_now_ns - round(age_ms * 1e6),
            "first_step": 0,
            "step_s": STEP_MS / 1e3,
            "run_id": "run",
            "sequence": sequence,
        }
        return ActionChunk(**{**values, **fields})  # type: ignore[arg-type]

    def tick(self) -> Command | None:
        """One wake-up at the present moment."""
        if self.joint_states_arrive:
            self.observe()
        command = self.guard.tick(self.clock.now_ns())
        if command is not None:
            self.commands.append(command)
            self.measured = command.positions
        return command

    def run(
        self,
        duration_ms: float,
        before_tick: Callable[[], object] = lambda: None,
        delays_ms: Iterable[float] = (),
    ) -> list[Command]:
        """Wake up once a period for ``duration_ms``; ``delays_ms`` are added to the first waits."""
        first = len(self.commands)
        end_ns = self.clock.now_ns() + round(duration_ms * 1e6)
        delays = iter(delays_ms)
        while self.clock.now_ns() < end_ns:
            self.clock.advance_ms(self.settings.tick_period_ns / 1e6 + next(delays, 0.0))
            before_tick()
            self.tick()
        return self.commands[first:]

    def status_text(self) -> str:
        status = self.guard.status(self.clock.now_ns())
        return f"{status.state.value}: {status.reason}"

    @property
    def state(self) -> GuardState:
        return self.guard.status(self.clock.now_ns()).state


def assert_within_limits(commands: list[Command], limits: JointLimits, period_ns: int) -> None:
    """Finite, inside the positions, and no faster than allowed by the differences of what was sent.

    Velocity and acceleration are judged between set-points on one uniform clock: a pause, after which the
    guard began anew, is a border between two motions.
    """
    positions = np.array([command.positions for command in commands])
    velocities = np.array([command.velocities for command in commands])
    due_ns = np.array([command.due_ns for command in commands])
    assert np.isfinite(positions).all()
    assert np.isfinite(velocities).all()
    assert (positions >= limits.lower).all()
    assert (positions <= limits.upper).all()
    spacing_ns = np.diff(due_ns)
    assert (spacing_ns > 0).all()
    assert (spacing_ns[spacing_ns % period_ns != 0] > period_ns).all(), (
        "off the uniform clock without a pause"
    )
    joined = (spacing_ns % period_ns == 0) & (spacing_ns <= 4 * period_ns)
    spacing_s = spacing_ns[:, np.newaxis] / 1e9
    speeds = np.diff(positions, axis=0) / spacing_s
    assert (np.abs(speeds[joined]) <= limits.velocity * 1.001).all()
    accelerations = np.diff(velocities, axis=0) / spacing_s
    assert (np.abs(accelerations[joined]) <= limits.acceleration * 1.02).all()
    middles_s = (spacing_s[1:] + spacing_s[:-1]) / 2.0
    bends = np.diff(speeds, axis=0) / middles_s
    assert (np.abs(bends[joined[1:] & joined[:-1]]) <= limits.acceleration * 1.02).all()


def is_at_rest(command: Command) -> bool:
    return not command.velocities.any()


def steady(rig: GuardRig, joint: int = 0, offset: float = 0.0, count: int = 8) -> FloatArray:
    """Steps that all ask for home, with one joint ``offset`` away."""
    actions = np.tile(rig.cobot.home, (count, 1))
    actions[:, joint] += offset
    return actions


def feed(
    rig: GuardRig, actions: FloatArray, first_sequence: int = 0, period_ms: float = 100.0
) -> Callable[[], None]:
    """A callback for ``rig.run`` that submits the same steps again and again, always fresh."""
    state = {"sequence": first_sequence, "next_ns": 0}

    def submit() -> None:
        if rig.clock.now_ns() >= state["next_ns"]:
            rig.submit(rig.chunk(actions, state["sequence"]))
            state["sequence"] += 1
            state["next_ns"] = rig.clock.now_ns() + round(period_ms * 1e6)

    return submit


def in_motion(rig: GuardRig, joint: int = 0) -> None:
    """Engaged, following, and one joint at more than half its speed."""
    assert rig.engage() == []
    rig.run(100, feed(rig, steady(rig)))
    assert rig.state is GuardState.FOLLOWING
    for _ in range(60):
        rig.run(10, feed(rig, steady(rig, joint, 1.5), first_sequence=len(rig.commands) + 100))
        if abs(rig.commands[-1].velocities[joint]) > 1.2:
            return
    raise AssertionError("the arm never got up to speed")
