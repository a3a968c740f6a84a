"""The two vision foundation models that look at the first frame: DINOv2 and Depth Anything 3.

As published the picture is 224 x 224: both see 16 x 16 patches of 14 pixels, the grid of the features.

Position tables are kept at the resolution at which they are used, so nothing is interpolated at run
time; whoever imports published weights resizes them once.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from svam_ros.networks.config import ReferenceConfig
from svam_ros.networks.geometric_block import GeometricBlock
from svam_ros.networks.rotary_positions import rotation_table

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
        self._rows: dict[tuple[int, torch.device, torch.dtype], Tensor] = {}

    def forward(self, image: Tensor) -> Tensor:
        """``(batch, 3, s, s)`` in [-1, 1] -> ``(batch, 3, size, size)``."""
        exact = image.to(torch.promote_types(image.dtype, torch.float32))
        if self.bicubic:
            resized = self._resized_with_antialias(exact).to(image.dtype)
        else:
            resized = functional.interpolate(
                exact, size=(self.size, self.size), mode="bilinear", align_corners=False
            ).to(image.dtype)
        if self.normalization == "minus_one_to_one":
            return resized
        normalised: Tensor = ((resized + 1) / 2 - self.mean) / self.deviation
        return normalised

    def _resized_with_antialias(self, image: Tensor) -> Tensor:
        """Two products of matrices, which are exactly torch's resize, and which other libraries have too.

        TensorRT has no antialiased resize.
        """
        rows = self._resizing_rows(image)
        kind = image.device.type
        if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
            return rows @ image @ rows.T
        with torch.autocast(kind, enabled=False):  # it would round the products' factors
            return rows @ image @ rows.T

    def _resizing_rows(self, image: Tensor) -> Tensor:
        """``(size, s)``: the resize of a column as a matrix, the same for rows of pixels."""
        key = (image.shape[-1], image.device, image.dtype)
        if key not in self._rows:
            with torch.inference_mode(mode=False), torch.no_grad():
                unit = torch.eye(key[0], device=image.device, dtype=image.dtype)
                size = (self.size, key[0])
                resized = functional.interpolate(
                    unit[None, None], size=size, mode="bicubic", align_corners=False, antialias=True
                )
                self._rows[key] = resized[0, 0]
        return self._rows[key]


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


class GeometricReference(nn.Module):
    """Depth Anything 3's backbone (arXiv 2511.10647) on one view, up to its first output stage.

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
            cosine, sine = rotation_table(places, head_width)
            self.register_buffer(f"{kind}_cosine", cosine, persistent=False)
            self.register_buffer(f"{kind}_sine", sine, persistent=False)

    def _is_global(self, index: int) -> bool:
        return index >= self.config.alternate_from and index % 2 == 1

    def _rotation(self, index: int) -> tuple[Tensor, Tensor] | None:
        if index < self.config.rotary_from:
            return None
        kind = "global" if self._is_global(index) else "local"
        return self.get_buffer(f"{kind}_cosine"), self.get_buffer(f"{kind}_sine")
