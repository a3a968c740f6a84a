"""One part of a published checkpoint to our names and shapes, strictly: all that is wrong, in one error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from svam_ros.artifacts.network_loading import weight_shapes
from svam_ros.artifacts.published.groups import GROUPS
from svam_ros.artifacts.published.name_rules import Group, pattern
from svam_ros.artifacts.published.sizes import differing_sizes
from svam_ros.artifacts.published.transforms import PublishedShape, Shape, Transform
from svam_ros.networks.config import SvamConfig

NAMED_PER_KIND = 5
"""Tensors that an error names of each kind of problem; it also says how many there are."""


class PublishedCheckpointError(ValueError):
    """Published files cannot be imported as what they are said to be; the text says all that is wrong."""


@dataclass
class Problems:
    """What is wrong with one group."""

    group: str
    sizes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    wrong_shape: list[str] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)

    def found(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.sizes or self.missing or self.unexpected or self.wrong_shape or self.not_finite)

    def text(self) -> str:
        """Everything in one line."""
        kinds = {
            "missing": self.missing,
            "unexpected": self.unexpected,
            "of another shape or kind": self.wrong_shape,
            "not finite": self.not_finite,
        }
        lists = [_listed(words, names) for words, names in kinds.items() if names]
        return f"{self.group} ({GROUPS[self.group].what}): {'; '.join([*self.sizes, *lists])}"


def convert_group(group: str, tensors: Mapping[str, Tensor], config: SvamConfig) -> dict[str, Tensor]:
    """Published tensors of one group to ours.

    Args:
        group: one of :data:`~svam_ros.artifacts.published.groups.GROUPS`.
        tensors: the group's tensors by their published names, without any prefix of the file.
        config: the network that they must fit.

    Returns:
        The part of ``Svam(config).run_time_state_dict()`` that the group makes, in the published
        precision. A tensor may share memory with the published one.

    Raises:
        PublishedCheckpointError: a tensor is missing, unexpected, of a wrong shape, not floating point or
            not finite; a size contradicts ``config``. The text names the group and the tensors.
    """
    rules = GROUPS[group]
    problems = Problems(group, sizes=differing_sizes(group, tensors, config))
    converted: dict[str, Tensor] = {}
    used: set[str] = set()
    for ours, shape in weight_shapes(config).items():
        if ours.startswith(rules.ours):
            rule, names = rules.rule_for(ours)
            used.update(names)
            wanted = rule.how.published_shapes(shape, len(names))
            if _fit(names, wanted, tensors, problems):
                converted[ours] = _apply(rule.how, names, tensors, shape, problems)
    problems.unexpected += _unexpected(rules, set(tensors) - used, config)
    problems.not_finite += [name for name in sorted(used & set(tensors)) if not _finite(tensors[name])]
    if problems.found():
        raise PublishedCheckpointError(problems.text())
    return converted


def _fit(
    names: tuple[str, ...],
    wanted: tuple[PublishedShape, ...],
    tensors: Mapping[str, Tensor],
    problems: Problems,
) -> bool:
    """Whether all are there and of the right kind and shape; notes what is not."""
    fits = True
    for name, shape in zip(names, wanted, strict=True):
        if name not in tensors:
            _note(problems.missing, name)
            fits = False
            continue
        found = tensors[name]
        if not found.dtype.is_floating_point:
            _note(
                problems.wrong_shape, f"{name} is {str(found.dtype).removeprefix('torch.')}, not real numbers"
            )
            fits = False
        elif not _same_shape(tuple(found.shape), shape):
            _note(problems.wrong_shape, f"{name} is {tuple(found.shape)}, wanted {_shown(shape)}")
            fits = False
    return fits


def _apply(
    how: Transform, names: tuple[str, ...], tensors: Mapping[str, Tensor], shape: Shape, problems: Problems
) -> Tensor:
    try:
        return how.apply([tensors[name] for name in names], shape)
    except ValueError as error:
        _note(problems.wrong_shape, f"{names[0]}: {error}")
        return tensors[names[0]]


def _unexpected(rules: Group, left: set[str], config: SvamConfig) -> list[str]:
    known = [pattern(unused.published) for unused in rules.unused(config)]
    return sorted(name for name in left if not any(stars.fullmatch(name) for stars in known))


def _finite(tensor: Tensor) -> bool:
    return not tensor.dtype.is_floating_point or bool(torch.isfinite(tensor).all())


def _same_shape(found: Shape, wanted: PublishedShape) -> bool:
    return len(found) == len(wanted) and all(w in (None, f) for f, w in zip(found, wanted, strict=True))


def _shown(shape: PublishedShape) -> str:
    lengths = ["any" if length is None else str(length) for length in shape]
    return f"({lengths[0]},)" if len(lengths) == 1 else f"({', '.join(lengths)})"


def _note(problems: list[str], text: str) -> None:
    if text not in problems:  # a published tensor may make several of ours
        problems.append(text)


def _listed(words: str, names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED_PER_KIND} more" if len(names) > NAMED_PER_KIND else ""
    return f"{len(names)} {words}: {', '.join(names[:NAMED_PER_KIND])}{more}"
