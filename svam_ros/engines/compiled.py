"""The network in torch, compiled and captured: the fastest on a GPU that TensorRT does not build for."""

from __future__ import annotations

from typing import Literal

import torch

from svam_ros.engines.exported.compiled_stages import compile_stages
from svam_ros.engines.exported.device_memory import TorchDeviceMemory, TorchMemory
from svam_ros.engines.exported.graph_engine import GraphEngine
from svam_ros.engines.exported.reference_case import (
    make_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import cast_to
from svam_ros.engines.network_engine import EngineModel
from svam_ros.engines.run_plan import DeviceError, RunPlan


def create_compiled_engine(
    model: EngineModel,
    plan: RunPlan,
    *,
    seed: int = 0,
    noise: Literal["fixed", "fresh"] = "fixed",
    memory: TorchMemory | None = None,
    compiler: str = "inductor",
) -> GraphEngine:
    """Compile, capture, and compare with the same network run call by call.

    Args:
        model: a verified model directory, or one with random weights.
        plan: device and precision.
        seed: of the noise.
        noise: as :class:`svam_ros.engines.network_engine.NetworkEngine`.
        memory: on the plan's device; that of the GPU where none is given.
        compiler: what ``torch.compile`` calls its backend.

    Raises:
        DeviceError: the plan is not for a GPU, and no memory is given.
        EngineInaccurate: what was compiled does not compute what the network computes.
    """
    if memory is None:
        if plan.device.type != "cuda":
            raise DeviceError(
                "engine 'compiled' captures CUDA graphs: use device 'cuda', or engine 'openvino'"
            )
        memory = TorchDeviceMemory()
    network = model.load_network(plan.dtype, plan.device).prepare_for_inference()
    case = make_reference_case(model, network)
    inputs = {name: torch.from_numpy(array) for name, array in case.inputs.items()}
    backend = compile_stages(network, cast_to(inputs, plan.dtype, plan.device), memory, compiler=compiler)
    try:
        deviations = measure_deviations(backend, case, model.statistics)
        refuse_inaccurate("engine 'compiled'", model.manifest.config, plan.dtype_name, deviations)
    except BaseException:
        backend.close()
        raise
    return GraphEngine("compiled", model, backend, seed=seed, noise=noise)
