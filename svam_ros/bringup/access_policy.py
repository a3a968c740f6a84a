"""Who may publish, subscribe, serve and call what: the policy file of SROS2.

Format: version 0.2.0 of https://design.ros2.org/articles/ros2_access_control_policies.html. What is not
allowed in it is denied, so a stranger on the network can command neither arms nor guard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

POLICY_VERSION = "0.2.0"


@dataclass(frozen=True)
class NodeAccess:
    """What one node does on the graph; all names are absolute."""

    name: str
    namespace: str
    publishes: frozenset[str]
    subscribes: frozenset[str]
    serves: frozenset[str]
    calls: frozenset[str]

    @property
    def enclave(self) -> str:
        """Where its keys are: what ``--enclave`` of its process has to say."""
        return f"{self.namespace.rstrip('/')}/{self.name}"


def policy_xml(nodes: Sequence[NodeAccess]) -> str:
    """The policy file: each node in an enclave of its own, allowed what it does and nothing else."""
    policy = ElementTree.Element("policy", version=POLICY_VERSION)
    enclaves = ElementTree.SubElement(policy, "enclaves")
    for node in sorted(nodes, key=lambda node: node.enclave):
        enclave = ElementTree.SubElement(enclaves, "enclave", path=node.enclave)
        profiles = ElementTree.SubElement(enclave, "profiles")
        profile = ElementTree.SubElement(profiles, "profile", ns=node.namespace, node=node.name)
        _allow(profile, "services", "reply", node.serves)
        _allow(profile, "services", "request", node.calls)
        _allow(profile, "topics", "publish", node.publishes)
        _allow(profile, "topics", "subscribe", node.subscribes)
    ElementTree.indent(policy)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(policy, encoding="unicode")}\n'


def _allow(profile: ElementTree.Element, kind: str, what: str, names: frozenset[str]) -> None:
    if not names:
        return
    group = ElementTree.SubElement(profile, kind, {what: "ALLOW"})
    for name in sorted(names):
        ElementTree.SubElement(group, kind.removesuffix("s")).text = name
