"""``svam-train teachers``: the two teachers of a network that has no public ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from svam_train.commands.stage_data import DataOptions, open_stage_data, tell
from svam_train.recipes.teachers import PRESETS, TeachersRecipe


@dataclass(frozen=True)
class Teachers:
    """Train a network's own reference encoders on what simulation knows: they teach the decouplers."""

    run: Path = Path("runs/teachers")
    """Folder of this run."""
    data: DataOptions = field(default_factory=DataOptions)
    resume: bool = False
    """Go on where the run stands."""
    recipe: TeachersRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Teachers) -> None:
    """Train.

    Raises:
        ValueError: options, data or the run's folder do not do; the text says why.
    """
    from svam_ros.networks.presets import PRESETS as NETWORKS
    from svam_train.stages.teachers import TeachersObjective
    from svam_train.training.loop import train
    from svam_train.training.run_folder import RunFolder

    recipe, config = options.recipe, NETWORKS[options.recipe.network]
    data = open_stage_data(options.data, config.image_encoder.image_size, recipe.held_out_share)
    folder = RunFolder(options.run, {"stage": "teachers", "recipe": asdict(recipe), "data": data.facts})
    objective = TeachersObjective(recipe, config, data.training, data.held_out)
    train(objective, recipe.training, folder, resume=options.resume)
    tell(f"{folder.weights}: both teachers; go on with 'svam-train decouplers --teachers {folder.path}'")
