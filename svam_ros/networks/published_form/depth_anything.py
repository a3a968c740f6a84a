"""Depth Anything 3's backbone on one view: the geometric reference. Published group ``da3_backbone``."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from svam_ros.networks.published_form.resizing import resize_positions_by_scale
from svam_ros.networks.published_form.vision_transformer import Block, PatchEmbed

ROTARY_BASE = 100.0
RESIZE_OFFSET = 0.1
"""Added to the wanted grid when positions are resized: the published scale is (16 + 0.1) / 37."""


class Rotation:
    """Two-dimensional rotary positions: half of a head turns with the row, the other with the column."""

    def __init__(self, positions: Tensor) -> None:
        """Rows and columns ``(n, 2)`` int64 of every token."""
        self._positions = positions

    def __call__(self, x: Tensor) -> Tensor:
        """Queries or keys ``(batch, heads, n, d)`` -> the same shape.

        The tables reach as far as the largest position, which is read back from the device every time.
        """
        half = x.shape[-1] // 2
        frequencies = ROTARY_BASE ** (-torch.arange(0, half, 2, device=x.device, dtype=torch.float64) / half)
        reach = torch.arange(int(self._positions.max()) + 1, device=x.device, dtype=torch.float64)
        angles = torch.cat([reach[:, None] * frequencies] * 2, dim=-1)
        cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        turned = [
            part * cosine[places] + _rotate_half(part) * sine[places]
            for part, places in zip(x.chunk(2, dim=-1), self._positions.unbind(-1), strict=True)
        ]
        return torch.cat(turned, dim=-1)


class DepthAnything(nn.Module):
    """ViT-L/14 as published: 1024 wide, 24 blocks, 16 heads, no registers.

    Blocks before ``alternate_from`` (8 as published) are an ordinary vision transformer's. From there on,
    even blocks are local: each patch knows where it is; odd blocks are global: they compare views, and
    all patches stand at (1, 1).
    """

    def __init__(  # noqa: PLR0913 - one number for each size
        self,
        *,
        width: int,
        depth: int,
        heads: int,
        patch_size: int,
        position_grid: int,
        alternate_from: int,
        qk_norm_from: int,
        rotary_from: int,
        output_block: int,
    ) -> None:
        super().__init__()
        self.alternate_from, self.rotary_from, self.output_block = alternate_from, rotary_from, output_block
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.camera_token = nn.Parameter(torch.zeros(1, 2, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + position_grid**2, width))
        self.patch_embed = PatchEmbed(width, patch_size)
        self.blocks = nn.ModuleList(
            Block(width, heads, qk_norm=index >= qk_norm_from) for index in range(depth)
        )
        self.norm = nn.LayerNorm(width, eps=1e-5)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, s, s)`` -> tokens of output stage 0, ``(batch, (s / patch)^2, 2 * width)``.

        That is the last local block up to ``output_block`` (11 as published) as it is, beside
        ``output_block``, normalised: the block before, or itself where it is local. All blocks after it are
        run too, and what they give is thrown away.
        """
        patches = self.patch_embed(image)
        grid = math.isqrt(patches.shape[1])
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        x = x + resize_positions_by_scale(self.pos_embed, grid, RESIZE_OFFSET)
        local, everywhere = Rotation(_true_places(grid, x)), Rotation(_same_places(grid, x))
        local_output, outputs = x, []  # the first block is local, so the start is never taken
        for index, block in enumerate(self.blocks):
            if index == self.alternate_from:
                camera = self.camera_token[:, :1].expand(len(x), -1, -1)
                x = torch.cat([camera, x[:, 1:]], dim=1)
            is_global = index >= self.alternate_from and index % 2 == 1
            rotate = everywhere if is_global else local
            x = block(x, rotate if index >= self.rotary_from else None)
            local_output = local_output if is_global else x
            outputs.append(torch.cat([local_output, self.norm(x)], dim=-1)[:, 1:])
        return outputs[self.output_block]


def _true_places(grid: int, x: Tensor) -> Tensor:
    """``(1 + grid^2, 2)``: the class or camera token at (0, 0), patches from (1, 1) on."""
    index = torch.arange(grid, device=x.device)
    patches = torch.cartesian_prod(index, index) + 1
    return torch.cat([torch.zeros_like(patches[:1]), patches])


def _same_places(grid: int, x: Tensor) -> Tensor:
    """``(1 + grid^2, 2)``: the class or camera token at (0, 0), all patches at (1, 1)."""
    return _true_places(grid, x).clamp(max=1)


def _rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([-second, first], dim=-1)
