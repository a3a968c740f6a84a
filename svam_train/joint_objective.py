"""One joint loss over the whole network, from images to actions, for one batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.artifacts.tokenizer import InstructionTokenizer
from svam_ros.networks.svam import Svam
from svam_train.episodes.chunk_dataset import ChunkBatch
from svam_train.losses import TrainingHeads, action_loss, draw_noise_levels
from svam_train.recipe import TrainingRecipe


@dataclass(frozen=True)
class DepthUnits:
    """Mean and standard deviation of patch depth over the training data, m."""

    mean: float
    deviation: float


class TrainedNetwork(nn.Module):
    """The network with its video head and the read-outs that only training needs."""

    def __init__(self, network: Svam, heads: TrainingHeads) -> None:
        super().__init__()
        self.network = network
        self.heads = heads


@dataclass(frozen=True)
class TokenizedInstructions:
    """All instructions of a data set as token ids; each ``(instructions, length)`` int64."""

    token_ids: Tensor
    attention_mask: Tensor


def tokenize_instructions(
    tokenizer: InstructionTokenizer, instructions: tuple[str, ...]
) -> TokenizedInstructions:
    """Rows in the order of ``instructions``."""
    encoded = [tokenizer.encode(text) for text in instructions]
    ids = torch.cat([torch.from_numpy(one.token_ids) for one in encoded])
    mask = torch.cat([torch.from_numpy(one.attention_mask) for one in encoded])
    return TokenizedInstructions(ids, mask)


def joint_losses(
    trained: TrainedNetwork,
    batch: ChunkBatch,
    instructions: TokenizedInstructions,
    depth_units: DepthUnits,
    recipe: TrainingRecipe,
    generator: torch.Generator,
    *,
    with_video: bool,
) -> dict[str, Tensor]:
    """Every loss by name, unweighted; ``video`` only when asked for."""
    network, heads = trained.network, trained.heads
    count = len(batch.images)
    images = torch.zeros_like(batch.images) if recipe.blind else batch.images
    every_condition = network.encode_instruction(instructions.token_ids, instructions.attention_mask)
    condition = every_condition.rows(batch.instructions)
    latent_noise = torch.randn(count, *network.config.latent_noise_shape, generator=generator)
    latents = network.encode_image(images)
    losses = {"reconstruction": heads.pixel_loss(latents, images)}
    if with_video:
        features, video = network.predict_video_latents(latents, condition, latent_noise)
        losses["video"] = heads.pixel_loss(video.flatten(0, 1), batch.future_images.flatten(0, 1))
    else:
        features = network.backbone(latents, condition, latent_noise)
    foresight = network.decouple(features, network.references(images))
    tokens = network.foresight_tokens(foresight)
    losses["semantic"] = heads.semantic_loss(tokens, batch.future_segments)
    losses["geometric"] = heads.geometric_loss(
        tokens, batch.future_depth, depth_units.mean, depth_units.deviation
    )
    draws = (recipe.noise_draws, count)
    sigma = draw_noise_levels(recipe.noise_levels, torch.rand(draws, generator=generator))
    noise = torch.randn(*draws, *network.config.action_noise_shape, generator=generator)
    context = network.perceive(features, foresight)
    losses["places"] = heads.place_loss(context, batch.future_places, batch.future_visible)
    losses["rests"] = heads.rest_loss(context, batch.rests)
    kept = torch.rand(count, 1, generator=generator) >= recipe.joint_dropout
    losses["action"] = action_loss(
        network.action_expert, context, condition.goal_token, batch.joints * kept, batch.actions, noise, sigma
    ).mean()
    return losses


def weighted_sum(losses: dict[str, Tensor], recipe: TrainingRecipe) -> Tensor:
    """The number that is minimised."""
    weights = {"action": 1.0, **vars(recipe.loss_weights)}
    # Losses that are computed at every n-th step count n times as much there.
    weights["video"] *= recipe.video_every
    return torch.stack([weights[name] * value for name, value in losses.items()]).sum()


@torch.no_grad()
def sampled_error(
    trained: TrainedNetwork, batch: ChunkBatch, instructions: TokenizedInstructions, recipe: TrainingRecipe
) -> float:
    """Mean absolute error of sampled chunks, normalised units: what the robot would get."""
    network = trained.network
    generator = torch.Generator().manual_seed(0)
    count = len(batch.images)
    every_condition = network.encode_instruction(instructions.token_ids, instructions.attention_mask)
    predicted = network(
        torch.zeros_like(batch.images) if recipe.blind else batch.images,
        every_condition.rows(batch.instructions),
        batch.joints,
        torch.randn(count, *network.config.latent_noise_shape, generator=generator),
        torch.randn(count, *network.config.action_noise_shape, generator=generator),
    )
    return float(functional.l1_loss(predicted, batch.actions))
