"""ROS time jumps in mid-motion: the arms hold, and go on with what is observed after it."""

import numpy as np
import pytest
from support.guard_rig import GuardRig, assert_within_limits, feed, in_motion, is_at_rest, steady

from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardState


def jump(rig: GuardRig, by_s: float) -> None:
    """The system's clock is set, and the guard told by its node."""
    rig.ros_to_steady_ns -= round(by_s * 1e9)
    rig.guard.clock_jumped(by_s, rig.clock.now_ns())


@pytest.mark.parametrize("by_s", [-10.0, 40.0])
def test_the_arms_hold_until_something_is_observed_after_it(by_s):
    rig = GuardRig()
    in_motion(rig)
    of_before = rig.chunk(steady(rig, 0, 1.5), 10**6)
    jump(rig, by_s)
    assert (
        rig.status_text()
        == f"holding: ROS time jumped: stamps from before say nothing any more: by {by_s:+.3f} s"
    )
    assert rig.guard.status(rig.clock.now_ns()).faults[Fault.CLOCK_JUMPED] == 1
    rig.run(600, lambda: rig.submit(of_before))
    assert rig.state is GuardState.HOLDING
    assert is_at_rest(rig.commands[-1])
    rig.run(1500, feed(rig, steady(rig, 0, 1.5)))
    assert rig.state is GuardState.FOLLOWING
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)


def test_joint_states_stamped_before_a_leap_do_not_stop_the_arms():
    rig = GuardRig()
    in_motion(rig)
    rig.clock.advance_ms(5)
    stamped_before_ns = rig.ros_now_ns
    rig.ros_to_steady_ns -= 40_000_000_000
    for arm in ("left", "right"):
        rig.observe_arm(arm, stamped_before_ns)
    rig.guard.clock_jumped(40.0, rig.clock.now_ns())
    rig.joint_states_arrive = False
    rig.run(20)
    rig.joint_states_arrive = True
    rig.run(300, feed(rig, steady(rig)))
    assert rig.state is not GuardState.STOPPED


@pytest.mark.parametrize("state", ["idle", "stopped", "held"])
def test_arms_that_do_not_move_stay_as_they_are(state):
    rig = GuardRig()
    rig.observe()
    if state != "idle":
        in_motion(rig)
        (rig.guard.hold if state == "held" else lambda: rig.guard.stop("an operator asked"))()
        rig.run(900)
    before, positions = rig.status_text(), rig.measured.copy()
    jump(rig, -10.0)
    assert rig.status_text() == before
    assert rig.guard.status(rig.clock.now_ns()).faults[Fault.CLOCK_JUMPED] == 1
    rig.run(300, feed(rig, steady(rig, 0, 0.5)))
    assert rig.status_text() == before
    assert np.array_equal(rig.measured, positions)
