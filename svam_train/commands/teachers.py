"""``svam-train teachers``: the two teachers of a network that has no public ones."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from svam_train.commands.stage_data import DataOptions, open_stage_data, tell
from svam_train.recipes.teachers import PRESETS, TeachersRecipe


@dataclass(frozen=True)
class Teachers:
    """Train a network's own reference encoders on what simulation knows: they teach the decouplers."""

    run: Path = Path("runs/teachers")
    """Folder of this run."""
    data: DataOptions = field(default_factory=DataOptions)
    stills: Path | None = None
    """Folder of 'svam-train stills', to be learnt from as well."""
    parent: Path | None = None
    """Finished run of this stage to go on from, with more data."""
    resume: bool = False
    """Go on where the run stands."""
    recipe: TeachersRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Teachers) -> None:
    """Train.

    Raises:
        ValueError: options, data or the run's folder do not do; the text says why.
    """
    from svam_ros.networks.presets import PRESETS as NETWORKS
    from svam_train.episodes.batches import EpisodeRows
    from svam_train.stages.inheritance import inherited_weights
    from svam_train.stages.teachers import TeachersObjective
    from svam_train.training.loop import train
    from svam_train.training.run_folder import RunFolder

    recipe, config = options.recipe, NETWORKS[options.recipe.network]
    size = config.image_encoder.image_size
    data = open_stage_data(options.data, size, recipe.held_out_share)
    training, facts = data.training, {"stage": "teachers", "recipe": asdict(recipe), "data": data.facts}
    if options.stills is not None:
        stills = open_stage_data(replace(options.data, path=options.stills), size, recipe.held_out_share)
        training, facts = EpisodeRows(*training.sets, *stills.training.sets), facts | {"stills": stills.facts}
    start = None if options.parent is None else inherited_weights(options.parent)
    folder = RunFolder(options.run, facts, {} if options.parent is None else {"parent": options.parent})
    objective = TeachersObjective(recipe, config, training, data.held_out, start)
    train(objective, recipe.training, folder, resume=options.resume)
    tell(f"{folder.weights}: both teachers; go on with 'svam-train decouplers --teachers {folder.path}'")
