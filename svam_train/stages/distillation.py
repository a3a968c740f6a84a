"""What stage 2 looks at and does not train: clips, videos of them, and what the teachers see in those."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.artifacts.tokenizer import InstructionTokenizer
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.svam import Svam
from svam_train.episodes.batches import EpisodeRows
from svam_train.stages.step_draws import draw_normal
from svam_train.stages.video_source import Foreseen, VideoSource
from svam_train.teachers.teacher import Teachers

Batch = dict[str, Tensor]


class ClipBatches:
    """Rows of a data set as clips with their instructions, and noise.

    Args:
        rows: the data set.
        tokenizer: of the instructions.
        config: of the network.
        frame_spacing: control steps between two frames.
    """

    def __init__(
        self, rows: EpisodeRows, tokenizer: InstructionTokenizer, config: SvamConfig, frame_spacing: int
    ) -> None:
        self.rows = rows
        self.offsets = tuple(range(0, config.backbone.frames * frame_spacing, frame_spacing))
        self._noise_shape = config.latent_noise_shape
        encoded = [tokenizer.encode(text) for text in rows.instructions]
        self._ids = torch.from_numpy(np.concatenate([one.token_ids for one in encoded]))
        self._masks = torch.from_numpy(np.concatenate([one.attention_mask for one in encoded]))

    def of(self, rows: NDArray[np.int64], random: np.random.Generator) -> Batch:
        """``clips`` in [-1, 1], ``token_ids``, ``attention_mask`` and ``noise``, on the CPU."""
        read = self.rows.clips(rows, self.offsets)
        codes = read["instructions"]
        return {
            "clips": read["clips"],
            "token_ids": self._ids[codes],
            "attention_mask": self._masks[codes],
            "noise": draw_normal(random, len(rows), *self._noise_shape),
        }


@dataclass(frozen=True)
class FrozenPass:
    """The frozen half of stage 2.

    Its networks go to the device of the batch that they are given.
    """

    network: Svam
    """The backbone of stage 1; reference encoders and all behind them are not used."""
    source: VideoSource
    teachers: Teachers
    """Of the decouplers that are trained."""

    @torch.no_grad()
    def foresee(self, batch: Batch) -> Foreseen:
        """The videos of a batch of :class:`ClipBatches`, and one step's features from the same noise."""
        self.network.to(batch["clips"].device)
        condition = self.network.encode_instruction(batch["token_ids"], batch["attention_mask"])
        return self.source.foresee(batch["clips"], condition, batch["noise"])

    @torch.no_grad()
    def examples(self, batch: Batch, foreseen: Foreseen | None = None) -> Batch:
        """What a decoupler is given and what it shall say.

        Returns:
            ``features`` ``(batch, frames, tokens, feature_width)`` and, for each kind, ``<kind>_reference``
            ``(batch, tokens, width)``: the teacher alone with the true first frame, as on the robot; and
            ``<kind>_target`` ``(batch, frames, tokens, width)``: the teacher with the video.
        """
        foreseen = foreseen or self.foresee(batch)
        first = (batch["clips"][:, :1].float() + 1.0) / 2.0
        examples = {"features": foreseen.features}
        for kind, teacher in self.teachers.items():
            examples[f"{kind}_reference"] = teacher.features(first)[:, 0]
            examples[f"{kind}_target"] = teacher.features(foreseen.frames)
        return examples

    @torch.no_grad()
    def future(self, batch: Batch) -> Batch:
        """What the teachers see in what really happened: ``(batch, frames, tokens, width)`` by kind."""
        frames = (batch["clips"].float() + 1.0) / 2.0
        return {kind: teacher.features(frames) for kind, teacher in self.teachers.items()}

    def fingerprints(self) -> dict[str, str]:
        """Of everything that decides the examples of a batch."""
        prints = {"videos": self.source.fingerprint}
        for kind, teacher in self.teachers.items():
            prints[kind] = teacher.fingerprint
        return prints


def placed(batch: Batch, device: torch.device) -> Batch:
    """A batch on a device."""
    return {name: value.to(device) for name, value in batch.items()}
