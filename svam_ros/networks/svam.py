"""S-VAM, whole: from a camera image and an instruction to a chunk of actions (arXiv 2603.16195, section 3).

The stages are public, so that an engine can time them and training can run some of them only. Two branches
look at the image: one foresees, the other says in which terms. Shapes of one prediction as published::

    image (3, 256, 256) ---------------------------------.
      |                                                  |
    encode_image                                     references      resized to (3, 224, 224)
      | latents (4, 32, 32)                              | DINOv2 (256, 768)
      |                                                  | Depth Anything 3 (256, 2048)
    backbone <- noise (16, 4, 32, 32), text (20, 1024)   |
      | features (16, 256, 2560)                         |
      |----------------------> decouple <----------------'
      |                           | foresight, twice (16, 256, 1024)
      '-------> perceive <--------'
                   | context (224, 384)
                  act <- noise (10, 7), goal (1, 384), joints
                   | actions (10, 7)

============================  ====================  ====================================================
what                          published shape       made of
============================  ====================  ====================================================
features                      (16, 256, 2560)       frames; 16 x 16 tokens; first and second up block
input of the Uni-Perceiver    (16, 256, 5376)       features 2560, semantic 768 and geometric 2048 foresight
                                                    side by side; never made here, see ``FusedEmbedding``
context                       (224, 384)            16 frames of 14 latents
actions                       (10, 7)               on CALVIN; (16, 14) for the Cobot
============================  ====================  ====================================================

Every shape has a batch dimension in front. Noise is always an argument; nothing in here draws any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import Self

from svam_ros.networks.action_expert import ActionExpert, GivenActions
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.decoupler import Decoupler
from svam_ros.networks.image_encoder import ImageEncoder
from svam_ros.networks.input_checks import check_image, check_instruction, check_joints, check_noise
from svam_ros.networks.reference_encoders import GeometricReference, ReferenceImage, SemanticReference
from svam_ros.networks.svd_backbone import BackboneOutput, VideoBackbone
from svam_ros.networks.text import TextEncoder
from svam_ros.networks.unet_blocks import TextAttention
from svam_ros.networks.uni_perceiver import UniPerceiver
from svam_ros.networks.weight_constants import WeightConstants

VIDEO_HEAD_PREFIX = "video_backbone.video_head."
"""State-dict names that only training has."""


@dataclass(frozen=True)
class InstructionCondition:
    """Everything that depends on the instruction alone; made once, used for many images."""

    text_states: Tensor
    """``(batch, length, 2 * text width)``."""
    goal_token: Tensor
    """``(batch, 1, width of the action expert)``."""
    text_attention: Mapping[str, TextAttention]
    """The text as every transformer of the backbone sees it, under the transformer's name."""

    def rows(self, index: Tensor) -> InstructionCondition:
        """A batch with the instructions ``index`` ``(n,)`` of this one; differentiable."""
        text_attention = {name: entry.rows(index) for name, entry in self.text_attention.items()}
        return InstructionCondition(self.text_states[index], self.goal_token[index], text_attention)


@dataclass(frozen=True)
class References:
    """What the foundation models see in the first frame; each ``(batch, tokens, its width)``."""

    semantic: Tensor
    geometric: Tensor


@dataclass(frozen=True)
class Foresight:
    """What the decouplers foresee, as the Uni-Perceiver takes it; each ``(batch, frames, tokens, width)``."""

    semantic: Tensor
    geometric: Tensor


@dataclass(frozen=True)
class ForesightTokens:
    """Foresight in DINOv2's and Depth Anything 3's spaces; each ``(batch, frames, tokens, its width)``."""

    semantic: Tensor
    geometric: Tensor


class Svam(nn.Module):
    """The network of one :class:`SvamConfig`.

    Args:
        config: all sizes.
        with_video_head: also keep the part of the backbone that predicts video, as training needs it.
    """

    def __init__(self, config: SvamConfig, *, with_video_head: bool = False) -> None:
        super().__init__()
        self.config = config
        references, feature_width = config.references, config.backbone.feature_width
        semantic_width, geometric_width = references.semantic.width, references.geometric_width
        self.text_encoder = TextEncoder(config.text)
        self.image_encoder = ImageEncoder(config.image_encoder)
        self.video_backbone = VideoBackbone(config, with_video_head=with_video_head)
        self.reference_image = ReferenceImage(references)
        self.semantic_reference = SemanticReference(references)
        self.geometric_reference = GeometricReference(references)
        self.semantic_decoupler = Decoupler(feature_width, semantic_width, config.semantic_decoupler)
        self.geometric_decoupler = Decoupler(feature_width, geometric_width, config.geometric_decoupler)
        self.uni_perceiver = UniPerceiver(
            feature_width + semantic_width + geometric_width, config.backbone.frames, config.uni_perceiver
        )
        self.action_expert = ActionExpert(
            config.uni_perceiver.width, config.text.goal_width, config.action_expert
        )
        self._kept_constants: WeightConstants | None = None
        self._trainable: frozenset[str] = frozenset()
        self.register_load_state_dict_post_hook(_forget_constants)

    def forward(
        self,
        image: Tensor,
        condition: InstructionCondition,
        joints: Tensor | None,
        latent_noise: Tensor,
        action_noise: Tensor,
        prefix: GivenActions | None = None,
    ) -> Tensor:
        """One prediction.

        Args:
            image: ``(batch, 3, image_size, image_size)`` in [-1, 1].
            condition: from :meth:`encode_instruction`.
            joints: ``(batch, action_dim)`` normalised, or ``None`` without proprioception.
            latent_noise: ``(batch, *config.latent_noise_shape)`` standard normal.
            action_noise: ``(batch, *config.action_noise_shape)`` standard normal.
            prefix: actions that are committed already; ``None`` where there are none.

        Returns:
            ``(batch, pred_horizon, action_dim)`` normalised actions.

        Raises:
            InputError: an input of another shape or type, or (on a CPU) with values that are not finite.
        """
        self.check_inputs(image, joints, latent_noise, action_noise)
        latents = self.encode_image(image)
        features = self.backbone(latents, condition, latent_noise)
        references = self.references(image)
        foresight = self.decouple(features, references)
        context = self.perceive(features, foresight)
        return self.act(context, condition, joints, action_noise, prefix)

    def check_inputs(
        self, image: Tensor, joints: Tensor | None, latent_noise: Tensor, action_noise: Tensor
    ) -> None:
        """What :meth:`forward` checks; for callers that run the stages one by one.

        Raises:
            InputError: as in :meth:`forward`.
        """
        dtype = self.dtype
        check_image(image, self.config, dtype)
        check_joints(joints, self.config.action_expert, dtype)
        check_noise(latent_noise, action_noise, self.config, dtype)

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the weights, and of every input."""
        return self.uni_perceiver.latents.dtype

    def encode_instruction(self, token_ids: Tensor, attention_mask: Tensor) -> InstructionCondition:
        """Ids and mask ``(batch, text length)`` int64 -> what every later stage needs of the text.

        Raises:
            InputError: another shape or type.
        """
        check_instruction(token_ids, attention_mask, self.config)
        text = self.text_encoder(token_ids, attention_mask)
        return InstructionCondition(
            text.states,
            self.action_expert.embed_goal(text.goal),
            self.video_backbone.project_text(text.states),
        )

    def encode_image(self, image: Tensor) -> Tensor:
        """``(batch, 3, s, s)`` in [-1, 1] -> latents ``(batch, c, h, w)``, mode, not scaled."""
        latents: Tensor = self.image_encoder(image)
        return latents

    def backbone(
        self, image_latents: Tensor, condition: InstructionCondition, latent_noise: Tensor
    ) -> Tensor:
        """Latents to features ``(batch, frames, tokens, feature_width)``."""
        output: BackboneOutput = self.video_backbone(
            latent_noise, image_latents, condition.text_attention, self.constants.backbone
        )
        return output.features

    def references(self, image: Tensor) -> References:
        """What DINOv2 and Depth Anything 3 see in the image."""
        resized = self.reference_image(image)
        return References(self.semantic_reference(resized), self.geometric_reference(resized))

    def decouple(self, features: Tensor, references: References) -> Foresight:
        """Semantic and geometric foresight of every frame, as hidden states of the decouplers."""
        return Foresight(
            self.semantic_decoupler(features, references.semantic),
            self.geometric_decoupler(features, references.geometric),
        )

    def foresight_tokens(self, foresight: Foresight) -> ForesightTokens:
        """Foresight as tokens of the two foundation models, to look at or to compare with theirs.

        Actions do not need them: ``FusedEmbedding`` skips this step.
        """
        return ForesightTokens(
            self.semantic_decoupler.project(foresight.semantic),
            self.geometric_decoupler.project(foresight.geometric),
        )

    def perceive(self, features: Tensor, foresight: Foresight) -> Tensor:
        """``(batch, frames * latents_per_frame, uni_perceiver.width)`` context tokens."""
        context: Tensor = self.uni_perceiver(
            features, foresight.semantic, foresight.geometric, self.constants.embedding
        )
        return context

    def act(
        self,
        context: Tensor,
        condition: InstructionCondition,
        joints: Tensor | None,
        action_noise: Tensor,
        prefix: GivenActions | None = None,
    ) -> Tensor:
        """Sample normalised actions ``(batch, pred_horizon, action_dim)``."""
        actions: Tensor = self.action_expert(
            context, condition.goal_token, joints, action_noise, self.constants.schedule, prefix
        )
        return actions

    def predict_video_latents(
        self, image_latents: Tensor, condition: InstructionCondition, latent_noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Features as from :meth:`backbone` and the video that the same single step foresees.

        Returns:
            Features, and latents ``(batch, frames, c, h, w)`` in units of unit variance: compare
            with ``latent_scale`` times the latents of the true frames.

        Raises:
            RuntimeError: the network was built without ``with_video_head``.
        """
        constants = self.constants.backbone
        output = self.video_backbone(latent_noise, image_latents, condition.text_attention, constants)
        video = self.video_backbone.predict_video(latent_noise, output, condition.text_states, constants)
        return output.features, video

    @property
    def constants(self) -> WeightConstants:
        """What only the weights decide: kept since :meth:`prepare_for_inference`, else of the weights now."""
        return self._kept_constants or WeightConstants(
            self.video_backbone,
            self.semantic_decoupler,
            self.geometric_decoupler,
            self.uni_perceiver,
            self.action_expert,
        )

    def prepare_for_inference(self) -> Self:
        """Freeze the network and compute once what only the weights decide.

        :meth:`train` undoes it. Loading other weights, another device or another precision for the whole
        network computes it anew; weights that are changed in place, or of one part only, go unnoticed.
        """
        if self._kept_constants is None:
            self._trainable = frozenset(name for name, p in self.named_parameters() if p.requires_grad)
        self.eval()
        self.requires_grad_(requires_grad=False)
        self._kept_constants = None
        self._kept_constants = self.constants.computed()
        return self

    def train(self, mode: bool = True) -> Self:
        """As in torch; entering training undoes :meth:`prepare_for_inference`: what it froze learns again."""
        if mode and self._kept_constants is not None:
            self._kept_constants = None
            for name, parameter in self.named_parameters():
                parameter.requires_grad_(name in self._trainable)
        return super().train(mode)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Torch's way to another device or precision; constants have to follow."""
        super()._apply(fn, recurse)
        _forget_constants(self)
        return self

    def run_time_state_dict(self) -> dict[str, Tensor]:
        """The state dict without the video head: what a model directory holds."""
        return {name: t for name, t in self.state_dict().items() if not name.startswith(VIDEO_HEAD_PREFIX)}


def _forget_constants(network: nn.Module, _incompatible_keys: object = None) -> None:
    """A prepared network computes its constants anew, from the weights that it now has, when next used."""
    if isinstance(network, Svam) and network._kept_constants is not None:
        network._kept_constants = None
        network._kept_constants = network.constants
