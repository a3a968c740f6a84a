"""What a black box tells, in words: what happened, in what order, and how the arms came to rest."""

from __future__ import annotations

import numpy as np

from svam_ros.types import BlackBoxEvent, BlackBoxExcerpt

_NS_PER_S = 1e9
_STANDSTILL_RAD_PER_S = 1e-3
_ONE_BY_ONE = ("state", "operator")
"""Kinds of events that each have a line; others in a row share one."""


def black_box_story(excerpt: BlackBoxExcerpt, joint_names: tuple[str, ...]) -> str:
    """Lines to read from top to bottom; times are seconds from the cause."""
    lines = [f"cause   {excerpt.cause}", ""]
    lines += [_line(excerpt, events) for events in _grouped(excerpt.events)]
    return "\n".join([*lines, "", *_motion(excerpt, joint_names)])


def _grouped(events: tuple[BlackBoxEvent, ...]) -> list[list[BlackBoxEvent]]:
    """Events that share a line: those of one kind in a row, unless the kind has lines of its own."""
    groups: list[list[BlackBoxEvent]] = []
    for event in events:
        if groups and groups[-1][0].kind == event.kind and event.kind not in _ONE_BY_ONE:
            groups[-1].append(event)
        else:
            groups.append([event])
    return groups


def _line(excerpt: BlackBoxExcerpt, events: list[BlackBoxEvent]) -> str:
    at_s = (events[0].at_ns - excerpt.cause_ns) / _NS_PER_S
    if len(events) == 1:
        return f"{at_s:+8.3f}  {events[0].text}"
    until_s = (events[-1].at_ns - excerpt.cause_ns) / _NS_PER_S
    return f"{at_s:+8.3f}  {len(events)} times until {until_s:+.3f}, the last: {events[-1].text}"


def _motion(excerpt: BlackBoxExcerpt, joint_names: tuple[str, ...]) -> list[str]:
    after = excerpt.due_ns >= excerpt.cause_ns
    if not after.any():
        return ["nothing was sent after the cause"]
    lines = []
    first = int(np.argmax(after))
    speeds = np.abs(excerpt.velocities[first])
    fastest = int(speeds.argmax())
    if speeds[fastest] < _STANDSTILL_RAD_PER_S:
        lines.append("motion  the arms stood still at the cause")
    else:
        lines.append(f"motion  {joint_names[fastest]} was the fastest at the cause, {speeds[fastest]:.2f} /s")
        still = np.abs(excerpt.velocities[first:]).max(axis=1) < _STANDSTILL_RAD_PER_S
        if still.any():
            rest_s = (excerpt.due_ns[first + int(np.argmax(still))] - excerpt.cause_ns) / _NS_PER_S
            way = np.abs(excerpt.commanded[-1] - excerpt.commanded[first]).max()
            lines.append(f"        at rest {rest_s:.3f} s later, {way:.3f} further on")
        else:
            lines.append("        not at rest when the box ends")
    off = np.abs(excerpt.commanded - excerpt.measured)
    if np.isfinite(off).any():
        _, joint = np.unravel_index(int(np.nanargmax(off)), off.shape)
        lines.append(f"        {joint_names[int(joint)]} was farthest from its command, {np.nanmax(off):.3f}")
    return lines
