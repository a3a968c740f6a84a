"""Weights to start stage 1 from as they are published: Stable Video Diffusion's, and CLIP's text model's.

Both as folders that diffusers and transformers write; nothing is fetched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from svam_ros.artifacts.published.conversion import PublishedCheckpointError, convert_group
from svam_ros.artifacts.published.name_rules import pattern
from svam_ros.artifacts.published.sources import SOURCES
from svam_ros.artifacts.published.weight_files import find_weight_files, read_tensors, with_prefix
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svd_backbone import FEATURE_UP_BLOCKS

_HEAD = ("conv_norm_out.", "conv_out.")
_UNET_FOLDER, _AUTOENCODER_FOLDER, _TEXT_FOLDER = "unet", "vae", "text_encoder"


def published_start(video_model: Path, text_model: Path, config: SvamConfig) -> dict[str, Tensor]:
    """What stage 1 starts from, by the network's names, float32.

    Args:
        video_model: a folder with ``unet/`` and ``vae/``: Stable Video Diffusion, or a fine-tuning of it.
        text_model: a folder of CLIP ViT-B/32, whose text states take the place of image embeddings.
        config: of the network.

    Returns:
        ``image_encoder.*``, ``video_decoder.*``, ``video_backbone.*`` and ``text_encoder.*``.

    Raises:
        PublishedCheckpointError: something is missing, broken, or of other sizes than ``config``. Sizes of
            the UNet and of the decoder are found out when they are loaded.
    """
    unet = _read(video_model / _UNET_FOLDER)
    autoencoder = _read(video_model / _AUTOENCODER_FOLDER)
    decoder = with_prefix(autoencoder, "decoder.")
    if not decoder:
        raise PublishedCheckpointError(f"{video_model / _AUTOENCODER_FOLDER}: no decoder in it")
    return {
        **{f"video_backbone.{name_in_backbone(name)}": tensor for name, tensor in unet.items()},
        **convert_group("vae", autoencoder, config),
        **{f"video_decoder.decoder.{name}": tensor for name, tensor in decoder.items()},
        **convert_group(_TEXT_FOLDER, _only_text(_read(text_model)), config),
    }


def name_in_backbone(published: str) -> str:
    """Of a tensor of diffusers' UNet: what comes after the policy's features is the video head's."""
    if published.startswith(_HEAD):
        return f"video_head.{published}"
    part, _, rest = published.partition(".")
    number, _, inner = rest.partition(".")
    if part != "up_blocks" or int(number) < FEATURE_UP_BLOCKS:
        return published
    return f"video_head.up_blocks.{int(number) - FEATURE_UP_BLOCKS}.{inner}"


def _only_text(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """CLIP without its image half."""
    others = [pattern(other.published) for other in SOURCES[_TEXT_FOLDER].others]
    return {name: t for name, t in tensors.items() if not any(stars.fullmatch(name) for stars in others)}


def _read(folder: Path) -> dict[str, Tensor]:
    with TemporaryDirectory() as workspace:
        tensors = read_tensors(
            find_weight_files(folder, "weights"), Path(workspace), lambda _done_bytes: None
        )
        return {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
