"""Memory, graphs and marks on a real GPU, with a plain torch launch in TensorRT's place."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from svam_ros.engines.exported.device_memory import TorchDeviceMemory

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool"])
def test_what_is_written_is_read_and_starts_as_zero(dtype):
    tensor = TorchDeviceMemory().tensor((2, 3), dtype)
    assert not tensor.read().any()
    values = np.arange(6).reshape(2, 3).astype(dtype)
    tensor.write(values)
    assert np.array_equal(tensor.read(), values.astype(np.float32))


def test_a_recorded_launch_is_replayed_on_what_was_written_last():
    memory = TorchDeviceMemory()
    given, doubled = (memory.tensor((4,), "float32") for _ in range(2))
    launches = []

    def launch() -> None:
        launches.append(1)
        doubled.value.copy_(given.value * 2)

    replay = memory.recorded(launch)
    assert len(launches) == 2  # once as it is, once captured
    for value in (1.0, 5.0):
        given.write(np.full(4, value, np.float32))
        begin = memory.mark()
        replay()
        end = memory.mark()
        assert np.array_equal(doubled.read(), np.full(4, 2 * value, np.float32))
        assert 0.0 < memory.elapsed_ms(begin, end) < 1000.0
    assert len(launches) == 2


def test_what_is_launched_beside_is_a_branch_of_the_graph_and_has_times_of_its_own():
    memory = TorchDeviceMemory()
    given, left, right, both = (memory.tensor((1 << 20,), "float32") for _ in range(4))
    marks = {}

    def launch() -> None:
        with memory.beside():
            begin = memory.mark()
            right.value.copy_(given.value * 3)
            marks["right"] = begin, memory.mark()
        begin = memory.mark()
        left.value.copy_(given.value * 2)
        marks["left"] = begin, memory.mark()
        memory.join()
        both.value.copy_(left.value + right.value)

    replay = memory.recorded(launch)
    for value in (1.0, 4.0):
        given.write(np.full(1 << 20, value, np.float32))
        replay()
        assert np.all(both.read() == 5 * value)
        assert all(0.0 < memory.elapsed_ms(*marks[side]) < 1000.0 for side in ("left", "right"))


def test_scratch_is_aligned_and_stays():
    memory = TorchDeviceMemory()
    first, second = memory.scratch(1000), memory.scratch(1000)
    assert first % 256 == second % 256 == 0
    assert abs(first - second) >= 1000
