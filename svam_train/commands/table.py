"""All commands of ``svam-train``. What one consists of is named, so that naming it imports nothing."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    options: str
    """``module:attribute`` below ``svam_train``: the dataclass that becomes options on the command line.
    Beside it lies ``run``, which takes them.
    """
    summary: str
    examples: tuple[str, ...]
    recipes: str = ""
    """Module of :mod:`svam_train.recipes` whose presets ``--config`` chooses the field ``recipe`` from."""
    starts_over: bool = False
    """What Ctrl-C interrupted is not gone on with by the same command."""

    @property
    def options_class(self) -> type[Any]:
        """The dataclass of its options."""
        module, _, attribute = self.options.partition(":")
        options: type[Any] = getattr(importlib.import_module(f"svam_train.{module}"), attribute)
        return options

    @property
    def presets(self) -> dict[str, Any]:
        """Complete recipes by name; empty for a command without."""
        if not self.recipes:
            return {}
        presets: dict[str, Any] = importlib.import_module(f"svam_train.recipes.{self.recipes}").PRESETS
        return presets

    def run(self, options: Any) -> None:
        """Do it."""
        module = importlib.import_module(f"svam_train.{self.options.partition(':')[0]}")
        module.run(options)


COMMANDS = (
    Command(
        "demonstrations",
        "commands.demonstrations:Demonstrations",
        "records demonstrations of the scripted experts in simulation",
        ("svam-train demonstrations --lift-pot 60 --place-to-pot 150 --place-to-pot-hard 150 --pour 150",),
    ),
    Command(
        "check-data",
        "commands.check_data:CheckData",
        "shows what is in a folder of demonstrations, of MCAP episodes or a LeRobot v3.0 data set, and "
        "whether it can be trained on",
        ("svam-train check-data runs/demonstrations",),
    ),
    Command(
        "foundations",
        "commands.foundations:Foundations",
        "trains the video autoencoder of a network that has no public one",
        ("svam-train foundations", "svam-train foundations --recipe.training.steps 6000 --resume"),
        "autoencoder",
    ),
    Command(
        "stills",
        "commands.stills:Stills",
        "draws pictures of thousands of scenes for the teachers",
        ("svam-train stills --count 5000",),
    ),
    Command(
        "teachers",
        "commands.teachers:Teachers",
        "trains the two teachers of a network that has no public ones",
        ("svam-train teachers", "svam-train teachers --stills runs/stills --recipe.training.steps 4500"),
        "teachers",
    ),
    Command(
        "video",
        "commands.video:Video",
        "stage 1: the text-conditioned video model",
        (
            "svam-train video --autoencoder runs/foundations/autoencoder",
            "svam-train video --config cobot --data.path recordings --svd stable-video-diffusion --clip clip",
        ),
        "video",
    ),
    Command(
        "decouplers",
        "commands.decouplers:Decouplers",
        "stage 2: in one step what teachers see in the video model's own videos",
        (
            "svam-train decouplers --teachers runs/teachers",
            "svam-train decouplers --teachers models/tiny_teachers",
            "svam-train decouplers --config cobot --data.path recordings",
        ),
        "decouplers",
    ),
    Command(
        "actions",
        "commands.actions:Actions",
        "stage 3: the action expert on frozen foresight",
        (
            "svam-train actions",
            "svam-train actions --parent runs/actions --run runs/actions_2",
            "svam-train actions --config cobot --data.path recordings",
        ),
        "actions",
    ),
    Command(
        "publish",
        "commands.publish:Publish",
        "writes what a finished run hands on as a model directory with a model card",
        ("svam-train publish runs/actions --out models/mine",),
    ),
    Command(
        "evaluate",
        "commands.evaluate:Evaluate",
        "how often a model does its tasks in simulation, in closed loop",
        (
            "svam-train evaluate --model models/mine",
            "svam-train evaluate --model models/mine --episodes 100 --report report.json",
        ),
        starts_over=True,
    ),
    Command(
        "ablation",
        "commands.ablation:Ablation",
        "trains the network without one of its parts after the other, and compares them in closed loop",
        (
            "svam-train ablation --parent runs/decouplers --true-future runs/decouplers_true",
            "svam-train ablation --variants full one_step_features --seeds 0 --tasks place_to_pot --resume",
        ),
        "ablation",
    ),
    Command(
        "relabel",
        "commands.relabel:Relabel",
        "lets the expert go on from where a model or a clumsy expert led the arms, and keeps that",
        (
            "svam-train relabel --led-by clumsy_expert --episodes 100",
            "svam-train relabel --model models/mine --episodes 50",
        ),
    ),
)
RECIPE = (
    "demonstrations",
    "foundations",
    "teachers",
    "video",
    "decouplers",
    "actions",
    "publish",
    "evaluate",
)
"""The commands that make a model from nothing, in their order; the first example of each, as it stands."""
