"""What a decoupler learns from: a vision foundation model that looks at the frames of a video."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, Protocol

import torch
from torch import Tensor

from svam_ros.networks.config import ReferenceConfig, SvamConfig

Kind = Literal["semantic", "geometric"]
"""The two kinds of foresight (arXiv 2603.16195, section 3.2)."""

KINDS: tuple[Kind, ...] = ("semantic", "geometric")


class TeacherError(ValueError):
    """A teacher cannot be had: a package or weights are missing or do not fit; the text says what to do."""


class Teacher(Protocol):
    """A frozen network; it puts itself on the device of the frames that it is given."""

    @property
    def name(self) -> str:
        """For reports."""

    @property
    def width(self) -> int:
        """Of a token."""

    @property
    def grid(self) -> int:
        """Tokens along one side of a frame."""

    @property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, over its weights and how it is shown the frames."""

    def features(self, frames: Tensor) -> Tensor:
        """What it sees.

        Args:
            frames: ``(batch, frames, 3, size, size)`` RGB in [0, 1]. A geometric teacher may look at all
                frames of a video together.

        Returns:
            ``(batch, frames, grid * grid, width)``, tokens row by row.
        """


class PublicTeacher(Teacher, Protocol):
    """A teacher with public weights, from which the network's reference encoder is made too."""

    def reference_tensors(self, config: SvamConfig) -> dict[str, Tensor]:
        """The network's reference encoder of this kind, by the network's names.

        Raises:
            TeacherError: the weights do not fit the network.
        """


Teachers = Mapping[Kind, Teacher]
"""The teachers at work, by kind: both, or one."""


def as_published(references: ReferenceConfig) -> ReferenceConfig:
    """How public foundation models are shown a frame: as in their own training.

    The published decouplers were trained on such frames; a network may look at its first frame otherwise.
    """
    return replace(references, resize="bicubic_antialias", normalization="imagenet")


def fingerprint_of(name: str, references: ReferenceConfig, tensors: Mapping[str, Tensor]) -> str:
    """sha256, hexadecimal, over weights and what else decides the features."""
    shown = (references.image_size, references.patch_size, references.resize, references.normalization)
    return weights_fingerprint(f"{name} {shown}", tensors)


def weights_fingerprint(text: str, tensors: Mapping[str, Tensor]) -> str:
    """sha256, hexadecimal, over a text and named tensors."""
    digest = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
