"""Depth Anything 3 (arXiv 2511.10647) as the geometric teacher, over its own package.

The package is needed in training only. All frames of a video go in together as views of one scene; from
three views on the package moves the view that it finds most central to the front before the views see
each other, and back afterwards. What is taken is the first output stage: the tokens after the last local
block as they are, beside those of the block after it, normalised. Later blocks are not run.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from svam_ros.artifacts.published.conversion import PublishedCheckpointError, convert_group
from svam_ros.networks.config import ReferenceConfig, SvamConfig
from svam_ros.networks.reference_encoders import ReferenceImage
from svam_train.teachers.teacher import TeacherError, as_published, fingerprint_of

PUBLISHED = "depth-anything/DA3-LARGE"
"""On the Hugging Face hub: the model with which S-VAM was published. Its weights are CC BY-NC 4.0."""

WEIGHTS_FILE = "model.safetensors"
_PREFIX = "model.backbone.pretrained."
_MODULE = "depth_anything_3.model.dinov2.dinov2"
_INSTALL = "pip install --no-deps depth-anything-3 && pip install addict einops omegaconf"
"""Without the package's other dependencies: they hold numpy below 2, and its backbone needs none of them."""
_NAMES = {384: "vits", 768: "vitb", 1024: "vitl"}
"""The package's name of the backbone of a width."""


class DepthAnything3Teacher:
    """First output stage of all frames, seen together.

    Args:
        backbone: the package's vision transformer; it is frozen, and its later blocks are taken off.
        references: of the network that is trained: sizes and the blocks to run are taken from there.
    """

    def __init__(self, backbone: Any, references: ReferenceConfig) -> None:
        self.name = "Depth Anything 3"
        self.width, self.grid = references.geometric_width, references.grid
        self._references = as_published(references)
        self._view = ReferenceImage(self._references)
        self._blocks = references.geometric.layers
        del backbone.blocks[self._blocks :]
        self._backbone = backbone.eval().requires_grad_(requires_grad=False)

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`svam_train.teachers.teacher.Teacher`."""
        return fingerprint_of(self.name, self._references, self._backbone.state_dict())

    @torch.no_grad()
    def features(self, frames: Tensor) -> Tensor:
        """See :class:`svam_train.teachers.teacher.Teacher`; the frames of a video together."""
        backbone, view = self._backbone.to(frames.device), self._view.to(frames.device)
        views = view(2.0 * frames.flatten(0, 1) - 1.0).unflatten(0, frames.shape[:2])
        stages, _ = backbone.get_intermediate_layers(views, [self._blocks - 1])
        tokens: Tensor = stages[0][0]
        return tokens.float()

    def reference_tensors(self, config: SvamConfig) -> dict[str, Tensor]:
        """See :class:`svam_train.teachers.teacher.PublicTeacher`."""
        try:
            return convert_group("da3_backbone", self._backbone.state_dict(), config)
        except PublishedCheckpointError as error:
            raise TeacherError(f"Depth Anything 3: its weights do not fit the network: {error}") from error


def untrained_backbone(references: ReferenceConfig) -> Any:
    """The package's vision transformer with the weights that it begins with.

    Args:
        references: see :class:`DepthAnything3Teacher`.

    Raises:
        TeacherError: the package is not installed, or has no backbone of this width.
    """
    geometric = references.geometric
    try:
        module = importlib.import_module(_MODULE)
    except ImportError as error:
        raise TeacherError(
            f"Depth Anything 3: its package cannot be imported ({error}); install it with '{_INSTALL}'"
        ) from error
    if geometric.width not in _NAMES:
        raise TeacherError(
            f"Depth Anything 3: there is no backbone of width {geometric.width}; there are {sorted(_NAMES)}"
        )
    return module.DinoV2(
        _NAMES[geometric.width],
        out_layers=[geometric.layers - 1],
        alt_start=geometric.alternate_from,
        qknorm_start=geometric.qk_norm_from,
        rope_start=geometric.rotary_from,
    ).pretrained


def load_depth_anything_3(weights: str, references: ReferenceConfig) -> DepthAnything3Teacher:
    """Load the teacher.

    Args:
        weights: a ``model.safetensors`` or the folder it lies in, or a name on the Hugging Face hub.
        references: see :class:`DepthAnything3Teacher`.

    Raises:
        TeacherError: the package is not installed, there are no such weights, or they do not fit.
    """
    backbone = untrained_backbone(references)
    path = _weights_file(weights)
    try:
        tensors = load_file(path)
        ours = {name.removeprefix(_PREFIX): t for name, t in tensors.items() if name.startswith(_PREFIX)}
        backbone.load_state_dict(ours)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise TeacherError(
            f"Depth Anything 3: {path} is not the published model of width "
            f"{references.geometric.width}: {error}"
        ) from error
    return DepthAnything3Teacher(backbone, references)


def _weights_file(weights: str) -> Path:
    here = Path(weights)
    if here.exists():
        return here / WEIGHTS_FILE if here.is_dir() else here
    try:
        return Path(hf_hub_download(weights, WEIGHTS_FILE))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise TeacherError(
            f"Depth Anything 3: '{weights}' is no folder with {WEIGHTS_FILE}, and cannot be had from the "
            f"Hugging Face hub ({error}); name a folder, or '{PUBLISHED}' where the hub can be reached"
        ) from error
