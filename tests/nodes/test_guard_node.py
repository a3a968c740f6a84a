"""guard_node as a real process, between a chunk source and two fake arms."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.fake_cobot import FakeCobot, stream, wait_for
from support.motion_checks import assert_within_limits
from support.processes import spec

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.nodes.command_log import CommandLog
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.recording.black_box_file import read_black_box
from svam_ros.shipped_files import shipped_directory

PROFILE = load_robot_profile("cobot_magic")
MOVING = ("ramping", "following")


@pytest.fixture
def bench(supervisor):
    """A guard, a fake robot, an operator, and a log of everything the guard sent."""
    robot = FakeCobot(PROFILE, camera=False)
    operator = Operator(PROFILE)
    log = CommandLog(operator.streams, PROFILE, robot.cobot)
    supervisor.start(spec(graph.GUARD_NODE))
    operator.wait_until("joint states", lambda: "joint_state_age_ms" in operator.motion, 20.0)
    yield robot, operator, log
    operator.close()
    robot.close()


def resting_pose(robot: FakeCobot) -> np.ndarray:
    """Where the arms stand once no set-point is under way: the guard's word may overtake its last ones."""
    pose = robot.positions.copy()
    for _ in range(40):
        time.sleep(0.1)
        if np.array_equal(robot.positions, pose):
            return pose
        pose = robot.positions.copy()
    raise AssertionError("the arms never came to rest")


def test_nothing_is_sent_before_engage_and_engage_then_chunks_move_the_arms(bench):
    robot, operator, log = bench
    stream(robot, 0.6)
    assert log.count() == 0
    assert operator.motion["state"] == "idle"
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 2.5)
    assert operator.motion["state"] == "following"
    moved = max(abs(r.positions[0] - robot.cobot.home[0]) for r in robot.heard.commands["left"])
    assert moved > 0.2
    assert_within_limits(log)
    # A machine that stalls costs steps and is counted; most of the 2.5 s must have been acted on.
    assert int(operator.motion["steps_executed"]) > 30
    assert int(operator.motion["steps_executed"]) > 4 * int(operator.motion["steps_stalled"])


def test_the_reference_names_every_key_that_is_published(bench):
    robot, operator, _log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    wait_for(lambda: any(key.startswith("fault ") for key in operator.motion), 5.0, "a hold")
    page = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")
    table = page.partition("<!-- table: motion -->")[2].partition("<!-- end -->")[0]
    named = set(re.findall(r"^\| `([^`]+)`", table, re.MULTILINE))
    assert {re.sub("^fault .*", "fault NAME", key) for key in operator.motion} == named


def test_when_chunks_stop_the_arms_come_to_rest_and_hold(bench):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.5)
    wait_for(lambda: operator.motion["state"] == "holding" and operator.motion["at_rest"] == "true", 2.0)
    # On a machine that stalls, the fake arms' own states may be late first: the arms hold either way.
    assert operator.motion["fault"] in ("CHUNKS_EXHAUSTED", "JOINT_STATES_STALE")
    resting = resting_pose(robot)
    time.sleep(0.3)
    assert np.array_equal(robot.positions, resting)
    assert_within_limits(log)


def test_stop_wins_over_chunks_until_engaged_again(bench):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
    wait_for(lambda: operator.motion["at_rest"] == "true", 2.0)
    resting = resting_pose(robot)
    stream(robot, 0.8, run_id="other")
    assert np.array_equal(robot.positions, resting)
    assert operator.motion["state"] == "stopped"
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.5, run_id="third")
    assert not np.array_equal(robot.positions, resting)
    assert_within_limits(log)


def test_a_stop_leaves_a_black_box_that_tells_the_story(bench, tmp_path):
    robot, operator, _ = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
    folder = tmp_path / "ros_logs" / "svam_black_box"
    wait_for(lambda: list(folder.glob("*.mcap")), 10.0, "a black box")
    (path,) = folder.glob("*.mcap")
    record = read_black_box(path)
    assert record.excerpt.cause == "stopped: an operator asked to stop"
    assert len(record.excerpt.due_ns) > 50
    texts = [event.text for event in record.excerpt.events]
    assert "engage asked for: engaged" in texts
    assert texts.index("stop asked for") > texts.index("following")
    assert any(text.startswith("chunk ") for text in texts)
    assert np.isfinite(record.excerpt.measured).all()


def test_a_second_commander_stops_the_arms_and_is_named_and_nobody_engages_beside_it(bench):
    robot, operator, _ = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    assert operator.motion["state"] in MOVING, "its own set-points come by too"
    for _ in range(10):  # The first may go before the new publisher is known.
        robot.send_foreign_command("right", robot.positions[7:])
        time.sleep(0.05)
    wait_for(lambda: operator.motion["state"] == "stopped", 5.0, "the stop")
    assert operator.motion["fault"] == "SECOND_COMMANDER"
    assert "a set-point for the right arm that is not ours" in operator.motion["reason"]
    wait_for(lambda: operator.motion["at_rest"] == "true", 2.0)
    robot.send_foreign_command("right", robot.positions[7:])
    time.sleep(0.1)
    with pytest.raises(OperatorError, match="somebody else commanded the right arm"):
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    time.sleep(1.1)
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0, run_id="again")
    assert operator.motion["state"] in MOVING


def test_chunks_with_nan_or_wild_jumps_never_reach_the_arms(bench):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    rng = np.random.default_rng(0)
    for sequence in range(1000, 1030):
        rows = np.tile(robot.cobot.home, (8, 1)) + rng.normal(0, 2.0, (8, 14))
        if sequence % 3 == 0:
            rows[3, 5] = [np.nan, np.inf, -np.inf][sequence % 9 // 3]
        robot.send_chunk(rows, sequence)
        time.sleep(0.05)
    wait_for(lambda: operator.motion.get("fault CHUNK_NOT_FINITE") == "10", 3.0)
    wait_for(lambda: operator.motion["at_rest"] == "true", 3.0)
    assert_within_limits(log)


def test_a_message_that_nobody_foresaw_does_not_end_the_guard(bench, supervisor):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 0.6)
    for identity in ("run/²", "/", "run/" + "9" * 5000, ""):
        robot.send_chunk_called(identity)
        time.sleep(0.05)
    stream(robot, 0.8, run_id="later")
    assert supervisor.failed_child() is None
    wait_for(lambda: operator.motion["messages_rejected"] == "4", 3.0)
    assert_within_limits(log)


def test_engaging_right_after_a_stop_does_not_jump_to_where_gravity_has_pulled_the_arms(bench):
    robot, operator, log = bench
    robot.sag = 0.03
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    for _ in range(3):
        operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
        wait_for(lambda: operator.motion["at_rest"] == "true", 2.0)
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        time.sleep(0.1)
    assert_within_limits(log)


def test_engage_begins_where_the_arms_are_now_not_where_the_last_cycle_saw_them(bench):
    robot, operator, _log = bench
    for trial in range(1, 6):
        before = len(robot.heard.commands["left"])
        robot.positions = robot.cobot.home + 0.05 * trial * robot.cobot.is_arm_joint
        robot.tell_states()
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        wait_for(lambda before=before: len(robot.heard.commands["left"]) > before, 2.0, "a set-point")
        first = robot.heard.commands["left"][before].positions
        np.testing.assert_allclose(first[0], robot.cobot.home[0] + 0.05 * trial, atol=1e-6)
        operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
        wait_for(lambda: operator.motion["commanding"] == "true", 2.0)
        wait_for(lambda: operator.motion["commanding"] == "false", 5.0)


def test_hold_is_kept_until_engage_and_has_nothing_to_hold_before(bench):
    robot, operator, _log = bench
    with pytest.raises(OperatorError, match="nothing to hold: idle"):
        operator.trigger(graph.GUARD_NODE, graph.HOLD_SERVICE)
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 0.8)
    operator.trigger(graph.GUARD_NODE, graph.HOLD_SERVICE)
    stream(robot, 0.8, run_id="second")
    held = robot.positions.copy()
    stream(robot, 0.4, run_id="third")
    assert np.array_equal(robot.positions, held)
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0, run_id="fourth")
    assert not np.array_equal(robot.positions, held)


def test_engage_without_joint_states_is_refused_with_the_reason(bench):
    robot, operator, _log = bench
    robot.publish_states = False
    time.sleep(0.4)
    with pytest.raises(OperatorError, match="no fresh joint states"):
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)


def test_lost_joint_states_stop_the_arms(bench):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    robot.publish_states = False
    stream(robot, 1.0)
    wait_for(lambda: operator.motion["state"] == "stopped" and operator.motion["at_rest"] == "true", 3.0)
    assert operator.motion["fault"] == "JOINT_STATES_LOST"
    assert_within_limits(log)


def test_a_driver_that_publishes_its_last_sample_again_and_again_stops_the_arms(bench):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.0)
    lost_ns = robot.now_ns()
    robot.stamp_of_states = lambda: lost_ns
    stream(robot, 1.0)
    wait_for(lambda: operator.motion["state"] == "stopped" and operator.motion["at_rest"] == "true", 3.0)
    assert operator.motion["fault"] == "JOINT_STATES_LOST"
    assert "repeats an old stamp" in operator.motion["reason"]
    assert_within_limits(log)


def test_joint_states_without_a_stamp_are_none_as_a_driver_without_its_arm_sends_them(bench):
    robot, operator, _log = bench
    robot.stamp_of_states = lambda: 0
    time.sleep(0.4)
    with pytest.raises(OperatorError, match="no fresh joint states"):
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)


def test_limits_and_profile_may_be_files_of_one_s_own(supervisor, tmp_path):
    calibration = shipped_directory("calibration")
    slow = yaml.safe_load((calibration / "cobot.yaml").read_text())
    slow["limits"]["velocity"] = [0.1] * 7
    (tmp_path / "slow.yaml").write_text(yaml.safe_dump(slow))
    own = yaml.safe_load((calibration / "profiles" / "piper_dual.yaml").read_text())
    own["arms"]["left"]["command_topic"] = "/own/left"
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    profile = load_robot_profile(str(tmp_path / "own.yaml"))
    robot, operator = FakeCobot(profile, camera=False), Operator(profile)
    log = CommandLog(operator.streams, profile, load_cobot(tmp_path / "slow.yaml"))
    try:
        limits, profile_path = str(tmp_path / "slow.yaml"), str(tmp_path / "own.yaml")
        supervisor.start(spec(graph.GUARD_NODE, limits=limits, profile=profile_path))
        operator.wait_until("joint states", lambda: "joint_state_age_ms" in operator.motion, 20.0)
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        stream(robot, 2.0, amplitude=1.0)
        assert_within_limits(log)
        assert len(robot.heard.commands["left"]) > 50
    finally:
        operator.close()
        robot.close()


def test_sigterm_in_motion_brakes_first_and_exits_with_zero(bench, supervisor):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.2)
    exit_codes = supervisor.stop([graph.GUARD_NODE])
    assert exit_codes == {graph.GUARD_NODE: 0}
    last_two = robot.heard.commands["left"][-2:]
    assert np.allclose(last_two[0].positions, last_two[1].positions, atol=1e-4)
    assert_within_limits(log)


def test_kill_9_leaves_both_arms_at_the_last_command(bench, supervisor):
    robot, operator, log = bench
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    stream(robot, 1.2)
    os.kill(supervisor.pid(graph.GUARD_NODE), signal.SIGKILL)
    time.sleep(0.3)
    last = {arm: log.readings(arm)[-1].positions for arm in ARM_NAMES}
    counts = {arm: len(robot.heard.commands[arm]) for arm in ARM_NAMES}
    stream(robot, 0.5)
    assert counts == {arm: len(robot.heard.commands[arm]) for arm in ARM_NAMES}
    assert_within_limits(log)
    for arm in ARM_NAMES:
        row = robot.cobot.arm_slice(arm)
        assert np.array_equal(robot.positions[row], last[arm])
        assert abs(last[arm][0] - robot.cobot.home[row][0]) > 0.02  # away from where they began
    failure = supervisor.failed_child()
    assert failure is not None
    assert "killed by signal SIGKILL" in failure.sentence()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"command_rate_hz": 300.0}, "300"),
        ({"command_rate_hz": 10.0}, "25 to 200"),
        ({"profile": "cobot_magik"}, "did you mean 'cobot_magic'"),
        ({"profile": "./no_such.yaml"}, "no_such.yaml: cannot be read"),
        ({"limits": "no_such.yaml"}, "no_such.yaml: cannot be read"),
        ({"joint_state_stop_ms": 100.0}, "must not be below joint_state_hold_ms"),
        ({"comand_rate_hz": 50.0}, "did you mean 'command_rate_hz'"),
    ],
)
def test_a_wrong_parameter_is_refused_at_start_with_what_is_allowed(supervisor, parameters, words):
    supervisor.start(spec(graph.GUARD_NODE, **parameters))
    wait_for(lambda: supervisor.failed_child() is not None, 20.0)
    failure = supervisor.failed_child()
    assert failure.exit_code == 2
    assert words in failure.last_words
    assert "Traceback" not in failure.last_words
