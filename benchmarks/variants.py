"""One part of a prediction, published form and ours, of the same weights and inputs, ready to run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.components import COMPONENTS, Component, Inputs, Plain, plain_modules, run_component
from benchmarks.golden_sets.seeded_weights import fill
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.artifacts.published.conversion import convert_group
from svam_ros.engines.accuracy import relative_rms
from svam_ros.networks.published_form.groups import PublishedSizes, empty_group
from svam_ros.networks.svam import Svam

PUBLISHED_PRESETS = ("calvin", "cobot")
SEED = 0
DTYPE_NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


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
        clock: seconds; one of :data:`benchmarks.plain_vs_ours.CLOCKS`.
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
