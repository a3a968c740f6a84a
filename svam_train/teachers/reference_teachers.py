"""The tiny network's own reference encoders as teachers: trained by us in simulation, see
:mod:`svam_train.stages.teachers`.

Both look at one frame at a time. Depth Anything 3 compares the frames of a video with each other; its
tiny counterpart is run on single frames on the robot and knows metres from its training, so it does not.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from svam_ros.networks.config import ReferenceConfig
from svam_ros.networks.reference_encoders import GeometricReference, ReferenceImage, SemanticReference
from svam_ros.networks.svam import Svam
from svam_train.teachers.teacher import Kind, Teacher, fingerprint_of


class ReferenceTeacher:
    """A reference encoder of the network, asked about every frame.

    Args:
        encoder: the encoder; it is frozen.
        references: how it is shown frames, and its sizes.
    """

    def __init__(self, encoder: SemanticReference | GeometricReference, references: ReferenceConfig) -> None:
        semantic = isinstance(encoder, SemanticReference)
        self.name = f"the network's own {'semantic' if semantic else 'geometric'} reference encoder"
        self.width = references.semantic.width if semantic else references.geometric_width
        self.grid = references.grid
        self._references = references
        self._encoder = encoder.eval().requires_grad_(requires_grad=False)
        self._view = ReferenceImage(references)

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`svam_train.teachers.teacher.Teacher`."""
        return fingerprint_of(self.name, self._references, self._encoder.state_dict())

    @torch.no_grad()
    def features(self, frames: Tensor) -> Tensor:
        """See :class:`svam_train.teachers.teacher.Teacher`; each frame by itself."""
        encoder, view = self._encoder.to(frames.device), self._view.to(frames.device)
        tokens: Tensor = encoder(view(2.0 * frames.flatten(0, 1) - 1.0))
        return tokens.float().unflatten(0, frames.shape[:2])


def reference_teachers(network: Svam) -> dict[Kind, Teacher]:
    """Both teachers of a network whose reference encoders are trained."""
    references = network.config.references
    return {
        "semantic": ReferenceTeacher(network.semantic_reference, references),
        "geometric": ReferenceTeacher(network.geometric_reference, references),
    }
