"""Times of all trials as an SVG: one line a row, a dot a trial, a bar where the limit is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from faults.tally import Tally

_LINE_PX, _LEFT_PX, _WIDTH_PX, _HEAD_PX = 18, 330, 640, 40
_LONGEST_MS = 1400.0
_COLOURS = {"named_ms": "#2a6fdb", "rest_ms": "#d9822b"}
_MEANING = {"named_ms": "named on /diagnostics", "rest_ms": "arms at rest"}


def picture(tallies: Sequence[Tally]) -> str:
    """Of the rows that have such times."""
    timed = [tally for tally in tallies if any(tally.figures.get(name) for name in _COLOURS)]
    height = _HEAD_PX + _LINE_PX * len(timed) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT_PX + _WIDTH_PX + 20}" height="{height}" '
        f'font-family="sans-serif" font-size="11">',
        f'<rect width="100%" height="{height}" fill="#fff"/>',
    ]
    for number, (name, colour) in enumerate(_COLOURS.items()):
        x = _LEFT_PX + 170 * number
        parts.append(f'<circle cx="{x}" cy="12" r="4" fill="{colour}"/>')
        parts.append(f'<text x="{x + 8}" y="16">{_MEANING[name]}, ms after the fault</text>')
    for ms in range(0, round(_LONGEST_MS) + 1, 200):
        x = _x(ms)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_HEAD_PX - 6}" y2="{height}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{x}" y="{_HEAD_PX - 10}" text-anchor="middle" fill="#777">{ms}</text>')
    for number, tally in enumerate(timed):
        parts += _line(tally, _HEAD_PX + _LINE_PX * number + _LINE_PX // 2)
    return "\n".join([*parts, "</svg>"])


def _line(tally: Tally, y: int) -> list[str]:
    colour = "#222" if tally.passed else "#c0272d"
    parts = [f'<text x="8" y="{y + 4}" fill="{colour}">{escape(tally.row.title)}</text>']
    for name, values in tally.figures.items():
        if name not in _COLOURS:
            continue
        limit = _x(tally.row.figures[name])
        parts.append(f'<line x1="{limit}" x2="{limit}" y1="{y - 7}" y2="{y + 7}" stroke="{_COLOURS[name]}"/>')
        parts += [
            f'<circle cx="{_x(value)}" cy="{y}" r="3" fill="{_COLOURS[name]}" fill-opacity="0.5"/>'
            for value in values
        ]
    return parts


def _x(ms: float) -> float:
    return round(_LEFT_PX + _WIDTH_PX * min(ms, _LONGEST_MS) / _LONGEST_MS, 1)
