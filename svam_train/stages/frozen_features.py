"""What the frozen part of the network makes of a picture, computed once: in memory, or a file an episode.

At full size a picture's features are tens of megabytes: there they are computed at every step.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import Foresight, InstructionCondition, Svam
from svam_ros.translation.preprocessing import image_to_network
from svam_ros.whole_files import whole_file
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError, Episode, Rows, episode_digest
from svam_train.episodes.stored_rows import stored_rows
from svam_train.stages.instruction_texts import InstructionTexts
from svam_train.stages.pictures_at_once import pictures_at_once
from svam_train.teachers.teacher import weights_fingerprint
from svam_train.training.resources import KEPT_SUFFIX, check_room

PARTS = ("features", "semantic", "geometric")
_HALF_BYTES = 2

Features = Mapping[str, Rows]
"""By :data:`PARTS`, each ``(pictures, frames, tokens, width)`` float16, as weights are published."""
Told = Callable[[int, int, str], None]
"""Is told how many of how many episodes are done, and which one is next."""


def engine_latent_noise(config: SvamConfig, seed: int = 0) -> Tensor:
    """``(1, *latent_noise_shape)`` standard normal: what an engine with this seed draws once for all."""
    return torch.randn(1, *config.latent_noise_shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def frozen_features(
    network: Svam, images: Tensor, text_states: Tensor, latent_noise: Tensor
) -> tuple[Tensor, Foresight]:
    """Features of the video model and both foresights.

    Args:
        network: with the weights of the stages before.
        images: ``(rows, 3, size, size)`` in [-1, 1].
        text_states: ``(rows, length, 2 * text width)``.
        latent_noise: ``(rows, *latent_noise_shape)``.
    """
    text = network.video_backbone.project_text(text_states)
    # The goal is the action expert's, which is trained: nothing here looks at it.
    condition = InstructionCondition(text_states, text_states.new_empty(0), text)
    features = network.backbone(network.encode_image(images), condition, latent_noise)
    return features, network.decouple(features, network.references(images))


class CachedFeatures:
    """The features of every picture of a data set.

    Args:
        rows: the data set.
        features: of every episode by its identity.
    """

    def __init__(self, rows: EpisodeRows, features: Mapping[str, Features]) -> None:
        self._rows = rows
        self._features = features

    def of(self, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        """By :data:`PARTS`, each ``(rows, frames, tokens, width)`` float32."""
        places = [self._rows.where(int(row)) for row in rows]
        return {
            part: torch.from_numpy(
                np.concatenate(
                    [
                        self._features[episode.identity][part][np.array([picture])]
                        for episode, picture in places
                    ]
                )
            ).float()
            for part in PARTS
        }


def feature_bytes(rows: EpisodeRows, config: SvamConfig) -> int:
    """What the features of all pictures take, in memory or on disk."""
    width = config.backbone.feature_width + config.semantic_decoupler.width + config.geometric_decoupler.width
    return len(rows) * config.backbone.frames * config.grid**2 * width * _HALF_BYTES


def check_feature_room(folder: Path | None, needed: int) -> None:
    """Before anything is computed.

    Args:
        folder: where features will be kept; ``None``: in memory.
        needed: what those of all pictures take, bytes.

    Raises:
        RunError: the disk or the memory has too little room.
    """
    way_out = "keep them on disk with --recipe.features disk"
    if folder is not None:
        way_out = "make room, or name another folder with --features"
    anew = "compute them anew at every step with --recipe.features none"
    check_room("features of all pictures", needed, folder, f"{way_out}, or {anew}")


def cache_features(
    rows: EpisodeRows,
    network: Svam,
    texts: InstructionTexts,
    folder: Path | None = None,
    told: Told | None = None,
) -> CachedFeatures:
    """Compute the features of every picture under the engine's latent noise.

    Args:
        rows: the data set.
        network: frozen, in evaluation mode, on the device that it shall run on.
        texts: of the data set's instructions.
        folder: where they are kept, a file an episode; ``None`` keeps them in memory. What is there of the
            same pictures and weights is not made again, so this can be stopped at any time.
        told: progress.

    Raises:
        DataError: a file cannot be written or read.
    """
    fingerprint = "" if folder is None else _frozen_fingerprint(network)
    features: dict[str, Features] = {}
    for done, episode in enumerate(rows.episodes):
        if told is not None:
            told(done, len(rows.episodes), episode.identity)
        if folder is None:
            features[episode.identity] = _compute(episode, network, texts)
        else:
            features[episode.identity] = _stored(
                _shard(folder, episode, fingerprint), episode, network, texts
            )
    return CachedFeatures(rows, features)


def _compute(episode: Episode, network: Svam, texts: InstructionTexts) -> dict[str, NDArray[np.float16]]:
    device = next(network.parameters()).device
    noise = engine_latent_noise(network.config).to(device)
    states = texts.states_of(episode.instruction).to(device)
    parts: dict[str, list[NDArray[np.float16]]] = {part: [] for part in PARTS}
    at_once = pictures_at_once(device)
    for first in range(0, len(episode), at_once):
        pictures = np.arange(first, min(first + at_once, len(episode)))
        images = torch.from_numpy(image_to_network(episode.images[pictures])).to(device)
        count = len(pictures)
        outputs, foresight = frozen_features(
            network,
            images,
            states.expand(count, -1, -1),
            noise.expand(count, *noise.shape[1:]),
        )
        made = (outputs, foresight.semantic, foresight.geometric)
        for part, tensor in zip(PARTS, made, strict=True):
            parts[part].append(tensor.half().cpu().numpy())
    return {part: np.concatenate(arrays) for part, arrays in parts.items()}


def _stored(path: Path, episode: Episode, network: Svam, texts: InstructionTexts) -> Features:
    """The episode's features as rows that stay on disk, made where they are not there."""
    try:
        if not path.exists():
            _write(path, _compute(episode, network, texts))
        with zipfile.ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"'{broken}' in it is damaged")
        return {part: stored_rows(path, part, np.dtype(np.float16)) for part in PARTS}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path}: features cannot be kept there ({error}); delete the file to have it made again, make "
            f"room, or keep them in memory"
        ) from error


def _write(path: Path, features: Mapping[str, NDArray[np.float16]]) -> None:
    """The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(file, allow_pickle=False, **features)


def _shard(folder: Path, episode: Episode, fingerprint: str) -> Path:
    """Named by all that decides what is in it."""
    content = hashlib.sha256(episode_digest(episode) + fingerprint.encode()).hexdigest()
    return folder / f"{re.sub(r'[^A-Za-z0-9_-]', '_', episode.identity)}_{content[:16]}{KEPT_SUFFIX}"


def _frozen_fingerprint(network: Svam) -> str:
    tensors = network.run_time_state_dict()
    trained = ("uni_perceiver.", "action_expert.")
    return weights_fingerprint(
        f"{network.config} latent noise 0",
        {name: value for name, value in tensors.items() if not name.startswith(trained)},
    )
