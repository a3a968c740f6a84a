"""The network in torch, compiled and captured: the fastest on a GPU that TensorRT does not build for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from svam_ros.engines.exported.captured_backend import CapturedBackend
from svam_ros.engines.exported.compiled_stages import compile_stages
from svam_ros.engines.exported.device_memory import TorchDeviceMemory, TorchMemory
from svam_ros.engines.exported.graph_engine import GraphEngine
from svam_ros.engines.exported.reference_case import (
    EngineInaccurate,
    ReferenceCase,
    make_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import cast_to
from svam_ros.engines.network_engine import EngineModel
from svam_ros.engines.run_plan import DeviceError, RunPlan
from svam_ros.networks.svam import Svam
from svam_ros.user_cache import user_cache

_LOG = logging.getLogger(__name__)


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
        _keep_what_is_compiled()
    network = model.load_network(plan.dtype, plan.device).prepare_for_inference()
    build = _Build(model, plan, network, make_reference_case(model, network), memory, compiler)
    return GraphEngine("compiled", model, build.fastest(), seed=seed, noise=noise)


def _keep_what_is_compiled() -> None:
    """Torch's cache of what it compiled lies among temporary files, which a restart of the machine loses."""
    try:
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache("inductor")))
    except (OSError, RuntimeError) as error:  # RuntimeError: the user has no home
        _LOG.warning("what is compiled may have to be compiled again after a restart: %s", error)


@contextmanager
def half_precision_sums() -> Iterator[None]:
    """Let cuBLAS sum products of float16 in float16, as far as it is called within.

    GeForce GPUs multiply twice as fast so: the RTX 3090 142 instead of 71 TFLOP/s (NVIDIA Ampere GA102
    whitepaper, table 2). What is captured within keeps it.
    """
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_fp16_accumulation
    matmul.allow_fp16_accumulation = True
    try:
        yield
    finally:
        matmul.allow_fp16_accumulation = before


@dataclass(frozen=True)
class _Build:
    model: EngineModel
    plan: RunPlan
    network: Svam
    case: ReferenceCase
    memory: TorchMemory
    compiler: str

    def fastest(self) -> CapturedBackend:
        """In float16 with sums in float16 where the accuracy table bears it."""
        if self.plan.dtype == torch.float16:
            try:
                with half_precision_sums():
                    return self._compared()
            except EngineInaccurate as error:
                _LOG.warning("sums in float16 are not exact enough, float32 is taken for them: %s", error)
        return self._compared()

    def _compared(self) -> CapturedBackend:
        inputs = {name: torch.from_numpy(array) for name, array in self.case.inputs.items()}
        given = cast_to(inputs, self.plan.dtype, self.plan.device)
        backend = compile_stages(self.network, given, self.memory, compiler=self.compiler)
        try:
            deviations = measure_deviations(backend, self.case, self.model.statistics)
            config = self.model.manifest.config
            refuse_inaccurate("engine 'compiled'", config, self.plan.dtype_name, deviations)
        except BaseException:
            backend.close()
            raise
        return backend
