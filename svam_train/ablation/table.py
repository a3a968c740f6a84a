"""The figures as Markdown, and as JSON beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from svam_ros.whole_files import write_whole_text
from svam_train.ablation.figures import (
    AblationFigures,
    Comparison,
    Mean,
    Rate,
    TaskFigures,
    VariantFigures,
)
from svam_train.ablation.paired_statistics import Interval

TABLE_FILE = "table.md"
FIGURES_FILE = "table.json"

_FORESIGHT = {
    "cosine_semantic": "semantic cosine to its own targets",
    "cosine_semantic_future": "semantic cosine to what happened",
    "cosine_semantic_future_repeated": "the same, first frame repeated",
    "cosine_geometric": "geometric cosine to its own targets",
    "cosine_geometric_future": "geometric cosine to what happened",
    "cosine_geometric_future_repeated": "the same, first frame repeated",
    "depth_error_m_foreseen": "depth probe's error, m",
    "depth_error_m_repeated": "the same, first frame repeated, m",
    "depth_error_m_teacher": "the same, teacher's own tokens, m",
}
"""Which of the decouplers' numbers are in the table, in this order."""


def write_table(folder: Path, figures: AblationFigures) -> None:
    """Replace both files, each in one move.

    Raises:
        OSError: one could not be written.
    """
    texts = {TABLE_FILE: table_text(figures), FIGURES_FILE: json.dumps(asdict(figures), indent=2) + "\n"}
    for name, text in texts.items():
        write_whole_text(folder / name, text)


def table_text(figures: AblationFigures) -> str:
    """All tables."""
    parts = ["# Ablation", _variants(figures.variants)]
    tasks = dict.fromkeys(of.task for row in figures.variants for of in row.tasks)
    for task in tasks:
        found = [(row, of) for row in figures.variants for of in row.tasks if of.task == task]
        parts += [f"## {task}", _task(found)]
    parts += ["## Foresight on held-out clips", _foresight(figures)]
    return "\n\n".join(parts) + "\n"


def _variants(rows: Sequence[VariantFigures]) -> str:
    head = (
        "variant",
        "the Uni-Perceiver sees",
        "weights, M",
        "of them trained, M",
        "steps",
        "seeds",
        "held-out error of chunks, normalised",
        "rad",
    )
    return _table(
        head,
        [
            (
                row.variant.name,
                ", ".join(row.variant.inputs),
                f"{row.parameters.at_run_time / 1e6:.3f}",
                f"{row.parameters.trained / 1e6:.3f}",
                ", ".join(str(steps) for steps in dict.fromkeys(row.steps)),
                ", ".join(map(str, row.seeds)),
                _mean(row.held_out.get("sampled_error")),
                _mean(row.held_out.get("sampled_error_rad")),
            )
            for row in rows
        ],
    )


def _task(found: Sequence[tuple[VariantFigures, TaskFigures]]) -> str:
    head = (
        "variant",
        "done, all seeds",
        "each seed",
        "mean over seeds",
        "difference to full, points",
        "over scenes",
        "over seeds",
        "only full / only it",
        "p",
    )
    return _table(
        head,
        [
            (
                row.variant.name,
                _rate(of.pooled),
                "; ".join(f"{seed}: {_rate(rate)}" for seed, rate in of.by_seed.items()),
                f"{100 * of.over_seeds.mean:.1f} % {_percent(of.over_seeds.interval)}".rstrip(),
                *_compared(of.comparison),
            )
            for row, of in found
        ],
    )


def _compared(comparison: Comparison | None) -> tuple[str, ...]:
    if comparison is None:
        return ("",) * 5
    return (
        f"{100 * comparison.difference:+.1f}",
        _points(comparison.over_scenes),
        _points(comparison.over_seeds),
        f"{comparison.only_reference} / {comparison.only_variant}",
        f"{comparison.p:.2g}",
    )


def _foresight(figures: AblationFigures) -> str:
    targets = list(figures.foresight)
    rows = [
        (text, *(_number(figures.foresight[of].get(name)) for of in targets))
        for name, text in _FORESIGHT.items()
        if any(name in figures.foresight[of] for of in targets)
    ]
    text = _table(("mean over the frames behind the first", *(f"targets: {of}" for of in targets)), rows)
    if figures.recipe_differences:
        named = ", ".join(f"`{name}`" for name in figures.recipe_differences)
        text += f"\n\nBeside their targets the recipes of the decouplers differ in {named}."
    return text


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rate(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.successes}/{rate.trials} = {100 * rate.rate:.0f} % [{100 * low:.0f}, {100 * high:.0f}]"


def _mean(mean: Mean | None) -> str:
    if mean is None:
        return ""
    interval = "" if mean.interval is None else f" [{mean.interval[0]:.4f}, {mean.interval[1]:.4f}]"
    return f"{mean.mean:.4f}{interval}"


def _percent(interval: Interval | None) -> str:
    return "" if interval is None else f"[{100 * interval[0]:.0f}, {100 * interval[1]:.0f}]"


def _points(interval: Interval | None) -> str:
    return "" if interval is None else f"[{100 * interval[0]:+.1f}, {100 * interval[1]:+.1f}]"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
