"""A node whose port in shared memory is deleted as it is made: it makes another, and hears."""

import contextlib
import os
import threading
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from support.fake_cobot import FakeCobot
from support.lost_port import delete_port
from support.processes import spec

from svam_ros import graph
from svam_ros.bringup.exit_codes import HEARS_NOBODY
from svam_ros.bringup.shared_memory import SHARED_MEMORY, segments, segments_of
from svam_ros.cobot import load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import status_values
from svam_ros.nodes.robot_operator import NotInTime, Operator

PROFILE = load_robot_profile("cobot_magic")


class Deleter:
    """Deletes every port of shared memory that is made from now on, so often as asked."""

    def __init__(self, times: int) -> None:
        self._left, self._known = times, self._ports()
        self.deleted: list[Path] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(0.001) and self._left:
            for port, _ in sorted(self._ports() - self._known)[: self._left]:
                port.unlink(missing_ok=True)
                self.deleted.append(port)
                self._left -= 1

    @staticmethod
    def _ports() -> set[tuple[Path, int]]:
        """Of this domain's participants, with their inodes: a dead one's file may be there still."""
        first, found = 7400 + 250 * int(os.environ["ROS_DOMAIN_ID"]), set()
        for number in range(first, first + 250):
            port = SHARED_MEMORY / f"fastdds_port{number}"
            with contextlib.suppress(FileNotFoundError):
                found.add((port, port.stat().st_ino))
        return found


@pytest.mark.parametrize("times", [1, 3])
def test_a_node_that_lost_its_port_is_made_anew_and_hears(supervisor, times):
    robot, operator = FakeCobot(PROFILE, camera=False), Operator(PROFILE)
    deleter = Deleter(times)
    supervisor.start(spec(graph.GUARD_NODE))
    operator.wait_until("joint states", lambda: "joint_state_age_ms" in operator.motion, 30.0)
    deleter.close()
    assert len(deleter.deleted) == times
    assert segments_of(supervisor.pids()) <= segments()
    assert operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE) == "engaged"
    operator.close()
    robot.close()


def test_a_node_that_can_never_hear_says_so_and_does_not_start(supervisor):
    deleter = Deleter(times=1000)
    supervisor.start(spec(graph.GUARD_NODE))
    deadline = threading.Event()
    for _ in range(1200):
        if supervisor.exit_code(graph.GUARD_NODE) is not None:
            break
        deadline.wait(0.1)
    deleter.close()
    assert supervisor.exit_code(graph.GUARD_NODE) == 2
    assert "hear nobody: end all ROS processes" in supervisor.last_words(graph.GUARD_NODE)


@pytest.mark.parametrize("name", [graph.GUARD_NODE, graph.POLICY_NODE, graph.SIMULATION_NODE])
def test_a_node_that_loses_its_port_while_it_runs_says_so_and_ends(supervisor, name):
    operator = Operator(PROFILE)
    named: set[str] = set()
    operator.node.create_subscription(
        DiagnosticArray,
        graph.DIAGNOSTICS_TOPIC,
        lambda message: named.update(status_values(message, graph.POLICY_NODE).get("found", "").split()),
        qos.STATUS,
    )
    supervisor.start(spec(name))
    if name == graph.SIMULATION_NODE:
        operator.wait_until("frames", lambda: operator.frames_seen > 0, 30.0)
    else:
        operator.lifecycle_state(name, 30.0)  # answered by a node that has begun to run
    (pid,) = supervisor.pids()
    delete_port(pid)
    operator.wait_until("its end", lambda: supervisor.exit_code(name) is not None, 10.0)
    assert supervisor.exit_code(name) == HEARS_NOBODY
    assert "the node hears nobody any more: another process has deleted" in supervisor.last_words(name)
    if name == graph.POLICY_NODE:
        assert named == {"HEARS_NOBODY"}
    operator.close()


def test_an_operator_that_lost_its_port_says_why_it_waited_in_vain(ros_domain):
    deleter = Deleter(times=1)
    operator = Operator(PROFILE)
    operator.wait_until("the deletion", lambda: bool(deleter.deleted), 10.0)
    deleter.close()
    with pytest.raises(NotInTime, match=r"a sign .* within 1 s: it hears nobody.*start it anew"):
        operator.wait_until("a sign", lambda: False, 1.0)
    operator.close()


def test_an_operator_with_a_port_says_only_what_did_not_happen(ros_domain):
    operator = Operator(PROFILE)
    with pytest.raises(NotInTime, match=r"a sign did not happen within 1 s$"):
        operator.wait_until("a sign", lambda: False, 1.0)
    operator.close()
