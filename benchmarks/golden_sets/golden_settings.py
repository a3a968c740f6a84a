"""What a golden set's manifest says besides shapes, and the published value where it says nothing.

What a manifest says is honoured or refused, never passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.golden_sets.golden_set import GoldenSet, GoldenSetError

ALLOWED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("da3", "cat_token"): (True,),
    ("da3", "interpolate_antialias"): (False,),
    ("da3", "interpolate_offset"): (0.1,),
    ("dinov2", "interpolate_antialias"): (True,),
    ("dinov2", "interpolate_offset"): (0.0,),
    ("text_encoder", "hidden_act"): ("quick_gelu",),
}
"""Section and entry of ``config`` to the values that the published network, and ours, can have."""

NORMALIZATIONS = ("minus_one_to_one", "imagenet")
"""Of ``reference_images``; the image is resized bilinearly for both."""

MODULES_GROUPS = ("unet", "hidden2dino", "hidden2dpa", "Video_Former", "model")
"""What every set needs."""

END_TO_END_GROUPS = (*MODULES_GROUPS, "vae", "text_encoder", "dinov2", "da3_backbone")


def check_settings(golden_set: GoldenSet) -> None:
    """Refuse a set that lacks a group, or asks for a network that was not published.

    Raises:
        GoldenSetError: naming the group or the entry, and what is allowed.
    """
    wanted = END_TO_END_GROUPS if golden_set.is_end_to_end else MODULES_GROUPS
    if missing := [group for group in wanted if group not in golden_set.shapes]:
        raise GoldenSetError(f"{golden_set.path}: state_dict_shapes has no group {', '.join(missing)}")
    for (part, name), allowed in ALLOWED.items():
        if (value := section(golden_set, part).get(name, allowed[0])) not in allowed:
            raise GoldenSetError(
                f"{golden_set.path}: config.{part}.{name} is {value}; the published network has "
                f"{allowed[0]}, and nothing else can be compared"
            )
    if section(golden_set, "da3").get("alt_start") == -1:
        raise GoldenSetError(
            f"{golden_set.path}: config.da3.alt_start is -1: the published network has global blocks"
        )
    if (images := golden_set.config.get("reference_images", NORMALIZATIONS[0])) not in NORMALIZATIONS:
        raise GoldenSetError(
            f"{golden_set.path}: config.reference_images is {images}, known are {', '.join(NORMALIZATIONS)}"
        )


def section(golden_set: GoldenSet, name: str) -> Mapping[str, Any]:
    """One part of ``config``; empty where the manifest has none."""
    part: Mapping[str, Any] = golden_set.config.get(name, {})
    return part


def number(golden_set: GoldenSet, *names: str) -> int:
    """The first of these entries of ``config`` that is there.

    Raises:
        GoldenSetError: none is.
    """
    for name in names:
        if name in golden_set.config:
            return int(golden_set.config[name])
    raise GoldenSetError(f"{golden_set.path}: config has no {' or '.join(names)}")


def first_block(golden_set: GoldenSet, name: str, published: int, depth: int) -> int:
    """An entry of ``config.da3`` that says from which block on something is done; -1 there means never."""
    block = int(section(golden_set, "da3").get(name, published))
    return depth if block == -1 else block
