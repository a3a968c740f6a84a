"""Compiled stages on an NVIDIA GPU through TensorRT."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from svam_ros.engines.exported.captured_backend import CapturedBackend
from svam_ros.engines.exported.device_memory import DeviceMemory, DeviceTensor
from svam_ros.engines.exported.runtime_cache import RuntimeCache
from svam_ros.engines.exported.stage_graphs import PassShape, StageShape
from svam_ros.engines.exported.tensorrt_build import TensorRtError, tensorrt_logger, tensorrt_module
from svam_ros.engines.run_plan import require_memory


def load_tensorrt_stages(
    folder: Path, shape: PassShape, memory: DeviceMemory, device: torch.device, kernels: Path
) -> CapturedBackend:
    """Load and capture every stage.

    Args:
        folder: the compiled stages; their hashes were compared, for they are code.
        shape: the stages.
        memory: whoever owns the device.
        device: whose free memory is asked for before the stages' scratch is taken.
        kernels: folder for what TensorRT for RTX compiles on this very GPU at the first start
            (:class:`svam_ros.engines.exported.runtime_cache.RuntimeCache`).

    Raises:
        TensorRtError: a stage cannot be loaded, or does not take and give what it should.
        DeviceError: the stages' scratch does not fit into the device's free memory.
    """
    trt = tensorrt_module()
    logger = tensorrt_logger(trt)
    runtime = trt.Runtime(logger)
    engines: dict[str, Any] = {}
    caches: dict[str, RuntimeCache] = {}
    tensors: dict[str, DeviceTensor] = {}
    for stage in shape.stages:
        serialized = (folder / f"{stage.name}.engine").read_bytes()
        engine = runtime.deserialize_cuda_engine(serialized)
        if engine is None:
            raise TensorRtError(f"TensorRT cannot load stage '{stage.name}' here: {logger.last_error}")
        _place_tensors(trt, stage, engine, tensors, memory)
        engines[stage.name] = engine
        caches[stage.name] = RuntimeCache(trt, kernels / f"{hashlib.sha256(serialized).hexdigest()}.kernels")
    scratch = _place_scratch(shape, engines, memory, device)
    launches = {}
    for stage in shape.stages:
        context = _context(trt, stage.name, engines[stage.name], caches[stage.name])
        context.set_device_memory(*scratch[stage.name])
        for name in (*stage.inputs, *stage.outputs):
            context.set_tensor_address(name, tensors[name].address)
        launches[stage.name] = _launch(stage.name, engines[stage.name], context, memory)
    backend = CapturedBackend(shape, memory, tensors, launches)
    for cache in caches.values():
        cache.keep()
    return backend


def _place_tensors(
    trt: Any, stage: StageShape, engine: Any, tensors: dict[str, DeviceTensor], memory: DeviceMemory
) -> None:
    """Memory for the tensors of a stage that no stage before it has had."""
    names = (*stage.inputs, *stage.outputs)
    found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    if found != set(names):
        raise TensorRtError(f"stage '{stage.name}' has the tensors {sorted(found)}, expected {sorted(names)}")
    for name in names:
        if name not in tensors:
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
            tensors[name] = memory.tensor(tuple(engine.get_tensor_shape(name)), dtype)


def _place_scratch(
    shape: PassShape, engines: dict[str, Any], memory: DeviceMemory, device: torch.device
) -> dict[str, tuple[int, int]]:
    """Address and size of what every stage computes in.

    Stages on one stream run one after the other and share theirs; those beside the first have one more.
    """
    beside = {stage.name for stage in shape.beside}
    shared = [max(engines[name].device_memory_size_v2 for name in engines if name not in beside)]
    shared += [max(engines[name].device_memory_size_v2 for name in beside)]
    require_memory("the engine's scratch memory", sum(shared), device, "free some, or use a smaller model")
    addresses = [memory.scratch(size) for size in shared]
    return {name: (addresses[name in beside], shared[name in beside]) for name in engines}


def _context(trt: Any, stage: str, engine: Any, cache: RuntimeCache) -> Any:
    # An engine that is to be captured allocates nothing while it runs, so it has to be given its memory.
    by_us = trt.ExecutionContextAllocationStrategy.USER_MANAGED
    context = engine.create_execution_context(cache.configured(engine, by_us) or by_us)
    if context is None:
        raise TensorRtError(f"TensorRT has no memory to run stage '{stage}'")
    return context


def _launch(stage: str, engine: Any, context: Any, memory: DeviceMemory) -> Callable[[], None]:
    def launch() -> None:
        # The context lives as long as what launches it, and wants its engine to live as long.
        assert engine is not None
        if not context.execute_async_v3(memory.stream):
            raise TensorRtError(f"TensorRT could not run stage '{stage}'")

    return launch
