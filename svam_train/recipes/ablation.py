"""Which parts of the network are taken away to see what each is good for: data only.

The ablation table of the paper (arXiv 2603.16195), at a size that runs on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from svam_ros.parameters import TaskName
from svam_train.recipes.actions import PRESETS as ACTIONS
from svam_train.recipes.actions import ActionRecipe

Input = Literal["features", "semantic", "geometric"]
"""Of the Uni-Perceiver, in the order in which they lie side by side."""
INPUTS: tuple[Input, ...] = get_args(Input)

VariantName = Literal[
    "full",
    "without_geometric",
    "without_semantic",
    "true_future",
    "without_uni_perceiver",
    "without_features",
    "one_step_features",
]
REFERENCE: VariantName = "full"
"""The variant that all others are compared with."""


@dataclass(frozen=True)
class Variant:
    """One row of the table."""

    name: VariantName
    inputs: tuple[Input, ...] = INPUTS
    """What the Uni-Perceiver sees."""
    resampling: Literal["attention", "averages"] = "attention"
    """How the tokens of a frame become a few: learned attention, or averages over fixed cells of the picture,
    which learn nothing."""
    targets: Literal["generated", "true_future"] = "generated"
    """What the decouplers were trained to foresee, so which run of them this one is built on."""

    @property
    def left_out(self) -> tuple[Input, ...]:
        """Inputs that the Uni-Perceiver does not see."""
        return tuple(name for name in INPUTS if name not in self.inputs)


VARIANTS: dict[VariantName, Variant] = {
    variant.name: variant
    for variant in (
        Variant("full"),
        Variant("without_geometric", inputs=("features", "semantic")),
        Variant("without_semantic", inputs=("features", "geometric")),
        Variant("true_future", targets="true_future"),
        Variant("without_uni_perceiver", resampling="averages"),
        Variant("without_features", inputs=("semantic", "geometric")),
        Variant("one_step_features", inputs=("features",)),
    )
}
"""By name. ``one_step_features`` is what a video prediction policy looks at (Hu et al. 2024, arXiv
2412.14803): features of one step, no foresight."""


@dataclass(frozen=True)
class AblationPlan:
    """What is trained, and on which scenes it is tried.

    Raises:
        ValueError: nothing to do, something twice, or a number out of its range.
    """

    variants: tuple[VariantName, ...] = get_args(VariantName)
    """Those that are trained now; others that the folder holds stay in the table."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of training: first weights, order of the data and noise follow from it, alike for all variants."""
    tasks: tuple[TaskName, ...] = get_args(TaskName)
    episodes: int = 100
    """Scenes of each task, the same for every variant and seed."""
    first_scene: int = 0
    """Equal numbers are equal scenes, none of which demonstrations are made of."""

    def __post_init__(self) -> None:
        for name, values in (("variants", self.variants), ("seeds", self.seeds), ("tasks", self.tasks)):
            if not values or len(set(values)) != len(values):
                raise ValueError(f"{name} are {values}: name at least one, and none twice")
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown:
            raise ValueError(f"there is no variant {', '.join(unknown)}; there are: {', '.join(VARIANTS)}")
        if min(self.seeds) < 0 or self.episodes < 1 or self.first_scene < 0:
            raise ValueError(
                f"seeds {self.seeds} and first_scene {self.first_scene} must not be negative, episodes "
                f"{self.episodes} must be at least 1"
            )


PRESETS: dict[str, ActionRecipe] = {"tiny": replace(ACTIONS["tiny"], features="disk")}
"""What every variant is trained with, by name. Features are kept on disk: all variants share them. Other
sizes than ``tiny`` have no robot in simulation that they fit."""
