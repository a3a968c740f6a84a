"""Compiled stages on an NVIDIA GPU through TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from svam_ros.engines.exported.captured_backend import CapturedBackend
from svam_ros.engines.exported.device_memory import DeviceMemory, DeviceTensor
from svam_ros.engines.exported.stage_graphs import PassShape
from svam_ros.engines.exported.tensorrt_build import TensorRtError, tensorrt_logger, tensorrt_module


def load_tensorrt_stages(folder: Path, shape: PassShape, memory: DeviceMemory) -> CapturedBackend:
    """Load and capture every stage.

    Args:
        folder: the compiled stages; their hashes were compared, for they are code.
        shape: the stages.
        memory: whoever owns the device.

    Raises:
        TensorRtError: a stage cannot be loaded, or does not take and give what it should.
    """
    trt = tensorrt_module()
    logger = tensorrt_logger(trt)
    runtime = trt.Runtime(logger)
    tensors: dict[str, DeviceTensor] = {}
    launches = {}
    for stage in shape.stages:
        engine = runtime.deserialize_cuda_engine((folder / f"{stage.name}.engine").read_bytes())
        if engine is None:
            raise TensorRtError(f"TensorRT cannot load stage '{stage.name}' here: {logger.last_error}")
        names = (*stage.inputs, *stage.outputs)
        _place_tensors(trt, stage.name, engine, names, tensors, memory)
        launches[stage.name] = _launch(stage.name, engine, {name: tensors[name] for name in names}, memory)
    return CapturedBackend(shape, memory, tensors, launches)


def _place_tensors(
    trt: Any,
    stage: str,
    engine: Any,
    names: tuple[str, ...],
    tensors: dict[str, DeviceTensor],
    memory: DeviceMemory,
) -> None:
    """Memory for the tensors of a stage that no stage before it has had."""
    found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    if found != set(names):
        raise TensorRtError(f"stage '{stage}' has the tensors {sorted(found)}, expected {sorted(names)}")
    for name in names:
        if name not in tensors:
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
            tensors[name] = memory.tensor(tuple(engine.get_tensor_shape(name)), dtype)


def _launch(
    stage: str, engine: Any, tensors: dict[str, DeviceTensor], memory: DeviceMemory
) -> Callable[[], None]:
    context = engine.create_execution_context()
    if context is None:
        raise TensorRtError(f"TensorRT has no memory to run stage '{stage}'")
    for name, tensor in tensors.items():
        context.set_tensor_address(name, tensor.address)

    def launch() -> None:
        # The context lives as long as what launches it, and wants its engine to live as long.
        assert engine is not None
        if not context.execute_async_v3(memory.stream):
            raise TensorRtError(f"TensorRT could not run stage '{stage}'")

    return launch
