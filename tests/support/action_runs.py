"""Finished runs of the stages before the actions, and demonstrations for them: random weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from support.made_up_demonstrations import INSTRUCTIONS, made_up_demonstration
from svam_ros.artifacts.tokenizer import build_word_tokenizer
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.networks.presets import TINY
from svam_ros.networks.svam import Svam
from svam_ros.simulation.front_camera import SceneClass
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.demonstration_files import save_demonstration
from svam_train.episodes.episodes import RobotFacts
from svam_train.episodes.sources import open_episodes
from svam_train.episodes.splits import split
from svam_train.recipes.actions import PRESETS, CommittedPrefix
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.stages.action_run import ActionRun, train_actions
from svam_train.training.run_folder import weights_hash

IMAGE = ImagePreparation("centre_square", 128, "area")
TRAINING = TrainingSettings(
    steps=2, batch_size=4, learning_rate=1e-3, evaluate_every=2, pictures_every=2, log_every=1
)
SMALL = dataclasses.replace(
    PRESETS["tiny"],
    training=TRAINING,
    held_out_share=0.4,
    held_out_rows=4,
    pictured_rows=2,
    noise_draws=2,
    features="memory",
    prefix=CommittedPrefix(),
)


def demonstration(task, seed):
    """Within the joints' limits, with as many classes as the simulation has."""
    made = made_up_demonstration(task, seed, pictures=6)
    segments = np.zeros((*made.segments.shape[:3], len(SceneClass)), np.float32)
    segments[..., : made.segments.shape[3]] = made.segments
    scale = np.array([1.0] * 6 + [0.05], np.float32)
    joints, targets = (np.abs(values) * np.tile(scale, 2) for values in (made.joints, made.targets))
    lower, upper = load_cobot().limits.lower, load_cobot().limits.upper
    joints, targets = (np.clip(values, lower, upper).astype(np.float32) for values in (joints, targets))
    return dataclasses.replace(made, segments=segments, joints=joints, targets=targets)


def demonstrations(folder: Path) -> Path:
    """Three of each of two tasks."""
    for task in INSTRUCTIONS:
        for seed in range(3):
            save_demonstration(folder, demonstration(task, seed))
    return folder


def finished_run(folder: Path, tensors, parents=()) -> Path:
    """A run's folder with what it hands on."""
    folder.mkdir(parents=True)
    save_file(tensors, folder / "weights.safetensors")
    told = {str(n): {"run": str(p), "sha256": weights_hash(p)} for n, p in enumerate(parents)}
    (folder / "parent.json").write_text(json.dumps(told))
    (folder / "config.json").write_text(json.dumps({"recipe": {"training": {"batch_size": 3}}}))
    machine = {"processes": 1, "device": "abacus"}
    (folder / "finished.json").write_text(json.dumps({"steps": 7, "trained_s": 120.0, **machine}))
    return folder


def decouplers_run(base: Path) -> Path:
    """A video run with the tokenizer, and a run of the decouplers on it that hands on its own part only."""
    torch.manual_seed(1)
    weights = Svam(TINY).state_dict()
    frozen = {n: t for n, t in weights.items() if not n.startswith(("uni_perceiver", "action_expert"))}
    own = {n: t for n, t in frozen.items() if "decoupler" in n}
    video = finished_run(base / "video", {n: t for n, t in frozen.items() if n not in own})
    tokenizer = build_word_tokenizer(INSTRUCTIONS.values(), TINY.text)
    (video / "tokenizer.json").write_text(tokenizer.to_json())
    return finished_run(base / "decouplers", own | {"probe.weight": torch.zeros(2)}, [video])


def trained(recipe, data: Path, parent: Path, run: Path, *, resume: bool = False, change=None) -> Path:
    """The folder of a run of stage 3."""
    robot = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
    training, held_out = split(open_episodes(data, IMAGE, robot), recipe.held_out_share, 0)
    facts = {"name": "made up", "image": dataclasses.asdict(IMAGE)}
    where = ActionRun(training, held_out, facts, parent, run, change=change)
    train_actions(recipe, where, resume=resume)
    return run
