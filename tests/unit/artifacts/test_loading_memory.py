"""Opening, loading and running a model takes at most 1.3 times its weights of memory."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.networks import CONFIG, model_contents
from torch.overrides import TorchFunctionMode

from svam_ros.artifacts.model_saving import save_model
from svam_ros.artifacts.network_loading import count_weights, empty_network, give_weights, weight_shapes
from svam_ros.engines.random_model import seeded_weights
from svam_ros.engines.run_plan import PEAK_PER_WEIGHT_BYTE, multiplies_bfloat16
from svam_ros.profiling.memory import available_bytes

WIDE = dataclasses.replace(CONFIG.semantic_decoupler, width=1024, layers=4, heads=8)
MEDIUM = dataclasses.replace(CONFIG, semantic_decoupler=WIDE, geometric_decoupler=WIDE)
"""200 million weights, nearly all in the decouplers, where they cost little time on small pictures."""

FULL_SIZE_DTYPE = "bfloat16" if multiplies_bfloat16() else "float32"
"""A processor that has to emulate bfloat16 takes half an hour for what it does in minutes."""
FULL_SIZE_BYTES = 6_000_000_000 if FULL_SIZE_DTYPE == "bfloat16" else 12_000_000_000

RUN = """
import sys
import numpy as np, torch
from svam_ros.artifacts.model_directory import open_model
from svam_ros.engines.eager import EagerEngine
from svam_ros.profiling.memory import resident_peak_bytes
from svam_ros.types import ArmState, CameraFrame, Observation

path, dtype = sys.argv[1:]
EagerEngine(open_model("tiny"), dtype=getattr(torch, dtype)).warm_up()  # what libraries load late
before = resident_peak_bytes()
engine = EagerEngine(open_model(path), dtype=getattr(torch, dtype))
arms = ArmState(np.zeros(14), np.zeros(14), 0, 0)
engine.infer(Observation(CameraFrame(np.zeros((480, 640, 3), np.uint8), 0), arms, "lift the pot"))
print(resident_peak_bytes() - before)
"""


@pytest.fixture(scope="module")
def medium_model(tmp_path_factory) -> Path:
    """Stored in float16, 410 MB: mapped as it is for one precision, converted for the other."""
    network = give_weights(empty_network(MEDIUM), seeded_weights(weight_shapes(MEDIUM), 0))
    return save_model(tmp_path_factory.mktemp("models") / "medium", model_contents(network)).path


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_peak_memory_is_little_more_than_the_weights(medium_model, dtype):
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(medium_model), dtype],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    weights_bytes = 2 * count_weights(MEDIUM)
    assert weights_bytes > 400_000_000
    assert 0.9 * weights_bytes < int(done.stdout) <= PEAK_PER_WEIGHT_BYTE * weights_bytes


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif((available_bytes() or 0) < FULL_SIZE_BYTES, reason="needs 6 or 12 GB of free memory")
def test_the_whole_process_of_a_full_size_network_stays_below_the_limit(tmp_path):
    """Interpreter, libraries, activations and all: only large weights make that a bound on loading."""
    figures = tmp_path / "figures.json"
    options = ["--model", "cobot", "--random-weights", "--dtype", FULL_SIZE_DTYPE, "--repeats", "2"]
    command = [sys.executable, "-m", "svam_ros.cli", "profile", *options, "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1700, check=False)
    assert done.returncode == 0, done.stderr
    assert 1 < json.loads(figures.read_text())["peak_memory_per_weight_byte"] <= PEAK_PER_WEIGHT_BYTE


class WatchEmpty(TorchFunctionMode):
    """Notes the device of every tensor that is made without values."""

    def __init__(self):
        super().__init__()
        self.devices = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is torch.empty:
            self.devices.append((kwargs or {}).get("device"))
        return func(*args, **(kwargs or {}))


def test_an_empty_network_takes_no_memory_for_weights_not_even_for_a_moment():
    with WatchEmpty() as seen:
        network = empty_network(CONFIG)
    assert len(seen.devices) > 100
    assert set(seen.devices) == {"meta"}
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}
    assert {buffer.device.type for buffer in network.buffers()} == {"cpu"}
