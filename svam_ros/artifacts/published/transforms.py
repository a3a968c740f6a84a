"""What happens to published tensors on their way to ours: nothing, joining, splitting, resizing.

Each transform also says which published shapes it needs for a wanted shape of ours, so that a file
that does not fit is refused before anything is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Shape = tuple[int, ...]

PublishedShape = tuple[int | None, ...]
"""``None`` stands for any length."""


class Transform(Protocol):
    """From one or more published tensors to one of ours."""

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """The shapes that ``count`` published tensors must have to give one of shape ``ours``."""

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """Make ours."""


@dataclass(frozen=True)
class Same:
    """Taken as it is."""

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """One tensor of our shape."""
        return (ours,)

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """The tensor itself."""
        return tensors[0]


SAME = Same()


@dataclass(frozen=True)
class Joined:
    """Several projections that ours computes in one product, one above the other."""

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """Equal parts of the first dimension."""
        return ((ours[0] // count, *ours[1:]),) * count

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """Concatenated along the first dimension, in the order of the rule."""
        return torch.cat(list(tensors))


@dataclass(frozen=True)
class Part:
    """One of several projections that the published network keeps in one tensor."""

    index: int
    of: int

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """All parts, one above the other."""
        return ((self.of * ours[0], *ours[1:]),)

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """The part."""
        return tensors[0].chunk(self.of)[self.index]


@dataclass(frozen=True)
class PointwiseConvolution:
    """A three-dimensional convolution with kernel 1 is a linear layer."""

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """``(out, in, 1, 1, 1)``."""
        return ((*ours, 1, 1, 1),)

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """``(out, in)``."""
        return tensors[0].reshape(ours)


@dataclass(frozen=True)
class FirstView:
    """The camera token of the reference view; the other belongs to further views, of which there are none."""

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """``(1, 2, width)``."""
        return ((1, 2, ours[-1]),)

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """``(1, 1, width)``."""
        return tensors[0][:, :1]


@dataclass(frozen=True)
class ResizedPositions:
    """A square table of positions behind one for the class token, resized to the grid in use."""

    resize: Callable[[Tensor, int], Tensor]
    """``(1, width, n, n)`` and the side of the grid -> ``(1, width, grid, grid)``."""

    def published_shapes(self, ours: Shape, count: int) -> tuple[PublishedShape, ...]:
        """``(1, 1 + n * n, width)`` for any n."""
        return ((1, None, ours[-1]),)

    def apply(self, tensors: Sequence[Tensor], ours: Shape) -> Tensor:
        """``(1, 1 + grid * grid, width)``; computed in single precision.

        Raises:
            ValueError: the published table is not square.
        """
        table, grid = tensors[0], math.isqrt(ours[1] - 1)
        side = math.isqrt(table.shape[1] - 1)
        if side * side + 1 != table.shape[1]:
            raise ValueError(f"{table.shape[1]} positions are no square grid and a class token")
        square = table[:, 1:].float().reshape(1, side, side, -1).permute(0, 3, 1, 2)
        resized = self.resize(square, grid).permute(0, 2, 3, 1).flatten(1, 2)
        return torch.cat([table[:, :1], resized.to(table.dtype)], dim=1)
