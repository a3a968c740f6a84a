"""The published form against ours on a GPU, as three ratios from one process, which mean different things.

    python -m benchmarks.kernel_times --preset calvin --repeats 20 --json kernel_times.json

*Wall*: from a call to its end, on this GPU. A fast one waits for Python between kernels, so the ratio is
kind to whoever launches few. *Busy*: only the time in which the GPU worked. *RTX 3090*: every kernel's time
scaled by what that GPU's data sheet allows against what this one reached just now, products by arithmetic and
all else by memory; a projection, not a measurement. Same weights, same inputs, repeats in turn; ours in
float16 through the eager network part by part, and ``compiled`` as a whole.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.components import COMPONENTS
from benchmarks.plain_vs_ours import prepared_variants, published_sizes
from benchmarks.published_form.groups import PublishedSizes
from svam_ros.cli.profile_measurement import synthetic_observation
from svam_ros.engines import create_engine
from svam_ros.engines.device_roof import DeviceRoof, measure_roof
from svam_ros.engines.random_model import SENTENCE, random_model
from svam_ros.parameters import Range
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

RTX_3090 = DeviceRoof(flop_per_s=71e12, bytes_per_s=936e9, bytes_per_number=2)
"""Float16 with float32 sums on tensor cores, and memory: NVIDIA's GA102 whitepaper."""

REACHED = 0.85
"""Of a data sheet, by a large product or copy: assumed of that GPU. What this one reaches is measured."""

_PRODUCT = re.compile(
    r"gemm|cutlass|xmma|wgmma|conv|fprop|attention|fmha|flash|sdpa|matmul|_mm|addmm|bmm", re.I
)
"""Names of kernels that multiply matrices, convolve or attend, of cuBLAS, cuDNN, CUTLASS and Triton."""


@dataclass(frozen=True)
class Options:
    """What is compared."""

    preset: Literal["calvin", "cobot"] = "calvin"
    """Sizes."""
    repeats: Annotated[int, Range(1, 1000)] = 20
    """Timed calls of each, in turn, after one that warms up."""
    compiled: bool = True
    """Also engine ``compiled``, which takes minutes to compile."""
    json: Path = Path("reports/kernel_times.json")
    """Where to write all figures."""


@dataclass(frozen=True)
class Kernel:
    """One kernel or copy on the GPU, microseconds on its clock."""

    name: str
    begin_us: float
    end_us: float

    @property
    def multiplies(self) -> bool:
        """Whether its arithmetic counts, and not its memory."""
        return _PRODUCT.search(self.name) is not None


@dataclass(frozen=True)
class Figures:
    """One way of running one part."""

    wall_ms: float
    """Median."""
    busy_ms: float
    """In one call."""
    launches: int
    rtx_3090_ms: float
    """Projected."""
    rtx_3090_band_ms: tuple[float, float]
    """If every kernel were bound by memory, and if every one were by arithmetic, the smaller first."""


def busy_ms(kernels: Iterable[Kernel]) -> float:
    """Time in which at least one kernel ran."""
    total_us, end_us = 0.0, -float("inf")
    for kernel in sorted(kernels, key=lambda it: it.begin_us):
        total_us += max(0.0, kernel.end_us - max(kernel.begin_us, end_us))
        end_us = max(end_us, kernel.end_us)
    return total_us / 1e3


def projected_ms(kernels: Sequence[Kernel], here: DeviceRoof) -> tuple[float, tuple[float, float]]:
    """Time on an RTX 3090, and its band, from kernels that ran where ``here`` was measured."""
    arithmetic = here.flop_per_s / (RTX_3090.flop_per_s * REACHED)
    memory = here.bytes_per_s / (RTX_3090.bytes_per_s * REACHED)
    lasted_ms = [(kernel.end_us - kernel.begin_us) / 1e3 for kernel in kernels]
    middle = sum(
        ms * (arithmetic if kernel.multiplies else memory)
        for kernel, ms in zip(kernels, lasted_ms, strict=True)
    )
    low, high = sorted((sum(lasted_ms) * arithmetic, sum(lasted_ms) * memory))
    return middle, (low, high)


def kernels_of(run: Callable[[], object]) -> tuple[Kernel, ...]:
    """What one call makes the GPU do, copies too."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        run()
        torch.cuda.synchronize()
    return tuple(
        Kernel(event.name, event.time_range.start, event.time_range.end)
        for event in seen.events()
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    )


def figures_of(run: Callable[[], object], walls_ms: Sequence[float], here: DeviceRoof) -> Figures:
    """All of one way, from its timed calls and one that is watched."""
    kernels = kernels_of(run)
    middle, band = projected_ms(kernels, here)
    return Figures(statistics.median(walls_ms), busy_ms(kernels), len(kernels), middle, band)


@torch.no_grad()
def measure_part(name: str, sizes: PublishedSizes, repeats: int, here: DeviceRoof) -> dict[str, Figures]:
    """``plain`` and ``eager`` of one part; its weights are freed when this returns."""
    variants = prepared_variants(name, sizes, [torch.float16], torch.device("cuda"))
    ways: dict[str, Callable[[], float | None]] = {
        "plain": lambda: variants.time_plain(sizes),
        "eager": lambda: variants.time_ours(torch.float16)[1],
    }
    walls_ms: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            if (wall_ms := run()) is not None:  # a part that runs once for an instruction
                walls_ms[way].append(wall_ms)
    return {way: figures_of(ways[way], times_ms, here) for way, times_ms in walls_ms.items() if times_ms}


def measure_compiled(preset: str, repeats: int, here: DeviceRoof) -> Figures:
    """A whole pass of engine ``compiled``, the frame's preparation on the CPU and all copies with it."""
    model = random_model(preset)
    engine = create_engine("compiled", model, device="cuda", dtype="float16")
    joints = model.manifest.config.action_expert.action_dim
    observation = synthetic_observation("cobot_magic", SENTENCE, joints)
    engine.set_instruction(SENTENCE)
    engine.infer(observation)
    walls_ms = []
    for _ in range(repeats):
        started = time.perf_counter()
        engine.infer(observation)  # returns what lies on the host: nothing is left running
        walls_ms.append((time.perf_counter() - started) * 1e3)
    try:
        return figures_of(lambda: engine.infer(observation), walls_ms, here)
    finally:
        engine.close()


def summed(parts: Iterable[Figures]) -> Figures:
    """Of parts that run one after the other."""
    parts = list(parts)
    return Figures(
        sum(part.wall_ms for part in parts),
        sum(part.busy_ms for part in parts),
        sum(part.launches for part in parts),
        sum(part.rtx_3090_ms for part in parts),
        (sum(part.rtx_3090_band_ms[0] for part in parts), sum(part.rtx_3090_band_ms[1] for part in parts)),
    )


def table(rows: dict[str, Figures]) -> str:
    """Markdown; ratios are the published form's time over that way's."""
    plain = rows["plain"]
    lines = [
        "| way | wall ms | ratio | GPU busy ms | ratio | launches | RTX 3090, projected ms | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, row in rows.items():
        low, high = row.rtx_3090_band_ms
        lines.append(
            f"| {way} | {row.wall_ms:.2f} | {plain.wall_ms / row.wall_ms:.2f} "
            f"| {row.busy_ms:.2f} | {plain.busy_ms / row.busy_ms:.2f} | {row.launches} "
            f"| {row.rtx_3090_ms:.1f} ({low:.0f} to {high:.0f}) "
            f"| {plain.rtx_3090_ms / row.rtx_3090_ms:.2f} |"
        )
    return "\n".join(lines)


def main(options: Options) -> int:
    """Measure every part, then the whole; print and write."""
    if not torch.cuda.is_available():
        print("benchmarks.kernel_times: needs an NVIDIA GPU, torch sees none here", file=sys.stderr)
        return 2
    sizes = published_sizes(options.preset)
    here = measure_roof(torch.device("cuda"), torch.float16, torch.get_num_threads())
    parts: dict[str, dict[str, Figures]] = {}
    for name in COMPONENTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts[name] = measure_part(name, sizes, options.repeats, here)
        torch.cuda.empty_cache()
    ways = ("plain", "eager")
    rows = {way: summed(part[way] for part in parts.values() if way in part) for way in ways}
    if options.compiled:
        print("compiled ...", file=sys.stderr, flush=True)
        rows["compiled"] = measure_compiled(options.preset, options.repeats, here)
    print(table(rows))
    figures = {
        "preset": options.preset,
        "repeats": options.repeats,
        "roof": asdict(here),
        "whole": {way: asdict(row) for way, row in rows.items()},
        "parts": {name: {way: asdict(row) for way, row in part.items()} for name, part in parts.items()},
        "machine": asdict(read_machine()),
        "versions": read_versions(),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_whole_text(options.json, json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
