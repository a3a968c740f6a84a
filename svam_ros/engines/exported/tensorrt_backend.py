"""The stages on an NVIDIA GPU through TensorRT: each captured once as a CUDA graph, and replayed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from svam_ros.engines.exported.device_memory import DeviceMemory, DeviceTensor
from svam_ros.engines.exported.graph_backend import Array
from svam_ros.engines.exported.stage_graphs import PassShape
from svam_ros.engines.exported.tensorrt_build import TensorRtError, tensorrt_logger, tensorrt_module
from svam_ros.profiling.stage_timer import StageTimer


class TensorRtBackend:
    """See :class:`svam_ros.engines.exported.graph_backend.GraphBackend`.

    A stage is timed by events on the stream, which are read when the actions are: nothing waits in between.

    Args:
        folder: the compiled stages; their hashes were compared, for they are code.
        shape: the stages.
        memory: whoever owns the device.

    Raises:
        TensorRtError: a stage cannot be loaded, or does not take and give what it should.
    """

    def __init__(self, folder: Path, shape: PassShape, memory: DeviceMemory) -> None:
        self._shape = shape
        self._memory = memory
        self._tensors: dict[str, DeviceTensor] = {}
        self._kept: list[Any] = []
        trt = tensorrt_module()
        logger = tensorrt_logger(trt)
        runtime = trt.Runtime(logger)
        launches = {}
        for stage in shape.stages:
            engine = runtime.deserialize_cuda_engine((folder / f"{stage.name}.engine").read_bytes())
            if engine is None:
                raise TensorRtError(f"TensorRT cannot load stage '{stage.name}' here: {logger.last_error}")
            launches[stage.name] = self._prepare(trt, stage.name, engine, (*stage.inputs, *stage.outputs))
        # Only now has every tensor something in it that stages can be launched on.
        self._replay = {name: memory.recorded(launch) for name, launch in launches.items()}

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        """See the protocol."""
        self._tensors["token_ids"].write(token_ids)
        self._tensors["attention_mask"].write(attention_mask)
        self._replay[self._shape.instruction.name]()
        self._memory.wait()

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        """See the protocol."""
        for name, array in given.items():
            self._tensors[name].write(array)
        marks = [self._memory.mark()]
        for stage in self._shape.frame:
            self._replay[stage.name]()
            marks.append(self._memory.mark())
        actions = self._tensors["actions"].read()
        for stage, begin, end in zip(self._shape.frame, marks[:-1], marks[1:], strict=True):
            timer.add(stage.name, self._memory.elapsed_ms(begin, end))
        return actions

    def value(self, name: str) -> Array:
        """See the protocol."""
        return self._tensors[name].read()

    def close(self) -> None:
        """See the protocol."""
        self._memory.wait()
        self._replay.clear()
        self._kept.clear()
        self._tensors.clear()

    def _prepare(self, trt: Any, stage: str, engine: Any, names: tuple[str, ...]) -> Callable[[], None]:
        """Give every tensor of a stage its memory; what launches it."""
        found = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
        if found != set(names):
            raise TensorRtError(f"stage '{stage}' has the tensors {sorted(found)}, expected {sorted(names)}")
        context = engine.create_execution_context()
        if context is None:
            raise TensorRtError(f"TensorRT has no memory to run stage '{stage}'")
        for name in names:
            if name not in self._tensors:
                dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name))).name
                self._tensors[name] = self._memory.tensor(tuple(engine.get_tensor_shape(name)), dtype)
            context.set_tensor_address(name, self._tensors[name].address)
        self._kept += [engine, context]

        def launch() -> None:
            if not context.execute_async_v3(self._memory.stream):
                raise TensorRtError(f"TensorRT could not run stage '{stage}'")

        return launch
