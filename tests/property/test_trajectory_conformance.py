"""Trajectories for ros2_control: accepted by every release's rules, continuous, at rest in the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.guard_rig import GuardRig, feed, steady
from support.trajectory_controller import TrajectoryController, TrajectoryRefused, check_rules

from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.control.guard import GuardSettings, GuardState
from svam_ros.control.trajectory_plan import COMMIT_AHEAD_MS, POINT_SPACING_S, SETTINGS, TrajectoryPlan
from svam_ros.translation.trajectories import JointGroupTrajectory, arm_trajectories
from svam_ros.types import PlannedPoints

PROFILE = load_robot_profile("ros2_control")
CONTROL_PERIOD_MS = 5.0
ALL_RULES = ("humble", "jazzy", "kilted")
COBOT = load_cobot()


def groups() -> list[tuple[str, tuple[str, ...], slice]]:
    """Topic, joint names and place in a 14-vector of every controller, in the order of the vector."""
    found = []
    for arm in ARM_NAMES:
        topics, first = PROFILE.arms[arm], COBOT.arm_slice(arm).start
        names = topics.command_joint_names
        found.append((topics.command_topic, names[:6], slice(first, first + 6)))
        found.append((topics.gripper_command_topic, names[6:], slice(first + 6, first + 7)))
    return found


GROUPS = groups()
NAMES = {topic: names for topic, names, _ in GROUPS}
SCALE = np.where(COBOT.is_arm_joint, 1.0, PROFILE.gripper.metres_per_unit)
"""Of our units in the controllers'."""


@dataclass
class Bench:
    """A guard whose trajectories go to controllers of all releases, sampled at 200 Hz on the same clock."""

    rig: GuardRig = field(default_factory=lambda: GuardRig(GuardSettings(**SETTINGS)))
    positions: list[np.ndarray] = field(default_factory=list)
    velocities: list[np.ndarray] = field(default_factory=list)
    messages: int = 0

    def __post_init__(self) -> None:
        self.plan = TrajectoryPlan()
        self.controllers = {}
        for topic, names, joints in GROUPS:
            start = self.rig.cobot.home[joints] / SCALE[joints]
            self.controllers[topic] = TrajectoryController(names, start, "kilted")

    def run(self, duration_ms: float, before=lambda: None, guard_runs: bool = True, delays_ms=()) -> None:
        """Time passes for both; ``delays_ms`` are how late wake-ups of the guard come."""
        end_ns = self.rig.clock.now_ns() + round(duration_ms * 1e6)
        delays, wait_ms = iter(delays_ms), 0.0
        while self.rig.clock.now_ns() < end_ns:
            self.rig.clock.advance_ms(CONTROL_PERIOD_MS)
            wait_ms -= CONTROL_PERIOD_MS
            if guard_runs and wait_ms <= 0.0:
                wait_ms += 10.0 + next(delays, 0.0)
                before()
                self.wake_guard()
            self.update()

    def wake_guard(self) -> None:
        if self.rig.joint_states_arrive:
            self.rig.observe()
        command = self.rig.guard.tick(self.rig.clock.now_ns())
        if command is None:
            return
        now_ns = self.rig.clock.now_ns()
        if not self.plan.add(self.rig.guard.set_points, now_ns):
            return
        points = self.plan.points(self.rig.guard.way_to_rest(POINT_SPACING_S))
        self.messages += 1
        for arm in ARM_NAMES:
            for group in arm_trajectories(PROFILE, arm, COBOT.arm_slice(arm), points, now_ns):
                for rules in ALL_RULES:
                    check_rules(group, NAMES[group.topic], now_ns, now_ns, rules)
                self.controllers[group.topic].receive(group, now_ns, now_ns)

    def update(self) -> None:
        rows = [self.controllers[topic].update(self.rig.clock.now_ns()) for topic, _, _ in GROUPS]
        positions, velocities = (np.concatenate([row[part] for row in rows]) * SCALE for part in (0, 1))
        self.rig.measured = positions
        self.positions.append(positions)
        self.velocities.append(velocities)

    def assert_within_limits(self) -> None:
        limits, period_s = self.rig.cobot.limits, CONTROL_PERIOD_MS / 1e3
        positions, velocities = np.array(self.positions), np.array(self.velocities)
        assert (positions >= limits.lower - 1e-6).all()
        assert (positions <= limits.upper + 1e-6).all()
        assert (np.abs(velocities) <= 1.02 * limits.velocity).all()
        assert (np.abs(np.diff(positions, axis=0)) / period_s <= 1.02 * limits.velocity).all()
        assert (np.abs(np.diff(velocities, axis=0)) / period_s <= 1.05 * limits.acceleration).all()


def swing(bench: Bench, offset: float = 0.8):
    """Steps that swing joints of both arms."""
    sequence = iter(range(10**6))

    def submit() -> None:
        number = next(sequence)
        if number % 10 == 0:
            due_s = bench.rig.clock.now_ns() / 1e9 + 0.04 * np.arange(1, 13)
            rows = np.tile(bench.rig.cobot.home, (12, 1))
            rows[:, [0, 7]] += offset * np.sin(2.0 * due_s)[:, None]
            bench.rig.submit(bench.rig.chunk(rows, number))

    return submit


def test_a_swing_is_followed_without_a_break_through_every_message():
    bench = Bench()
    assert bench.rig.engage() == []
    bench.run(6000, swing(bench))
    assert bench.rig.state is GuardState.FOLLOWING
    assert bench.messages > 250
    bench.assert_within_limits()
    swings = np.array(bench.positions)[600:, 0]
    assert swings.max() - swings.min() > 1.4


def test_a_guard_that_is_gone_leaves_arms_that_brake_by_themselves():
    bench = Bench()
    assert bench.rig.engage() == []
    bench.run(3330, swing(bench))
    assert np.abs(bench.velocities[-1]).max() > 0.5
    last = len(bench.velocities)
    bench.run(600, guard_runs=False)
    bench.assert_within_limits()
    moving = [index for index, v in enumerate(bench.velocities[last:]) if np.abs(v).max() > 1e-3]
    assert moving[-1] * CONTROL_PERIOD_MS <= 350.0 + COMMIT_AHEAD_MS
    assert not bench.velocities[-1].any()


@example(  # Set-points that were computed at a wake-up, and not sent, left a gap behind the next.
    delays_ms=[0, 0, 0, 0, 44, 2, 2, 4.3, 8.7, 11, 13, 16, 17, 19, 22, 23, 5, 1, 44, 0, 44],
    offset=0.5,
    stop_after_ms=551,
)
@given(
    delays_ms=st.lists(st.floats(0.0, 45.0), max_size=60),
    offset=st.floats(0.2, 1.2),
    stop_after_ms=st.integers(300, 2500),
)
@settings(max_examples=20, deadline=None)
def test_however_late_it_wakes_all_is_accepted_and_within_the_limits(delays_ms, offset, stop_after_ms):
    bench = Bench()
    assert bench.rig.engage() == []
    bench.run(stop_after_ms, swing(bench, offset), delays_ms=delays_ms)
    bench.rig.guard.stop("the test is over")
    bench.run(900)
    bench.assert_within_limits()
    assert not bench.velocities[-1].any()


def test_arms_at_rest_are_sent_trajectories_that_stay():
    bench = Bench()
    assert bench.rig.engage() == []
    bench.run(500, feed(bench.rig, steady(bench.rig)))
    assert np.ptp(np.array(bench.positions), axis=0).max() < 1e-9
    assert bench.messages > 10


def trajectory(**changes) -> JointGroupTrajectory:
    sound = JointGroupTrajectory(
        "topic", ("a", "b"), (10, 20), ((0.0, 0.0), (1.0, 1.0)), ((0.1, 0.0), (0.0, 0.0))
    )
    return replace(sound, **changes)


@pytest.mark.parametrize("rules", ALL_RULES)
@pytest.mark.parametrize(
    ("changes", "stamp_ns"),
    [
        ({"joint_names": ("a",)}, 100),
        ({"joint_names": ("a", "c")}, 100),
        ({"from_start_ns": (), "positions": (), "velocities": ()}, 100),
        ({"from_start_ns": (10, 10)}, 100),
        ({"from_start_ns": (20, 10)}, 100),
        ({"positions": ((0.0,), (1.0, 1.0))}, 100),
        ({}, 50),
    ],
)
def test_the_twin_refuses_what_the_controller_refuses(rules, changes, stamp_ns):
    controller = TrajectoryController(("a", "b"), np.zeros(2), rules)
    controller.receive(trajectory(), 100, 100)
    with pytest.raises(TrajectoryRefused):
        controller.receive(trajectory(**changes), stamp_ns, 100)


def test_only_humble_takes_a_trajectory_that_does_not_end_at_rest():
    moving = trajectory(velocities=((0.1, 0.0), (0.2, 0.0)))
    TrajectoryController(("a", "b"), np.zeros(2), "humble").receive(moving, 100, 100)
    for rules in ("jazzy", "kilted"):
        with pytest.raises(TrajectoryRefused, match="still moves"):
            TrajectoryController(("a", "b"), np.zeros(2), rules).receive(moving, 100, 100)


@pytest.mark.parametrize(
    ("due_ns", "last_velocity", "position"),
    [((5, 10), 0.1, 0.0), ((10, 5), 0.0, 0.0), ((0, 5), 0.0, 0.0), ((5, 10), 0.0, np.nan)],
)
def test_no_message_is_built_from_what_no_controller_may_get(due_ns, last_velocity, position):
    points = PlannedPoints(
        np.array(due_ns), np.full((2, 14), position), np.array([[0.0] * 14, [last_velocity] * 14])
    )
    with pytest.raises(ValueError, match="left arm"):
        arm_trajectories(PROFILE, "left", slice(0, 7), points, 0)
