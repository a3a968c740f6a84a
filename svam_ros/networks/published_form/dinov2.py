"""DINOv2 with registers, the semantic reference encoder. Published group ``dinov2``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from svam_ros.networks.published_form.resizing import resize_positions_to
from svam_ros.networks.published_form.vision_transformer import Block, PatchEmbed


class DinoV2(nn.Module):
    """ViT-B/14 with 4 registers as published: 768 wide, 12 blocks, 12 heads.

    ``mask_token`` belongs to pre-training and is never used.
    """

    def __init__(
        self, *, width: int, depth: int, heads: int, registers: int, patch_size: int, position_grid: int
    ) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + position_grid**2, width))
        self.register_tokens = nn.Parameter(torch.zeros(1, registers, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = PatchEmbed(width, patch_size)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, s, s)`` -> normalised patch tokens ``(batch, (s / patch)^2, width)``.

        Tokens run in the order class, registers, patches; registers have no position.
        """
        patches = self.patch_embed(image)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        x = x + resize_positions_to(self.pos_embed, math.isqrt(patches.shape[1]))
        registers = self.register_tokens.expand(len(x), -1, -1)
        x = torch.cat([x[:, :1], registers, x[:, 1:]], dim=1)
        for block in self.blocks:
            x = block(x)
        normalised: Tensor = self.norm(x)
        return normalised[:, 1 + registers.shape[1] :]
