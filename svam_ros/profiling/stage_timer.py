"""One stopwatch for the stages of a forward pass, used by the nodes, the demo and ``svam profile``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STAGES = (
    "preprocess",
    "backbone",
    "references",
    "decouplers",
    "uni_perceiver",
    "action_expert",
    "publish",
    "total",
)
"""Every stage in the order in which it runs; ``total`` is from observation to published chunk."""

PAPER_STAGES_MS = {"backbone": 231.0, "decouplers": 40.1, "action_expert": 36.5}
"""Stage times of the paper on an RTX 3090 (arXiv 2603.16195): 307.6 ms in all."""

PAPER_SETUP = "2.0 B parameters, RTX 3090"
"""What the paper's times are of: to be said wherever they stand beside another network's."""

CHUNK_BUDGET_MS = 320.0
"""Eight steps of 40 ms: a forward must take less for 25 Hz without a stall."""


class StageTimer:
    """Collects the duration of named stages of one pass, in milliseconds.

    ``synchronize`` is called at both ends of every stage: an engine on an accelerator passes the
    function that waits for its stream, so that no stage is charged with another's work.
    """

    def __init__(self, synchronize: Callable[[], None] | None = None) -> None:
        self._synchronize = synchronize or (lambda: None)
        self._durations_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body as ``name``; a stage entered twice adds up."""
        self._synchronize()
        start = time.perf_counter()
        try:
            yield
        finally:
            self._synchronize()
            self.add(name, (time.perf_counter() - start) * 1e3)

    def add(self, name: str, elapsed_ms: float) -> None:
        """``name`` took this long, as a device's own clock says; said twice it adds up.

        Raises:
            ValueError: there is no such stage.
        """
        if name not in STAGES:
            raise ValueError(f"unknown stage '{name}', known: {', '.join(STAGES)}")
        self._durations_ms[name] = self._durations_ms.get(name, 0.0) + elapsed_ms

    def durations_ms(self) -> dict[str, float]:
        """What was measured since the last :meth:`reset`."""
        return dict(self._durations_ms)

    def reset(self) -> None:
        """Forget everything: the next pass begins."""
        self._durations_ms.clear()
