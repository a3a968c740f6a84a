"""What a library has to do so that an engine can run the exported stages with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from svam_ros.profiling.stage_timer import StageTimer

Array = NDArray[Any]


class GraphLoadError(RuntimeError):
    """A library cannot load a stage whose file is whole; the text has its own words."""


class GraphBackend(Protocol):
    """All stages of one network, loaded.

    Every name of the pass (:class:`svam_ros.engines.exported.stage_graphs.PassShape`) is one piece of memory
    that stays where it is: a stage that makes a tensor writes where the stages that take it read.
    """

    def run_instruction(self, token_ids: Array, attention_mask: Array) -> None:
        """Compute what the frames need of the instruction."""

    def run_frame(self, given: Mapping[str, Array], timer: StageTimer) -> Array:
        """One pass under the instruction that was run last.

        Args:
            given: what no stage makes, by name, in single precision; ``prefix_given`` in bool.
            timer: told how long every stage took.

        Returns:
            ``(1, pred_horizon, action_dim)`` normalised actions; they stay as they are in later passes.
        """

    def value(self, name: str) -> Array:
        """A tensor of the last pass, in single precision."""

    def close(self) -> None:
        """Free memory and devices."""
