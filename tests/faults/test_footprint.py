"""What a process is said to hold is its own; what grows is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from faults.footprint import Footprint, growth
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment
from svam_ros.bringup.shared_memory import remove_abandoned_segments, segments, segments_of

NODE = """
import rclpy, sys
rclpy.init()
node = rclpy.create_node("held")
print("up", flush=True)
sys.stdin.read()
"""


def footprints(memory_mb: float = 0.0, descriptors: float = 0.0, segments: float = 0.0) -> list[Footprint]:
    """Of twenty minutes, with so much more every hour."""
    return [
        Footprint(
            60.0 * minute,
            1,
            100.0 + memory_mb * minute / 60.0,
            round(20 + descriptors * minute / 60.0),
            round(3 + segments * minute / 60.0),
        )
        for minute in range(21)
    ]


def started(environment: dict[str, str]) -> subprocess.Popen[str]:
    """A node's process, up."""
    node = subprocess.Popen(
        [sys.executable, "-c", NODE],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert node.stdout is not None
    assert node.stdout.readline() == "up\n"
    return node


def test_what_a_killed_neighbour_leaves_is_not_counted():
    of_others = frozenset(segments())
    ours: set[Path] = set()
    with claim_domain_id() as domain_id:
        environment = ros_environment(domain_id)
        node, neighbour = started(environment), started(environment)
        try:
            before, of_neighbour = Footprint.of(node.pid, 0.0), Footprint.of(neighbour.pid, 0.0)
            ours = segments_of((node.pid, neighbour.pid)) - of_others
            neighbour.kill()
            neighbour.communicate()
            after = Footprint.of(node.pid, 1.0)
            left = len(segments() - of_others)
        finally:
            node.communicate("")
            remove_abandoned_segments(keep=of_others)  # tests beside this one may have done it before
            assert ours
            assert not ours & segments()
    assert before.segments == after.segments == of_neighbour.segments > 0
    assert left > before.segments
    assert before.memory_mb > 5.0
    assert before.descriptors > 5


def test_who_holds_the_same_all_the_time_is_in_order():
    sentence, too_much = growth(footprints())
    assert too_much == []
    assert sentence == "100 MB; in 18 minutes 0.0 MB an hour, 0 descriptors, 0 segments"


@pytest.mark.parametrize(
    ("grown", "named"),
    [
        ({"memory_mb": 6.0}, "6.0 MB an hour"),
        ({"descriptors": 12.0}, "4 descriptors"),
        ({"segments": 6.0}, "2 segments"),
    ],
    ids=str,
)
def test_what_grew_is_named(grown, named):
    assert growth(footprints(**grown))[1] == [named]


def test_a_short_life_says_nothing():
    assert growth(footprints(memory_mb=1000.0)[:6]) == ("did not live long enough to tell", [])
