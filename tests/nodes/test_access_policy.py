"""The SROS2 policy allows what the nodes do at work, all of it and nothing else."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from support.fake_cobot import FakeCobot, wait_for
from support.processes import spec

from svam_ros import graph
from svam_ros.bringup.access_policy import NodeAccess
from svam_ros.cli.main import main
from svam_ros.cobot import ARM_NAMES, load_robot_profile
from svam_ros.nodes.graph_access import node_access
from svam_ros.nodes.robot_operator import Operator

PROFILE = load_robot_profile("cobot_magic")


@pytest.fixture(scope="module")
def allowed(tmp_path_factory) -> dict[str, NodeAccess]:
    """By node, read back from the file that the command writes."""
    path = tmp_path_factory.mktemp("policy") / "policy.xml"
    assert main(["access-policy", "--out", str(path)]) == 0
    nodes = {}
    for enclave in ElementTree.parse(path).getroot().iter("enclave"):
        (profile,) = enclave.iter("profile")

        def names(kind: str, what: str, profile=profile) -> frozenset[str]:
            groups = [group for group in profile if group.tag == kind and group.get(what) == "ALLOW"]
            return frozenset(entry.text for group in groups for entry in group)

        name = profile.attrib["node"]
        assert enclave.attrib["path"] == f"/{name}"
        nodes[name] = NodeAccess(
            name,
            profile.attrib["ns"],
            names("topics", "publish"),
            names("topics", "subscribe"),
            names("services", "reply"),
            names("services", "request"),
        )
    return nodes


def test_the_guard_alone_may_command_the_arms_and_an_operator_alone_may_engage(allowed):
    commands = {PROFILE.arms[arm].command_topic for arm in ARM_NAMES}
    assert commands <= allowed[graph.GUARD_NODE].publishes
    others = [node for name, node in allowed.items() if name != graph.GUARD_NODE]
    assert not any(commands & node.publishes for node in others)
    engage = graph.ENGAGE_SERVICE.replace("~", f"/{graph.GUARD_NODE}")
    assert [name for name, node in allowed.items() if engage in node.calls] == ["svam_operator"]
    assert set(allowed) == {graph.GUARD_NODE, graph.POLICY_NODE, "svam_operator"}


def test_nodes_at_work_do_what_is_allowed_and_nothing_else(allowed, supervisor):
    robot = FakeCobot(PROFILE)
    operator = Operator(PROFILE)
    try:
        supervisor.start(spec(graph.GUARD_NODE))
        supervisor.start(spec(graph.POLICY_NODE, model="motion=sine amplitude=0.1", instruction="swing"))
        for transition in ("configure", "activate"):
            operator.transition(graph.POLICY_NODE, transition, 60.0)
        wait_for(lambda: len(robot.heard.chunks) > 2, 20.0, "chunks")
        wait_for(lambda: "joint_state_age_ms" in operator.motion, 20.0, "the guard")
        operator.trigger(graph.GUARD_NODE, graph.ENGAGE_SERVICE)
        wait_for(lambda: operator.motion.get("state") == "following", 20.0, "motion")
        for name in (graph.GUARD_NODE, graph.POLICY_NODE):
            assert node_access(operator.node, name, "/") == allowed[name]
    finally:
        operator.close()
        robot.close()
