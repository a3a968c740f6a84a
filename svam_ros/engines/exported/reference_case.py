"""One pass whose result is known: engines are compared with it when they are built and when loaded."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from svam_ros.artifacts.model_directory import ModelDirectoryError
from svam_ros.engines.accuracy import (
    LARGEST_JOINT_DEVIATION_RAD,
    OUTPUTS,
    allowed_deviation,
    exceeded,
    relative_rms,
)
from svam_ros.engines.exported.graph_backend import Array, GraphBackend
from svam_ros.engines.exported.stage_graphs import cast_to, free_inputs, run_graphs, stage_graphs
from svam_ros.engines.network_engine import EngineModel
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.svam import Svam
from svam_ros.profiling.stage_timer import StageTimer

REFERENCE_FILE = "reference.npz"

WORST_JOINT = "worst_joint_rad"
"""Beside the outputs in a table of deviations."""

_INPUT, _OUTPUT = "input/", "output/"


class EngineInaccurate(ModelDirectoryError):
    """An engine computes something else than the network; the text says what and by how much."""


@dataclass(frozen=True)
class ReferenceCase:
    """What goes in, and what the network in torch makes of it; single precision where engines are built."""

    inputs: dict[str, Array]
    """What no stage makes, see :func:`svam_ros.engines.exported.stage_graphs.free_inputs`."""
    outputs: dict[str, Array]
    """Of :data:`svam_ros.engines.accuracy.OUTPUTS`."""

    def save(self, path: Path) -> None:
        """Write it; plain arrays."""
        arrays = {_INPUT + name: array for name, array in self.inputs.items()}
        arrays |= {_OUTPUT + name: array for name, array in self.outputs.items()}
        with path.open("wb") as file:  # given a path, numpy would add its own suffix
            np.savez(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes the names for its own option


def load_reference_case(path: Path) -> ReferenceCase:
    """Read a saved case; nothing in it is unpickled.

    Raises:
        EngineInaccurate: the file is no such case.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            named = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise EngineInaccurate(f"{path}: there is nothing to compare the engine with: {error}") from error

    def of(kind: str) -> dict[str, Array]:
        return {name.removeprefix(kind): array for name, array in named.items() if name.startswith(kind)}

    return ReferenceCase(of(_INPUT), of(_OUTPUT))


def make_reference_case(model: EngineModel, network: Svam) -> ReferenceCase:
    """Run a prepared network on a sentence that the model knows and an image of noise."""
    tokens = model.tokenizer.encode(model.tokenizer.known_words()[0])
    sentence = (torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.attention_mask))
    inputs = free_inputs(network.config, sentence)
    return compute_case(network, {name: tensor.numpy() for name, tensor in inputs.items()})


def compute_case(network: Svam, inputs: dict[str, Array]) -> ReferenceCase:
    """Run a prepared network on what no stage makes."""
    device = next(network.parameters()).device
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    values = run_graphs(stage_graphs(network), cast_to(tensors, network.dtype, device))
    return ReferenceCase(inputs, {name: values[name].float().cpu().numpy() for name in OUTPUTS})


def measure_deviations(
    backend: GraphBackend, case: ReferenceCase, statistics: Statistics
) -> dict[str, float]:
    """How far a backend is from the case: relative rms of every output, and :data:`WORST_JOINT`.

    The latter in rad; grippers, in m, are among the joints.
    """
    given = dict(case.inputs)
    backend.run_instruction(given.pop("token_ids"), given.pop("attention_mask"))
    backend.run_frame(given, StageTimer())
    deviations = {
        name: relative_rms(torch.from_numpy(backend.value(name)), torch.from_numpy(expected))
        for name, expected in case.outputs.items()
    }
    off = np.abs(backend.value("actions") - case.outputs["actions"]) * np.asarray(statistics.actions.scale)
    deviations[WORST_JOINT] = float(off.max())
    return deviations


def refuse_inaccurate(name: str, config: SvamConfig, precision: str, deviations: dict[str, float]) -> None:
    """Compare with the accuracy table.

    Raises:
        EngineInaccurate: a deviation is beyond it, or not a number.
    """
    if sentences := inaccuracies(config, precision, deviations):
        raise EngineInaccurate(f"{name} does not compute what the network does: {'; '.join(sentences)}")


def inaccuracies(config: SvamConfig, precision: str, deviations: dict[str, float]) -> list[str]:
    """One sentence for everything in which deviations are beyond the accuracy table."""
    found = dict(deviations)
    worst, allowed = found.pop(WORST_JOINT), LARGEST_JOINT_DEVIATION_RAD[precision]
    sentences = exceeded(allowed_deviation(config), precision, found)
    if not worst <= allowed:
        sentences.append(f"a joint in {precision} deviates by {worst:.2e} rad, allowed is {allowed:.0e}")
    return sentences
