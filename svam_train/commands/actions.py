"""``svam-train actions``: stage 3, the action expert on frozen foresight."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from svam_train.commands.stage_data import DataOptions, EpisodeProgress, open_stage_data, process_device, tell
from svam_train.recipes.actions import PRESETS, ActionRecipe

if TYPE_CHECKING:  # help is shown without torch
    from svam_train.episodes.episodes import EpisodeSet


@dataclass(frozen=True)
class Actions:
    """Stage 3: train Uni-Perceiver and action expert on top of the frozen foresight of stages 1 and 2."""

    parent: Path = Path("runs/decouplers")
    """Finished run of the decouplers; or of this stage, or a model directory, to go on from with other data.
    A model that ships with the package goes by its name."""
    run: Path = Path("runs/actions")
    """Folder of this run."""
    data: DataOptions = field(default_factory=DataOptions)
    features: Path | None = None
    """Where features are kept with --recipe.features disk, which other runs can share; by default in the
    run's folder."""
    resume: bool = False
    """Go on where the run stands."""
    recipe: ActionRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Actions) -> None:
    """Train.

    Raises:
        ValueError: options, data, parent or the run's folder do not do; the text says why.
    """
    from svam_train.stages.action_run import ActionRun, train_actions
    from svam_train.stages.published_parent import find_parent

    recipe = options.recipe
    training, held_out, facts = open_action_data(options.data, recipe)
    parent = find_parent(options.parent)
    where = ActionRun(training, held_out, facts, parent, options.run, options.features, str(process_device()))
    with EpisodeProgress("features of ") as progress:
        train_actions(recipe, where, resume=options.resume, told=progress.told)
    tell(f"{options.run}: the whole network; go on with 'svam-train publish {options.run} --out MODEL'")


def open_action_data(
    options: DataOptions, recipe: ActionRecipe
) -> tuple[EpisodeSet, EpisodeSet, dict[str, Any]]:
    """Episodes to train on, episodes to look at, and what a run's config says of them.

    Raises:
        DataError: the data is not there or must not be trained on.
    """
    from svam_ros.cobot import load_cobot, load_robot_profile
    from svam_ros.translation.preprocessing import ImagePreparation
    from svam_train.episodes.episodes import DataError, EpisodeSet, RobotFacts

    actions, joints = recipe.config.action_expert.action_dim, len(load_cobot().joint_names)
    if actions != joints:
        raise DataError(
            f"network '{recipe.network}' acts with {actions} numbers, the Cobot has {joints} joints: its "
            f"action expert is for another robot, whose episodes cannot be read here; use --config cobot"
        )
    data = open_stage_data(
        options, recipe.config.image_encoder.image_size, recipe.held_out_share, recipe.frame_spacing
    )
    robot = RobotFacts.of(load_cobot(), load_robot_profile(options.profile))
    image = ImagePreparation(**data.facts["image"])
    training, held_out = (
        EpisodeSet(f"{data.facts['name']} {side}", robot, image, rows.episodes)
        for side, rows in (("training", data.training), ("held out", data.held_out))
    )
    return training, held_out, data.facts
