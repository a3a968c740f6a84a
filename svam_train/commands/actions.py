"""``svam-train actions``: stage 3, the action expert on frozen foresight."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from svam_train.commands.stage_data import DataOptions, EpisodeProgress, open_stage_data, process_device, tell
from svam_train.recipes.actions import PRESETS, ActionRecipe


@dataclass(frozen=True)
class Actions:
    """Stage 3: train Uni-Perceiver and action expert on top of the frozen foresight of stages 1 and 2."""

    parent: Path = Path("runs/decouplers")
    """Finished run of the decouplers, or of this stage to go on from with other data."""
    run: Path = Path("runs/actions")
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
    from svam_ros.cobot import load_cobot, load_robot_profile
    from svam_ros.translation.preprocessing import ImagePreparation
    from svam_train.episodes.episodes import EpisodeSet, RobotFacts
    from svam_train.stages.action_run import ActionRun, train_actions

    recipe = options.recipe
    size = recipe.config.image_encoder.image_size
    data = open_stage_data(options.data, size, recipe.held_out_share)
    robot = RobotFacts.of(load_cobot(), load_robot_profile(options.data.profile))
    image = ImagePreparation(**data.facts["image"])
    training, held_out = (
        EpisodeSet(f"{data.facts['name']} {side}", robot, image, rows.episodes)
        for side, rows in (("training", data.training), ("held out", data.held_out))
    )
    with ExitStack() as stack:
        bars: list[EpisodeProgress] = []

        def told(done: int, total: int, name: str) -> None:
            if done == 0:  # of the training side, then of the held-out side
                bars.append(stack.enter_context(EpisodeProgress()))
            bars[-1].told(done, total, f"features of {name}")

        where = ActionRun(
            training,
            held_out,
            data.facts,
            options.parent,
            options.run,
            options.features,
            str(process_device()),
        )
        train_actions(recipe, where, resume=options.resume, told=told)
    tell(f"{options.run}: the whole network; go on with 'svam-train publish {options.run} --out MODEL'")
