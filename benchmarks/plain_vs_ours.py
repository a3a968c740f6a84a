"""The published form against ours: the same weights and inputs, one process, repeats in turn, part by part.

Example: ``.venv/bin/python -m benchmarks.plain_vs_ours --preset calvin --repeats 3 --threads 2``

Three variants of every part of a prediction are timed: the published form in fp32 (on a GPU its VAE and
UNet in fp16, as published), ours in fp32, and ours in the fastest type here (bf16 where the CPU multiplies
it in hardware, fp16 on a GPU). Weights are random. What ours does once for each instruction, the published
form does at every prediction: it is listed apart and not part of our total.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from benchmarks.components import COMPONENTS
from benchmarks.variants import DTYPE_NAMES, PUBLISHED_PRESETS, prepared_variants
from svam_ros.engines.plain import published_sizes
from svam_ros.engines.run_plan import multiplies_bfloat16
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.published_form.groups import PublishedSizes
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""``cpu`` adds up what all threads of this process were given: steadier while others use the machine."""


@dataclass(frozen=True)
class Timings:
    """One component, ms; one entry for each repeat, in the order in which they ran."""

    component: str
    title: str
    plain_ms: list[float]
    ours_ms: dict[str, list[float]]
    """By type. Empty where a prediction needs nothing of it."""
    once_ms: dict[str, list[float]]
    """By type: what ours does once for each instruction."""
    deviation: dict[str, float]
    """By type: root mean square of the difference to the published form, relative."""
    reference_dtype: str = "fp32"
    """Type of the published form here: where it is fp16, most of a deviation is its own rounding."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    options = _parser().parse_args(arguments)
    device = torch.device(options.device)
    if options.threads:
        torch.set_num_threads(options.threads)
    sizes = published_sizes(PRESETS[options.preset])
    dtypes = [torch.float32, fastest_dtype(device)] if options.fast else [torch.float32]
    results: list[Timings] = []
    for name in options.components:
        clock = CLOCKS[options.clock]
        results.append(measure(name, sizes, dtypes, device, options.repeats, clock=clock, progress=_progress))
        _progress(f"{name}: {json.dumps(asdict(results[-1]))}")
    sys.stdout.write(table(results) + "\n")
    options.json.parent.mkdir(parents=True, exist_ok=True)
    write_whole_text(options.json, json.dumps(_report(options, results), indent=1) + "\n")
    sys.stdout.write(f"written to {options.json}\n")
    return 0


@torch.no_grad()
def measure(
    name: str,
    sizes: PublishedSizes,
    dtypes: Sequence[torch.dtype],
    device: torch.device,
    repeats: int,
    *,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[str], None] = lambda _text: None,
) -> Timings:
    """Time one component in every variant, in turn; its weights are freed when this returns.

    Args:
        name: of the component, in :data:`COMPONENTS`.
        sizes: of the network.
        dtypes: types to run ours in, fp32 first.
        device: where to run all of it.
        repeats: timed rounds, after one that is not timed.
        clock: seconds; one of :data:`CLOCKS`.
        progress: told what is being done.
    """
    component = COMPONENTS[name]
    progress(f"{component.title}: making weights")
    variants = prepared_variants(name, sizes, dtypes, device, clock)
    plain_ms: list[float] = []
    ours_ms: dict[str, list[float]] = {}
    once_ms: dict[str, list[float]] = {}
    for repeat in range(repeats):
        progress(f"{component.title}: repeat {repeat + 1} of {repeats}")
        plain_ms.append(variants.time_plain(sizes))
        for dtype in dtypes:
            once, prediction = variants.time_ours(dtype)
            if once is not None:
                once_ms.setdefault(DTYPE_NAMES[dtype], []).append(once)
            if prediction is not None:
                ours_ms.setdefault(DTYPE_NAMES[dtype], []).append(prediction)
    reference_dtype = DTYPE_NAMES[variants.plain_dtype]
    return Timings(name, component.title, plain_ms, ours_ms, once_ms, variants.deviation, reference_dtype)


def table(results: Sequence[Timings]) -> str:
    """Markdown: medians, and the ratio of every repeat's pair as median and range."""
    names = list(dict.fromkeys(chain.from_iterable(entry.deviation for entry in results)))
    head = ["part", "published ms", *(f"ours {n} ms" for n in names), *(f"ratio {n}" for n in names)]
    parts = [_row(e.title, e.plain_ms, [e.ours_ms.get(name, []) for name in names]) for e in results]
    rows = [head, ["---"] * len(head), *parts, *_totals(results, names)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([*lines, "", f"Relative rms to the published form: {_deviations(results)}."])


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Fp16 on a GPU; bf16 on a CPU that multiplies it in hardware, else fp32."""
    if device.type != "cpu":
        return torch.float16
    return torch.bfloat16 if multiplies_bfloat16() else torch.float32


def _row(title: str, plain: Sequence[float], ours: Sequence[Sequence[float]]) -> list[str]:
    """Cells of one line; ``ours`` has one entry for each type."""
    return [title, _ms(plain), *map(_ms, ours), *(_ratio(plain, times) for times in ours)]


def _totals(results: Sequence[Timings], names: Sequence[str]) -> list[list[str]]:
    plain = _summed([entry.plain_ms for entry in results])
    ours = [_summed([entry.ours_ms[name] for entry in results if entry.ours_ms]) for name in names]
    once = [_summed([entry.once_ms[name] for entry in results if entry.once_ms]) for name in names]
    return [
        _row("total of a prediction", plain, ours),
        ["once for each instruction", "in every prediction", *map(_ms, once), *[""] * len(names)],
    ]


def _deviations(results: Sequence[Timings]) -> str:
    return "; ".join(
        f"{entry.title}{_against(entry)} "
        f"{', '.join(f'{name} {value:.1e}' for name, value in entry.deviation.items())}"
        for entry in results
    )


def _against(entry: Timings) -> str:
    return "" if entry.reference_dtype == "fp32" else f" (against it in {entry.reference_dtype})"


def _summed(times: Sequence[Sequence[float]]) -> list[float]:
    """Sum over components, repeat by repeat."""
    return [sum(parts) for parts in zip(*times, strict=True)]


def _ms(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.4g}" if times else "-"


def _ratio(plain: Sequence[float], ours: Sequence[float]) -> str:
    """Median and range over the repeats."""
    if not ours:
        return "-"
    ratios = sorted(p / o for p, o in zip(plain, ours, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _report(options: argparse.Namespace, results: Sequence[Timings]) -> dict[str, Any]:
    return {
        "preset": options.preset,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "repeats": options.repeats,
        "clock": options.clock,
        "machine": asdict(read_machine()),
        "versions": read_versions(),
        "components": [asdict(entry) for entry in results],
    }


def _progress(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")


def _parser() -> argparse.ArgumentParser:
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.plain_vs_ours",
        description=description,
        epilog=rest.replace("``", ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--preset", choices=PUBLISHED_PRESETS, default="calvin", help="sizes (default: calvin)"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--repeats", type=int, default=3, help="timed rounds of each part (default: 3)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's)")
    parser.add_argument(
        "--clock",
        choices=list(CLOCKS),
        default="wall",
        help="wall, or the processor time of all threads, steadier on a busy machine (default: wall)",
    )
    parser.add_argument(
        "--components", nargs="+", choices=list(COMPONENTS), default=list(COMPONENTS), help="parts to measure"
    )
    parser.add_argument(
        "--fast", action=argparse.BooleanOptionalAction, default=True, help="also ours in the fastest type"
    )
    parser.add_argument(
        "--json",
        type=Path,
        default=Path("reports/plain_vs_ours.json"),
        help="where to write all timings (default: reports/plain_vs_ours.json)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
