"""How often limits keep the arms off the path that chunks ask for, counted by the guard itself."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest
from support.guard_rig import STEP_MS, GuardRig, feed, in_motion, steady

from svam_ros.control.guard import GuardState
from svam_ros.control.guard_activity import OFF_PATH_RAD, GuardActivity

ARMS = np.array([True, True, False])


@pytest.fixture
def rig() -> GuardRig:
    return GuardRig()


def counts(rig: GuardRig) -> tuple[int, int]:
    status = rig.guard.status(rig.clock.now_ns())
    return status.ticks_followed, status.ticks_limited


@pytest.mark.parametrize(
    ("off", "limited"),
    [
        ([0.0, 0.0, 0.0], 0),
        ([0.9 * OFF_PATH_RAD, -0.9 * OFF_PATH_RAD, 0.0], 0),
        ([0.0, -1.1 * OFF_PATH_RAD, 0.0], 1),
        ([0.0, 0.0, 10.0], 0),
    ],
    ids=["on it", "near it", "off it", "a gripper that holds a thing"],
)
def test_a_set_point_is_limited_where_a_joint_of_an_arm_is_off_the_path(off, limited):
    activity = GuardActivity(ARMS)
    activity.count(np.array([0.1, 0.2, 0.3]) + off, np.array([0.1, 0.2, 0.3]))
    assert (activity.followed, activity.limited) == (1, limited)


def swing(rig: GuardRig) -> Callable[[], None]:
    """Ten times a second a chunk of the same swing of one joint: at most 0.75 rad/s and 1.9 rad/s2."""
    began_ns, sent = rig.clock.now_ns(), count()

    def submit() -> None:
        elapsed_s = (rig.clock.now_ns() - began_ns) / 1e9
        if elapsed_s >= 0.1 * len(made):
            made.append(next(sent))
            times_s = elapsed_s + np.arange(16) * STEP_MS / 1e3
            actions = np.tile(rig.cobot.home, (16, 1))
            actions[:, 0] += 0.3 * (1.0 - np.cos(2.5 * times_s))
            rig.submit(rig.chunk(actions, made[-1]))

    made: list[int] = []
    return submit


def test_a_path_that_the_joints_can_follow_is_left_alone(rig):
    rig.engage()
    before_tick = swing(rig)
    rig.run(300, before_tick)
    assert rig.state is GuardState.FOLLOWING
    followed, _ = counts(rig)
    rig.run(3000, before_tick)
    after, limited = counts(rig)
    assert after - followed == 3000 * 1e6 // rig.settings.tick_period_ns
    assert limited == 0


def test_a_path_with_steps_is_not_followed_and_the_guard_says_how_often(rig):
    in_motion(rig)
    followed, limited = counts(rig)
    rig.run(400, feed(rig, steady(rig, offset=1.5), 10_000))
    after, more = counts(rig)
    assert after > followed
    assert (more - limited) / (after - followed) > 0.5


def test_holding_and_the_way_onto_the_path_count_for_nothing(rig):
    rig.engage()
    rig.run(200)
    assert rig.state is GuardState.HOLDING
    before_tick = feed(rig, steady(rig, offset=0.5), 10_000)
    while rig.state is not GuardState.FOLLOWING:
        assert counts(rig) == (0, 0)
        rig.run(rig.settings.tick_period_ns / 1e6, before_tick)
