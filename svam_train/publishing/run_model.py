"""From a finished run of stage 3 to a model directory with a card that says what was done and measured."""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dacite
import diffusers
import numpy as np
import torch
import transformers

from svam_ros.artifacts.manifest import Provenance
from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.artifacts.model_saving import ModelContents, save_model
from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.statistics import IdentifiedStatistics
from svam_train.evaluation.evaluation_report import EvaluationReport
from svam_train.evaluation.loop_settings import WITH_NETWORK
from svam_train.publishing.model_card import CardFacts, RunFacts, data_sentence, model_card
from svam_train.recipes.actions import ActionRecipe
from svam_train.stages.action_run import STAGE
from svam_train.stages.inheritance import STATISTICS_FILE, inherited_tokenizer, lineage
from svam_train.stages.published_parent import (
    CONFIGS_FOLDER,
    is_published,
    published_name,
    published_runs,
)
from svam_train.training.run_folder import FINISHED_FILE, RunError, load_config, load_weights, read_json


@dataclass(frozen=True)
class _FinishedRun:
    """What publishing reads of the last run."""

    recipe: ActionRecipe
    data: dict[str, Any]
    statistics: IdentifiedStatistics


def publish_run(
    run: Path, out: Path, reports: Sequence[EvaluationReport] = (), hardware: str = ""
) -> ModelDirectory:
    """Write a model directory, in place of what was there.

    Args:
        run: finished run of stage 3; the runs that it was built on are where they were.
        out: the model directory; its last part becomes the model's name.
        reports: closed-loop results of these weights, for the card and the manifest.
        hardware: on what it was trained, in general terms; by default what the runs noted.

    Raises:
        RunError: a run is not finished, not there any more, or none of stage 3; or the reports are of several
            models, or do not say of which.
        DataError: the run's statistics are not those that it was trained with.
        ModelDirectoryError: weights are not finite, the reports are of others, or ``out`` is something else
            than a model directory.
    """
    finished = _read(run)
    recipe, line = finished.recipe, tuple(lineage(run))
    _refuse_to_replace_a_parent(out, line)
    network = Svam(recipe.config)
    network.load_state_dict(load_weights(run))
    runs = tuple(facts for folder in line for facts in _facts(folder))
    card = CardFacts(
        name=out.name,
        parameters=sum(tensor.numel() for tensor in network.run_time_state_dict().values()),
        recipe=recipe,
        data=finished.data,
        runs=runs,
        reports=tuple(reports),
        hardware=hardware or _hardware(runs),
        begun_from=tuple(published_name(folder) for folder in line if is_published(folder)),
    )
    configs = {
        f"{CONFIGS_FOLDER}/{number:02d}_{facts.name}.json": _noted(facts)
        for number, facts in enumerate(reversed(runs), start=1)
    }
    contents = ModelContents(
        network=network,
        statistics=finished.statistics.statistics,
        tokenizer=inherited_tokenizer(run, recipe.config.text),
        preset=recipe.network,
        image=ImagePreparation(**finished.data["image"]),
        provenance=_provenance(run, out, finished, reports),
        documents={"README.md": model_card(card), **configs},
        measured_weights=_measured_weights(reports),
    )
    return save_model(out, contents)


def _refuse_to_replace_a_parent(out: Path, line: Sequence[Path]) -> None:
    """Without it the run could neither be published again, with its results, nor be resumed."""
    if any(is_published(folder) and folder.resolve() == out.resolve() for folder in line):
        raise RunError(
            f"{out} is the model that the run was built on: publish it under another name, and replace the "
            f"old model once nothing is built on it any more"
        )


def _measured_weights(reports: Sequence[EvaluationReport]) -> str | None:
    """The weights that the reports are of; baselines without a network are of none."""
    of_network = [report.subject for report in reports if report.subject.policy in WITH_NETWORK]
    weights = {subject.weights for subject in of_network}
    if len(weights) > 1 or None in weights:
        raise RunError(
            f"the reports are of {len(weights)} sets of weights, or do not say of which: evaluate one "
            f"published model, and give its reports alone"
        )
    return weights.pop() if weights else None


def _provenance(
    run: Path, out: Path, finished: _FinishedRun, reports: Sequence[EvaluationReport]
) -> Provenance:
    return Provenance(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=f"svam-train publish {run.name} --out {out.name}; the runs' configs are in {CONFIGS_FOLDER}/",
        data=data_sentence(finished.data),
        seed=finished.recipe.training.seed,
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        results={report.label: round(report.rate.rate, 4) for report in reports},
    )


def _read(run: Path) -> _FinishedRun:
    config = load_config(run)
    if config.get("stage") != STAGE:
        raise RunError(
            f"{run}: is no run of 'svam-train actions', the last stage: train that one on it, then publish it"
        )
    try:
        recipe = dacite.from_dict(
            ActionRecipe,
            config["recipe"],
            dacite.Config(strict=True, cast=[tuple], type_hooks={float: float}),
        )
        data = dict(config["data"])
        statistics = IdentifiedStatistics.from_json((run / STATISTICS_FILE).read_text(encoding="utf-8"))
    except (dacite.DaciteError, KeyError, TypeError, OSError) as error:
        raise RunError(
            f"{run}: is not complete, or of another version ({error}); resume it to its end"
        ) from error
    if statistics.id != config["statistics"]:
        raise RunError(
            f"{run}: its {STATISTICS_FILE} is {statistics.id[:12]}, it was trained with "
            f"{config['statistics'][:12]}: bring the old file back, or resume the run to write it again"
        )
    return _FinishedRun(recipe, data, statistics)


def _facts(folder: Path) -> list[RunFacts]:
    """Of a run; of a published model those of all runs that led to it, the last one first."""
    if is_published(folder):
        return [RunFacts(**noted) for noted in published_runs(folder)]
    finished = read_json(folder / FINISHED_FILE)
    facts = RunFacts(
        name=folder.name,
        config=load_config(folder),
        steps=int(finished["steps"]),
        trained_s=float(finished["trained_s"]),
        machine=f"{finished['processes']} x {finished['device']}",
    )
    return [facts]


def _noted(facts: RunFacts) -> str:
    """What the model directory keeps of a run, as :func:`published_runs` reads it."""
    finished = {"steps": facts.steps, "trained_s": facts.trained_s, "machine": facts.machine}
    return json.dumps({"finished": finished, "config": facts.config}, indent=2) + "\n"


def _hardware(runs: Sequence[RunFacts]) -> str:
    return ", ".join(dict.fromkeys(facts.machine for facts in runs))
