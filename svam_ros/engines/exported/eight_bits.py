"""From a network's graphs to such that compute in eight bits where the accuracy table lets them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.engines.accuracy import allowed_deviation
from svam_ros.engines.exported.calibration import Inputs
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.graph_backend import GraphBackend
from svam_ros.engines.exported.quantization_search import QuantizationSearch, Quantized
from svam_ros.engines.exported.reference_case import (
    REFERENCE_FILE,
    ReferenceCase,
    compute_case,
    inaccuracies,
    measure_deviations,
)
from svam_ros.engines.exported.stage_graphs import PassShape
from svam_ros.networks.config import SvamConfig
from svam_ros.whole_files import whole_file, write_whole_text

EIGHT_BITS = "int8"

FEWEST_OBSERVATIONS = 8
JUDGED_SHARE = 4
"""Every fourth observation is kept from finding ranges, and the result is judged by those."""
MARGIN = 0.9
"""Of the accuracy table: libraries round otherwise than the one that the result is judged with."""

_SUMMARY_FILE = "quantized.json"


@dataclass(frozen=True)
class EightBitWork:
    """What is needed to quantise the graphs of one model."""

    model: ModelDirectory
    graphs: Path
    """Folder with the float graphs."""
    target: Path
    """Folder for the others, and for the case that engines made of them are compared with."""
    inputs: tuple[Inputs, ...]
    """See :func:`svam_ros.engines.exported.calibration.calibration_inputs`; as many as
    :func:`refuse_too_few` asks for."""
    threads: int
    report: Callable[[str], None]

    def run(self, shape: PassShape) -> Quantized:
        """Quantise; what an earlier run left is taken.

        Raises:
            BuildRefused: no layer is exact enough.
        """
        summary, reference = self.target / _SUMMARY_FILE, self.target / REFERENCE_FILE
        if summary.exists() and reference.exists():
            found = json.loads(summary.read_text())
            return Quantized(found["layers"], found["all_layers"], tuple(found["kept"]))
        self.target.mkdir(exist_ok=True)
        judged, ranging = judged_and_ranging(self.inputs)
        cases = self._cases(judged)
        search = QuantizationSearch(self.graphs, self.target, shape, ranging, self.threads, self.report)
        quantized = search.run(lambda backend: self._judge(backend, cases))
        write_whole_text(summary, json.dumps(asdict(quantized)))
        with whole_file(reference) as part:
            cases[0].save(part)
        return quantized

    def _cases(self, judged: Sequence[Inputs]) -> list[ReferenceCase]:
        self.report(f"run the network for {len(judged)} observations that the result is judged by")
        network = self.model.load_network(torch.float32).prepare_for_inference()
        return [compute_case(network, inputs) for inputs in judged]

    def _judge(self, backend: GraphBackend, cases: Sequence[ReferenceCase]) -> list[str]:
        found = [measure_deviations(backend, case, self.model.statistics) for case in cases]
        worst = {name: max(deviations[name] for deviations in found) / MARGIN for name in found[0]}
        return inaccuracies(self.model.manifest.config, EIGHT_BITS, worst)


def judged_and_ranging(inputs: tuple[Inputs, ...]) -> tuple[tuple[Inputs, ...], tuple[Inputs, ...]]:
    """Those that the result is judged by, and those that ranges are taken from: no pass is both."""
    return inputs[::JUDGED_SHARE], tuple(one for index, one in enumerate(inputs) if index % JUDGED_SHARE)


def refuse_too_few(inputs: Sequence[Inputs]) -> None:
    """Look whether ranges can be found at all.

    Raises:
        BuildRefused: from so few observations they would be chance.
    """
    if len(inputs) < FEWEST_OBSERVATIONS:
        raise BuildRefused(
            f"{EIGHT_BITS} takes the range of every activation from what the robot sees: at least "
            f"{FEWEST_OBSERVATIONS} observations are needed, {len(inputs)} are there. Give recorded "
            f"episodes: --calibration EPISODE.mcap"
        )


def calibration_digest(inputs: Sequence[Inputs], config: SvamConfig) -> str:
    """Different where another search could end otherwise: its observations, library and bounds.

    Args:
        inputs: of the observations; none where nothing is quantised.
        config: of the network, which decides what it is held to.
    """
    digest = hashlib.sha256()
    if inputs:
        bounds = {"margin": MARGIN, "table": allowed_deviation(config)[EIGHT_BITS]}
        digest.update(json.dumps(bounds | {"onnxruntime": version("onnxruntime")}, sort_keys=True).encode())
    for one in inputs:
        for name in sorted(one):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(one[name]).tobytes())
    return digest.hexdigest()[:16]
