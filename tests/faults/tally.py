"""What the trials of one row came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np

from faults.row import Figures, Row

_WORDS = {
    "rest_ms": "at rest",
    "brake_ms": "at rest after being named",
    "skew_ms": "between the two arms",
    "end_ms": "process ended",
    "speed_ratio": "peak speed / limit",
}
"""Of figures whose names say too little."""


class Tally:
    """Figures of the trials that showed the required behaviour, and why others did not."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.trials = 0
        self.missing = ""
        """What the row needs and is not here."""
        self.failures: list[str] = []
        self.figures: dict[str, list[float]] = {name: [] for name in row.figures}

    @classmethod
    def of(cls, row: Row, result: Mapping[str, Any]) -> Self:
        """What :meth:`result` told of the row."""
        tally = cls(row)
        tally.trials, tally.missing = result["trials"], result["not_tried"]
        tally.failures = list(result["failures"])
        for name, values in result["figures"].items():
            if name in tally.figures:
                tally.figures[name] = list(values["all"])
        return tally

    def add(self, figures: Figures) -> None:
        """A trial that showed it."""
        self.trials += 1
        for name, value in figures.items():
            self.figures[name].append(value)

    def fail(self, why: str) -> None:
        """A trial that did not."""
        self.trials += 1
        self.failures.append(why)

    @property
    def excesses(self) -> list[str]:
        """Figures above their limits."""
        return [
            f"{name} {max(values):.3g}, allowed {self.row.figures[name]:g}"
            for name, values in self.figures.items()
            if values and max(values) > self.row.figures[name]
        ]

    @property
    def passed(self) -> bool:
        """Every trial showed it, within the limits."""
        return not self.failures and not self.excesses and not self.missing

    def line(self) -> str:
        """For the table in the terminal."""
        if self.missing:
            return f"{self.row.title:50.50} not tried: {self.missing}"
        cells = [
            f"{name} {np.median(values):.3g} / {max(values):.3g} (<= {self.row.figures[name]:g})"
            for name, values in self.figures.items()
            if values
        ]
        verdict = "passed" if self.passed else "FAILED"
        trouble = [f"\n    {why}" for why in (*self.failures[:3], *self.excesses)]
        done = self.trials - len(self.failures)
        return f"{self.row.title:50.50} {done}/{self.trials} {verdict}  {'; '.join(cells)}{''.join(trouble)}"

    def markdown_line(self) -> str:
        """For the table in docs/safety.md."""
        done = f"{self.trials - len(self.failures)}/{self.trials}" if not self.missing else self.missing
        cells = [
            f"{_words(name)} {_number(name, np.median(values))} / {_number(name, max(values))} "
            f"(≤ {_number(name, self.row.figures[name])}){' ms' if name.endswith('_ms') else ''}"
            for name, values in self.figures.items()
            if values
        ]
        return f"| {self.row.number} | {self.row.name} | {done} | {'; '.join(cells) or '—'} |"

    def result(self) -> dict[str, Any]:
        """For JSON: p50, worst and all of every figure beside its limit."""
        return {
            "row": self.row.number,
            "name": self.row.name,
            "trials": self.trials,
            "passed": self.passed,
            "not_tried": self.missing,
            "failures": self.failures,
            "figures": {
                name: {
                    "p50": float(np.median(values)),
                    "worst": max(values),
                    "limit": self.row.figures[name],
                    "all": values,
                }
                for name, values in self.figures.items()
                if values
            },
        }


def _words(name: str) -> str:
    return _WORDS.get(name, name.removesuffix("_ms").replace("_", " "))


def _number(name: str, value: float) -> str:
    """Milliseconds whole, ratios in hundredths."""
    return f"{value:.0f}" if name.endswith("_ms") else f"{value:.2f}"
