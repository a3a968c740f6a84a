"""How far from single precision a network may compute: the one table that every engine is held to.

Deviations are relative root mean squares, end to end: the whole network in the format, from the same
image, noise and weights, against float32. Rounding of the weights is part of it.

The limits hold for random weights at every width, ``tiny`` included, which rounds coarsest because few
channels average little out; at published widths deviations are smaller (``docs/accuracy.md`` has the
figures, ``benchmarks/precision.py`` measures them). A constant kept in too short a format costs more than
what is left to the limits.
"""

from __future__ import annotations

import torch
from torch import Tensor

OUTPUTS = ("backbone_features", "semantic_foresight", "geometric_foresight", "context_tokens", "actions")
"""What is compared, in the order in which the network makes it."""

ALLOWED_DEVIATION: dict[str, dict[str, float]] = {
    "float16": {
        "backbone_features": 4e-3,
        "semantic_foresight": 4e-3,
        "geometric_foresight": 4e-3,
        "context_tokens": 3e-3,
        "actions": 3e-3,
    },
    "bfloat16": {
        "backbone_features": 3e-2,
        "semantic_foresight": 3e-2,
        "geometric_foresight": 3e-2,
        "context_tokens": 2e-2,
        "actions": 2e-2,
    },
}
"""Format -> output -> largest relative rms deviation from float32."""


def relative_rms(value: Tensor, reference: Tensor) -> float:
    """Root mean square of the difference over that of the reference, both taken in double precision.

    Raises:
        ValueError: the shapes differ, or the reference is zero everywhere.
    """
    if value.shape != reference.shape:
        raise ValueError(f"shapes differ: {tuple(value.shape)} against {tuple(reference.shape)}")
    scale = reference.double().norm()
    if scale == 0:
        raise ValueError("the reference is zero everywhere: nothing is relative to it")
    return float((value.double() - reference.double()).norm() / scale)


def exceeded(dtype: str, deviations: dict[str, float]) -> list[str]:
    """One sentence for every output whose deviation is not inside the table; NaN never is.

    Args:
        dtype: the format, by torch's name.
        deviations: for outputs of :data:`OUTPUTS`, from :func:`relative_rms`.

    Raises:
        KeyError: the table has no such format or output.
    """
    allowed = ALLOWED_DEVIATION[dtype]
    return [
        f"{output} in {dtype} deviates by {deviation:.2e}, allowed is {allowed[output]:.0e}"
        for output, deviation in deviations.items()
        if not deviation <= allowed[output]
    ]


def compared_dtypes() -> dict[str, torch.dtype]:
    """The formats of the table as torch names them."""
    return {name: getattr(torch, name) for name in ALLOWED_DEVIATION}
