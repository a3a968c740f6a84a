"""The stages on an NVIDIA GPU through ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from svam_ros.engines.exported.captured_backend import CapturedBackend
from svam_ros.engines.exported.device_memory import TorchMemory, TorchTensor
from svam_ros.engines.exported.stage_graphs import Named, StageGraph, pass_shape, run_graphs, stage_graphs
from svam_ros.networks.svam import Svam


def compile_stages(
    network: Svam, given: Named, memory: TorchMemory, *, compiler: str = "inductor"
) -> CapturedBackend:
    """Compile and capture every stage.

    Each is compiled whole and for these shapes alone: what would look at a number or return to Python in
    between is an error here, not a slower pass. The first start compiles for minutes, later ones find most
    of it in torch's cache.

    Args:
        network: prepared for inference, on the memory's device.
        given: what no stage makes, in the network's precision and on its device; for its shapes.
        memory: torch's.
        compiler: what ``torch.compile`` calls its backend.
    """
    torch.compiler.reset()  # what was compiled before counts against its limit of 8 versions of a function
    graphs = stage_graphs(network)
    tensors = {
        name: memory.tensor(tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name, value in run_graphs(graphs, given).items()
    }
    for name, value in given.items():
        host = value.cpu()
        tensors[name].write((host.float() if host.is_floating_point() else host).numpy())
    launches = {graph.shape.name: _launch(graph, tensors, compiler) for graph in graphs}
    return CapturedBackend(pass_shape(network), memory, tensors, launches)


def _launch(graph: StageGraph, tensors: dict[str, TorchTensor], compiler: str) -> Callable[[], None]:
    compiled = torch.compile(graph, fullgraph=True, dynamic=False, backend=compiler)
    inputs = [tensors[name].value for name in graph.shape.inputs]
    outputs = [tensors[name].value for name in graph.shape.outputs]

    def launch() -> None:
        with torch.no_grad():
            for target, made in zip(outputs, compiled(*inputs), strict=True):
                target.copy_(made)

    return launch
