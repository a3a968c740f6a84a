"""Stages on a GPU: the launches of a whole pass are recorded once and replayed, whatever launches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from svam_ros.engines.exported.device_memory import DeviceMemory, DeviceTensor
from svam_ros.engines.exported.graph_backend import Array
from svam_ros.engines.exported.stage_graphs import PassShape, StageShape
from svam_ros.profiling.stage_timer import StageTimer

Launches = Mapping[str, Callable[[], None]]


class CapturedBackend:
    """See :class:`svam_ros.engines.exported.graph_backend.GraphBackend`.

    Stages that wait for no other run on a second stream while the first stage does: the times of the stages
    may add up to more than the pass. They are taken by events on the device, and read when the actions are:
    nothing waits in between.

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
        launches: Launches,
    ) -> None:
        self._shape = shape
        self._memory = memory
        self._tensors = dict(tensors)
        self._marks: dict[str, tuple[Any, Any]] = {}
        """Begin and end of every stage of a frame; the replayed graph passes the same marks again."""
        self._launches: dict[str, Callable[[], None]] = {
            "instruction": launches[shape.instruction.name],
            "frame": partial(self._launch_frame, launches),
        }
        """A graph holds addresses only: weights and contexts live as long as what launches them."""
        self._replay = {name: memory.recorded(launch) for name, launch in self._launches.items()}

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        """See the protocol."""
        self._tensors["token_ids"].write(token_ids)
        self._tensors["attention_mask"].write(attention_mask)
        self._replay["instruction"]()
        self._memory.wait()

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        """See the protocol."""
        for name, array in given.items():
            self._tensors[name].write(array)
        self._replay["frame"]()
        actions = self._tensors["actions"].read()
        for stage in self._shape.frame:
            timer.add(stage.name, self._memory.elapsed_ms(*self._marks[stage.name]))
        return actions

    def value(self, name: str) -> Array:
        """See the protocol."""
        return self._tensors[name].read()

    def close(self) -> None:
        """See the protocol."""
        self._memory.wait()
        for held in (self._replay, self._launches, self._marks, self._tensors):
            held.clear()
        self._memory.close()

    def _launch_frame(self, launches: Launches) -> None:
        """Every stage of a frame; the first that needs what runs beside waits for it."""
        beside = self._shape.beside
        if beside:
            with self._memory.beside():
                for stage in beside:
                    self._launch(stage, launches)
        awaited = {name for stage in beside for name in stage.outputs}
        for stage in self._shape.frame:
            if stage in beside:
                continue
            if awaited.intersection(stage.inputs):
                self._memory.join()
                awaited.clear()
            self._launch(stage, launches)
        if awaited:  # what is recorded ends on the stream that it began on
            self._memory.join()

    def _launch(self, stage: StageShape, launches: Launches) -> None:
        begin = self._memory.mark()
        launches[stage.name]()
        self._marks[stage.name] = begin, self._memory.mark()
