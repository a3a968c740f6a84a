"""Memory is what the kernel says of this process and this container."""

from pathlib import Path

import numpy as np
import pytest

from svam_ros.profiling import memory


def test_the_peak_grows_with_what_is_touched_and_never_shrinks():
    before = memory.resident_peak_bytes()
    block = np.ones(200_000_000, np.uint8)
    peak = memory.resident_peak_bytes()
    assert before is not None
    assert peak is not None
    assert peak >= before
    assert peak > block.nbytes
    del block
    assert memory.resident_peak_bytes() >= peak - 1_000_000


def test_what_is_available_is_less_than_what_there_is():
    total = memory._entry(Path("/proc/meminfo"), "MemTotal")
    assert total is not None
    assert 0 < (memory.available_bytes() or 0) < total


@pytest.mark.parametrize(("limit", "left"), [("1000000", 400_000), ("500000", 0), ("max", None)])
def test_the_limit_of_a_container_counts_without_its_file_pages(tmp_path, limit, left):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.stat").write_text("file 300000\nanon 600000\n")
    assert memory._control_group_bytes(tmp_path) == left


def test_without_the_kernel_s_files_nothing_is_claimed(tmp_path):
    assert memory._entry(tmp_path / "status", "VmHWM") is None
    assert memory._control_group_bytes(tmp_path) is None
