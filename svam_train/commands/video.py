"""``svam-train video``: stage 1, the video model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from svam_ros.whole_files import write_whole_text
from svam_train.commands.stage_data import DataOptions, EpisodeProgress, open_stage_data, process_device, tell
from svam_train.recipes.video import PRESETS, VideoRecipe

if TYPE_CHECKING:
    from torch import Tensor

    from svam_ros.artifacts.tokenizer import InstructionTokenizer
    from svam_ros.networks.config import SvamConfig
    from svam_train.commands.stage_data import StageData
    from svam_train.stages.latent_cache import EncodedRows
    from svam_train.stages.video import VideoData, VideoObjective

_MEMORY_SHARE = 0.25
"""Of the free memory that latents may take; beyond it they are kept on disk."""


@dataclass(frozen=True)
class Video:
    """Stage 1: fine-tune the text-conditioned video model on clips of robots.

    Starts from an autoencoder of 'svam-train foundations', or from published weights, which are read from
    folders: nothing is fetched. With FSDP launch with --fsdp_auto_wrap_policy NO_WRAP.
    """

    run: Path = Path("runs/video")
    """Folder of this run."""
    data: DataOptions = field(default_factory=DataOptions)
    autoencoder: Path | None = None
    """A finished autoencoder run; backbone and text encoder start from nothing."""
    svd: Path | None = None
    """Folder of Stable Video Diffusion or a fine-tuning of it, with unet/ and vae/."""
    clip: Path | None = None
    """Folder of CLIP ViT-B/32, weights and tokenizer, beside --svd."""
    latents: Path | None = None
    """Folder for the encoded pictures, which other runs can share. By default they are kept in memory, or
    in the run's folder where they are too many."""
    resume: bool = False
    """Go on where the run stands."""
    recipe: VideoRecipe = field(default_factory=lambda: PRESETS["tiny"])


def run(options: Video) -> None:
    """Train.

    Raises:
        ValueError: options, data, weights or the run's folder do not do; the text says why.
    """
    from svam_ros.networks.presets import PRESETS as NETWORKS
    from svam_train.stages.inheritance import TOKENIZER_FILE
    from svam_train.training.loop import train
    from svam_train.training.processes import this_process
    from svam_train.training.run_folder import RunFolder

    recipe, config = options.recipe, NETWORKS[options.recipe.network]
    _check_start(options)
    data = open_stage_data(
        options.data, config.image_encoder.image_size, recipe.held_out_share, recipe.frame_spacing
    )
    objective, tokenizer = _objective(options, config, data)
    parents = {} if options.autoencoder is None else {"autoencoder": options.autoencoder}
    facts = {"stage": "video", "recipe": asdict(recipe), "data": data.facts}
    folder = RunFolder(options.run, facts, parents)
    train(objective, recipe.training, folder, resume=options.resume)
    if this_process().is_main_process:
        write_whole_text(options.run / TOKENIZER_FILE, tokenizer.to_json())
    tell(f"{folder.weights}: the video model; go on with 'svam-train decouplers'")


def _check_start(options: Video) -> None:
    if (options.autoencoder is None) == (options.svd is None):
        raise ValueError("give either --autoencoder, a run of 'svam-train foundations', or --svd")
    if (options.svd is None) != (options.clip is None):
        raise ValueError("--svd and --clip belong together: the video model is told its text by CLIP")
    if options.svd is None and not options.recipe.train_text:
        raise ValueError("without --clip the text encoder starts from nothing: add --recipe.train-text")


def _objective(
    options: Video, config: SvamConfig, data: StageData
) -> tuple[VideoObjective, InstructionTokenizer]:
    """The weights to start from are gone when this returns: those of the published model are 6 GB."""
    from svam_train.stages.video import VideoObjective

    start, tokenizer = _start(options, config, data)
    encoded = _encoded(options, config, data, start, tokenizer)
    return VideoObjective(options.recipe, config, encoded, start), tokenizer


def _start(
    options: Video, config: SvamConfig, data: StageData
) -> tuple[dict[str, Tensor], InstructionTokenizer]:
    """Weights by the network's names, and the tokenizer that goes with them."""
    from svam_ros.artifacts.published.clip_tokenizer import read_clip_tokenizer
    from svam_ros.artifacts.tokenizer import build_word_tokenizer
    from svam_train.stages.public_video_model import published_start
    from svam_train.training.run_folder import load_weights

    if options.autoencoder is not None:
        sentences = {*data.training.instructions, *data.held_out.instructions}
        return load_weights(options.autoencoder), build_word_tokenizer(sorted(sentences), config.text)
    assert options.svd is not None
    assert options.clip is not None
    start = published_start(options.svd, options.clip, config)
    return start, read_clip_tokenizer(options.clip, config.text)


def _encoded(
    options: Video,
    config: SvamConfig,
    data: StageData,
    start: dict[str, Tensor],
    tokenizer: InstructionTokenizer,
) -> VideoData:
    """All pictures as latents of the autoencoder that the stage starts with."""
    import psutil

    from svam_train.stages.latent_cache import encode_rows, latent_bytes, load_image_encoder
    from svam_train.stages.video import VideoData
    from svam_train.training.resources import check_room

    needed = sum(latent_bytes(rows, config) for rows in (data.training, data.held_out))
    fits = needed < _MEMORY_SHARE * psutil.virtual_memory().available
    folder = options.latents or (None if fits else options.run / "latents")
    if folder is not None:
        way_out = "make room, or name another folder with --latents"
        check_room("latents of all pictures", needed, folder, way_out)
    encoder = load_image_encoder(config, start).to(process_device())
    parts: list[EncodedRows] = []
    for rows in (data.training, data.held_out):
        with EpisodeProgress() as progress:
            parts.append(encode_rows(rows, encoder, folder, progress.told))
    return VideoData(parts[0], parts[1], tokenizer)
