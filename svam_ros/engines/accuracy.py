"""How far from single precision a network may compute: the one table that every engine is held to.

Deviations are relative root mean squares, end to end: the whole network in the format, from the same
image, noise and weights, against float32 in torch. Rounding of the weights is part of it. A deviation of
``r`` leaves a cosine of at least ``sqrt(1 - r^2)``, so cosines need no limit of their own: 2e-2 is 0.9998.

Few channels average little rounding out, so small networks such as ``tiny`` have limits of their own. For
published widths ``docs/accuracy.md`` has the figures and ``benchmarks/precision.py`` measures them, with
random weights. A constant kept in too short a format costs more than what is left to the limits.

``int8`` is what is asked of engines of which some layers compute in eight bits: as much as of bfloat16, whose
numbers have as many. How many layers that leaves is found out for every model.
"""

from __future__ import annotations

import torch
from torch import Tensor

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.presets import CALVIN

OUTPUTS = ("backbone_features", "semantic_foresight", "geometric_foresight", "context_tokens", "actions")
"""What is compared, in the order in which the network makes it."""

IN_SINGLE_PRECISION = dict.fromkeys(OUTPUTS, 5e-5)
"""For libraries other than torch in float32: sums in another order, and convolutions by other algorithms."""

LARGEST_JOINT_DEVIATION_RAD = {"float32": 1e-3, "float16": 5e-3, "bfloat16": 3e-2, "int8": 2e-2}
"""Of any arm joint in any step of a chunk. 5 mrad are 3 mm at a reach of 0.6 m."""

Limits = dict[str, dict[str, float]]
"""Format -> output -> largest relative rms deviation from float32."""

AT_PUBLISHED_WIDTHS: Limits = {
    "float32": IN_SINGLE_PRECISION,
    "float16": {
        "backbone_features": 3e-3,
        "semantic_foresight": 3e-3,
        "geometric_foresight": 3e-3,
        "context_tokens": 3e-3,
        "actions": 2e-3,
    },
    "bfloat16": dict.fromkeys(OUTPUTS, 2e-2),
    "int8": dict.fromkeys(OUTPUTS, 2e-2),
}
"""For ``calvin`` and ``cobot``."""

AT_SMALL_WIDTHS: Limits = {
    "float32": IN_SINGLE_PRECISION,
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
    "int8": {
        "backbone_features": 3e-2,
        "semantic_foresight": 3e-2,
        "geometric_foresight": 3e-2,
        "context_tokens": 2e-2,
        "actions": 2e-2,
    },
}
"""For every narrower network."""


def allowed_deviation(config: SvamConfig) -> Limits:
    """What a network of these widths is held to."""
    narrowest = min(config.backbone.block_widths)
    return AT_PUBLISHED_WIDTHS if narrowest >= min(CALVIN.backbone.block_widths) else AT_SMALL_WIDTHS


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


def exceeded(limits: Limits, dtype: str, deviations: dict[str, float]) -> list[str]:
    """One sentence for every output whose deviation is not inside the table; NaN never is.

    Args:
        limits: from :func:`allowed_deviation`.
        dtype: the format, by torch's name.
        deviations: for outputs of :data:`OUTPUTS`, from :func:`relative_rms`.

    Raises:
        KeyError: the table has no such format or output.
    """
    allowed = limits[dtype]
    return [
        f"{output} in {dtype} deviates by {deviation:.2e}, allowed is {allowed[output]:.0e}"
        for output, deviation in deviations.items()
        if not deviation <= allowed[output]
    ]


def compared_dtypes() -> dict[str, torch.dtype]:
    """The formats that torch computes in and that are shorter than single precision, by their names."""
    return {name: getattr(torch, name) for name in ("float16", "bfloat16")}
