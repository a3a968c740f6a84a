"""Compiled stages on an NVIDIA GPU through TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
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
    folder: Path, shape: PassShape, memory: DeviceMemory, device: torch.device
) -> CapturedBackend:
    """Load every stage, and record their launches.

    Args:
        folder: the compiled stages; their hashes were compared, for they are code.
        shape: the stages.
        memory: whoever owns the device.
        device: whose free memory is asked for before the stages' scratch is taken.

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
        caches[stage.name] = RuntimeCache(trt, serialized)
    scratch = _place_scratch(shape, engines, memory, device)
    launches = {}
    for stage in shape.stages:
        # An engine that is to be captured allocates nothing while it runs: it has to be given its memory.
        by_us = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        engine, cache = engines[stage.name], caches[stage.name]
        context = engine.create_execution_context(cache.configured(engine, by_us))
        if context is None:
            raise TensorRtError(f"TensorRT cannot prepare stage '{stage.name}' here: {logger.last_error}")
        context.set_device_memory(*scratch[stage.name])
        _bind(stage, context, tensors, memory)
        launches[stage.name] = _Launch(stage.name, logger, runtime, engine, cache, context, memory)
    try:
        return CapturedBackend(shape, memory, tensors, launches)
    finally:  # some kernels may be compiled when they are first launched, and what failed may be tried again
        for cache in caches.values():
            cache.keep()


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
    sizes = {name: int(engine.device_memory_size_v2) for name, engine in engines.items()}
    shared = [max(sizes[name] for name in sizes if name not in beside)]
    shared += [max((sizes[name] for name in beside), default=0)]
    require_memory("the engine's scratch memory", sum(shared), device, "free some, or use a smaller model")
    addresses = [memory.scratch(size) for size in shared]
    return {name: (addresses[name in beside], shared[name in beside]) for name in sizes}


def _bind(stage: StageShape, context: Any, tensors: dict[str, DeviceTensor], memory: DeviceMemory) -> None:
    for name in (*stage.inputs, *stage.outputs):
        if not context.set_tensor_address(name, tensors[name].address):
            raise TensorRtError(f"stage '{stage.name}' does not take the memory of its tensor '{name}'")
    capturable = getattr(context, "is_stream_capturable", None)  # of TensorRT for RTX
    if memory.captures and capturable is not None and not capturable(memory.stream):
        raise TensorRtError(
            f"stage '{stage.name}' allocates while it runs, and cannot be captured: build it anew"
        )


@dataclass(frozen=True)
class _Launch:
    """A context and all that has to live as long."""

    stage: str
    logger: Any
    runtime: Any
    engine: Any
    cache: RuntimeCache
    context: Any
    memory: DeviceMemory

    def __call__(self) -> None:
        """Enqueue the stage."""
        if not self.context.execute_async_v3(self.memory.stream):
            raise TensorRtError(f"TensorRT could not run stage '{self.stage}': {self.logger.last_error}")
