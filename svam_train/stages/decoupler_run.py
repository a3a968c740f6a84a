"""From a finished run of the video model and teachers to a run of stage 2."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.presets import PRESETS as NETWORKS
from svam_ros.networks.svam import Svam
from svam_train.episodes.batches import EpisodeRows
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.stages.decouplers import DecouplersData, DecouplersObjective, fill_example_shards
from svam_train.stages.distillation import ClipBatches, FrozenPass
from svam_train.stages.feature_shards import FeatureShards, ShardPlan
from svam_train.stages.inheritance import inherited_tokenizer, inherited_weights
from svam_train.stages.video_decoder import VideoDecoder
from svam_train.stages.video_source import GeneratedVideo, TrueFuture, VideoSource
from svam_train.teachers.depth_anything_3 import load_depth_anything_3
from svam_train.teachers.dinov2 import load_dinov2
from svam_train.teachers.reference_teachers import reference_teachers
from svam_train.teachers.teacher import Kind, PublicTeacher, Teachers
from svam_train.training.loop import train
from svam_train.training.processes import this_process
from svam_train.training.run_folder import RunError, RunFolder, load_config, load_weights, write_json

STAGE = "decouplers"
QUALITY_FILE = "foresight.json"
"""In the finished run: how well it foresees, frame by frame."""
_CACHE_FOLDER = "examples"
_BACKBONE = ("image_encoder.", "text_encoder.", "video_backbone.")
_DECODER = "video_decoder."

Told = Callable[[int, int, str], None]
"""Is told how many of how many shards are there, and which one is next."""


@dataclass(frozen=True)
class DecouplerRun:
    """What a run of stage 2 is made of."""

    training: EpisodeRows
    held_out: EpisodeRows
    facts: Mapping[str, Any]
    """Of the data, for the run's config."""
    folder: Path
    device: torch.device
    """Where examples are computed that are kept."""
    video: Path
    """Finished run of the video model."""
    teachers: Path | None
    """Finished run of the network's own teachers; ``None`` takes public ones."""
    dinov2: str
    """Weights of the public semantic teacher: a folder, or a name on the Hugging Face hub."""
    depth_anything_3: str
    """The same of the geometric one."""
    beside: Path | None = None
    """Finished run of the other decoupler, handed on together with this one's."""
    examples: Path | None = None
    """Where kept examples lie; by default in the run's folder."""
    skip_corrupt: bool = False
    """Go without damaged shards of them."""


def train_decouplers(
    recipe: DecouplersRecipe, run: DecouplerRun, *, resume: bool, told: Told | None = None
) -> None:
    """Run the stage.

    Args:
        recipe: the numbers.
        run: on what, and where.
        resume: go on where the run in the folder stands.
        told: progress of computing examples that are kept.

    Raises:
        DataError: the data does not do, or kept examples are damaged or of something else.
        RunError: the run or one that it is built on cannot be used.
        TeacherError: a public teacher cannot be had.
    """
    config = NETWORKS[recipe.network]
    _check_spacing(recipe, run.video)
    weights = inherited_weights(run.video)
    if run.teachers is not None:
        weights |= inherited_weights(run.teachers)
    network = _frozen_network(config, weights, own_teachers=run.teachers is not None)
    teachers, references = _teachers(recipe, run, network)
    frozen = FrozenPass(network, _source(recipe, network, weights), teachers)
    tokenizer = inherited_tokenizer(run.video, config.text)
    data = DecouplersData(run.training, run.held_out, tokenizer)
    shards = _kept_examples(recipe, run, frozen, data, told) if recipe.cached_examples else None
    objective = DecouplersObjective(
        recipe, config, data, frozen, shards=shards, references=references, device=run.device
    )
    facts = {"stage": STAGE, "recipe": asdict(recipe), "data": dict(run.facts)}
    facts["teachers"] = {kind: teacher.fingerprint for kind, teacher in teachers.items()}
    parents = {"video": run.video, "teachers": run.teachers, "beside": run.beside}
    folder = RunFolder(run.folder, facts, {role: path for role, path in parents.items() if path is not None})
    train(objective, recipe.training, folder, resume=resume)
    if this_process().is_main_process:
        _write_quality(objective, folder, run.device)


def _write_quality(objective: DecouplersObjective, folder: RunFolder, device: torch.device) -> None:
    """What the last look found; where a kill came behind it, what is handed on is looked at anew."""
    quality = objective.latest
    if quality is None and not (folder.path / QUALITY_FILE).is_file():
        module = objective.module.to(device).eval()
        weights = load_weights(folder.path)
        module.load_state_dict({name: weights[name] for name in module.state_dict()})
        quality = objective.quality(module)
    if quality is not None:
        write_json(folder.path / QUALITY_FILE, asdict(quality))


def _check_spacing(recipe: DecouplersRecipe, video: Path) -> None:
    theirs = load_config(video).get("recipe", {})
    for name in ("network", "frame_spacing"):
        if name in theirs and theirs[name] != getattr(recipe, name):
            raise RunError(
                f"{video}: was trained with {name} {theirs[name]}, the decouplers would be with "
                f"{getattr(recipe, name)}; use the same"
            )


def _frozen_network(config: SvamConfig, weights: Mapping[str, Tensor], *, own_teachers: bool) -> Svam:
    """The network of the stages before; what this stage does not look at keeps random weights."""
    with torch.random.fork_rng(devices=[]):
        network = Svam(config, with_video_head=True)
    needed = (*_BACKBONE, *(("semantic_reference.", "geometric_reference.") if own_teachers else ()))
    wanted = {name: t for name, t in network.state_dict().items() if name.startswith(needed)}
    missing = [name for name in wanted if name not in weights]
    other = [name for name, t in wanted.items() if name in weights and weights[name].shape != t.shape]
    if missing or other:
        raise RunError(
            f"the runs to build on do not fit: missing are {', '.join(missing[:3]) or 'none'}, of another "
            f"shape are {', '.join(other[:3]) or 'none'}; name a finished run of the video model, and of the "
            f"teachers, with the same network"
        )
    network.load_state_dict({name: weights[name] for name in wanted}, strict=False)
    return network.eval().requires_grad_(requires_grad=False)


def _teachers(
    recipe: DecouplersRecipe, run: DecouplerRun, network: Svam
) -> tuple[Teachers, dict[str, Tensor]]:
    """The teachers that are needed, and the network's reference encoders if they are made of public ones."""
    if run.teachers is not None:
        own = reference_teachers(network)
        return {kind: own[kind] for kind in recipe.kinds}, {}
    references = network.config.references
    public: dict[Kind, PublicTeacher] = {}
    if "semantic" in recipe.kinds:
        public["semantic"] = load_dinov2(run.dinov2, references)
    if "geometric" in recipe.kinds:
        public["geometric"] = load_depth_anything_3(run.depth_anything_3, references)
    tensors: dict[str, Tensor] = {}
    for teacher in public.values():
        tensors |= teacher.reference_tensors(network.config)
    return public, tensors


def _source(recipe: DecouplersRecipe, network: Svam, weights: Mapping[str, Tensor]) -> VideoSource:
    if recipe.targets == "true_future":
        return TrueFuture(network)
    decoder = VideoDecoder(network.config.image_encoder)
    tensors = {name.removeprefix(_DECODER): t for name, t in weights.items() if name.startswith(_DECODER)}
    try:
        decoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(
            f"the video model's run does not hand on a decoder of this network: {error}"
        ) from error
    return GeneratedVideo(network, decoder.eval().requires_grad_(requires_grad=False), recipe.sampling)


def _kept_examples(
    recipe: DecouplersRecipe,
    run: DecouplerRun,
    frozen: FrozenPass,
    data: DecouplersData,
    told: Told | None,
) -> FeatureShards:
    """Computed by all processes together where they are missing."""
    identity = {
        **frozen.fingerprints(),
        "data": run.facts["fingerprint"],
        "seed": recipe.training.seed,
        "frame_spacing": recipe.frame_spacing,
    }
    folder = run.examples or run.folder / _CACHE_FOLDER
    plan = ShardPlan(folder, identity, recipe.cached_examples, recipe.examples_per_shard)
    state = this_process()
    clips = ClipBatches(data.training, data.tokenizer, frozen.network.config, recipe.frame_spacing)
    own = len(range(state.process_index, plan.shards, state.num_processes))
    if told is not None:
        told(0, own, plan.path(0).name)
    filling = fill_example_shards(
        plan, recipe, frozen, clips, run.device, state.process_index, state.num_processes
    )
    for done, number in enumerate(filling, start=1):
        if told is not None:
            told(done, own, plan.path(number).name)
    state.wait_for_everyone()
    return FeatureShards(plan, skip_corrupt=run.skip_corrupt)
