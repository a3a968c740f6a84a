"""What a black box tells, as a picture: every joint's commands and measurements around the cause."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from svam_ros.profiling.html_report.axes import HEIGHT, WIDTH, Axis, line_path, padded_axis
from svam_ros.types import BlackBoxExcerpt, FloatArray

_LEAST_SPAN = 0.05
"""Rad or m that a panel shows at least, so that noise does not look like motion."""
_COLUMN = WIDTH + 140.0
_ROW = HEIGHT + 34.0
_LEFT, _TOP = 90.0, 60.0
_STYLE = (
    "text{font:13px sans-serif;fill:#333}path{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}"
    ".commanded{stroke:#0b62a4}.measured{stroke:#d9822b}.cause{stroke:#b00;stroke-dasharray:5 4}"
    "rect{fill:#fff;stroke:#bbb}"
)


def black_box_plot(excerpt: BlackBoxExcerpt, joint_names: tuple[str, ...], title: str) -> str:
    """An SVG picture: one panel a joint, an arm a column; blue is commanded, orange measured."""
    rows = -(-len(joint_names) // 2)
    width, height = _LEFT + 2 * _COLUMN, _TOP + rows * _ROW + 30.0
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}">',
            f"<style>{_STYLE}</style>",
            f'<rect x="0" y="0" width="{width:.0f}" height="{height:.0f}" style="stroke:none"/>',
            f'<text x="{_LEFT}" y="30" style="font-size:18px">{_escaped(title)}</text>',
            *_panels(excerpt, joint_names, rows),
            "</svg>",
            "",
        ]
    )


def _panels(excerpt: BlackBoxExcerpt, joint_names: tuple[str, ...], rows: int) -> Iterator[str]:
    times_s = (excerpt.due_ns - excerpt.cause_ns) / 1e9
    time_axis = Axis(float(times_s[0]), max(float(times_s[-1]), float(times_s[0]) + 0.1))
    cause = time_axis.percent(0.0) / 100.0 * WIDTH
    for joint, name in enumerate(joint_names):
        column, row = divmod(joint, rows)
        commanded, measured = excerpt.commanded[:, joint], excerpt.measured[:, joint]
        axis = padded_axis(np.concatenate([commanded, measured]), _LEAST_SPAN)
        yield f'<g transform="translate({_LEFT + column * _COLUMN:.0f} {_TOP + row * _ROW:.0f})">'
        yield f'<rect width="{WIDTH:.0f}" height="{HEIGHT:.0f}"/>'
        yield f'<text x="8" y="16">{_escaped(name)}</text>'
        for place, value in ((12.0, axis.high), (HEIGHT, axis.low)):
            yield f'<text x="-8" y="{place}" text-anchor="end">{value:.3f}</text>'
        yield f'<path class="cause" d="M{cause:.1f} 0V{HEIGHT:.0f}"/>'
        for kind, values in (("commanded", commanded), ("measured", measured)):
            yield f'<path class="{kind}" d="{_path(times_s, values, time_axis, axis)}"/>'
        if row == rows - 1:
            for tick in time_axis.ticks(6):
                x = tick.percent / 100.0 * WIDTH
                yield f'<text x="{x:.0f}" y="{HEIGHT + 18:.0f}" text-anchor="middle">{tick.text} s</text>'
        yield "</g>"


def _path(times_s: FloatArray, values: FloatArray, time_axis: Axis, axis: Axis) -> str:
    known = np.isfinite(values)
    return line_path(time_axis.fractions(times_s[known]), axis.fractions(values[known]))


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
