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
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.components import COMPONENTS, Component, Inputs, Plain, plain_modules, run_component
from benchmarks.published_form.groups import PublishedSizes, empty_group
from benchmarks.published_form.seeded_weights import fill
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.artifacts.published.conversion import convert_group
from svam_ros.engines.accuracy import relative_rms
from svam_ros.engines.run_plan import multiplies_bfloat16
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.svam import Svam
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.whole_files import write_whole_text

PUBLISHED_PRESETS = ("calvin", "cobot")
SEED = 0
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
"""``cpu`` adds up what all threads of this process were given: steadier while others use the machine."""
DTYPE_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


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
    sizes = published_sizes(options.preset)
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


def published_sizes(preset: str) -> PublishedSizes:
    """Sizes of one of :data:`PUBLISHED_PRESETS`, in the form in which both can be run."""
    network = PRESETS[preset]
    # The published form knows one way of showing the image to the reference encoders; the cost is the same.
    references = replace(network.references, resize="bilinear", normalization="minus_one_to_one")
    return PublishedSizes(replace(network, references=references))


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


def prepared_variants(
    name: str,
    sizes: PublishedSizes,
    dtypes: Sequence[torch.dtype],
    device: torch.device,
    clock: Callable[[], float] = time.perf_counter,
) -> Variants:
    """The published form of a component and ours, with the same random weights, each run once.

    Args:
        name: of the component, in :data:`COMPONENTS`.
        sizes: of the network.
        dtypes: types to run ours in.
        device: where to run all of it.
        clock: seconds; one of :data:`CLOCKS`.
    """
    component = COMPONENTS[name]
    modules = _random_modules(component, sizes)
    networks = {dtype: _our_network(modules, sizes, dtype, device) for dtype in dtypes}
    on_gpu_as_published = device.type == "cuda" and "unet" in modules
    plain_dtype = torch.float16 if on_gpu_as_published else torch.float32
    plain = plain_modules(modules, plain_dtype, device)
    made = component.make_inputs(sizes.network, plain, torch.Generator().manual_seed(SEED))
    variants = Variants(component, plain, plain_dtype, networks, _cast(made, plain_dtype, device), clock)
    variants.warm_up(made, sizes)
    return variants


class Variants:
    """The published form and ours in every type, ready to run.

    Args:
        component: which part.
        plain: modules of the published form.
        plain_dtype: what it computes in.
        networks: ours, by type.
        plain_inputs: of the published form, on its device.
        clock: seconds.
    """

    def __init__(
        self,
        component: Component,
        plain: Plain,
        plain_dtype: torch.dtype,
        networks: dict[torch.dtype, Svam],
        plain_inputs: Inputs,
        clock: Callable[[], float],
    ) -> None:
        self._component, self._plain, self._networks = component, plain, networks
        self._plain_inputs, self._clock = plain_inputs, clock
        self.plain_dtype = plain_dtype
        self._device = next(iter(plain_inputs.values())).device
        self._inputs: dict[torch.dtype, Inputs] = {}
        self.deviation: dict[str, float] = {}
        """By type, once it has run: the largest."""

    def warm_up(self, made: Inputs, sizes: PublishedSizes) -> None:
        """Run each once and compare."""
        component = self._component
        expected = component.run_plain(sizes.network, self._plain, self._plain_inputs)
        for dtype, network in self._networks.items():
            self._inputs[dtype] = _cast(made, dtype, self._device)
            once = component.run_once(network, self._inputs[dtype]) if component.run_once else None
            result = (
                run_component(component, network, self._inputs[dtype], once) if component.run_ours else once
            )
            pairs = zip(component.as_plain(network, result), expected, strict=True)
            self.deviation[DTYPE_NAMES[dtype]] = max(
                relative_rms(ours.reshape(value.shape), value) for ours, value in pairs
            )

    def time_plain(self, sizes: PublishedSizes) -> float:
        """Ms of one published prediction."""
        run = self._component.run_plain
        return self._timed(lambda: run(sizes.network, self._plain, self._plain_inputs))[0]

    def prediction(self, dtype: torch.dtype) -> Callable[[], Any] | None:
        """What ours does for a prediction, behind what it does once an instruction; ``None``: nothing."""
        component, network, inputs = self._component, self._networks[dtype], self._inputs[dtype]
        if component.run_ours is None:
            return None
        once = component.run_once(network, inputs) if component.run_once else None
        return lambda: run_component(component, network, inputs, once)

    def time_ours(self, dtype: torch.dtype) -> tuple[float | None, float | None]:
        """Ms for an instruction and for a prediction; ``None`` where there is nothing to do."""
        component, network, inputs = self._component, self._networks[dtype], self._inputs[dtype]
        once_ms, once = None, None
        if component.run_once:
            run_once = component.run_once
            once_ms, once = self._timed(lambda: run_once(network, inputs))
        if component.run_ours is None:
            return once_ms, None
        return once_ms, self._timed(lambda: run_component(component, network, inputs, once))[0]

    def _timed(self, run: Callable[[], Any]) -> tuple[float, Any]:
        self._wait()
        start = self._clock()
        result = run()
        self._wait()
        return 1e3 * (self._clock() - start), result

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


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


def _random_modules(component: Component, sizes: PublishedSizes) -> dict[str, nn.Module]:
    modules = {}
    for group in component.groups:
        modules[group] = empty_group(group, sizes)
        shapes = {name: list(tensor.shape) for name, tensor in modules[group].state_dict().items()}
        modules[group].load_state_dict(fill(shapes, SEED), assign=True)
    return modules


def _our_network(
    modules: dict[str, nn.Module], sizes: PublishedSizes, dtype: torch.dtype, device: torch.device
) -> Svam:
    """Ours with the same weights, sharing their memory where type and layout allow; the rest stays empty."""
    network = empty_network(sizes.network)
    for group, module in modules.items():
        converted = convert_group(group, module.state_dict(), sizes.network)
        ours = {name: tensor.to(device=device, dtype=dtype) for name, tensor in converted.items()}
        network.load_state_dict(ours, strict=False, assign=True)
    for child in network.children():
        if not any(parameter.is_meta for parameter in child.parameters()):
            child.to(device=device, dtype=dtype)
    return network.prepare_for_inference()


def _cast(inputs: Inputs, dtype: torch.dtype, device: torch.device) -> Inputs:
    return {
        name: tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in inputs.items()
    }


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
