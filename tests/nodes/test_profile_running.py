"""`svam profile --ros` beside real nodes: their own stage times, and the way of a frame to the arms."""

from __future__ import annotations

import json
from functools import partial

import pytest
from support.fake_cobot import FakeCobot, wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.cli import profile_running
from svam_ros.cli.main import main
from svam_ros.cobot import load_robot_profile
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.profiling.stage_timer import CHUNK_BUDGET_MS

PROFILE = load_robot_profile("cobot_magic")
PASSES = 6


def engaged(operator):
    """Refused as long as no chunk or no joint state has arrived."""
    try:
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    except OperatorError:
        return False
    return True


@pytest.fixture
def swinging(supervisor):
    """policy_node moves both arms through guard_node."""
    robot = FakeCobot(PROFILE)
    operator = Operator(PROFILE)
    supervisor.start(spec(graph.POLICY_NODE, model="motion=sine amplitude=0.1", instruction="swing"))
    supervisor.start(spec(graph.GUARD_NODE))
    for transition in ("configure", "activate"):
        operator.transition(graph.POLICY_NODE, transition, 30.0)
    operator.wait_until("a status of the guard", lambda: bool(operator.motion), 20.0)
    wait_for(partial(engaged, operator), 20.0, "the engage")
    wait_for(lambda: operator.motion.get("steps_executed", "0") != "0", 20.0, "motion")
    yield operator
    operator.trigger(graph.GUARD_NODE, graph.STOP_SERVICE)
    operator.close()
    robot.close()


def test_running_nodes_are_timed_from_the_stamp_to_the_arms(swinging, tmp_path, capsys):
    files = {name: tmp_path / f"running.{name}" for name in ("json", "html", "trace")}
    options = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    assert main(["profile", "--ros", "--repeats", str(PASSES), *options]) == 0
    figures = json.loads(files["json"].read_text())
    assert figures["engine"] == "scripted"
    assert figures["stages_ms"]["total"]["n"] >= PASSES
    age, passes = figures["observation_age_ms"], figures["stages_ms"]["total"]["n"]
    assert 0.0 < figures["stages_ms"]["total"]["p50"] <= age["p50"]
    for arm in ("left", "right"):
        first = figures["first_set_point_ms"][arm]
        assert passes - 2 <= first["n"] <= passes, "the last chunk's set-point may not be heard any more"
        assert age["p50"] < first["p50"] < age["p50"] + CHUNK_BUDGET_MS
    trace = json.loads(files["trace"].read_text())
    assert sum(event["ph"] == "s" for event in trace["traceEvents"]) == passes
    assert sum(event["ph"] == "f" for event in trace["traceEvents"]) >= 2 * (PASSES - 2)
    assert trace["otherData"]["instruction"] == "swing"
    assert "running nodes" in files["html"].read_text()
    shown = capsys.readouterr().out
    assert "frame's stamp to first set-point, left arm: p50" in shown
    assert "scripted sine · scripted · running nodes" in shown


@pytest.mark.parametrize(
    ("domain", "namespace", "words"),
    [
        ("77", "robot-2", "--namespace 'robot-2': Invalid namespace"),
        ("abc", "", "ROS_DOMAIN_ID is 'abc', allowed is a whole number"),
    ],
)
def test_names_that_ros_does_not_allow_are_said_in_a_sentence(domain, namespace, words, monkeypatch, capsys):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    assert main(["profile", "--ros", "--repeats", "1", "--namespace", namespace]) == 2
    assert words in capsys.readouterr().err


def test_where_nothing_runs_the_domain_is_named_and_what_to_do(ros_domain, monkeypatch, capsys):
    monkeypatch.setattr(profile_running, "PATIENCE_S", 0.5)
    assert main(["profile", "--ros", "--repeats", "1", "--namespace", "robot_2"]) == 1
    said = capsys.readouterr().err
    assert "no pass in 0.5 s on /robot_2/svam/timing" in said
    assert f"ROS domain {ros_domain['ROS_DOMAIN_ID']}, 0 heard before" in said
    assert "ROS_DOMAIN_ID=N before the command" in said
