"""``svam access-policy``: the SROS2 policy of our nodes, from what they really do."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from svam_ros import graph
from svam_ros.bringup.access_policy import NodeAccess, policy_xml
from svam_ros.bringup.process_table import RobotOptions, robot_processes
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments
from svam_ros.bringup.supervisor import Supervisor
from svam_ros.cobot import load_robot_profile
from svam_ros.whole_files import write_whole_text

START_S = 60.0
SETTLE_S = 2.0
"""Discovery tells of the last topics a moment after the node is there."""


@dataclass(frozen=True)
class AccessPolicyOptions:
    """Start guard_node and policy_node on a ROS domain of their own, look at every topic and service that
    they have, and write the policy that allows these and nothing else.

    Then, with ROS 2's security tools: ``ros2 security create_keystore keys``, ``ros2 security
    generate_artifacts -k keys -p policy.xml``, and start the nodes with ``--ros-args --enclave /guard_node``.
    """

    profile: str = "cobot_magic"
    """Robot profile: the name of one that ships with the package, or a YAML file of the same form."""
    namespace: str = ""
    """ROS namespace of our nodes."""
    out: Path | None = None
    """File to write; standard output otherwise."""


def run_access_policy(options: AccessPolicyOptions) -> int:
    """Observe and write."""
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise NotADirectoryError(f"there is no folder {options.out.absolute().parent} for {options.out.name}")
    text = policy_xml(observed_access(options.profile, options.namespace))
    if options.out is None:
        sys.stdout.write(text)
        return 0
    write_whole_text(options.out, text)
    print(f"wrote {options.out}")
    return 0


def observed_access(profile: str, namespace: str = "") -> tuple[NodeAccess, ...]:
    """What guard_node and policy_node do, configured for ``profile``, and what an operator does beside them.

    Raises:
        RuntimeError: a node did not start; the text says why.
    """
    of_others = frozenset(segments())
    before = dict(os.environ)
    with claim_domain_id() as domain_id, tempfile.TemporaryDirectory() as logs:
        os.environ.update(ros_environment(domain_id, isolated=True))
        supervisor = Supervisor({**os.environ}, Path(logs))
        try:
            return _observe(supervisor, profile, namespace)
        finally:
            supervisor.stop([graph.GUARD_NODE])
            remove_abandoned_segments(keep=of_others, left_the_graph=True)
            os.environ.clear()
            os.environ.update(before)


def _observe(supervisor: Supervisor, profile: str, namespace: str) -> tuple[NodeAccess, ...]:
    # Imported only now: rclpy reads the environment.
    from svam_ros.nodes.graph_access import node_access
    from svam_ros.nodes.robot_operator import Operator

    # The scripted engine needs no weights, and topics do not depend on the engine.
    options = RobotOptions(profile=profile, engine="scripted", namespace=namespace, instruction="wait")
    processes = robot_processes(options)
    for spec in processes:
        supervisor.start(spec)

    def check() -> None:
        failure = supervisor.failed_child()
        if failure is not None:
            raise RuntimeError(failure.sentence())

    operator = Operator(load_robot_profile(profile), namespace, check=check)
    try:
        operator.transition(graph.POLICY_NODE, "configure", START_S)
        operator.wait_until("the guard", lambda: bool(operator.motion), START_S)
        place = f"/{namespace.strip('/')}"
        ours = _settled(lambda: tuple(node_access(operator.node, s.name, place) for s in processes))
        person = node_access(operator.node, operator.node.get_name(), place)
    finally:
        operator.close()
    # A person may call whatever our nodes serve, from a terminal with the operator's enclave.
    served = frozenset[str]().union(*(node.serves for node in ours))
    return (*ours, replace(person, calls=served))


def _settled(look: Callable[[], tuple[NodeAccess, ...]]) -> tuple[NodeAccess, ...]:
    """What is the same for a while."""
    seen, since = look(), time.monotonic()
    while time.monotonic() - since < SETTLE_S:
        time.sleep(0.1)
        now = look()
        if now != seen:
            seen, since = now, time.monotonic()
    return seen
