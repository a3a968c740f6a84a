"""What policy_node says of itself on /diagnostics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from diagnostic_msgs.msg import DiagnosticStatus

from svam_ros.control.chunk_schedule import ScheduleSettings
from svam_ros.control.faults import Fault, Finding
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.nodes.inference_loop import InferenceLoop
from svam_ros.profiling.latency_histogram import summarize_stages


def policy_summary(loop: InferenceLoop | None, fault: Finding | None) -> tuple[bytes, str]:
    """Level and sentence; ``fault`` is what keeps chunks from being made."""
    if loop is None:
        return DiagnosticStatus.OK, "not active"
    if fault is not None:
        return DiagnosticStatus.ERROR, str(fault)
    waiting_for = loop.waiting_for()
    if waiting_for:
        return DiagnosticStatus.WARN, f"no chunk for a second: waiting for {waiting_for}"
    return DiagnosticStatus.OK, "making chunks"


def policy_faults(
    finding: Finding | None, found: Iterable[Fault], counts: Mapping[Fault, int]
) -> dict[str, object]:
    """What is wrong now, what was found since the last message, and how often each fault was."""
    values: dict[str, object] = {f"fault {fault.name}": count for fault, count in counts.items()}
    values["fault"] = finding.fault.name if finding else ""
    values["found"] = " ".join(fault.name for fault in found)
    return values


def policy_values(
    engine: PolicyEngine | None,
    schedule: ScheduleSettings | None,
    recent_stages_ms: Iterable[dict[str, float]],
) -> dict[str, object]:
    """Model, engine, mode, and percentiles of the stages."""
    values: dict[str, object] = {}
    for stage, summary in summarize_stages(list(recent_stages_ms)).items():
        if summary.n:
            values[f"{stage}_p50_ms"] = f"{summary.p50:.2f}"
            values[f"{stage}_p99_ms"] = f"{summary.p99:.2f}"
    values["model"] = engine.model_name if engine else "none"
    values["engine"] = engine.name if engine else "none"
    values["mode"] = schedule.mode.value if schedule else "none"
    return values
