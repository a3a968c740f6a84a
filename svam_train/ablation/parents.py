"""The runs of the decouplers that variants are built on, and whether comparing them is fair."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svam_train.recipes.ablation import Variant
from svam_train.recipes.training_settings import CHANGEABLE_ON_RESUME
from svam_train.stages.decoupler_run import STAGE
from svam_train.training.run_folder import (
    PARENT_FILE,
    RunError,
    differences,
    load_config,
    read_json,
    weights_hash,
)

_BUDGET = frozenset({"training.steps", "training.batch_size"})
_SHARED_PARENTS = ("video", "teachers")


@dataclass(frozen=True)
class Parents:
    """Finished runs of the decouplers.

    Raises:
        RunError: one is not there, not finished, of another stage or of other targets, or they differ in what
            they were built on, trained on or how long; the text says what to do.
    """

    generated: Path
    """Trained on what teachers see in the video model's own videos."""
    true_future: Path | None = None
    """Trained on what they see in what really happened; ``None`` where no variant wants it."""

    def __post_init__(self) -> None:
        ours = _checked(self.generated, "generated", "--parent")
        if self.true_future is None:
            return
        theirs = _checked(self.true_future, "true_future", "--true-future")
        for part in ("data", "teachers"):
            if ours.get(part) != theirs.get(part):
                raise RunError(
                    f"{self.generated} and {self.true_future} were trained with other {part}: train one of "
                    f"them anew, so that only their targets differ"
                )
        for role in _SHARED_PARENTS:
            if _built_on(self.generated, role) != _built_on(self.true_future, role):
                raise RunError(
                    f"{self.generated} and {self.true_future} were built on different runs as '{role}': "
                    f"train one of them anew on the other's"
                )
        budget = [name for name in recipe_differences(self.generated, self.true_future) if name in _BUDGET]
        if budget:
            raise RunError(
                f"{self.generated} and {self.true_future} differ in {', '.join(budget)}: train one of them "
                f"anew with the other's budget"
            )

    def of(self, variant: Variant) -> Path:
        """The run that a variant is built on.

        Raises:
            ValueError: it was not given.
        """
        if variant.targets == "generated":
            return self.generated
        if self.true_future is None:
            raise ValueError(
                f"variant '{variant.name}' is built on decouplers that were trained with the true future as "
                f"target: name their run with --true-future"
            )
        return self.true_future


def recipe_differences(one: Path, other: Path) -> tuple[str, ...]:
    """Fields of the recipes of two runs that differ, but for the targets and what has no influence."""
    names = (name for name, _, _ in differences(load_config(one)["recipe"], load_config(other)["recipe"]))
    return tuple(
        name for name in names if name != "targets" and name.rpartition(".")[2] not in CHANGEABLE_ON_RESUME
    )


def last_held_out(run: Path) -> dict[str, float]:
    """The last line of a run's metrics about held-out episodes.

    Raises:
        RunError: there is none.
    """
    path = run / "metrics.jsonl"
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found: list[dict[str, float]] = [line["held_out"] for line in lines if "held_out" in line]
        return found[-1]
    except (OSError, ValueError, IndexError) as error:
        raise RunError(
            f"{path}: says nothing of held-out episodes ({error!r}); resume the run to its end"
        ) from error


def _checked(run: Path, targets: str, option: str) -> Mapping[str, Any]:
    """The run's config."""
    if not run.is_dir():
        raise RunError(
            f"{option} {run}: there is no such run; train it with 'svam-train decouplers --run {run} "
            f"--recipe.targets {targets}'"
        )
    config = load_config(run)
    if config.get("stage") != STAGE:
        raise RunError(
            f"{option} {run}: is a run of '{config.get('stage')}', not of 'svam-train decouplers'; name one "
            f"of that stage"
        )
    found = config["recipe"]["targets"]
    if found != targets:
        raise RunError(
            f"{option} {run}: its decouplers were trained with targets '{found}', wanted are '{targets}'; "
            f"name another run"
        )
    weights_hash(run)
    return config


def _built_on(run: Path, role: str) -> str | None:
    parent = read_json(run / PARENT_FILE).get(role)
    return None if parent is None else str(parent["sha256"])
