"""Which file each part of the network comes from.

A part may be in a file of its own and in the action checkpoint: the action checkpoint holds everything
that was in the trainer's module tree. A file that is named on the command line wins; where both are there
and differ, that is said. Without a file of its own a part comes from the action checkpoint: those are the
weights that the action expert was trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.artifacts.published.groups import GROUPS
from svam_ros.artifacts.published.name_rules import Unused, pattern
from svam_ros.artifacts.published.weight_files import with_prefix

ACTION = "action"


@dataclass(frozen=True)
class Source:
    """Where one group may be found."""

    option: str
    """The option that names its own file."""
    prefixes: tuple[str, ...] = ("",)
    """What its names begin with there: the first that occurs."""
    others: tuple[Unused, ...] = ()
    """Further tensors of that file, which belong to no part of ours."""
    in_action_file: tuple[str, ...] = ()
    """What its names begin with in the action checkpoint; further ones are copies of the first."""


SOURCES: dict[str, Source] = {
    "unet": Source("unet"),
    "vae": Source("vae"),
    "text_encoder": Source(
        "clip",
        others=(
            Unused("vision_model.**", "only the text model of CLIP is used"),
            Unused("visual_projection.*", "only the text model of CLIP is used"),
            Unused("logit_scale", "for CLIP's own training"),
        ),
        in_action_file=("language_goal.hf_text_encoder.", "TVP_encoder.text_encoder."),
    ),
    "dinov2": Source("dinov2", in_action_file=("_dino_encoder.",)),
    "da3_backbone": Source(
        "da3",
        prefixes=("model.backbone.pretrained.", ""),
        others=(Unused("model.**", "depth, ray and camera heads: only the backbone is a reference"),),
        in_action_file=("_dpa_encoder.pretrained.",),
    ),
    "hidden2dino": Source("semantic", in_action_file=("hidden2dino.",)),
    "hidden2dpa": Source("geometric", in_action_file=("hidden2dpa.",)),
    "Video_Former": Source(ACTION, prefixes=("Video_Former.",), in_action_file=("Video_Former.",)),
    "model": Source(ACTION, prefixes=("model.",), in_action_file=("model.",)),
}


@dataclass(frozen=True)
class ChosenGroup:
    """A group's tensors by their published names, and which option's file they come from."""

    tensors: dict[str, Tensor]
    option: str


def choose_groups(files: Mapping[str, Mapping[str, Tensor]]) -> tuple[dict[str, ChosenGroup], list[str]]:
    """Find every group in the files.

    Args:
        files: option (without dashes) -> all tensors of its file.

    Returns:
        The groups, and sentences of warning about copies that differ from what was chosen.

    Raises:
        PublishedCheckpointError: a group is in no file, the action checkpoint has tensors of no known
            part, or its two copies of the text encoder differ.
    """
    action = files[ACTION]
    _refuse_strangers(action)
    chosen: dict[str, ChosenGroup] = {}
    warnings: list[str] = []
    for group, source in SOURCES.items():
        copies = [copy for prefix in source.in_action_file if (copy := with_prefix(action, prefix))]
        _refuse_differing_copies(group, source, copies)
        own = _own_tensors(source, files)
        if own is None and not copies:
            what = GROUPS[group].what
            raise PublishedCheckpointError(
                f"no weights for the {what}: neither --{source.option} nor the action checkpoint has them"
            )
        if own is not None:
            chosen[group] = ChosenGroup(own, source.option)
            warnings += _difference(group, source, own, copies)
        else:
            chosen[group] = ChosenGroup(copies[0], ACTION)
    return chosen, warnings


def _own_tensors(source: Source, files: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor] | None:
    if source.option not in files:
        return None
    content = files[source.option]
    prefix = next((p for p in source.prefixes if any(name.startswith(p) for name in content)), "")
    own = with_prefix(content, prefix)
    if source.option == ACTION:
        return own or None
    # What neither has the prefix nor is known stays under its full name: the group will refuse it.
    own |= {name: tensor for name, tensor in content.items() if not name.startswith(prefix)}
    known = [pattern(other.published) for other in source.others]
    return {name: t for name, t in own.items() if not any(stars.fullmatch(name) for stars in known)}


def _refuse_strangers(action: Mapping[str, Tensor]) -> None:
    prefixes = tuple(prefix for source in SOURCES.values() for prefix in source.in_action_file)
    strangers = sorted(name for name in action if not name.startswith(prefixes))
    if strangers:
        raise PublishedCheckpointError(
            f"--action: {len(strangers)} tensors belong to no known part, such as {', '.join(strangers[:5])}"
        )


def _refuse_differing_copies(group: str, source: Source, copies: list[dict[str, Tensor]]) -> None:
    for prefix, copy in zip(source.in_action_file[1:], copies[1:], strict=False):
        differing = _first_difference(copy, copies[0])
        if differing:
            raise PublishedCheckpointError(
                f"--action: the {GROUPS[group].what} is in there twice and the copies differ, first in "
                f"'{prefix}{differing}': this network runs it once for both uses"
            )


def _difference(
    group: str, source: Source, own: dict[str, Tensor], copies: list[dict[str, Tensor]]
) -> list[str]:
    if source.option == ACTION or not copies:
        return []
    differing = _first_difference(own, copies[0])
    if not differing:
        return []
    return [
        f"the {GROUPS[group].what} of --{source.option} is used; the action checkpoint holds another, "
        f"different first in '{differing}', which the action expert was trained on"
    ]


def _first_difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> str | None:
    """The first tensor that both have and that differs."""
    shared = (name for name in one if name in other)
    return next((name for name in shared if not _equal(one[name], other[name])), None)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one.float(), other.float())
