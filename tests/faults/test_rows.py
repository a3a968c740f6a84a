"""Each row once. `make faults` runs each twenty times and judges the times too."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from faults.rig import FaultRig
from faults.row import Row
from faults.table import TABLE
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Iterator[FaultRig]:
    """One for all rows: each prepares what it needs."""
    of_others = frozenset(segments())
    with pytest.MonkeyPatch.context() as patch, claim_domain_id() as domain_id:
        patch.delenv("ROS_DOMAIN_ID", raising=False)
        folder = tmp_path_factory.mktemp("faults")
        for name, value in {**ros_environment(domain_id), "ROS_LOG_DIR": str(folder / "ros")}.items():
            patch.setenv(name, value)
        rig = FaultRig(folder, dict(os.environ))
        yield rig
        rig.close()
        remove_abandoned_segments(keep=of_others, left_the_graph=True)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.title.replace(" ", "_"))
def test_row(rig: FaultRig, row: Row):
    figures = row.trial(rig)
    assert set(figures) == set(row.figures)
