"""Every picture of a data set as latents, encoded once.

In memory, or one file an episode: what is there already is not made again, so encoding a large data set
can be stopped at any time.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.image_encoder import ImageEncoder
from svam_ros.translation.preprocessing import image_to_network
from svam_ros.whole_files import whole_file
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError, Episode, Rows
from svam_train.episodes.stored_rows import stored_rows
from svam_train.stages.pictures_at_once import pictures_at_once
from svam_train.teachers.teacher import weights_fingerprint
from svam_train.training.resources import KEPT_SUFFIX
from svam_train.training.run_folder import RunError

_PICTURES_HASHED_AT_ONCE = 32
_FLOAT_BYTES = 4
_ARRAY = "latents"

Told = Callable[[int, int, str], None]
"""Is told how many of how many episodes are encoded, and which one is next."""

logger = logging.getLogger(__name__)


class EncodedRows:
    """The rows of a data set as latents.

    Args:
        rows: the data set.
        latents: ``(pictures, c, h, w)`` float32 of every episode by its identity, not scaled.
    """

    def __init__(self, rows: EpisodeRows, latents: Mapping[str, Rows]) -> None:
        self.rows = rows
        self._latents = latents

    def __len__(self) -> int:
        """Rows."""
        return len(self.rows)

    def clips(self, rows: NDArray[np.int64], frame_offsets: Sequence[int]) -> Tensor:
        """``(batch, frames, c, h, w)`` latents, not scaled, of the frames of :meth:`EpisodeRows.clips`.

        Raises:
            DataError: an offset falls between two pictures.
        """
        stride = self.rows.stride
        if any(offset % stride for offset in frame_offsets):
            raise DataError(
                f"video frames are wanted at control steps {tuple(frame_offsets)}, pictures were taken every "
                f"{stride}: use multiples of that"
            )
        ahead = np.asarray(frame_offsets, np.int64) // stride
        parts = []
        for row in rows:
            episode, picture = self.rows.where(int(row))
            wanted = np.minimum(picture + ahead, len(episode) - 1)
            parts.append(self._latents[episode.identity][wanted])
        return torch.from_numpy(np.stack(parts))


def load_image_encoder(config: SvamConfig, tensors: Mapping[str, Tensor]) -> ImageEncoder:
    """The frozen image encoder among a network's tensors.

    Raises:
        RunError: it is not there, or of another network.
    """
    encoder = ImageEncoder(config.image_encoder)
    prefix = "image_encoder."
    given = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    try:
        encoder.load_state_dict(given)
    except RuntimeError as error:
        raise RunError(f"the image encoder to start from is of another network: {error}") from error
    # A CPU takes three quarters of the time this way, a GPU's tensor cores want it anyhow.
    encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return encoder.eval().requires_grad_(requires_grad=False)


def latent_bytes(rows: EpisodeRows, config: SvamConfig) -> int:
    """What the latents of all pictures take, in memory or on disk."""
    _, *shape = config.latent_noise_shape
    return len(rows) * int(np.prod(shape)) * _FLOAT_BYTES


def encode_rows(
    rows: EpisodeRows, encoder: ImageEncoder, folder: Path | None = None, told: Told | None = None
) -> EncodedRows:
    """Encode every picture of a data set: the mode of its latents, as the policy sees them.

    Args:
        rows: the data set.
        encoder: on the device that it shall run on.
        folder: where the latents are kept, a file for each episode; ``None`` keeps them in memory. Files
            of other pictures or of another encoder are not taken; damaged ones are named and made again.
        told: progress.

    Raises:
        DataError: a file cannot be written.
    """
    encoder.eval()
    fingerprint = "" if folder is None else weights_fingerprint("image encoder", encoder.state_dict())
    latents: dict[str, Rows] = {}
    for done, episode in enumerate(rows.episodes):
        if told is not None:
            told(done, len(rows.episodes), episode.identity)
        if folder is None:
            latents[episode.identity] = encode_episode(episode, encoder)
        else:
            path = _shard(folder, episode, fingerprint)
            latents[episode.identity] = _sound_shard(path) or _write_shard(path, episode, encoder)
    return EncodedRows(rows, latents)


@torch.no_grad()
def encode_episode(episode: Episode, encoder: ImageEncoder) -> NDArray[np.float32]:
    """``(pictures, c, h, w)``, not scaled."""
    device = next(encoder.parameters()).device
    parts, at_once = [], pictures_at_once(device)
    for first in range(0, len(episode), at_once):
        pictures = np.arange(first, min(first + at_once, len(episode)))
        images = torch.from_numpy(image_to_network(episode.images[pictures])).to(device)
        parts.append(encoder(images).float().cpu().numpy())
    return np.concatenate(parts)


def _shard(folder: Path, episode: Episode, fingerprint: str) -> Path:
    """Named after what is in it: other pictures, or another encoder, have another name."""
    digest = hashlib.sha256(f"{fingerprint} {episode.identity} {episode.images.shape}".encode())
    for first in range(0, len(episode), _PICTURES_HASHED_AT_ONCE):
        pictures = np.arange(first, min(first + _PICTURES_HASHED_AT_ONCE, len(episode)))
        digest.update(np.ascontiguousarray(episode.images[pictures]).data)
    readable = re.sub(r"[^A-Za-z0-9_.-]", "_", episode.identity)
    return folder / f"{readable}-{digest.hexdigest()[:16]}{KEPT_SUFFIX}"


def _sound_shard(path: Path) -> Rows | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            file[_ARRAY]  # reading it all checks it against its checksum
        return stored_rows(path, _ARRAY, np.dtype(np.float32))
    except Exception as error:  # a damaged archive raises whatever its bytes happen to mean
        logger.warning("%s is damaged (%s); its latents are computed again", path, error)
        return None


def _write_shard(path: Path, episode: Episode, encoder: ImageEncoder) -> Rows:
    latents = encode_episode(episode, encoder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, allow_pickle=False, **{_ARRAY: latents})
    except OSError as error:
        raise DataError(
            f"{path}: latents cannot be kept here ({error}); make room, or name another folder"
        ) from error
    return stored_rows(path, _ARRAY, np.dtype(np.float32))
