"""SVD's spatio-temporal UNet, up to what S-VAM takes from it. Published group ``unet``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional


class VideoUNet(UNetSpatioTemporalConditionModel):
    """The whole UNet, with attention that materialises its softmax.

    The last up blocks and the head are loaded and not run, as published.
    """

    time_ids: tuple[float, float, float] = (4.0, 127.0, 0.0)
    """Frames per second, motion bucket, noise augmentation: as the evaluation gives them."""

    @classmethod
    def of_sizes(  # noqa: PLR0913 - one number for each size
        cls,
        *,
        block_widths: Sequence[int],
        heads: Sequence[int],
        attention_levels: Sequence[bool],
        layers_per_block: int,
        latent_channels: int,
        time_id_width: int,
        text_width: int,
        frames: int,
        time_ids: tuple[float, float, float],
    ) -> VideoUNet:
        """The UNet whose coarsest level comes last in every sequence; ``text_width`` is 1024 as published."""
        down = ["CrossAttnDownBlock" if attends else "DownBlock" for attends in attention_levels]
        up = ["CrossAttnUpBlock" if attends else "UpBlock" for attends in reversed(attention_levels)]
        unet = cls(
            in_channels=2 * latent_channels,
            out_channels=latent_channels,
            down_block_types=tuple(f"{kind}SpatioTemporal" for kind in down),
            up_block_types=tuple(f"{kind}SpatioTemporal" for kind in up),
            block_out_channels=tuple(block_widths),
            addition_time_embed_dim=time_id_width,
            projection_class_embeddings_input_dim=3 * time_id_width,
            layers_per_block=layers_per_block,
            cross_attention_dim=text_width,
            num_attention_heads=tuple(heads),
            num_frames=frames,
        )
        unet.time_ids = time_ids
        unet.set_attn_processor(AttnProcessor())
        return unet

    def features(self, noise: Tensor, timestep: Tensor, image_latents: Tensor, text_states: Tensor) -> Tensor:
        """First and second up block side by side, the first one enlarged.

        Args:
            noise: ``(batch, frames, c, h, w)``, from :func:`~.noise_schedule.first_step`.
            timestep: ``()``.
            image_latents: ``(batch, c, h, w)`` of the first frame, repeated beside every frame.
            text_states: ``(batch, n, text_width)``.

        Returns:
            ``(batch, frames, c0 + c1, h / 2, w / 2)``.
        """
        batch, frames = noise.shape[:2]
        repeated = image_latents.unsqueeze(1).repeat(1, frames, 1, 1, 1)
        x = torch.cat([noise, repeated], dim=2).flatten(0, 1)
        time = self._time_embedding(timestep, batch, x).repeat_interleave(frames, dim=0)
        text = text_states.repeat_interleave(frames, dim=0)
        image_only = torch.zeros(batch, frames, dtype=x.dtype, device=x.device)

        x = self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            x, level_skips = block(x, time, **_text_of(block, text), image_only_indicator=image_only)
            skips.extend(level_skips)
        x = self.mid_block(x, time, text, image_only_indicator=image_only)
        taken = []
        for block in self.up_blocks[:2]:
            count = len(block.resnets)
            skips, own_skips = skips[:-count], tuple(skips[-count:])
            x = block(
                hidden_states=x,
                res_hidden_states_tuple=own_skips,
                temb=time,
                **_text_of(block, text),
                image_only_indicator=image_only,
            )
            taken.append(x)
        enlarged = functional.interpolate(taken[0], size=taken[1].shape[-2:], mode="nearest")
        return torch.cat([enlarged, taken[1]], dim=1).unflatten(0, (batch, frames))

    def _time_embedding(self, timestep: Tensor, batch: int, x: Tensor) -> Tensor:
        """``(batch, 4 * first width)``: sines of the timestep and of the three ids, each through an MLP."""
        time = self.time_embedding(self.time_proj(timestep.expand(batch)).to(x.dtype))
        ids = torch.tensor(self.time_ids, device=x.device).repeat(batch, 1)
        added = self.add_time_proj(ids.flatten()).reshape(batch, -1).to(x.dtype)
        embedding: Tensor = time + self.add_embedding(added)
        return embedding


def _text_of(block: torch.nn.Module, text: Tensor) -> dict[str, Tensor]:
    """Levels without transformers take no text."""
    return {"encoder_hidden_states": text} if getattr(block, "has_cross_attention", False) else {}
