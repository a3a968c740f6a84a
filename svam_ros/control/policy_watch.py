"""Whether the policy is alive, by its signs of life: a process that died or hangs cannot say so."""

from __future__ import annotations

from collections import Counter

from svam_ros.control.faults import Fault, Finding


class PolicyWatch:
    """Knows the run that gives signs of life, until it takes its leave.

    Chunks of somebody who gives none are not watched: when they end, the arms hold all the same. What is
    known of the plan is still played to its end when the policy falls silent, so a false alarm moves nothing.

    Args:
        counts: of the guard's faults, in which a silence counts once.
    """

    def __init__(self, counts: Counter[Fault]) -> None:
        self._counts = counts
        self._run_id = ""
        self.silence: Finding | None = None
        """What keeps new chunks from coming; ``None`` while the policy lives, or nobody has to."""

    def heard(self, run_id: str) -> None:
        """A sign of life; an empty one takes leave: no chunk will come, and that is no fault."""
        self._run_id, self.silence = run_id, None

    def missed(self, what: str) -> None:
        """No sign of life came in time; ``what`` says how that was noticed."""
        if self._run_id and self.silence is None:
            self.silence = Finding(Fault.POLICY_SILENT, f"run {self._run_id}, {what}")
            self._counts[Fault.POLICY_SILENT] += 1
