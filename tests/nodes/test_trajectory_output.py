"""guard_node in front of ros2_control: the controllers' twins accept what it sends, and it may be killed."""

from __future__ import annotations

import os
import signal
import time
from functools import partial

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from support.fake_cobot import wait_for
from support.processes import spec
from support.trajectory_controller import TrajectoryController, check_rules
from trajectory_msgs.msg import JointTrajectory

from svam_ros import graph
from svam_ros.cobot import ARM_NAMES, load_cobot, load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import chunk_message, joint_state_message
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.translation.stamps import stamp_to_ns
from svam_ros.translation.trajectories import JointGroupTrajectory
from svam_ros.types import ActionChunk

PROFILE = load_robot_profile("ros2_control")
COBOT = load_cobot()


class ControlledCobot:
    """Two arms and two grippers that follow trajectories, sampled at 100 Hz, in the operator's node."""

    def __init__(self, operator: Operator) -> None:
        self._node = operator.node
        self._controllers: dict[str, TrajectoryController] = {}
        self._states = {}
        self.speeds: list[float] = []
        self.messages = 0
        for arm in ARM_NAMES:
            topics, home = PROFILE.arms[arm], COBOT.home[COBOT.arm_slice(arm)].copy()
            home[-1] /= PROFILE.gripper.metres_per_unit
            parts = {topics.command_topic: slice(0, 6), topics.gripper_command_topic: slice(6, 7)}
            for topic, part in parts.items():
                names = topics.command_joint_names[part]
                self._controllers[topic] = TrajectoryController(names, home[part], "kilted")
                receive = partial(self._receive, topic, names)
                operator.streams.subscribe(JointTrajectory, topic, receive, qos.RECORDING)
            self._states[arm] = self._node.create_publisher(JointState, topics.state_topic, qos.JOINT_OUTPUT)
        self._timer = self._node.create_timer(0.01, self._update)

    def now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds

    def _receive(self, topic: str, names: tuple[str, ...], message: JointTrajectory) -> None:
        group = JointGroupTrajectory(
            topic,
            tuple(message.joint_names),
            tuple(p.time_from_start.sec * 10**9 + p.time_from_start.nanosec for p in message.points),
            tuple(tuple(p.positions) for p in message.points),
            tuple(tuple(p.velocities) for p in message.points),
        )
        stamp_ns, now_ns = stamp_to_ns(message.header.stamp), self.now_ns()
        for rules in ("humble", "jazzy", "kilted"):
            check_rules(group, names, stamp_ns, now_ns, rules)
        self._controllers[topic].receive(group, stamp_ns, now_ns)
        self.messages += 1

    def _update(self) -> None:
        now_ns, fastest = self.now_ns(), 0.0
        for arm in ARM_NAMES:
            topics = PROFILE.arms[arm]
            rows = [
                self._controllers[topic].update(now_ns)
                for topic in (topics.command_topic, topics.gripper_command_topic)
            ]
            positions, velocities = (np.concatenate([row[part] for row in rows]) for part in (0, 1))
            fastest = max(fastest, float(np.abs(velocities).max()))
            self._states[arm].publish(
                joint_state_message(topics.state_joint_names, positions, velocities, np.zeros(7), now_ns)
            )
        self.speeds.append(fastest)


@pytest.fixture
def operator(ros_domain):
    listening = Operator(PROFILE)
    yield listening
    listening.close()


def send_swing(operator: Operator, robot: ControlledCobot, seconds: float) -> None:
    publisher = operator.node.create_publisher(JointTrajectory, graph.CHUNK_TOPIC, qos.CHUNKS)
    began, sequence = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        sequence += 1
        now_ns = robot.now_ns()
        due_s = now_ns / 1e9 + 0.04 * np.arange(1, 13)
        rows = np.tile(COBOT.home, (12, 1))
        rows[:, [0, 7]] += 0.4 * np.sin(2.0 * np.pi * due_s / 2.5)[:, None]
        chunk = ActionChunk(rows, now_ns, 0, COBOT.control_period_s, "swing", sequence)
        publisher.publish(chunk_message(chunk, COBOT.joint_names))
        time.sleep(0.16)
    operator.check()


def test_arms_behind_ros2_control_follow_and_brake_by_themselves_without_a_guard(operator, supervisor):
    robot = ControlledCobot(operator)
    supervisor.start(spec(graph.GUARD_NODE, profile="ros2_control"))
    wait_for(lambda: "joint_state_age_ms" in operator.motion, 20.0, "the guard")
    deadline = time.monotonic() + 10.0
    while operator.motion.get("state") not in ("holding", "ramping", "following"):
        assert time.monotonic() < deadline
        try:
            operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        except OperatorError:
            time.sleep(0.2)
        time.sleep(0.1)
    send_swing(operator, robot, 4.0)
    assert operator.motion["state"] == "following"
    assert robot.messages > 200
    last = len(robot.speeds)
    os.kill(supervisor.pid(graph.GUARD_NODE), signal.SIGKILL)
    time.sleep(1.0)
    operator.check()
    assert max(robot.speeds[:last]) > 0.7
    assert max(robot.speeds) < 2.1
    assert robot.speeds[-1] == 0.0


def test_the_simulated_cobot_has_drivers_and_says_so(supervisor):
    supervisor.start(spec(graph.SIMULATION_NODE, profile="ros2_control"))
    wait_for(lambda: supervisor.exit_code(graph.SIMULATION_NODE) is not None, 20.0, "its end")
    assert supervisor.exit_code(graph.SIMULATION_NODE) == 2
    assert "take set-points" in supervisor.last_words(graph.SIMULATION_NODE)
