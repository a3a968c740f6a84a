"""What the arms themselves say about following set-points, where an output hears them."""

from __future__ import annotations

from svam_ros.control.faults import Fault, Finding, Reaction


class ArmConditions:
    """Keeps the last word of each arm; an arm that nobody hears has none, and hinders nothing."""

    def __init__(self) -> None:
        self._findings: dict[str, Finding] = {}

    def observe(self, arm: str, finding: Finding | None) -> None:
        """What one arm says: a fault that holds or stops, or ``None`` where it follows."""
        if finding is None:
            self._findings.pop(arm, None)
        else:
            self._findings[arm] = finding

    def worst(self, other: Finding | None) -> Finding | None:
        """Of both arms and ``other``: one that stops comes before one that holds, ``None`` last."""
        findings = [*self._findings.values(), *([other] if other else [])]
        stopping = (finding for finding in findings if finding.fault.reaction is Reaction.STOP)
        return next(stopping, next(iter(findings), None))

    def obstacles_to_engage(self) -> list[Finding]:
        """What would stop the arms at once."""
        return [
            Finding(Fault.ENGAGE_WITH_FAULTY_ARM, str(finding))
            for finding in self._findings.values()
            if finding.fault.reaction is Reaction.STOP
        ]
