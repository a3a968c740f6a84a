"""The published form against ours on a GPU, as three ratios from one process, which mean different things.

    python -m benchmarks.kernel_times --preset calvin --repeats 20 --json kernel_times.json

*Wall*: from a call to its end, on this GPU. A fast one waits for Python between kernels, so the ratio is
kind to whoever launches few. *Busy*: only the time in which the GPU worked. *RTX 3090*: every kernel's time
scaled by what that GPU's data sheet allows against what this one reached just now in the same precision,
products by arithmetic and all else by memory; a projection, not a measurement. The published form and ours,
the eager network in float16, have the same weights and inputs and take turns, part by part; ``compiled`` runs
afterwards, as a whole.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import torch
import tyro
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from benchmarks.components import COMPONENTS
from benchmarks.variants import prepared_variants
from svam_ros.cli.profile_measurement import synthetic_observation
from svam_ros.engines import create_engine
from svam_ros.engines.device_roof import DeviceRoof, measure_roof
from svam_ros.engines.plain import published_sizes
from svam_ros.engines.random_model import SENTENCE, random_model
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.published_form.groups import PublishedSizes
from svam_ros.parameters import Range, check_options
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

RTX_3090 = {
    torch.float16: DeviceRoof(flop_per_s=71e12, bytes_per_s=936e9, bytes_per_number=2),
    torch.float32: DeviceRoof(flop_per_s=35.6e12, bytes_per_s=936e9, bytes_per_number=4),
}
"""Float16 with float32 sums on tensor cores, float32 without them, and memory: NVIDIA's GA102 whitepaper."""

REACHED = 0.85
"""Of a data sheet, by a large product or copy: assumed of that GPU. What this one reaches is measured."""

_PRODUCT = re.compile(
    r"gemm|nvjet|cutlass|xmma|wgmma|conv|fprop|attention|fmha|flash|sdpa|matmul|_mm|addmm|bmm", re.I
)
"""Names of kernels that multiply matrices, convolve or attend, of cuBLAS, cuDNN, CUTLASS and Triton."""

_FUSED = re.compile(r"triton_(poi|red|per)_")
"""Of torch's compiler: element by element, or a reduction; its name lists the operations that it came of."""

_HOST_COPY = re.compile(r"Memcpy (HtoD|DtoH)")
"""Over PCI Express, which is no faster or slower there."""


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
        return _PRODUCT.search(self.name) is not None and not _FUSED.match(self.name)

    @property
    def lasted_ms(self) -> float:
        """From its begin to its end."""
        return (self.end_us - self.begin_us) / 1e3


@dataclass(frozen=True)
class Figures:
    """One way of running one part."""

    wall_ms: float
    """Median."""
    busy_ms: float
    """In one call."""
    kernels: int
    """And copies, in one call; those of a captured graph are launched together."""
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


def projected_ms(
    kernels: Sequence[Kernel], here: DeviceRoof, there: DeviceRoof
) -> tuple[float, tuple[float, float]]:
    """Time on another GPU, and its band, from kernels that ran where ``here`` was measured.

    Args:
        kernels: of one call.
        here: what this GPU reached, in the precision of the kernels.
        there: the other's data sheet.
    """
    arithmetic = here.flop_per_s / (there.flop_per_s * REACHED)
    memory = here.bytes_per_s / (there.bytes_per_s * REACHED)
    copied = sum(it.lasted_ms for it in kernels if _HOST_COPY.match(it.name))
    multiplied = sum(it.lasted_ms for it in kernels if it.multiplies)
    rest = sum(it.lasted_ms for it in kernels) - copied - multiplied
    low, high = sorted(copied + (multiplied + rest) * factor for factor in (arithmetic, memory))
    return copied + multiplied * arithmetic + rest * memory, (low, high)


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


def figures_of(
    run: Callable[[], object],
    walls_ms: Sequence[float],
    here: Mapping[torch.dtype, DeviceRoof],
    dtype: torch.dtype,
) -> Figures:
    """All of one way that computes in ``dtype``, from its timed calls and one that is watched."""
    kernels = kernels_of(run)
    middle, band = projected_ms(kernels, here[dtype], RTX_3090[dtype])
    return Figures(statistics.median(walls_ms), busy_ms(kernels), len(kernels), middle, band)


@torch.no_grad()
def measure_part(
    name: str, sizes: PublishedSizes, repeats: int, here: Mapping[torch.dtype, DeviceRoof]
) -> dict[str, Figures]:
    """``plain`` and ``eager`` of one part; its weights are freed when this returns.

    A part that ours needs once for an instruction has no ``eager``.
    """
    variants = prepared_variants(name, sizes, [torch.float16], torch.device("cuda"))
    plain_ms, ours_ms = [], []
    for _ in range(repeats):
        plain_ms.append(variants.time_plain(sizes))
        if (wall_ms := variants.time_ours(torch.float16)[1]) is not None:
            ours_ms.append(wall_ms)
    figures = {"plain": figures_of(lambda: variants.time_plain(sizes), plain_ms, here, variants.plain_dtype)}
    if (prediction := variants.prediction(torch.float16)) is not None:
        figures["eager"] = figures_of(prediction, ours_ms, here, torch.float16)
    return figures


def measure_compiled(preset: str, repeats: int, here: Mapping[torch.dtype, DeviceRoof]) -> Figures:
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
        return figures_of(lambda: engine.infer(observation), walls_ms, here, torch.float16)
    finally:
        engine.close()


def summed(parts: Iterable[Figures]) -> Figures:
    """Of parts that run one after the other."""
    parts = list(parts)
    return Figures(
        sum(part.wall_ms for part in parts),
        sum(part.busy_ms for part in parts),
        sum(part.kernels for part in parts),
        sum(part.rtx_3090_ms for part in parts),
        (sum(part.rtx_3090_band_ms[0] for part in parts), sum(part.rtx_3090_band_ms[1] for part in parts)),
    )


def table(rows: dict[str, Figures]) -> str:
    """Markdown; ratios are the published form's time over that way's."""
    plain = rows["plain"]
    lines = [
        "| way | wall ms | ratio | GPU busy ms | ratio | kernels | RTX 3090, projected ms | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way, row in rows.items():
        low, high = row.rtx_3090_band_ms
        lines.append(
            f"| {way} | {row.wall_ms:.2f} | {plain.wall_ms / row.wall_ms:.2f} "
            f"| {row.busy_ms:.2f} | {plain.busy_ms / row.busy_ms:.2f} | {row.kernels} "
            f"| {row.rtx_3090_ms:.1f} ({low:.0f} to {high:.0f}) "
            f"| {plain.rtx_3090_ms / row.rtx_3090_ms:.2f} |"
        )
    return "\n".join(lines)


def main(options: Options) -> int:
    """Measure every part, then the whole; print and write."""
    check_options(options)
    if not torch.cuda.is_available():
        print("benchmarks.kernel_times: needs an NVIDIA GPU, torch sees none here", file=sys.stderr)
        return 2
    sizes = published_sizes(PRESETS[options.preset])
    device, threads = torch.device("cuda"), torch.get_num_threads()
    here = {dtype: measure_roof(device, dtype, threads) for dtype in RTX_3090}
    parts: dict[str, dict[str, Figures]] = {}
    for name in COMPONENTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        parts[name] = measure_part(name, sizes, options.repeats, here)
        torch.cuda.empty_cache()
    ways = ("plain", "eager")
    rows = {way: summed(part[way] for part in parts.values() if way in part) for way in ways}
    _write(options, here, rows, parts)  # compiling takes minutes, and may be cut short
    if options.compiled:
        print("compiled ...", file=sys.stderr, flush=True)
        rows["compiled"] = measure_compiled(options.preset, options.repeats, here)
        _write(options, here, rows, parts)
    print(table(rows))
    return 0


def _write(
    options: Options,
    here: Mapping[torch.dtype, DeviceRoof],
    rows: Mapping[str, Figures],
    parts: Mapping[str, Mapping[str, Figures]],
) -> None:
    figures = {
        "preset": options.preset,
        "repeats": options.repeats,
        "roof": {str(dtype): asdict(roof) for dtype, roof in here.items()},
        "whole": {way: asdict(row) for way, row in rows.items()},
        "parts": {name: {way: asdict(row) for way, row in part.items()} for name, part in parts.items()},
        "machine": asdict(read_machine()),
        "versions": read_versions(),
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_whole_text(options.json, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options)))
