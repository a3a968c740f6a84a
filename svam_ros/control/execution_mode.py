"""The ways to execute chunks that arrive late, and what horizon each needs for a latency.

============  ==============================================================  ==========================
mode          what is executed                                                carries
============  ==============================================================  ==========================
``sync``      a chunk from its beginning; the arms rest while the next one    any latency
              is made
``append``    a chunk from its beginning when the one before it is over; the  ``latency <= exec_horizon``
              paper's way: smooth, but as late as the latency
``aligned``   the steps that are not past on arrival, each at its time        ``d + s <= pred_horizon``
``prefix``    as ``aligned``, and the network is told which steps are         as ``aligned``, and
              committed until then (arXiv 2512.05964)                         ``d <= longest_prefix``
============  ==============================================================  ==========================

Latency is from the camera's stamp to the arrival of the chunk at the guard; ``d`` are the steps that are past
by then, ``s`` the steps from one observation to the next.
"""

from __future__ import annotations

from enum import Enum

from svam_ros.parameters import ExecutionModeName
from svam_ros.types import Horizon


class ExecutionMode(Enum):
    """One row of the table in the module's docstring."""

    SYNC = "sync"
    APPEND = "append"
    ALIGNED = "aligned"
    PREFIX = "prefix"

    @property
    def keeps_time(self) -> bool:
        """Steps are executed at the moments that they were predicted for."""
        return self in (ExecutionMode.ALIGNED, ExecutionMode.PREFIX)


class ExecutionModeError(ValueError):
    """Horizon and latency do not carry the mode; the text has the arithmetic."""


def steps_past(latency_ns: int, step_ns: int) -> int:
    """Steps that are past after ``latency_ns``: step ``i`` is due ``(i + 1) * step_ns`` after its stamp."""
    return max(0, -(-latency_ns // step_ns) - 1)


def obstacle(mode: ExecutionMode, horizon: Horizon, latency_ns: int, step_ns: int) -> str | None:
    """Why ``mode`` cannot be carried, with the arithmetic; ``None`` where it can.

    Args:
        mode: wanted.
        horizon: of the model.
        latency_ns: from the camera's stamp to the arrival of a chunk.
        step_ns: time between two steps.
    """
    latency = f"a latency of {latency_ns / 1e6:.0f} ms"
    if mode is ExecutionMode.SYNC:
        return None
    if mode is ExecutionMode.APPEND:
        lasts_ns = horizon.exec * step_ns
        if latency_ns <= lasts_ns:
            return None
        return (
            f"mode append: a chunk lasts {horizon.exec} steps of {step_ns / 1e6:.0f} ms = "
            f"{lasts_ns / 1e6:.0f} ms, and {latency} is longer"
        )
    past, apart = steps_past(latency_ns, step_ns), max(1, -(-latency_ns // step_ns))
    if mode is ExecutionMode.PREFIX and past > horizon.longest_prefix:
        trained = (
            f"the model was trained with at most {horizon.longest_prefix}"
            if horizon.longest_prefix
            else "the model was not trained with committed steps"
        )
        return f"mode prefix: {latency} commits {past} steps, and {trained}"
    if past + apart > horizon.pred:
        return (
            f"mode {mode.value}: of {horizon.pred} predicted steps {past} are past after {latency}, and "
            f"{apart} more until the next chunk: {past} + {apart} > {horizon.pred}"
        )
    if apart > horizon.exec:
        return f"mode {mode.value}: chunks come {apart} steps apart with {latency}, and last {horizon.exec}"
    return None


def choose_mode(wanted: ExecutionModeName, horizon: Horizon, latency_ns: int, step_ns: int) -> ExecutionMode:
    """The mode wanted, or with ``auto`` the best that horizon and latency carry.

    Raises:
        ExecutionModeError: they do not carry the one wanted.
    """
    if wanted != "auto":
        mode = ExecutionMode(wanted)
        reason = obstacle(mode, horizon, latency_ns, step_ns)
        if reason is not None:
            raise ExecutionModeError(
                f"{reason}. Choose another mode, a model with a longer horizon, or a faster engine"
            )
        return mode
    best_first = (ExecutionMode.PREFIX, ExecutionMode.ALIGNED, ExecutionMode.APPEND, ExecutionMode.SYNC)
    return next(mode for mode in best_first if obstacle(mode, horizon, latency_ns, step_ns) is None)
