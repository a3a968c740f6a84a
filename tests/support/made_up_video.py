"""A small autoencoder, small video data, and what stage 1 needs to start from them."""

from __future__ import annotations

import dataclasses
from functools import cache

import torch
from torch import Tensor

from support.made_up_demonstrations import made_up_demonstration
from support.networks import CONFIG
from svam_ros.artifacts.tokenizer import build_word_tokenizer
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.networks.image_encoder import ImageEncoder
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import Episode, EpisodeSet, RobotFacts
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.recipes.video import VideoNoise, VideoRecipe, VideoSampling
from svam_train.stages.latent_cache import encode_rows
from svam_train.stages.video import VideoData, VideoObjective
from svam_train.stages.video_decoder import VideoDecoder

SIZE = CONFIG.image_encoder.image_size
ROBOT = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
PREPARATION = ImagePreparation("centre_square", SIZE, "area")
TRAINING = TrainingSettings(steps=20, batch_size=4, learning_rate=3e-3, warm_up_steps=2, seed=3)
RECIPE = VideoRecipe(
    network="tiny",
    training=TRAINING,
    frame_spacing=4,
    noise=VideoNoise(deployment_share=0.5),
    sampling=VideoSampling(steps=3),
    train_text=True,
    held_out_clips=4,
    pictured_clips=2,
)


@cache
def episode_rows(seed: int = 0, pictures: int = 8) -> EpisodeRows:
    """Two episodes of two tasks."""
    demonstrations = [
        made_up_demonstration(task, seed + i, pictures, size=SIZE, grid=8)
        for i, task in enumerate(("lift_pot", "place_to_pot"))
    ]
    episodes = tuple(
        Episode(f"{d.task}_{d.seed}", d.task, d.instruction, d.stride, d.images, d.joints, d.targets)
        for d in demonstrations
    )
    return EpisodeRows(EpisodeSet("made up", ROBOT, PREPARATION, episodes))


@cache
def image_encoder(config=CONFIG) -> ImageEncoder:
    torch.manual_seed(7)
    return ImageEncoder(config.image_encoder).eval()


@cache
def autoencoder_tensors() -> dict[str, Tensor]:
    """What the autoencoder's run hands on, untrained."""
    torch.manual_seed(8)
    decoder = VideoDecoder(CONFIG.image_encoder)
    return {
        **{f"image_encoder.{name}": value for name, value in image_encoder().state_dict().items()},
        **{f"video_decoder.{name}": value for name, value in decoder.state_dict().items()},
    }


def video_data() -> VideoData:
    training, held_out = (encode_rows(episode_rows(seed), image_encoder()) for seed in (0, 10))
    return VideoData(training, held_out, build_word_tokenizer(training.rows.instructions, CONFIG.text))


def video_objective(recipe: VideoRecipe = RECIPE, start: dict[str, Tensor] | None = None) -> VideoObjective:
    return VideoObjective(recipe, CONFIG, video_data(), {**autoencoder_tensors(), **(start or {})})


def with_training(recipe: VideoRecipe, **changes) -> VideoRecipe:
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **changes))


def descend(objective, steps: int, learning_rate: float = 3e-3) -> list[float]:
    """The total loss of each of a few plain steps."""
    trained = [value for value in objective.module.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate)
    losses = []
    for step in range(steps):
        total = objective.module(objective.batch(step, 4))["total"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        losses.append(total.item())
    return losses
