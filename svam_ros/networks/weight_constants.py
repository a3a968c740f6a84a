"""What only the weights decide: the same for every image, instruction and noise."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from typing_extensions import Self

if TYPE_CHECKING:
    from svam_ros.networks.action_expert import ActionExpert, SamplingSchedule
    from svam_ros.networks.decoupler import Decoupler
    from svam_ros.networks.svd_backbone import BackboneConstants, VideoBackbone
    from svam_ros.networks.uni_perceiver import FusedEmbedding, UniPerceiver


class WeightConstants:
    """Three tables, each computed when it is first asked for and kept from then on.

    Training makes a new one for every use, so that gradients go through it; a robot keeps one for as long as
    its weights stay as they are (:meth:`~svam_ros.networks.svam.Svam.prepare_for_inference`).
    """

    def __init__(
        self,
        video_backbone: VideoBackbone,
        semantic_decoupler: Decoupler,
        geometric_decoupler: Decoupler,
        uni_perceiver: UniPerceiver,
        action_expert: ActionExpert,
    ) -> None:
        self._video_backbone = video_backbone
        self._semantic_decoupler = semantic_decoupler
        self._geometric_decoupler = geometric_decoupler
        self._uni_perceiver = uni_perceiver
        self._action_expert = action_expert

    @cached_property
    def backbone(self) -> BackboneConstants:
        """Noise level, time ids and frame positions, folded into the layers that take them."""
        return self._video_backbone.constants()

    @cached_property
    def embedding(self) -> FusedEmbedding:
        """The decouplers' last layers multiplied into the Uni-Perceiver's first."""
        return self._uni_perceiver.fuse(
            self._semantic_decoupler.output_projection, self._geometric_decoupler.output_projection
        )

    @cached_property
    def schedule(self) -> SamplingSchedule:
        """The sampler's noise levels and what each does to the action expert."""
        return self._action_expert.schedule()

    def computed(self) -> Self:
        """This, with nothing left to compute."""
        _ = self.backbone, self.embedding, self.schedule
        return self
