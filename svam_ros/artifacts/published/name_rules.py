"""Patterns of tensor names: which published tensors make one of ours, and which are known but not needed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from svam_ros.artifacts.published.transforms import SAME, Transform
from svam_ros.networks.config import SvamConfig


@dataclass(frozen=True)
class Rule:
    """How tensors of ours come from published ones."""

    ours: str
    """Our names: ``*`` stands for one part between dots, ``**`` for all that follow."""
    published: tuple[str, ...]
    """The published names, with ``{}`` for what the stars stood for, in order."""
    how: Transform = SAME

    def published_names(self, ours: str) -> tuple[str, ...] | None:
        """The published tensors that make ``ours``, or ``None`` when this rule is not about it."""
        match = pattern(self.ours).fullmatch(ours)
        return tuple(name.format(*match.groups()) for name in self.published) if match else None


@dataclass(frozen=True)
class Unused:
    """Published tensors that are known and left behind."""

    published: str
    """Their names, with stars as in :class:`Rule`."""
    reason: str


@dataclass(frozen=True)
class Group:
    """One part of a published checkpoint."""

    what: str
    """Its name in the paper."""
    ours: str
    """What our names of this part begin with."""
    rules: tuple[Rule, ...]
    unused: Callable[[SvamConfig], tuple[Unused, ...]]

    def rule_for(self, ours: str) -> tuple[Rule, tuple[str, ...]]:
        """The first rule that makes ``ours``, and the published names it takes.

        Raises:
            LookupError: no rule does: the tables of this package are incomplete.
        """
        for rule in self.rules:
            names = rule.published_names(ours)
            if names is not None:
                return rule, names
        raise LookupError(f"no rule says where '{ours}' comes from")


@lru_cache(maxsize=1024)
def pattern(stars: str) -> re.Pattern[str]:
    """``a.*.b.**`` as a regular expression with one group a star."""
    parts = {"*": r"([^.]+)", "**": r"(.+)"}
    return re.compile(r"\.".join(parts.get(part, re.escape(part)) for part in stars.split(".")))


def parameters(ours: str, *published: str, how: Transform = SAME) -> Rule:
    """Weight and, where there is one, bias of a layer: ``.*`` is added to both sides."""
    return Rule(f"{ours}.*", tuple(f"{name}.{{}}" for name in published), how)
