"""A small frozen half of stage 2: a network of random weights, its own teachers, made-up clips."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import torch

from support.made_up_demonstrations import made_up_demonstration
from support.networks import CONFIG, random_network
from svam_ros.artifacts.tokenizer import build_word_tokenizer
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import Episode, EpisodeSet, RobotFacts
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.recipes.video import VideoSampling
from svam_train.stages.decouplers import DecouplersData, DecouplersObjective
from svam_train.stages.distillation import FrozenPass
from svam_train.stages.video_decoder import VideoDecoder
from svam_train.stages.video_source import GeneratedVideo, TrueFuture
from svam_train.teachers.reference_teachers import reference_teachers

SIZE = CONFIG.image_encoder.image_size
RECIPE = DecouplersRecipe(
    network="tiny",
    training=TrainingSettings(
        steps=40,
        batch_size=4,
        learning_rate=3e-3,
        warm_up_steps=2,
        average_decay=0.9,
        evaluate_every=40,
        pictures_every=40,
        seed=3,
    ),
    frame_spacing=2,
    sampling=VideoSampling(steps=2),
    held_out_clips=6,
    surveyed_clips=6,
    pictured_clips=2,
    examples_per_shard=4,
)


@cache
def foresight_rows(seed: int = 0, *, with_depth: bool = True) -> EpisodeRows:
    """Two episodes of two tasks whose depth follows the picture: what is bright is near."""
    episodes = []
    for number, task in enumerate(("lift_pot", "place_to_pot")):
        d = made_up_demonstration(task, seed + number, 8, size=SIZE, grid=8)
        bright = d.images.reshape(8, 8, SIZE // 8, 8, SIZE // 8, 3).mean((2, 4, 5)) > 100
        depth = np.where(bright, 0.5, 1.5).astype(np.float32) if with_depth else None
        episodes.append(
            Episode(
                f"{task}_{d.seed}",
                task,
                d.instruction,
                d.stride,
                d.images,
                d.joints,
                d.targets,
                depth=depth,
                segments=d.segments if with_depth else None,
            )
        )
    robot = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
    preparation = ImagePreparation("centre_square", SIZE, "area")
    return EpisodeRows(EpisodeSet("made up", robot, preparation, tuple(episodes)))


@cache
def frozen_network() -> Svam:
    return random_network(seed=4, with_video_head=True).requires_grad_(False)


def frozen_pass(recipe: DecouplersRecipe = RECIPE) -> FrozenPass:
    network = frozen_network()
    torch.manual_seed(5)
    decoder = VideoDecoder(CONFIG.image_encoder).eval()
    source = (
        GeneratedVideo(network, decoder, recipe.sampling)
        if recipe.targets == "generated"
        else TrueFuture(network)
    )
    teachers = {kind: one for kind, one in reference_teachers(network).items() if kind in recipe.kinds}
    return FrozenPass(network, source, teachers)


def foresight_data(*, with_depth: bool = True) -> DecouplersData:
    training, held_out = (foresight_rows(seed, with_depth=with_depth) for seed in (0, 10))
    return DecouplersData(training, held_out, build_word_tokenizer(training.instructions, CONFIG.text))


def foresight_objective(
    recipe: DecouplersRecipe = RECIPE, *, with_depth=True, **options
) -> DecouplersObjective:
    data = foresight_data(with_depth=with_depth)
    return DecouplersObjective(recipe, CONFIG, data, frozen_pass(recipe), **options)


def changed(**changes) -> DecouplersRecipe:
    return dataclasses.replace(RECIPE, **changes)
