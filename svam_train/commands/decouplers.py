"""``svam-train decouplers``: stage 2, foresight in one step."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from svam_train.commands.stage_data import DataOptions, EpisodeProgress, open_stage_data, process_device, tell
from svam_train.recipes.decouplers import PRESETS, DecouplersRecipe
from svam_train.recipes.teachers import PRESETS as TEACHERS


@dataclass(frozen=True)
class Decouplers:
    """Stage 2: the decouplers learn to see in one step what teachers see in the model's own videos."""

    run: Path = Path("runs/decouplers")
    """Folder of this run."""
    video: Path = Path("runs/video")
    """Finished run of stage 1."""
    data: DataOptions = field(default_factory=DataOptions)
    teachers: Path | None = None
    """Finished run of a network's own teachers; without it DINOv2 and Depth Anything 3 teach."""
    dinov2: str = "facebook/dinov2-with-registers-base"
    """Weights: a folder that transformers wrote, or a name on the Hugging Face hub."""
    depth_anything_3: str = "depth-anything/DA3-LARGE"
    """Weights: a folder with model.safetensors, or a name on the Hugging Face hub."""
    beside: Path | None = None
    """Finished run of the other decoupler, where each is trained by itself: stage 3 needs both."""
    examples: Path | None = None
    """Folder for the examples that --recipe.cached-examples keeps; by default in the run's folder."""
    skip_corrupt: bool = False
    """Go without damaged files of kept examples, and say so, instead of refusing."""
    resume: bool = False
    """Go on where the run stands."""
    recipe: DecouplersRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Decouplers) -> None:
    """Train.

    Raises:
        ValueError: options, data, teachers, or a run's folder do not do; the text says why.
    """
    from svam_ros.networks.presets import PRESETS as NETWORKS
    from svam_train.stages.decoupler_run import QUALITY_FILE, DecouplerRun, train_decouplers

    recipe = options.recipe
    _check_teachers(options)
    image_size = NETWORKS[recipe.network].image_encoder.image_size
    data = open_stage_data(options.data, image_size, recipe.held_out_share, recipe.frame_spacing)
    what = DecouplerRun(
        training=data.training,
        held_out=data.held_out,
        facts=data.facts,
        folder=options.run,
        video=options.video,
        teachers=options.teachers,
        dinov2=options.dinov2,
        depth_anything_3=options.depth_anything_3,
        beside=options.beside,
        examples=options.examples,
        skip_corrupt=options.skip_corrupt,
        device=process_device(),
    )
    with ExitStack() as stack:
        told = stack.enter_context(EpisodeProgress()).told if recipe.cached_examples else None
        train_decouplers(recipe, what, resume=options.resume, told=told)
    tell(f"{options.run / QUALITY_FILE}: how well it foresees; go on with 'svam-train actions'")


def _check_teachers(options: Decouplers) -> None:
    """Before anything is opened: the public teachers see pictures of the published size only."""
    if options.recipe.network in TEACHERS and options.teachers is None:
        raise ValueError(
            f"network '{options.recipe.network}' has teachers of its own: train them with "
            f"'svam-train teachers', and give --teachers runs/teachers"
        )
