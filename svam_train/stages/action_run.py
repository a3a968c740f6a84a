"""From episodes and a finished run of the stage before to a run of stage 3."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.whole_files import write_whole_text
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import EpisodeSet
from svam_train.episodes.statistics import IdentifiedStatistics, fit_statistics
from svam_train.recipes.actions import ActionRecipe
from svam_train.stages.actions import ActionObjective, ActionRows, action_network
from svam_train.stages.frozen_features import cache_features, check_feature_room, feature_bytes
from svam_train.stages.inheritance import (
    STATISTICS_FILE,
    TOKENIZER_FILE,
    inherited_tokenizer,
    inherited_weights,
    lineage,
)
from svam_train.stages.instruction_texts import InstructionTexts
from svam_train.stages.published_parent import (
    check_fits,
    is_published,
    published_runs,
    published_statistics,
)
from svam_train.training.loop import train
from svam_train.training.processes import this_process
from svam_train.training.run_folder import RunError, RunFolder, load_config

STAGE = "actions"

Told = Callable[[int, int, str], None]
"""Is told how many of how many episodes are done, and which one is next."""


@dataclass(frozen=True)
class NetworkChange:
    """What is different from the published network, from before the first step on."""

    facts: Mapping[str, Any]
    """For the run's config: a run is resumed with the same change only."""
    apply: Callable[[Svam], None]
    """Changes the network in place."""
    stage: str = STAGE
    """Of the run's config; another name where other code than this could not run the weights."""


@dataclass(frozen=True)
class ActionRun:
    """What a run of stage 3 is made of."""

    training: EpisodeSet
    held_out: EpisodeSet
    facts: Mapping[str, Any]
    """Of the data, for the run's config: among them ``image``, how its pictures were prepared."""
    parent: Path
    """Finished run of the decouplers; or of this stage, or a published model, to go on from."""
    folder: Path
    features: Path | None = None
    """Where features are kept that the recipe wants on disk; by default in the run's folder."""
    device: str = "cpu"
    """Where features are computed that are kept."""
    change: NetworkChange | None = None


def train_actions(recipe: ActionRecipe, run: ActionRun, *, resume: bool, told: Told | None = None) -> None:
    """Run the stage.

    Args:
        recipe: the numbers.
        run: on what, and where.
        resume: go on where the run in the folder stands.
        told: progress of computing features, for each of the two sides of the data.

    Raises:
        DataError: the data does not hold what the recipe wants.
        RunError: the run or its parent cannot be used.
    """
    _check_parent(recipe, run)
    network = action_network(recipe, inherited_weights(run.parent))
    if run.change is not None:
        run.change.apply(network)
    network = network.to(run.device).eval()
    tokenizer = inherited_tokenizer(run.parent, recipe.config.text)
    statistics = _statistics(recipe, run)
    kept = (run.features or run.folder / "features") if recipe.features == "disk" else None
    both = [EpisodeRows(episodes) for episodes in (run.training, run.held_out)]
    if recipe.features != "none":
        check_feature_room(kept, sum(feature_bytes(rows, recipe.config) for rows in both))
    sides = []
    for rows in both:
        texts = InstructionTexts(rows.instructions, tokenizer, network)
        if recipe.features == "none":
            sides.append(ActionRows(rows, texts))
            continue
        sides.append(ActionRows(rows, texts, cache_features(rows, network, texts, kept, told)))
    objective = ActionObjective(recipe, network, statistics.statistics, sides[0], sides[1])
    config = {
        "stage": STAGE if run.change is None else run.change.stage,
        "recipe": asdict(recipe),
        "data": {**run.facts, **_data_facts(run)},
        "statistics": statistics.id,
    }
    if run.change is not None:
        config["change"] = dict(run.change.facts)
    train(objective, recipe.training, RunFolder(run.folder, config, {"parent": run.parent}), resume=resume)
    if this_process().is_main_process:
        write_whole_text(run.folder / TOKENIZER_FILE, tokenizer.to_json())
        write_whole_text(run.folder / STATISTICS_FILE, statistics.to_json())


def _check_parent(recipe: ActionRecipe, run: ActionRun) -> None:
    """Refuse another network or other pictures, and to read another moment into the video's later frames than
    the stages before did.
    """
    if is_published(run.parent):
        check_fits(run.parent, recipe.config, ImagePreparation(**run.facts["image"]))
    for folder, config in _configs(run.parent):
        theirs = config.get("recipe", {}).get("frame_spacing", recipe.frame_spacing)
        if config.get("stage") in ("video", "decouplers") and theirs != recipe.frame_spacing:
            raise RunError(
                f"{folder}: its video has frames {theirs} control steps apart, this recipe says "
                f"{recipe.frame_spacing}: set --recipe.frame-spacing {theirs}"
            )


def _configs(parent: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Of every run in the line, with the folder that tells of it."""
    for folder in lineage(parent):
        if is_published(folder):
            yield from ((folder, noted["config"]) for noted in published_runs(folder))
        else:
            yield folder, load_config(folder)


def _data_facts(run: ActionRun) -> dict[str, Any]:
    """What a model's card says about its data."""
    tasks = sorted({episode.task for episode in run.training})
    return {
        "episodes": {task: sum(episode.task == task for episode in run.training) for task in tasks},
        "held_out_episodes": len(run.held_out),
        "pictures": sum(len(episode) for episode in run.training),
        "instructions": sorted({episode.instruction for episode in run.training}),
    }


def _statistics(recipe: ActionRecipe, run: ActionRun) -> IdentifiedStatistics:
    """Those of the data; of an earlier run of this stage its own, which its weights were trained with."""
    path = run.parent / STATISTICS_FILE
    if is_published(run.parent):
        statistics = published_statistics(run.parent)
    elif path.is_file():
        statistics = IdentifiedStatistics.from_json(path.read_text(encoding="utf-8"))
    else:
        return fit_statistics(run.training, method=recipe.statistics)
    statistics.check(run.training)
    return statistics
