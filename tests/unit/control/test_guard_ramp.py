"""How the guard approaches a path: slowly over a long way after an engage, soon at full speed otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from support.guard_rig import GuardRig, feed, in_motion, steady

from svam_ros.control.guard import GuardState


@pytest.fixture
def rig() -> GuardRig:
    return GuardRig()


def test_the_approach_after_an_engage_is_slow(rig):
    assert rig.engage() == []
    commands = rig.run(2500, feed(rig, steady(rig, offset=0.8)))
    speeds = np.abs([command.velocities for command in commands])
    assert (speeds <= 0.2 * rig.cobot.limits.velocity * 1.001).all()
    assert commands[50].state is GuardState.RAMPING
    assert commands[-1].state is GuardState.FOLLOWING
    assert commands[-1].positions[0] == pytest.approx(rig.cobot.home[0] + 0.8)


@pytest.mark.parametrize(("offset", "seconds_at_low_speed"), [(0.1, 0.0), (0.25, 3.0)])
def test_only_a_far_first_set_point_is_approached_slowly_for_seconds(rig, offset, seconds_at_low_speed):
    """A path that begins beside the arms and goes on faster than the ramp is reached within a second."""
    assert rig.engage() == []
    speed = 1.0

    def moving_away(now_ms):
        return steady(rig, offset=offset) + np.eye(14)[0] * speed * (
            now_ms / 1e3 + 0.04 * np.arange(8)[:, None]
        )

    reached_ms = None
    for start_ms in range(0, 1500, 40):
        rig.submit(rig.chunk(moving_away(start_ms), start_ms))
        rig.run(40)
        if rig.state is GuardState.FOLLOWING:
            reached_ms = start_ms
            break
    assert (reached_ms is not None) == (seconds_at_low_speed == 0.0)
    speeds = np.abs([command.velocities for command in rig.commands])
    assert (speeds[:5] <= 0.4 * rig.cobot.limits.velocity).all()


def test_the_approach_gains_speed_when_it_takes_long(rig):
    rig.measured[0] = -2.5
    assert rig.engage() == []
    commands = rig.run(4500, feed(rig, steady(rig, offset=2.5)))
    speeds = np.abs([command.velocities[0] for command in commands])
    assert max(speeds[:290]) <= 0.4 * 1.001
    assert max(speeds) > 1.0


def test_after_a_hold_the_arms_resume_by_a_ramp_that_gains_speed(rig):
    in_motion(rig)
    rig.run(1500)
    assert rig.state is GuardState.HOLDING
    start = rig.commands[-1].positions[0]
    commands = rig.run(1000, feed(rig, steady(rig, offset=start - rig.cobot.home[0] - 1.0), 10_000))
    speeds = np.abs([command.velocities[0] for command in commands])
    assert max(speeds[:15]) < 0.8
    assert max(speeds) > 1.0
    assert commands[5].state is GuardState.RAMPING
    assert commands[-1].state is GuardState.FOLLOWING


def test_grippers_do_not_keep_the_arms_in_the_ramp(rig):
    assert rig.engage() == []
    assert rig.run(60, feed(rig, steady(rig, 6, -0.05)))[-1].state is GuardState.FOLLOWING


def test_after_an_operators_hold_the_ramp_is_slow_again(rig):
    in_motion(rig)
    rig.guard.hold()
    rig.run(800)
    rig.engage()
    speeds = np.abs([c.velocities[0] for c in rig.run(1000, feed(rig, steady(rig, offset=-0.3), 10_000))])
    assert max(speeds) <= 0.4 * 1.001
