"""Puts the page together."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from svam_ros.profiling.demo_record import DemoRecord
from svam_ros.profiling.html_report.joint_panels import READOUT_POINTS, ArmPanel, arm_panels, time_axis
from svam_ros.profiling.html_report.latency_panels import budget_chart, stage_rows, timeline_chart
from svam_ros.profiling.verdicts import judge
from svam_ros.whole_files import write_whole_text

TEMPLATES = Environment(
    loader=PackageLoader("svam_ros.profiling.html_report", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_html_report(record: DemoRecord) -> str:
    """The whole page as text; it refers to nothing outside itself."""
    verdicts = judge(record.report)
    arms = arm_panels(record)
    context = {
        "record": record,
        "report": record.report,
        "verdicts": verdicts,
        "failed": [verdict for verdict in verdicts if verdict.holds is False],
        "judged": [verdict for verdict in verdicts if verdict.holds is not None],
        "stills": [
            (still.time_s, "data:image/jpeg;base64," + base64.b64encode(still.jpeg).decode("ascii"))
            for still in record.stills
        ],
        "arms": arms,
        "time_ticks": time_axis(record).ticks(6),
        "budget": budget_chart({"This run": record.report.stages_ms}),
        "stage_rows": stage_rows(record.report.stages_ms, record.report.observation_age_ms),
        "timeline": timeline_chart(record),
        "page_data": _embedded_json(_page_data(record, arms)),
        "style": shipped_text("report.css"),
        "script": shipped_text("report.js"),
    }
    return TEMPLATES.get_template("report.html.j2").render(context)


def write_html_report(record: DemoRecord, path: Path) -> None:
    """Write the page to ``path``, whole or not at all."""
    write_whole_text(path, render_html_report(record))


def _page_data(record: DemoRecord, arms: tuple[ArmPanel, ...]) -> dict[str, Any]:
    """What the page's script needs: joint values and chunks over time."""
    return {
        "duration": round(time_axis(record).high, 3),
        "points": READOUT_POINTS,
        "joints": [
            {"unit": joint.unit, "measured": joint.measured_readout, "commanded": joint.commanded_readout}
            for arm in arms
            for joint in arm.joints
        ],
        "chunks": [
            {
                "begin": round(float(chunk.target_times_s[0]), 3),
                "sequence": chunk.sequence,
                "steps": len(chunk.targets),
            }
            for chunk in record.chunks
            if len(chunk.targets)
        ],
        "timings": {
            timing.sequence: {
                "age": round(timing.observation_age_ms, 1),
                "total": round(timing.stages_ms["total"], 1),
            }
            for timing in record.timings
            if "total" in timing.stages_ms
        },
    }


def _embedded_json(data: object) -> Markup:
    """JSON that is safe inside a script element: it cannot close it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def shipped_text(name: str) -> Markup:
    """A style sheet or script of ours, verbatim: trusted, and escaping would break it."""
    return Markup((Path(__file__).parent / "templates" / name).read_text(encoding="utf-8"))  # noqa: S704
