"""``svam blackbox``: what a black box of the guard tells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from svam_ros.profiling.black_box_plot import black_box_plot
from svam_ros.profiling.black_box_story import black_box_story
from svam_ros.recording.black_box_file import read_black_box
from svam_ros.whole_files import write_whole_text


@dataclass(frozen=True)
class BlackBoxOptions:
    """What happened before the arms held or stopped, in what order, and how they came to rest."""

    file: Annotated[Path, tyro.conf.Positional]
    """MCAP file that guard_node wrote; its log names it."""
    plot: Path | None = None
    """Where to draw every joint around the cause, as SVG. Default: beside the file."""


def run_blackbox(options: BlackBoxOptions) -> int:
    """Print the story and draw the picture."""
    record = read_black_box(options.file)
    seconds = (record.excerpt.due_ns[-1] - record.excerpt.due_ns[0]) / 1e9
    print(f"{options.file.name}: {seconds:.1f} s until {record.written_at}, profile {record.profile}")
    print(black_box_story(record.excerpt, record.joint_names))
    plot = options.plot or options.file.with_suffix(".svg")
    write_whole_text(plot, black_box_plot(record.excerpt, record.joint_names, record.excerpt.cause))
    print(f"plot    {plot}")
    return 0
