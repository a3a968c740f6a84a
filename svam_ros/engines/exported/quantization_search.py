"""Which groups of layers compute in eight bits: as many as the accuracy table leaves room for."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from svam_ros.engines.accuracy import relative_rms
from svam_ros.engines.exported.calibration import Inputs
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.graph_backend import Array
from svam_ros.engines.exported.onnxruntime_backend import OnnxRuntimeBackend, OnnxRuntimeStage
from svam_ros.engines.exported.quantization import (
    HeavyLayer,
    Ranges,
    activation_ranges,
    heavy_layers,
    write_quantized,
)
from svam_ros.engines.exported.stage_graphs import PassShape, StageShape
from svam_ros.profiling.memory import available_bytes
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.whole_files import write_whole_text

_LOG = logging.getLogger(__name__)

_TRIED_FILE = "tried_groups.json"

Judge = Callable[[OnnxRuntimeBackend], list[str]]
"""Loaded stages -> one sentence for everything that is too far from the network."""


@dataclass(frozen=True)
class Quantized:
    """What became of it."""

    layers: int
    """That compute in eight bits."""
    all_layers: int
    """That could."""
    kept: tuple[str, ...]
    """Groups that stay in the graph's precision, the most sensitive first."""


@dataclass
class QuantizationSearch:
    """Quantises the frame's stages of one network.

    Args:
        graphs: folder with the stages, not quantised.
        target: folder for the result.
        shape: the stages.
        passes: that give activations their ranges, and half of them the groups' sensitivities.
        threads: CPU threads.
        report: told what is begun.
    """

    graphs: Path
    target: Path
    shape: PassShape
    passes: tuple[Inputs, ...]
    threads: int
    report: Callable[[str], None]
    _layers: dict[str, tuple[HeavyLayer, ...]] = field(default_factory=dict)
    _ranges: dict[str, Ranges] = field(default_factory=dict)
    _written: dict[str, frozenset[str]] = field(default_factory=dict)

    def run(self, judge: Judge) -> Quantized:
        """Find how many of the most sensitive groups have to keep the graph's precision.

        Raises:
            BuildRefused: no group at all is exact enough, or there is too little memory.
        """
        ranked = self._ranked()
        kept = self._fewest(ranked, judge)
        if len(kept) == len(ranked):
            raise BuildRefused("no layer of this network can compute in eight bits inside the accuracy table")
        every = [layer for layers in self._layers.values() for layer in layers]
        return Quantized(sum(layer.group not in kept for layer in every), len(every), kept)

    def _ranked(self) -> tuple[str, ...]:
        """All groups, the most sensitive first; the passes are in memory only here."""
        values = self._run_passes()
        self.report("find the range of every activation")
        for stage in self.shape.frame:
            graph = self._graph(stage)
            self._layers[stage.name] = heavy_layers(graph)
            self._ranges[stage.name] = activation_ranges(
                graph, self._layers[stage.name], values, self.threads
            )
        return self._ranked_groups(values)

    def _run_passes(self) -> list[dict[str, Array]]:
        """All tensors of every pass."""
        self.report(f"run {len(self.passes)} observations through the graphs")
        backend = OnnxRuntimeBackend(self.graphs, self.shape, threads=self.threads)
        values = []
        for inputs in self.passes:
            given = dict(inputs)
            backend.run_instruction(given.pop("token_ids"), given.pop("attention_mask"))
            backend.run_frame(given, StageTimer())
            values.append(backend.values())
            if len(values) == 1:
                _refuse_without_memory(values[0], len(self.passes))
        backend.close()
        return values

    def _ranked_groups(self, values: Sequence[dict[str, Array]]) -> tuple[str, ...]:
        """All groups; first the one that alone takes its stage furthest from what it was.

        Every one that was tried is written down: a search that was killed goes on with the next.
        """
        tried_file = self.target / _TRIED_FILE
        sensitivities: dict[str, float] = json.loads(tried_file.read_text()) if tried_file.exists() else {}
        for stage in self.shape.frame:
            groups: dict[str, list[HeavyLayer]] = defaultdict(list)
            for layer in self._layers[stage.name]:
                if layer.group not in sensitivities:
                    groups[layer.group].append(layer)
            if groups:
                self.report(f"try {len(groups)} groups of layers in {stage.name} one by one in eight bits")
            for group, layers in groups.items():
                trial = self.target / f"trial_{stage.name}.onnx"
                write_quantized(self._graph(stage), trial, layers, self._ranges[stage.name])
                sensitivities[group] = self._deviation(OnnxRuntimeStage(trial, self.threads), stage, values)
                for path in self.target.glob(f"{trial.name}*"):
                    path.unlink()
                write_whole_text(tried_file, json.dumps(sensitivities))
        return tuple(sorted(sensitivities, key=lambda group: -sensitivities[group]))

    def _deviation(
        self, quantized: OnnxRuntimeStage, stage: StageShape, values: Sequence[dict[str, Array]]
    ) -> float:
        """The worst of a stage's outputs in any pass, relative rms."""
        return max(
            relative_rms(torch.from_numpy(made).float(), torch.from_numpy(before[name]).float())
            for before in values[::2]
            for name, made in zip(stage.outputs, quantized.run(before, stage.outputs), strict=True)
        )

    def _fewest(self, ranked: tuple[str, ...], judge: Judge) -> tuple[str, ...]:
        """By halving: what is kept grows from the most sensitive group on."""
        refused, enough = -1, len(ranked)
        tried = 0
        while enough - refused > 1:
            self.report(f"compare with {len(ranked) - tried} of {len(ranked)} groups in eight bits")
            sentences = self._judged(frozenset(ranked[:tried]), judge)
            if sentences:
                _LOG.info("%d groups kept is too few: %s", tried, "; ".join(sentences))
                refused = tried
            else:
                enough = tried
            tried = (refused + enough) // 2
        kept = ranked[:enough]
        self._write(frozenset(kept))
        return kept

    def _judged(self, kept: frozenset[str], judge: Judge) -> list[str]:
        self._write(kept)
        backend = OnnxRuntimeBackend(self.target, self.shape, threads=self.threads)
        try:
            return judge(backend)
        finally:
            backend.close()

    def _write(self, kept: frozenset[str]) -> None:
        """All stages with every group but these in eight bits; those that stand so already are left."""
        for stage in self.shape.stages:
            layers = self._layers.get(stage.name, ())
            here = frozenset(layer.group for layer in layers) & kept
            if self._written.get(stage.name) != here:
                chosen = [layer for layer in layers if layer.group not in here]
                ranges = self._ranges.get(stage.name, {})
                write_quantized(self._graph(stage), self.target / f"{stage.name}.onnx", chosen, ranges)
                self._written[stage.name] = here

    def _graph(self, stage: StageShape) -> Path:
        return self.graphs / f"{stage.name}.onnx"


def _refuse_without_memory(values: Mapping[str, Array], passes: int) -> None:
    needed = passes * sum(array.nbytes for array in values.values())
    free = available_bytes()
    if free is not None and needed > free:
        raise BuildRefused(
            f"the tensors of {passes} observations take {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} GB "
            f"are free: calibrate on fewer, with --calibration-observations"
        )
