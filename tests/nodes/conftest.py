"""Real node processes on a ROS domain of their own, and clean shared memory afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.demo_process import Referee

from svam_ros import graph
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments
from svam_ros.bringup.supervisor import Supervisor


@pytest.fixture
def ros_domain(monkeypatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a free ROS domain, also set in this process; logs go where the test's files are."""
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_logs"))
    of_others = frozenset(segments())
    with claim_domain_id() as domain_id:
        variables = ros_environment(domain_id)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield {**os.environ, **variables}
        remove_abandoned_segments(keep=of_others, left_the_graph=True)


@pytest.fixture
def supervisor(ros_domain, tmp_path: Path) -> Iterator[Supervisor]:
    """Starts node processes; whatever still runs at the end is ended."""
    processes = Supervisor(ros_domain, tmp_path / "logs")
    yield processes
    processes.stop([graph.GUARD_NODE])


@pytest.fixture
def referee(ros_domain) -> Iterator[Referee]:
    """Listens to both arms' commands and measured states on the demo's own domain."""
    listening = Referee()
    yield listening
    listening.close()
