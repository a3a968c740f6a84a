"""From a training run to a model directory with a model card that says what was measured."""

from __future__ import annotations

import datetime
import json
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import torch
import transformers

from svam_ros.artifacts.manifest import Provenance
from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.artifacts.model_saving import ModelContents, save_model
from svam_ros.cobot import load_cobot
from svam_ros.simulation.tasks import TASKS
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.evaluation.evaluation_report import EvaluationReport
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.joint_training import JointTraining
from svam_train.recipe import TrainingRecipe


@dataclass(frozen=True)
class Publication:
    """What is told about a model besides its weights."""

    image: ImagePreparation
    hardware: str
    """In general terms, such as ``2 CPU cores``."""
    reports: tuple[EvaluationReport, ...] = ()
    """Closed-loop results to put into the card and the manifest, as measured."""


def publish(training: JointTraining, path: Path, publication: Publication) -> ModelDirectory:
    """Write the averaged weights of a run as a model directory, in place of what was there.

    Raises:
        ModelDirectoryError: the weights are not finite, or ``path`` is not a model directory.
    """
    network = training.averaged().network
    provenance = Provenance(
        created=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        command=commands(training, path.name),
        data=_data_sentence(training),
        seed=training.recipe.seed,
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "numpy": np.__version__,
        },
        results={report.label: round(report.rate.rate, 4) for report in publication.reports},
    )
    contents = ModelContents(
        network=network,
        statistics=training.statistics,
        tokenizer=training.tokenizer,
        preset=training.recipe.preset,
        image=publication.image,
        provenance=provenance,
        documents={"README.md": model_card(path.name, training, publication)},
    )
    return save_model(path, contents)


def commands(training: JointTraining, name: str) -> str:
    """What to type to make the model ``name`` again."""
    datasets = (training.training, training.held_out)
    counts = {task: sum(len(d.seeds.get(task, ())) for d in datasets) for task in TASKS}
    wanted = " ".join(f"--{task.replace('_', '-')} {count}" for task, count in counts.items())
    recipes = [*training.earlier, asdict(training.recipe)]
    steps = [" ".join(["svam-train tiny", *_options(recipe, asdict(TrainingRecipe()))]) for recipe in recipes]
    demonstrations = f"svam-train demonstrations {wanted}"
    return " && ".join([demonstrations, *steps, f"svam-train publish runs/tiny --out models/{name}"])


def _options(recipe: dict[str, Any], usual: dict[str, Any], prefix: str = "--recipe.") -> list[str]:
    """Command-line options for what differs from the usual recipe."""
    options: list[str] = []
    for key, value in recipe.items():
        name = prefix + key.replace("_", "-")
        if isinstance(value, dict):
            options += _options(value, usual[key], name + ".")
        elif json.dumps(value) != json.dumps(usual[key]):
            options.append(
                f"{name} {' '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}"
            )
    return options


def model_card(name: str, training: JointTraining, publication: Publication) -> str:
    """The card as Markdown."""
    recipe = training.recipe
    parameters = sum(t.numel() for t in training.trained.network.run_time_state_dict().values())
    rows = "\n".join(
        f"| {r.task} | {r.subject.policy} | {loop.latency_ms:g} ms | {loop.replan_steps} "
        f"| {loop.ramp_speed_fraction:g} | {loop.episode_s:g} s | {r.rate} |"
        for r in publication.reports
        if (loop := r.subject.loop) is not None
    )
    results = (
        f"| task | policy | latency | steps | ramp | time | success, 95 % interval |\n"
        f"|---|---|---|---|---|---|---|\n{rows}"
        if rows
        else "Not evaluated in closed loop."
    )
    instructions = "\n".join(f"- {text}" for text in training.training.instructions)
    usual, rate_hz = LoopSettings(), 1.0 / load_cobot().control_period_s
    return f"""# {name}

A small S-VAM ({parameters / 1e6:.1f} M parameters) for the simulated dual-arm Cobot: one image of the front
camera, the measured joints and an instruction give {training.horizon} absolute joint targets at
{rate_hz:g} Hz. It knows these instructions and no others:

{instructions}

It is made for the simulation in this repository. It has never seen a real camera: do not run it on a robot.

## How it was made

- Data: {_data_sentence(training)}.
- Training: {training.step} steps of {recipe.batch_size} images, all parts jointly, from random weights
  (one-stage recipe `{recipe.preset}` of `svam_train`, seed {recipe.seed}),
  {training.trained_s / 60:.0f} minutes on {publication.hardware}. The paper's three stages start from
  pretrained models and are not what made this one.
- Command: `{commands(training, name)}`
- Stored: moving average of the weights, float16.

## Measured in closed loop, simulation, scenes never trained on

{results}

The loop is that of the nodes on simulated time: the same translation, and the guard with its ramp and its
limits in front of the arms. Latency is the time from the frame to the arrival of its chunk at the guard
(how long the network really takes does not count), steps are the control steps from one frame to the
next (the nodes' default is {usual.replan_steps}), ramp is the share of the speed limits that the guard
allows after the engage (default {usual.ramp_speed_fraction:g}), time is what an attempt may take.

{_baselines(publication.reports)}One training seed; progress was looked at on the same scenes.
"""


BASELINES = {
    "blind": "`blind` is this model with a black image.",
    "replay": "`replay` plays a random demonstration back, begun at the engage.",
}


def _baselines(reports: tuple[EvaluationReport, ...]) -> str:
    """What the baselines in the table are."""
    policies = {report.subject.policy for report in reports}
    lines = [text for policy, text in BASELINES.items() if policy in policies]
    return "".join(f"{line}\n" for line in lines or ["No baseline was measured in this loop."])


def _data_sentence(training: JointTraining) -> str:
    dataset = training.training
    return (
        f"{dataset.episodes} demonstrations of the scripted experts in simulation "
        f"({len(dataset)} images, smooth noise on the executed joint targets), "
        f"{training.held_out.episodes} more held out"
    )
