"""cobot_sim_node as a real process: the topics of the real robot, and what its arms do when left alone."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool
from support.fake_cobot import FakeCobot, wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.bringup.process_table import SimulationOptions
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import command_message
from svam_ros.nodes.robot_operator import Operator
from svam_ros.translation.commands import arm_command
from svam_ros.translation.images import camera_frame, decode_colour_image
from svam_ros.translation.joint_states import read_joint_state
from svam_ros.translation.stamps import stamp_to_ns

PROFILE = load_robot_profile("cobot_magic")


@pytest.fixture
def bench(supervisor):
    """The simulation, a source of chunks, an operator, and everything the robot published."""
    source = FakeCobot(PROFILE, camera=False)
    source.publish_states = False
    operator = Operator(PROFILE)
    heard = {"image": [], "info": [], "left": [], "right": []}
    streams = operator.streams
    streams.subscribe(Image, PROFILE.camera.image_topic, heard["image"].append, qos.RECORDING)
    streams.subscribe(CameraInfo, PROFILE.camera.camera_info_topic, heard["info"].append, qos.RECORDING)
    for arm in ARM_NAMES:
        streams.subscribe(JointState, PROFILE.arms[arm].state_topic, heard[arm].append, qos.RECORDING)
    supervisor.start(spec(graph.SIMULATION_NODE))
    operator.wait_until("frames", lambda: len(heard["image"]) > 3, 30.0)
    yield source, operator, heard
    operator.close()
    source.close()


def test_it_speaks_as_the_robots_drivers_do(bench):
    _source, _operator, heard = bench
    wait_for(lambda: len(heard["left"]) > 50, 10.0)
    frame = heard["image"][-1]
    assert (frame.width, frame.height, frame.encoding) == (640, 480, "rgb8")
    decoded = camera_frame(decode_colour_image(frame), stamp_to_ns(frame.header.stamp), PROFILE.camera)
    assert 30 < decoded.rgb.mean() < 225
    assert heard["info"][-1].k[0] > 100
    for arm in ARM_NAMES:
        state = heard[arm][-1]
        assert tuple(state.name) == PROFILE.arms[arm].state_joint_names
        assert len(state.position) == len(state.velocity) == len(state.effort) == 7
        stamps = [stamp_to_ns(message.header.stamp) for message in heard[arm]]
        assert np.all(np.diff(stamps) > 0)


def test_states_and_pictures_carry_stamps_of_the_profile_s_rates(bench):
    """Never faster, and as fast as that; a busy machine may leave some out."""
    _source, _operator, heard = bench
    rates_hz = {
        "left": PROFILE.state_rate_hz,
        "right": PROFILE.state_rate_hz,
        "image": PROFILE.camera.rate_hz,
    }

    def periods(name: str) -> np.ndarray:
        stamps_ns = [stamp_to_ns(message.header.stamp) for message in list(heard[name])]
        return np.diff(stamps_ns) / 1e9 * rates_hz[name]

    wait_for(lambda: all(len(heard[name]) > 40 for name in rates_hz), 20.0, "messages")
    for name in rates_hz:
        wait_for(lambda name=name: np.any(np.abs(periods(name) - 1.0) < 0.2), 20.0, f"{name} in time")
        assert np.mean(periods(name)) >= 0.97


def test_a_reset_puts_another_scene_on_the_table(bench):
    _source, operator, _heard = bench
    operator.set_parameters(graph.SIMULATION_NODE, {"task": "place_to_pot", "seed": 12})
    operator.trigger(graph.SIMULATION_NODE, graph.RESET_SERVICE)
    wait_for(lambda: operator.episode.get("task") == "place_to_pot", 5.0)
    assert operator.episode["seed"] == "12"
    assert float(operator.episode["time_s"]) < 5.0
    assert operator.episode["success"] == "false"


def test_each_driver_is_enabled_where_the_profile_says(supervisor):
    profile = load_robot_profile("agx_arm")
    operator = Operator(profile)
    commands = {
        arm: operator.node.create_publisher(JointState, profile.arms[arm].command_topic, qos.JOINT_OUTPUT)
        for arm in ARM_NAMES
    }
    client = operator.node.create_client(SetBool, profile.enable.names["left"])
    home = load_cobot().home
    try:
        supervisor.start(spec(graph.SIMULATION_NODE, profile="agx_arm"))
        assert client.wait_for_service(30.0)
        future = client.call_async(SetBool.Request(data=False))
        wait_for(future.done, 10.0)

        def left_refuses() -> bool:
            for arm, publisher in commands.items():
                row = home[load_cobot().arm_slice(arm)]
                stamp_ns = operator.node.get_clock().now().nanoseconds
                publisher.publish(command_message(arm_command(profile, arm, row, np.zeros(7)), stamp_ns))
            return int(operator.episode.get("refused left", "0")) > 0

        wait_for(left_refuses, 10.0)
        assert operator.episode["refused right"] == "0"
    finally:
        operator.close()


def test_both_drivers_are_enabled_by_one_topic_where_the_profile_says(supervisor):
    profile = load_robot_profile("piper_dual")
    operator = Operator(profile)
    enable = operator.node.create_publisher(Bool, profile.enable.names["left"], qos.JOINT_OUTPUT)
    command = {
        arm: operator.node.create_publisher(JointState, profile.arms[arm].command_topic, qos.JOINT_OUTPUT)
        for arm in ARM_NAMES
    }
    home = load_cobot().home

    def refused() -> dict[str, int]:
        return {arm: int(operator.episode.get(f"refused {arm}", "0")) for arm in ARM_NAMES}

    def both_refuse() -> bool:
        enable.publish(Bool(data=False))
        for arm, publisher in command.items():
            row = home[load_cobot().arm_slice(arm)]
            stamp_ns = operator.node.get_clock().now().nanoseconds
            publisher.publish(command_message(arm_command(profile, arm, row, np.zeros(7)), stamp_ns))
        return all(count > 0 for count in refused().values())

    try:
        supervisor.start(spec(graph.SIMULATION_NODE, profile="piper_dual"))
        operator.wait_until("the simulation", lambda: bool(operator.episode), 30.0)
        assert refused() == dict.fromkeys(ARM_NAMES, 0)
        wait_for(both_refuse, 10.0)
    finally:
        operator.close()


def test_with_quirks_six_velocities_are_reported(supervisor):
    operator = Operator(PROFILE)
    heard: list[JointState] = []
    operator.streams.subscribe(JointState, PROFILE.arms["left"].state_topic, heard.append, qos.RECORDING)
    try:
        supervisor.start(spec(graph.SIMULATION_NODE, SimulationOptions(driver_quirks=True)))
        wait_for(lambda: bool(heard), 30.0)
        assert (len(heard[-1].position), len(heard[-1].velocity)) == (7, 6)
    finally:
        operator.close()


@pytest.mark.slow
def test_when_the_guard_is_killed_in_motion_the_arms_rest_at_the_last_set_point(bench, supervisor):
    source, operator, heard = bench
    supervisor.start(spec(graph.GUARD_NODE))
    operator.wait_until("joint states", lambda: "joint_state_age_ms" in operator.motion, 20.0)
    operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
    began = time.monotonic()
    sequence = 0
    while time.monotonic() - began < 2.0:
        sequence += 1
        rows = np.tile(source.cobot.home, (8, 1))
        rows[:, [0, 7]] += 0.3 * np.sin(2.0 * (time.monotonic() - began + (np.arange(8) + 2) * 0.04))[:, None]
        source.send_chunk(rows, sequence)
        time.sleep(0.2)
    os.kill(supervisor.pid(graph.GUARD_NODE), signal.SIGKILL)

    def rests(arm: str) -> bool:
        last_set_point = source.heard.commands[arm][-1].positions
        states = [read_joint_state(message, PROFILE, arm, 0) for message in heard[arm][-100:]]
        measured = np.array([state.positions for state in states])[:, :6]
        return bool(
            np.abs(measured - last_set_point[:6]).max() < 0.03 and np.ptp(measured, axis=0).max() < 0.005
        )

    for arm in ARM_NAMES:
        wait_for(lambda arm=arm: rests(arm), 10.0, f"rest of the {arm} arm where it was last sent")
        last_set_point = source.heard.commands[arm][-1].positions
        assert abs(last_set_point[0] - source.cobot.home[source.cobot.arm_slice(arm)][0]) > 0.02
