"""DINOv2 with registers as the semantic teacher (arXiv 2304.07193, 2309.16588), over transformers."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from transformers import Dinov2WithRegistersModel

from svam_ros.artifacts.published.position_tables import resize_semantic
from svam_ros.artifacts.published.transforms import ResizedPositions
from svam_ros.networks.config import ReferenceConfig, SvamConfig
from svam_ros.networks.reference_encoders import ReferenceImage
from svam_train.teachers.teacher import TeacherError, as_published, fingerprint_of

PUBLISHED = "facebook/dinov2-with-registers-base"
"""On the Hugging Face hub: the size with which S-VAM was published (ViT-B/14, 4 registers)."""


class Dinov2Teacher:
    """Normalised patch tokens of every frame by itself.

    Args:
        model: the network; it is frozen.
        references: of the network that is trained: size and patches are taken from there.

    Raises:
        TeacherError: the model's sizes are not those of the network's semantic reference.
    """

    def __init__(self, model: Dinov2WithRegistersModel, references: ReferenceConfig) -> None:
        sizes = (model.config.hidden_size, model.config.patch_size)
        wanted = (references.semantic.width, references.patch_size)
        if sizes != wanted:
            raise TeacherError(
                f"DINOv2: width and patch size are {sizes}, the network's semantic reference has {wanted}; "
                f"use the weights of the size that the preset names"
            )
        self.name = "DINOv2 with registers"
        self.width, self.grid = references.semantic.width, references.grid
        self._references = as_published(references)
        self._view = ReferenceImage(self._references)
        self._skipped_tokens = 1 + model.config.num_register_tokens
        self._model = model.eval().requires_grad_(requires_grad=False)

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`svam_train.teachers.teacher.Teacher`."""
        return fingerprint_of(self.name, self._references, self._model.state_dict())

    @torch.no_grad()
    def features(self, frames: Tensor) -> Tensor:
        """See :class:`svam_train.teachers.teacher.Teacher`; each frame by itself."""
        model, view = self._model.to(frames.device), self._view.to(frames.device)
        tokens = model(view(2.0 * frames.flatten(0, 1) - 1.0)).last_hidden_state[:, self._skipped_tokens :]
        return tokens.float().unflatten(0, frames.shape[:2])

    def reference_tensors(self, config: SvamConfig) -> dict[str, Tensor]:
        """See :class:`svam_train.teachers.teacher.PublicTeacher`: positions at the size in use."""
        prefix = "semantic_reference.dino."
        tensors = {f"{prefix}{name}": value for name, value in self._model.state_dict().items()}
        tensors.pop(f"{prefix}embeddings.mask_token", None)  # for masked pre-training only
        positions = f"{prefix}embeddings.position_embeddings"
        tensors[positions] = ResizedPositions(resize_semantic).apply(
            [tensors[positions]], (1, 1 + config.references.grid**2, self.width)
        )
        return tensors


def load_dinov2(weights: str, references: ReferenceConfig) -> Dinov2Teacher:
    """Load the teacher.

    Args:
        weights: a folder that transformers wrote, or a name on the Hugging Face hub.
        references: see :class:`Dinov2Teacher`.

    Raises:
        TeacherError: there are no such weights, or they do not fit.
    """
    try:
        model = Dinov2WithRegistersModel.from_pretrained(weights, use_safetensors=True, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise TeacherError(
            f"DINOv2: '{weights}' cannot be loaded ({error}); name a folder with config.json and "
            f"model.safetensors, or '{PUBLISHED}' where the Hugging Face hub can be reached"
        ) from error
    return Dinov2Teacher(model, references)
