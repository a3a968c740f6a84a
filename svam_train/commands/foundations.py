"""``svam-train foundations``: what larger networks take from public checkpoints, for one that starts from
nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from svam_train.commands.stage_data import DataOptions, open_stage_data, tell
from svam_train.recipes.autoencoder import PRESETS, AutoencoderRecipe

AUTOENCODER_FOLDER = "autoencoder"
"""In the folder of runs."""


@dataclass(frozen=True)
class Foundations:
    """Train the video autoencoder of a network that has no public one."""

    runs: Path = Path("runs/foundations")
    """Gets a run in a folder of its own: autoencoder/."""
    data: DataOptions = field(default_factory=DataOptions)
    resume: bool = False
    """Go on where the run stands."""
    recipe: AutoencoderRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Foundations) -> None:
    """Train.

    Raises:
        ValueError: options, data or the run's folder do not do; the text says why.
    """
    from svam_ros.networks.presets import PRESETS as NETWORKS
    from svam_train.stages.autoencoder import AutoencoderObjective
    from svam_train.training.loop import train
    from svam_train.training.run_folder import RunFolder

    recipe, config = options.recipe, NETWORKS[options.recipe.network]
    data = open_stage_data(
        options.data, config.image_encoder.image_size, recipe.held_out_share, recipe.frame_spacing
    )
    facts = {"stage": "autoencoder", "recipe": asdict(recipe), "data": data.facts}
    folder = RunFolder(options.runs / AUTOENCODER_FOLDER, facts)
    objective = AutoencoderObjective(recipe, config, data.training, data.held_out)
    train(objective, recipe.training, folder, resume=options.resume)
    tell(f"{folder.weights}: the autoencoder; go on with 'svam-train video --autoencoder {folder.path}'")
