from __future__ import annotations

import numpy as np
import pytest
from support.guard_rig import STEP_MS, GuardRig, assert_within_limits, feed, in_motion, is_at_rest, steady

from svam_ros.control.faults import Fault
from svam_ros.control.guard import GuardSettings, GuardState


@pytest.fixture
def rig() -> GuardRig:
    return GuardRig()


def faults(rig):
    return rig.guard.status(rig.clock.now_ns()).faults


# -- engaging ---------------------------------------------------------------------------------------


def test_nothing_is_sent_before_an_engage(rig):
    rig.run(300, feed(rig, steady(rig, offset=0.3)))
    assert rig.commands == []
    assert rig.state is GuardState.IDLE
    assert faults(rig) == {Fault.CHUNK_BEFORE_ENGAGE: 3}


def test_the_first_command_is_the_measured_pose_and_nothing_moves_without_a_chunk(rig):
    rig.measured = rig.cobot.home + 0.011
    pose = np.clip(rig.measured, rig.cobot.limits.lower, rig.cobot.limits.upper)
    assert rig.engage() == []
    commands = rig.run(300)
    assert len(commands) == 30
    assert all(np.array_equal(command.positions, pose) for command in commands)
    assert rig.status_text() == "holding: waiting for a chunk"


def test_the_first_command_is_the_measured_pose_even_if_a_chunk_is_there_already(rig):
    assert rig.engage() == []
    assert rig.submit(rig.chunk(steady(rig, offset=0.5), 0)) is None
    assert np.array_equal(rig.run(10)[0].positions, rig.cobot.home)


def test_engage_is_refused_before_joint_states(rig):
    findings = rig.guard.engage(rig.clock.now_ns())
    assert [finding.fault for finding in findings] == [Fault.ENGAGE_WITHOUT_JOINT_STATES]
    assert faults(rig) == {Fault.ENGAGE_WITHOUT_JOINT_STATES: 1}
    assert rig.state is GuardState.IDLE
    assert rig.guard.tick(rig.clock.now_ns()) is None
    assert rig.guard.set_points == []
    assert rig.guard.way_to_rest(0.01) is None
    assert rig.guard.measured is None
    rig.observe()
    assert np.array_equal(rig.guard.measured, rig.measured)


def test_engage_is_refused_on_stale_joint_states(rig):
    rig.observe()
    rig.clock.advance_ms(151)
    assert [f.fault for f in rig.guard.engage(rig.clock.now_ns())] == [Fault.ENGAGE_WITHOUT_JOINT_STATES]


@pytest.mark.parametrize(
    ("joint", "excess", "refused"),
    [(0, 0.049, False), (0, 0.051, True), (6, 0.009, False), (6, 0.011, True)],
)
def test_engage_is_refused_outside_the_limits_with_every_joint_named(rig, joint, excess, refused):
    pose = rig.cobot.home.copy()
    pose[joint] = rig.cobot.limits.upper[joint] + excess
    pose[joint + 7] = rig.cobot.limits.lower[joint + 7] - excess
    rig.measured = pose
    findings = rig.engage()
    assert len(findings) == (2 if refused else 0)
    assert all(finding.fault is Fault.ENGAGE_OUTSIDE_LIMITS for finding in findings)
    if refused:
        assert rig.cobot.joint_names[joint] in findings[0].detail
        assert rig.cobot.joint_names[joint + 7] in findings[1].detail
    if not refused:
        rig.joint_states_arrive = False
        assert rig.run(20)[-1].positions[joint] == rig.cobot.limits.upper[joint]


def test_engaging_twice_changes_nothing(rig):
    in_motion(rig)
    velocities = rig.commands[-1].velocities
    assert rig.engage() == []
    assert rig.state is GuardState.FOLLOWING
    assert np.abs(rig.run(10)[-1].velocities - velocities).max() < 0.06


def test_observations_older_than_the_engage_do_not_move_the_arms(rig):
    assert rig.engage() == []
    assert rig.submit(rig.chunk(steady(rig, offset=0.1), 0, age_ms=1)).fault is Fault.CHUNK_BEFORE_ENGAGE
    assert is_at_rest(rig.run(100)[-1])


# -- hold ---------------------------------------------------------------------------------------------


def test_when_chunks_end_the_arms_brake_and_hold(rig):
    in_motion(rig)
    commands = rig.run(8 * STEP_MS + 600)
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)
    assert is_at_rest(commands[-1])
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.CHUNKS_EXHAUSTED
    assert faults(rig)[Fault.CHUNKS_EXHAUSTED] == 1
    assert len(rig.run(500)) == 50
    assert not rig.commands[-1].fresh


def test_the_arms_do_not_return_for_the_last_step_after_braking_past_it(rig):
    in_motion(rig)
    velocities = [command.velocities[0] for command in rig.run(1200)]
    assert min(velocities) >= -0.3


def test_an_operators_hold_lasts_until_engaged_and_lets_no_old_chunk_through(rig):
    in_motion(rig)
    rig.guard.hold()
    assert rig.status_text() == "holding: an operator asked to hold"
    assert rig.run(10)[-1].state is GuardState.HOLDING
    rig.run(1000, feed(rig, steady(rig, offset=1.5), 10_000))
    assert is_at_rest(rig.commands[-1])
    assert rig.status_text() == "holding: an operator asked to hold"
    old = rig.chunk(steady(rig, offset=1.5), 20_000)
    rig.run(50)
    assert rig.engage() == []
    assert rig.submit(old).fault is Fault.CHUNK_BEFORE_ENGAGE
    resting = rig.commands[-1].positions
    assert np.array_equal(rig.run(100)[-1].positions, resting)
    rig.run(300, feed(rig, steady(rig, offset=1.5), 30_000))
    assert rig.state in (GuardState.RAMPING, GuardState.FOLLOWING)


def test_an_operators_hold_is_released_while_the_arms_still_brake(rig):
    in_motion(rig)
    rig.guard.hold()
    rig.run(20)
    assert not is_at_rest(rig.commands[-1])
    assert rig.engage() == []
    assert rig.status_text() == "holding: waiting for a chunk"


def test_time_held_by_an_operator_is_no_stall_and_chunks_are_turned_away(rig):
    in_motion(rig)
    before = rig.guard.status(rig.clock.now_ns())
    rig.guard.hold()
    assert rig.submit(rig.chunk(steady(rig), 10_000)).fault is Fault.CHUNK_BEFORE_ENGAGE
    rig.run(1000)
    assert rig.guard.status(rig.clock.now_ns()).steps_stalled == before.steps_stalled


def test_hold_means_nothing_where_the_guard_is_not_engaged(rig):
    rig.guard.hold()
    assert rig.state is GuardState.IDLE
    rig.guard.stop("test")
    rig.guard.hold()
    assert rig.state is GuardState.STOPPED


def test_stale_joint_states_hold_and_fresh_ones_resume(rig):
    in_motion(rig)
    follow = feed(rig, steady(rig, offset=1.5), 10_000)
    rig.joint_states_arrive = False
    rig.run(140, follow)
    assert rig.state is GuardState.FOLLOWING
    rig.run(30, follow)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.JOINT_STATES_STALE
    rig.run(200, follow)
    assert faults(rig)[Fault.JOINT_STATES_STALE] == 1
    rig.joint_states_arrive = True
    rig.run(50, follow)
    assert rig.state in (GuardState.RAMPING, GuardState.FOLLOWING)
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_joint_states_that_are_not_finite_count_as_none(rig, poison):
    in_motion(rig)
    good = rig.measured
    rig.measured = good.copy()
    rig.measured[4] = poison
    finding = rig.observe()
    assert finding.fault is Fault.JOINT_STATES_MALFORMED
    assert rig.cobot.joint_names[4] in finding.detail
    rig.joint_states_arrive = False
    rig.measured = good
    rig.run(180)
    assert rig.guard.status(rig.clock.now_ns()).fault is Fault.JOINT_STATES_STALE


# -- stop ---------------------------------------------------------------------------------------------


def test_stop_brakes_at_once_and_only_an_engage_leads_out(rig):
    in_motion(rig)
    rig.guard.stop("a person asked")
    commands = rig.run(500, feed(rig, steady(rig, offset=1.5), 10_000))
    assert all(command.state is GuardState.STOPPED for command in commands)
    assert abs(commands[15].velocities[0]) < abs(commands[0].velocities[0]) - 0.3
    assert is_at_rest(commands[-1])
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)
    rig.run(1000, feed(rig, steady(rig, offset=1.5), 20_000))
    assert np.array_equal(rig.commands[-1].positions, commands[-1].positions)
    assert rig.engage() == []
    rig.run(100, feed(rig, steady(rig, offset=1.5), 30_000))
    assert rig.state is GuardState.RAMPING


def test_stop_is_idempotent_and_keeps_the_first_reason(rig):
    in_motion(rig)
    rig.guard.stop("first")
    rig.run(50)
    rig.guard.stop("second")
    assert rig.status_text() == "stopped: first"
    assert is_at_rest(rig.run(400)[-1])


def test_stop_wins_over_a_hold_in_the_same_moment(rig):
    in_motion(rig)
    rig.guard.stop("test")
    rig.guard.hold()
    assert rig.run(10)[-1].state is GuardState.STOPPED


def test_stop_before_any_engage(rig):
    rig.guard.stop("test")
    assert rig.tick() is None
    assert rig.state is GuardState.STOPPED
    assert rig.engage() == []


def test_engage_is_refused_while_braking(rig):
    in_motion(rig)
    rig.guard.stop("test")
    rig.run(50)
    assert [finding.fault for finding in rig.engage()] == [Fault.ENGAGE_WHILE_BRAKING]
    assert rig.state is GuardState.STOPPED


def test_some_time_after_a_stop_the_guard_falls_silent(rig):
    assert not rig.guard.status(rig.clock.now_ns()).commanding
    in_motion(rig)
    rig.guard.stop("test")
    rig.run(500)
    status = rig.guard.status(rig.clock.now_ns())
    assert status.at_rest
    assert status.commanding, "the resting pose is repeated"
    rig.run(1500)
    assert not rig.guard.status(rig.clock.now_ns()).commanding
    braking_and_rest_ms = (rig.commands[-1].due_ns - rig.commands[0].due_ns) / 1e6
    count = len(rig.commands)
    assert rig.run(500) == []
    assert len(rig.commands) == count
    resting = [c for c in rig.commands if c.state is GuardState.STOPPED and is_at_rest(c)]
    assert 490 <= len(resting) * 10 <= 520
    assert braking_and_rest_ms < 2600


def test_falling_silent_in_the_middle_of_catching_up(rig):
    rig.engage()
    rig.run(50)
    rig.guard.stop("test")
    rig.run(490)
    assert len(rig.run(100, delays_ms=[60.0])) < 6
    assert rig.tick() is None


def test_the_resting_pose_is_repeated_after_every_stop(rig):
    for _ in range(2):
        assert rig.engage() == []
        rig.run(50)
        rig.guard.stop("test")
        assert len(rig.run(1000)) == 51


def test_an_engage_right_after_a_set_point_keeps_the_set_points_apart(rig):
    rig.engage()
    rig.run(50)
    rig.guard.stop("test")
    rig.clock.advance_ms(2)
    rig.tick()
    assert rig.commands[-1].due_ns > rig.clock.now_ns()
    assert rig.engage() == []
    rig.run(50)
    assert (np.diff([command.due_ns for command in rig.commands]) >= rig.settings.tick_period_ns).all()


def test_joint_states_lost_stop_the_arms(rig):
    in_motion(rig)
    rig.joint_states_arrive = False
    rig.run(520, feed(rig, steady(rig, offset=1.5), 10_000))
    status = rig.guard.status(rig.clock.now_ns())
    assert (status.state, status.fault) == (GuardState.STOPPED, Fault.JOINT_STATES_LOST)
    assert "is its driver up?" in status.reason
    rig.joint_states_arrive = True
    rig.run(300, feed(rig, steady(rig, offset=1.5), 20_000))
    assert rig.state is GuardState.STOPPED


def test_time_stopped_is_no_stall(rig):
    in_motion(rig)
    rig.guard.stop("test")
    before = rig.guard.status(rig.clock.now_ns())
    rig.run(400)
    assert rig.guard.status(rig.clock.now_ns()).steps_stalled == before.steps_stalled


# -- time ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_ms", [15.0, 60.0, 150.0])
def test_a_late_wake_up_never_makes_one_big_jump(rig, delay_ms):
    in_motion(rig)
    first = len(rig.commands)
    rig.run(600, feed(rig, steady(rig, offset=1.5), 10_000), delays_ms=[delay_ms])
    assert_within_limits(rig.commands, rig.cobot.limits, rig.settings.tick_period_ns)
    positions = np.array([command.positions for command in rig.commands[first - 1 :]])
    assert np.abs(np.diff(positions, axis=0)).max() <= 2 * 0.02 * 1.001
    status = rig.guard.status(rig.clock.now_ns())
    assert status.late_ticks == (0 if delay_ms < 10 else round(delay_ms // 10))
    assert abs(rig.commands[-1].due_ns - rig.clock.now_ns()) <= 10e6


def test_after_a_long_sleep_the_guard_begins_anew_from_rest(rig):
    in_motion(rig)
    last = rig.commands[-1]
    commands = rig.run(300, feed(rig, steady(rig, offset=1.5), 10_000), delays_ms=[400.0])
    assert faults(rig)[Fault.GUARD_WAS_LATE] == 1
    assert np.abs(commands[0].positions - last.positions).max() < 1e-3
    assert np.abs(commands[0].velocities).max() < 0.1
    assert commands[0].state is not GuardState.STOPPED


def test_its_own_sleep_is_not_held_against_the_joint_states(rig):
    in_motion(rig)
    rig.joint_states_arrive = False
    rig.run(20, delays_ms=[900.0])
    assert rig.state is GuardState.HOLDING
    rig.joint_states_arrive = True
    rig.run(300, feed(rig, steady(rig, offset=1.5), 10_000))
    assert rig.state in (GuardState.RAMPING, GuardState.FOLLOWING)


def test_lookahead_reads_the_chunk_earlier(rig):
    actions = np.tile(rig.cobot.home, (8, 1))
    actions[:, 0] += 0.01 * np.arange(8)
    positions = {}
    for lookahead_ms in (0.0, 40.0):
        rig = GuardRig(GuardSettings(lookahead_ms=lookahead_ms))
        rig.engage()
        rig.tick()
        rig.submit(rig.chunk(actions, 0))
        positions[lookahead_ms] = rig.run(240)[-1].positions[0]
    assert positions[40.0] - positions[0.0] == pytest.approx(0.01, abs=0.002)


# -- reports ------------------------------------------------------------------------------------------


def test_commands_say_how_old_their_observation_is(rig):
    rig.engage()
    rig.run(50)
    assert rig.commands[-1].observation_age_ms is None
    rig.submit(rig.chunk(steady(rig), 0))
    command = rig.run(100)[-1]
    assert command.fresh
    assert command.observation_age_ms == pytest.approx((command.due_ns - rig.clock.now_ns()) / 1e6 + 100)


def test_status(rig):
    assert rig.guard.status(rig.clock.now_ns()).joint_state_age_ms is None
    in_motion(rig)
    rig.clock.advance_ms(3)
    status = rig.guard.status(rig.clock.now_ns())
    assert status.joint_state_age_ms == pytest.approx(3.0)
    assert not status.at_rest
    assert status.chunks_accepted > 0
    assert status.steps_executed > 0
