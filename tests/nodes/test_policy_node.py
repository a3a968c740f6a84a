"""policy_node as a real managed process, fed by a fake camera and fake arms."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.parameter import Parameter
from support.fake_cobot import FakeCobot, wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import status_values
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.translation.chunks import read_chunk

PROFILE = load_robot_profile("cobot_magic")
COBOT = load_cobot()
SINE = "motion=sine amplitude=0.2 period_s=4.0"


@pytest.fixture
def bench(supervisor):
    robot = FakeCobot(PROFILE)
    timings: list[dict[str, str]] = []
    operator = Operator(PROFILE, on_timing=timings.append)

    def start(**parameters: object) -> None:
        supervisor.start(spec(graph.POLICY_NODE, **{"model": SINE, **parameters}))
        operator.transition(graph.POLICY_NODE, "configure", 30.0)

    yield robot, operator, timings, start
    operator.close()
    robot.close()


def test_chunks_carry_eight_steps_a_run_a_sequence_and_the_stamp_of_a_real_frame(bench):
    robot, operator, timings, start = bench
    start(instruction="swing")
    time.sleep(0.5)
    assert robot.heard.chunks == []
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    wait_for(lambda: len(robot.heard.chunks) >= 4, 10.0, "four chunks")
    chunks = [read_chunk(message, COBOT) for message in robot.heard.chunks]
    assert len({chunk.run_id for chunk in chunks}) == 1
    assert [chunk.sequence for chunk in chunks] == list(range(1, len(chunks) + 1))
    assert all(chunk.actions.shape == (8, 14) for chunk in chunks)
    ages_ms = [(robot.now_ns() - chunk.observation_stamp_ns) / 1e6 for chunk in chunks]
    assert all(0 < age < 20_000 for age in ages_ms)
    assert np.all(np.diff([chunk.observation_stamp_ns for chunk in chunks]) > 0)
    wait_for(lambda: len(timings) >= 4, 5.0, "timings")
    assert {"preprocess", "publish", "total", "observation_age_ms", "input_digest"} <= set(timings[0])


def test_a_run_that_is_activated_again_gets_a_new_run_id_and_deactivated_ones_are_silent(bench):
    robot, operator, _timings, start = bench
    start(instruction="swing")
    for _ in range(2):
        operator.transition(graph.POLICY_NODE, "activate", 10.0)
        count = len(robot.heard.chunks)
        wait_for(lambda count=count: len(robot.heard.chunks) > count, 10.0, "a chunk")
        operator.transition(graph.POLICY_NODE, "deactivate", 10.0)
        time.sleep(0.1)
    silent = len(robot.heard.chunks)
    time.sleep(0.5)
    assert len(robot.heard.chunks) == silent
    assert len({message.header.frame_id.split("/")[0] for message in robot.heard.chunks}) == 2
    operator.transition(graph.POLICY_NODE, "cleanup", 10.0)
    operator.transition(graph.POLICY_NODE, "configure", 30.0)


def test_nothing_is_made_without_an_instruction_and_bad_ones_are_ignored(bench):
    robot, operator, _timings, start = bench
    start()
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    operator.instruct("lift\x07")
    time.sleep(0.7)
    assert robot.heard.chunks == []
    operator.instruct("lift the pot")
    wait_for(lambda: len(robot.heard.chunks) > 0, 10.0, "a chunk")


def diagnosed_values(operator, key: str) -> list[str]:
    """Fills with what policy_node says of ``key`` on /diagnostics."""
    heard: list[str] = []

    def on_diagnostics(message: DiagnosticArray) -> None:
        values = status_values(message, graph.POLICY_NODE)
        if values:
            heard.append(values[key])

    operator.streams.subscribe(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, on_diagnostics, qos.STATUS)
    return heard


def test_a_camera_that_goes_dark_or_freezes_makes_no_chunks_and_is_named(bench):
    robot, operator, _timings, start = bench
    faults = diagnosed_values(operator, "fault")
    start(instruction="swing")
    operator.transition(graph.POLICY_NODE, "activate", 10.0)

    def chunks_flow() -> None:
        count = len(robot.heard.chunks)
        wait_for(lambda: len(robot.heard.chunks) > count + 1, 10.0, "chunks")
        wait_for(lambda: faults[-1:] == [""], 10.0, "a sound camera")

    def named_and_silent(fault: str) -> None:
        wait_for(lambda: faults[-1:] == [fault], 10.0, f"{fault} in {faults}")
        time.sleep(0.3)
        count = len(robot.heard.chunks)
        time.sleep(0.5)
        assert len(robot.heard.chunks) == count

    chunks_flow()
    robot.frame[:] = 0
    named_and_silent("CAMERA_BLIND")
    robot.frame[:] = 127
    chunks_flow()
    robot.camera_is_frozen = True
    time.sleep(0.5)
    chunks_flow()  # Pictures of arms at rest may stay the same.
    robot.positions[0] += 0.3
    named_and_silent("CAMERA_FROZEN")
    robot.camera_is_frozen = False
    chunks_flow()


@pytest.mark.slow
def test_a_forward_pass_that_hangs_ends_the_process_with_its_name(bench, supervisor):
    robot, operator, _timings, start = bench
    start(instruction="swing", model=f"{SINE} fault=slow fault_after=5 slow_ms=100000")
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    wait_for(lambda: len(robot.heard.chunks) == 5, 10.0, "five chunks")
    began = time.monotonic()
    wait_for(lambda: supervisor.failed_child() is not None, 20.0, "the end of the process")
    assert time.monotonic() - began < 15.0
    assert "ended with exit code 1" in supervisor.failed_child().sentence()
    assert "a forward pass does not end: it has been running for" in supervisor.last_words(
        graph.POLICY_NODE, lines=3
    )


def spoil(change):
    def spoiled(message):
        for name, value in change.items():
            setattr(message, name, value)
        return message

    return spoiled


@pytest.mark.parametrize(
    "change", [{"encoding": "32FC1"}, {"step": 0}, {"data": b"short"}, {"height": 0}], ids=str
)
def test_frames_that_cannot_be_trusted_make_no_chunk_and_do_not_end_the_node(bench, change):
    robot, operator, _timings, start = bench
    good, robot.spoil_frame = robot.spoil_frame, spoil(change)
    start(instruction="swing")
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    time.sleep(0.7)
    assert robot.heard.chunks == []
    robot.spoil_frame = good
    wait_for(lambda: len(robot.heard.chunks) > 0, 10.0, "a chunk from a good frame")


STAND_IN_CV_BRIDGE = """
import numpy as np

class CvBridgeError(TypeError):
    pass

class CvBridge:
    def imgmsg_to_cv2(self, message, desired_encoding):
        assert desired_encoding == "rgb8"
        with open({marks!r}, "a") as marks:
            marks.write(f"{{message.height}}x{{message.width}}\\n")
        if message.encoding == "mono8":
            raise CvBridgeError("no such conversion here")
        pixels = np.frombuffer(message.data, np.uint8)
        return np.resize(pixels, (480, 640, 3))  # as trusting as the real one is
"""


def test_cv_bridge_decodes_where_it_is_asked_for_behind_the_same_checks(ros_domain, tmp_path):
    """A stand-in: the wheels bring no cv_bridge."""
    marks = tmp_path / "marks"
    (tmp_path / "cv_bridge.py").write_text(STAND_IN_CV_BRIDGE.format(marks=str(marks)))
    path = os.pathsep.join(filter(None, (str(tmp_path), ros_domain.get("PYTHONPATH", ""))))
    supervisor = Supervisor({**ros_domain, "PYTHONPATH": path}, tmp_path / "logs")
    robot, operator = FakeCobot(PROFILE), Operator(PROFILE)
    good = robot.spoil_frame
    try:
        supervisor.start(spec(graph.POLICY_NODE, model=SINE, image_decoder="cv_bridge", instruction="swing"))
        operator.transition(graph.POLICY_NODE, "configure", 30.0)
        for change in ({"encoding": "32FC1"}, {"step": 0}, {"data": b"short"}, {"height": 0}):
            robot.spoil_frame = spoil(change)
            time.sleep(0.2)
            if change == {"encoding": "32FC1"}:
                operator.transition(graph.POLICY_NODE, "activate", 10.0)
            time.sleep(0.4)
        assert robot.heard.chunks == []
        assert not marks.exists(), "what cannot be is not handed on"
        robot.spoil_frame = spoil({"encoding": "mono8"})
        wait_for(marks.exists, 10.0, "a frame for cv_bridge")
        assert robot.heard.chunks == []
        robot.spoil_frame = good
        wait_for(lambda: len(robot.heard.chunks) > 0, 10.0, "a chunk from a good frame")
        assert set(marks.read_text().split()) == {"480x640"}
    finally:
        supervisor.stop([])
        operator.close()
        robot.close()


@pytest.mark.parametrize("shift_s", [-5, 5])
def test_frames_from_the_past_and_the_future_are_not_used(bench, shift_s):
    robot, operator, _timings, start = bench

    def shifted(message):
        message.header.stamp.sec += shift_s
        return message

    robot.spoil_frame = shifted
    start(instruction="swing")
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    time.sleep(1.0)
    assert robot.heard.chunks == []


def test_compressed_frames_are_used_when_asked_for(bench):
    robot, operator, _timings, start = bench
    start(instruction="swing", image_transport="compressed")
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    jpeg = cv2.imencode(".jpg", robot.frame)[1].tobytes()

    def more_than_two_chunks() -> bool:
        robot.send_compressed(jpeg)
        time.sleep(0.03)
        return len(robot.heard.chunks) > 2

    wait_for(more_than_two_chunks, 20.0, "chunks from compressed frames")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"model": "no_such_model", "engine": "eager"}, "no_such_model"),
        ({"profile": "cobot_magik"}, "did you mean 'cobot_magic'"),
        ({"image_decoder": "cv_bridge"}, "cv_bridge cannot be imported"),
        ({"model": "motion=waltz"}, "waltz"),
    ],
)
def test_configure_fails_with_one_sentence_that_says_why(bench, supervisor, parameters, words):
    _robot, operator, _timings, _start = bench
    supervisor.start(spec(graph.POLICY_NODE, **parameters))
    with pytest.raises(OperatorError, match="could not configure"):
        operator.transition(graph.POLICY_NODE, "configure", 30.0)
    assert words in supervisor.last_words(graph.POLICY_NODE, lines=1)
    assert supervisor.failed_child() is None


ACTIVATE_FAILS_ONCE = """
import svam_ros.nodes.inference_loop as inference_loop
import svam_ros.nodes.policy_node as policy_node

start, calls = inference_loop.InferenceLoop.start, 0

def failing(loop):
    global calls
    calls += 1
    if calls == 1:
        raise RuntimeError("injected")
    start(loop)

inference_loop.InferenceLoop.start = failing
raise SystemExit(policy_node.main())
"""


def test_a_transition_that_fails_half_way_is_said_and_the_policy_can_be_configured_again(
    ros_domain, tmp_path
):
    (tmp_path / "failing_policy.py").write_text(ACTIVATE_FAILS_ONCE)
    path = os.pathsep.join(filter(None, (str(tmp_path), ros_domain.get("PYTHONPATH", ""))))
    supervisor = Supervisor({**ros_domain, "PYTHONPATH": path}, tmp_path / "logs")
    robot, operator = FakeCobot(PROFILE), Operator(PROFILE)
    try:
        process = spec(graph.POLICY_NODE, model=SINE, instruction="swing")
        supervisor.start(replace(process, module="failing_policy"))
        operator.transition(graph.POLICY_NODE, "configure", 30.0)
        with pytest.raises(OperatorError, match="could not activate"):
            operator.transition(graph.POLICY_NODE, "activate", 10.0)
        assert operator.lifecycle_state(graph.POLICY_NODE) == "unconfigured"
        assert "on_activate failed: RuntimeError('injected')" in supervisor.last_words(graph.POLICY_NODE)
        for transition in ("configure", "activate"):
            operator.transition(graph.POLICY_NODE, transition, 30.0)
        wait_for(lambda: len(robot.heard.chunks) > 0, 10.0, "a chunk")
    finally:
        supervisor.stop([])
        operator.close()
        robot.close()


def test_parameters_are_fixed_while_the_node_is_configured_but_the_instruction_is_not(bench):
    _robot, operator, _timings, start = bench
    start()
    with pytest.raises(OperatorError, match="cannot be changed"):
        operator.set_parameters(graph.POLICY_NODE, {"replan_steps": 3})
    with pytest.raises(OperatorError, match="control characters"):
        operator.set_parameters(graph.POLICY_NODE, {"instruction": "lift\nit"})
    with pytest.raises(OperatorError, match="is '': the instruction is empty; allowed is a sentence"):
        operator.set_parameters(graph.POLICY_NODE, {"instruction": ""})
    operator.set_parameters(graph.POLICY_NODE, {"instruction": "lift the pot"})


def test_an_instruction_in_a_request_that_is_refused_as_a_whole_is_not_acted_on(bench):
    robot, operator, _timings, start = bench
    start()
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    request = SetParametersAtomically.Request(
        parameters=[
            Parameter("instruction", value="lift the pot").to_parameter_msg(),
            Parameter("replan_steps", value=3).to_parameter_msg(),
        ]
    )
    client = operator.node.create_client(
        SetParametersAtomically, f"{graph.POLICY_NODE}/set_parameters_atomically"
    )
    assert client.wait_for_service(10.0)
    future = client.call_async(request)
    wait_for(future.done, 10.0, "the answer")
    assert not future.result().result.successful
    time.sleep(0.7)
    assert robot.heard.chunks == []


def test_the_last_instruction_that_was_accepted_stays_in_force_through_every_transition(bench):
    robot, operator, _timings, start = bench
    diagnosed = diagnosed_values(operator, "instruction")

    def in_force(text: str) -> None:
        diagnosed.clear()
        wait_for(lambda: diagnosed[-1:] == [text], 10.0, f"instruction '{text}' in {diagnosed}")

    def lead(*transitions: str) -> None:
        for transition in transitions:
            operator.transition(graph.POLICY_NODE, transition, 30.0)

    start(instruction="swing")
    in_force("swing")
    operator.instruct(" lift the pot ")
    in_force("lift the pot")
    lead("activate", "deactivate", "cleanup", "configure", "activate")
    in_force("lift the pot")
    # Newer than what the topic still holds for late joiners.
    operator.set_parameters(graph.POLICY_NODE, {"instruction": "wave"})
    lead("deactivate", "cleanup", "configure", "activate")
    in_force("wave")
    lead("deactivate", "cleanup")
    operator.instruct("place the bowl")
    in_force("place the bowl")
    heard = len(robot.heard.chunks)
    lead("configure", "activate")
    wait_for(lambda: len(robot.heard.chunks) > heard, 10.0, "a chunk")
    in_force("place the bowl")
