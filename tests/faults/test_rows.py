"""Each row once, twice where the first trial failed. `make faults`: twenty times, with the times judged.

`make check` takes the first trial of every row, `make test` all of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

from faults.replaced_rig import ReplacedRig
from faults.row import NotHere, Row
from faults.table import TABLE
from svam_ros.bringup.ros_environment import ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments
from svam_ros.nodes.robot_operator import OperatorError

FIRST_TRIALS = {row.number: row for row in reversed(TABLE)}
TRIALS = [
    pytest.param(
        row,
        marks=() if row is FIRST_TRIALS[row.number] else pytest.mark.slow,
        id=row.title.replace(" ", "_"),
    )
    for row in TABLE
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory) -> Iterator[ReplacedRig]:
    """For all rows: each prepares what it needs."""
    of_others = frozenset(segments())
    folder = tmp_path_factory.mktemp("faults")
    with pytest.MonkeyPatch.context() as patch:
        for name in ros_environment(0):
            patch.setenv(name, "")  # what the rigs set is undone at the end
        patch.setenv("ROS_LOG_DIR", str(folder / "ros"))
        rig = ReplacedRig(folder)
        yield rig
        rig.close()
        remove_abandoned_segments(keep=of_others, left_the_graph=True)


@pytest.mark.parametrize("row", TRIALS)
def test_row(rig: ReplacedRig, row: Row):
    try:
        figures = rig.trial(row.trial)
    except NotHere as needed:
        pytest.skip(str(needed))
    except (AssertionError, OperatorError) as error:
        # Other work on a small machine gets in the way now and then; the campaign forgives nothing.
        warnings.warn(f"{row.title}, first trial: {error}", stacklevel=1)
        figures = rig.trial(row.trial)
    assert set(figures) == set(row.figures)
