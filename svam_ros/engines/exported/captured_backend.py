"""Stages on a GPU, each captured once as a CUDA graph and replayed, whatever launches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from svam_ros.engines.exported.device_memory import DeviceMemory, DeviceTensor
from svam_ros.engines.exported.graph_backend import Array
from svam_ros.engines.exported.stage_graphs import PassShape
from svam_ros.profiling.stage_timer import StageTimer


class CapturedBackend:
    """See :class:`svam_ros.engines.exported.graph_backend.GraphBackend`.

    A stage is timed by events on the stream, which are read when the actions are: nothing waits in between.

    Args:
        shape: the stages.
        memory: whoever owns the device.
        tensors: every tensor of the pass; they stay where they are.
        launches: for every stage what launches it, from its tensors to its tensors.
    """

    def __init__(
        self,
        shape: PassShape,
        memory: DeviceMemory,
        tensors: Mapping[str, DeviceTensor],
        launches: Mapping[str, Callable[[], None]],
    ) -> None:
        self._shape = shape
        self._memory = memory
        self._tensors = dict(tensors)
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
        self._tensors.clear()
