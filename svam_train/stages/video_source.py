"""Where the frames come from that the decouplers learn to foresee.

The paper's answer is self-distillation: the video model's own sample over many steps, from the very noise
that the one step sees (arXiv 2603.16195, section 3.2). Its ablation takes what really happened instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from svam_ros.networks.svam import InstructionCondition, Svam
from svam_train.recipes.video import VideoSampling
from svam_train.stages.video_decoder import VideoDecoder
from svam_train.stages.video_sampling import sample_videos
from svam_train.teachers.teacher import weights_fingerprint

_DECIDING = ("text_encoder.", "image_encoder.", "video_backbone.")
"""Parts of a network that its videos and features depend on."""


@dataclass(frozen=True)
class Foreseen:
    """A video, and what one step of the video model has to say about it."""

    frames: Tensor
    """``(batch, frames, 3, size, size)`` float32 RGB in [0, 1]."""
    features: Tensor
    """``(batch, frames, tokens, feature_width)`` of one step from the same noise."""


class VideoSource(Protocol):
    """Frames to foresee, with the features of one step; frozen, on the device of its network."""

    @property
    def name(self) -> str:
        """For reports."""

    @property
    def fingerprint(self) -> str:
        """sha256, hexadecimal, over the weights and settings that decide what comes out."""

    def foresee(self, clips: Tensor, condition: InstructionCondition, noise: Tensor) -> Foreseen:
        """Videos that start with the first frames of ``clips``.

        Args:
            clips: ``(batch, frames, 3, size, size)`` what was recorded, in [-1, 1].
            condition: of the instructions, ``batch`` rows.
            noise: ``(batch, *latent_noise_shape)`` standard normal.
        """


class GeneratedVideo:
    """The model's own videos: self-distillation.

    Args:
        network: frozen, with its video head.
        decoder: from latents back to pictures, frozen.
        sampling: how videos are drawn.
    """

    def __init__(self, network: Svam, decoder: VideoDecoder, sampling: VideoSampling) -> None:
        self.name = f"generated in {sampling.steps} steps"
        self._network, self._decoder, self._sampling = network, decoder, sampling

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`VideoSource`."""
        decoder = {f"video_decoder.{name}": value for name, value in self._decoder.state_dict().items()}
        return weights_fingerprint(str(self._sampling), _deciding_tensors(self._network) | decoder)

    @torch.no_grad()
    def foresee(self, clips: Tensor, condition: InstructionCondition, noise: Tensor) -> Foreseen:
        """See :class:`VideoSource`."""
        latents = self._network.encode_image(clips[:, 0].contiguous())
        backbone, text = self._network.video_backbone, condition.text_states
        video = sample_videos(backbone, latents, text, noise, self._sampling)
        pictures = self._decoder.to(clips.device).decode_video(video.latents).float()
        return Foreseen(((pictures + 1.0) / 2.0).clamp(0.0, 1.0), video.features)


class TrueFuture:
    """What really happened: the paper's ablation of self-distillation.

    Args:
        network: frozen.
    """

    name = "true future"

    def __init__(self, network: Svam) -> None:
        self._network = network

    @cached_property
    def fingerprint(self) -> str:
        """See :class:`VideoSource`."""
        return weights_fingerprint(self.name, _deciding_tensors(self._network))

    @torch.no_grad()
    def foresee(self, clips: Tensor, condition: InstructionCondition, noise: Tensor) -> Foreseen:
        """See :class:`VideoSource`."""
        latents = self._network.encode_image(clips[:, 0].contiguous())
        features = self._network.backbone(latents, condition, noise)
        return Foreseen((clips.float() + 1.0) / 2.0, features)


def _deciding_tensors(network: Svam) -> dict[str, Tensor]:
    return {name: value for name, value in network.state_dict().items() if name.startswith(_DECIDING)}
