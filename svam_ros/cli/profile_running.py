"""``svam profile --ros``: the figures of nodes that are running, and how old what moves the arms is."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.text import Text

from svam_ros.bringup.ros_environment import checked_domain_id, ros_environment
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.profiling.demo_record import ChunkTiming
from svam_ros.profiling.environment import read_machine, read_versions
from svam_ros.profiling.frame_trace import FrameTimeline, write_frame_trace
from svam_ros.profiling.html_report.profile_page import ProfilePage, render_profile_page
from svam_ros.profiling.latency_histogram import LatencySummary, summarize, summarize_stages
from svam_ros.profiling.stage_table import milliseconds, stage_table
from svam_ros.whole_files import write_whole_text

if TYPE_CHECKING:
    from svam_ros.nodes.pass_listener import PassListener

PATIENCE_S = 10.0
"""Far longer than from one chunk to the next, and than a listener takes to be found."""

INTRODUCTION_S = 3.0


@dataclasses.dataclass(frozen=True)
class ListeningOptions:
    """Where to listen, for how long, and where the figures go."""

    passes: int
    profile: str
    namespace: str
    json: Path | None
    html: Path | None
    trace: Path | None


@dataclasses.dataclass(frozen=True)
class RunningFigures:
    """What was heard."""

    timeline: FrameTimeline

    @property
    def stages_ms(self) -> dict[str, LatencySummary]:
        """Of every stage, as policy_node timed it."""
        return summarize_stages([timing.stages_ms for timing in self.timeline.timings])

    @property
    def observation_age_ms(self) -> LatencySummary:
        """From a frame's stamp to the moment in which its chunk was published."""
        return summarize(timing.observation_age_ms for timing in self.timeline.timings)

    @property
    def first_set_point_ms(self) -> dict[str, LatencySummary]:
        """From a frame's stamp to the first set-point of each arm behind its chunk."""
        return {
            arm: summarize(
                (at_s - timing.observation_time_s) * 1e3
                for timing in self.timeline.timings
                if (at_s := self.timeline.first_set_point_s(arm, timing)) is not None
            )
            for arm in self.timeline.set_point_times_s
        }


def profile_running_nodes(options: ListeningOptions) -> int:
    """Listen to so many passes, print the table, write the files that were asked for.

    Raises:
        NothingHeard: there are no nodes that make chunks where was listened.
        NoNamespace: ROS does not allow the namespace.
        RosEnvironmentError: ROS_DOMAIN_ID is no domain.
    """
    robot_profile, cobot = load_robot_profile(options.profile), load_cobot()
    os.environ.update(ros_environment(None))
    from svam_ros.nodes.pass_listener import NothingHeard, PassListener

    domain = str(checked_domain_id(os.environ.get("ROS_DOMAIN_ID") or "0", "ROS_DOMAIN_ID"))
    listener = PassListener(robot_profile, cobot, options.namespace)
    try:
        with Console(stderr=True).status("") as status:
            while (heard := len(listener.passes)) < options.passes:
                status.update(f"{heard} of {options.passes} passes heard on ROS domain {domain}")
                listener.wait_for_pass(heard, PATIENCE_S)
        listener.wait_for_policy(INTRODUCTION_S)
        timeline = _timeline(listener)
        policy = dict(listener.policy)
    except NothingHeard as error:
        raise NothingHeard(
            f"{error} (ROS domain {domain}, {len(listener.passes)} heard before): chunks are made while "
            f"policy_node is active and has an instruction. Nodes of another domain are heard with "
            f"ROS_DOMAIN_ID=N before the command; the demo prints its own"
        ) from error
    finally:
        listener.close()
    _report(options, RunningFigures(timeline), policy, domain)
    return 0


def _timeline(listener: PassListener) -> FrameTimeline:
    passes, stamps_ns = list(listener.passes), listener.set_point_stamps_ns()
    observed_ns = [
        listener.observed_ns.get((it.run_id, it.sequence), it.stamp_ns - round(it.observation_age_ms * 1e6))
        for it in passes
    ]
    begun_ns = min(observed_ns)
    return FrameTimeline(
        tuple(
            ChunkTiming(it.sequence, (seen_ns - begun_ns) / 1e9, it.observation_age_ms, it.stages_ms)
            for it, seen_ns in zip(passes, observed_ns, strict=True)
        ),
        # A plan that is anchored anew may step back: a search wants them in the order of time.
        {arm: np.sort(np.array(of, dtype=np.int64) - begun_ns) / 1e9 for arm, of in stamps_ns.items()},
        {name: listener.policy.get(name, "unknown") for name in ("model", "engine", "mode", "instruction")},
    )


def _report(options: ListeningOptions, figures: RunningFigures, policy: dict[str, str], domain: str) -> None:
    machine, about = read_machine(), figures.timeline.about
    title = f"{about['model']} · {about['engine']} · running nodes"
    caption = Text("\n").join(Text(line, "dim") for line in _ages(figures))
    Console().print(stage_table(figures.stages_ms, title, caption))
    if options.trace is not None:
        write_frame_trace(figures.timeline, options.trace)
    if options.html is not None:
        heard = len(figures.timeline.timings)
        lead = f"svam profile --ros, {heard} passes of policy_node as it was running"
        environment = {name: str(value) for name, value in dataclasses.asdict(machine).items()}
        page = ProfilePage(
            title, lead, {about["engine"]: figures.stages_ms}, {}, {}, "", {**environment, **read_versions()}
        )
        write_whole_text(options.html, render_profile_page(page))
    if options.json is not None:
        text = {
            **about,
            "ros_domain_id": domain,
            "stages_ms": {
                stage: dataclasses.asdict(row) for stage, row in figures.stages_ms.items() if row.n
            },
            "observation_age_ms": dataclasses.asdict(figures.observation_age_ms),
            "first_set_point_ms": {
                arm: dataclasses.asdict(row) for arm, row in figures.first_set_point_ms.items()
            },
            "policy": policy,
            "versions": read_versions(),
            "machine": dataclasses.asdict(machine),
        }
        write_whole_text(options.json, json.dumps(text, indent=2) + "\n")


def _ages(figures: RunningFigures) -> list[str]:
    lines = [f"frame's stamp to chunk: {_spread(figures.observation_age_ms)}"]
    for arm, summary in figures.first_set_point_ms.items():
        lines.append(
            f"frame's stamp to first set-point, {arm} arm: {_spread(summary)}"
            if summary.n
            else f"no set-point of the {arm} arm behind any of these chunks: not engaged, or sent elsewhere"
        )
    return lines


def _spread(summary: LatencySummary) -> str:
    return (
        f"p50 {milliseconds(summary.p50)}, p99 {milliseconds(summary.p99)}, "
        f"max {milliseconds(summary.max)} ms"
    )
