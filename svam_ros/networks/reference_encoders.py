"""The two vision foundation models that look at the first frame: DINOv2 and Depth Anything 3.

Position tables are kept at the resolution at which they are used, so nothing is interpolated at run
time; whoever imports published weights resizes them once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from svam_ros.networks.attention import Mlp, merge_heads, split_heads
from svam_ros.networks.config import ReferenceConfig

ROTARY_BASE = 100.0

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class ReferenceImage(nn.Module):
    """The network's image as the reference encoders want it: resized, perhaps normalised anew."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.size = config.image_size
        self.bicubic = config.resize == "bicubic_antialias"
        self.normalization = config.normalization
        mean, deviation = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_DEVIATION)
        self.register_buffer("mean", mean[:, None, None], persistent=False)
        self.register_buffer("deviation", deviation[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, s, s)`` in [-1, 1] -> ``(batch, 3, size, size)``."""
        # At least single precision: torch resizes no half-size formats with antialias on a CPU.
        resized = functional.interpolate(
            image.to(torch.promote_types(image.dtype, torch.float32)),
            size=(self.size, self.size),
            mode="bicubic" if self.bicubic else "bilinear",
            align_corners=False,
            antialias=self.bicubic,
        ).to(image.dtype)
        if self.normalization == "minus_one_to_one":
            return resized
        normalised: Tensor = ((resized + 1) / 2 - self.mean) / self.deviation
        return normalised


class SemanticReference(nn.Module):
    """DINOv2 (arXiv 2304.07193) with registers (arXiv 2309.16588): normalised patch tokens."""

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        semantic = config.semantic
        self.skipped_tokens = 1 + semantic.registers
        self.dino = Dinov2WithRegistersModel(
            Dinov2WithRegistersConfig(
                hidden_size=semantic.width,
                num_hidden_layers=semantic.layers,
                num_attention_heads=semantic.heads,
                num_register_tokens=semantic.registers,
                image_size=config.image_size,
                patch_size=config.patch_size,
            )
        )
        self.dino.embeddings.mask_token = None  # for masked pre-training only

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, size, size)`` -> ``(batch, patches, width)``, row by row."""
        tokens: Tensor = self.dino(image).last_hidden_state
        return tokens[:, self.skipped_tokens :]


class GeometricAttention(nn.Module):
    """Self-attention, from some block on with normalised queries and keys and rotary positions."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.query_norm = nn.LayerNorm(width // heads, eps=1e-5) if qk_norm else nn.Identity()
        self.key_norm = nn.LayerNorm(width // heads, eps=1e-5) if qk_norm else nn.Identity()
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """``(batch, n, width)``; ``rotation`` is the cosine and sine ``(n, head width)`` of every token."""
        query, key, value = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, dim=-1))
        query, key = self.query_norm(query), self.key_norm(key)
        if rotation is not None:
            query, key = _rotate(query, *rotation), _rotate(key, *rotation)
        output: Tensor = self.output(merge_heads(functional.scaled_dot_product_attention(query, key, value)))
        return output


class GeometricBlock(nn.Module):
    """Pre-norm transformer block with layer scale."""

    def __init__(self, width: int, heads: int, *, qk_norm: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=1e-6)
        self.attention = GeometricAttention(width, heads, qk_norm=qk_norm)
        self.attention_scale = nn.Parameter(torch.ones(width))
        self.mlp_norm = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)
        self.mlp_scale = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor] | None) -> Tensor:
        """``(batch, n, width)`` -> the same shape."""
        x = x + self.attention_scale * self.attention(self.attention_norm(x), rotation)
        output: Tensor = x + self.mlp_scale * self.mlp(self.mlp_norm(x))
        return output


class GeometricReference(nn.Module):
    """Depth Anything 3's backbone on one view, up to its first output stage.

    From ``alternate_from`` on, even blocks see where each patch is ("local") and odd blocks do not
    ("global": they compare views, and with one view every patch stands at the same place).
    """

    def __init__(self, config: ReferenceConfig) -> None:
        super().__init__()
        self.config = config.geometric
        geometric = config.geometric
        width, patches = geometric.width, config.grid**2
        self.patch_embedding = nn.Conv2d(3, width, config.patch_size, stride=config.patch_size)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.camera_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + patches, width))
        self.blocks = nn.ModuleList(
            GeometricBlock(width, geometric.heads, qk_norm=index >= geometric.qk_norm_from)
            for index in range(geometric.layers)
        )
        self.norm = nn.LayerNorm(width, eps=1e-5)
        self._register_rotation(config.grid)

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, size, size)`` -> ``(batch, patches, 2 * width)``.

        The last local block's output as it is, beside the last block's, normalised.
        """
        x = self.patch_embedding(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], dim=1) + self.positions
        local = x
        for index, block in enumerate(self.blocks):
            if index == self.config.alternate_from:
                x = torch.cat([self.camera_token.expand(len(x), -1, -1), x[:, 1:]], dim=1)
            x = block(x, self._rotation(index))
            local = local if self._is_global(index) else x
        return torch.cat([local, self.norm(x)], dim=-1)[:, 1:]

    def _register_rotation(self, grid: int) -> None:
        """Tables of both kinds of positions; the class or camera token stands at (0, 0)."""
        head_width = self.config.width // self.config.heads
        rows, columns = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
        true = torch.stack([rows.flatten(), columns.flatten()], dim=-1) + 1
        for kind, patches in (("local", true), ("global", torch.ones_like(true))):
            places = torch.cat([torch.zeros_like(patches[:1]), patches])
            cosine, sine = _rotation_table(places, head_width)
            self.register_buffer(f"{kind}_cosine", cosine, persistent=False)
            self.register_buffer(f"{kind}_sine", sine, persistent=False)

    def _is_global(self, index: int) -> bool:
        return index >= self.config.alternate_from and index % 2 == 1

    def _rotation(self, index: int) -> tuple[Tensor, Tensor] | None:
        if index < self.config.rotary_from:
            return None
        kind = "global" if self._is_global(index) else "local"
        return self.get_buffer(f"{kind}_cosine"), self.get_buffer(f"{kind}_sine")


def _rotation_table(places: Tensor, head_width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine ``(n, head_width)`` for ``(n, 2)`` rows and columns: rows turn the first half.

    Rotary positions (Su et al. 2021, arXiv 2104.09864, section 3) along two axes.
    """
    frequencies = ROTARY_BASE ** (-torch.arange(head_width // 4) / (head_width // 4))
    angles = places[:, :, None] * frequencies  # (n, 2, head_width / 4)
    angles = torch.cat([angles, angles], dim=-1).flatten(1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = x.unflatten(-1, (2, 2, -1)).unbind(-2)
    turned = torch.stack([-second, first], dim=-2).flatten(-3)
    return x * cosine + turned * sine
