"""EDM's loss on chunks of actions, with per-dimension weights and, as an option, a committed prefix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svam_ros.networks.action_expert import CLEAN_LEVEL, ActionExpert, GivenActions, KeysValues
from svam_ros.networks.sampler import edm_scalings
from svam_train.recipes.actions import ActionNoise, CommittedPrefix


def draw_noise_levels(noise: ActionNoise, random: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Noise levels of the given shape: inverse of the truncated log-logistic distribution function."""
    location = math.log(noise.median)

    def share_below(level: float) -> float:
        return 1.0 / (1.0 + math.exp(-(math.log(level) - location) / noise.spread))

    low, high = share_below(noise.lowest), share_below(noise.highest)
    share = np.clip(low + (high - low) * random.random(shape), 1e-12, 1.0 - 1e-12)
    levels = np.exp(location + noise.spread * np.log(share / (1.0 - share)))
    return np.clip(levels, noise.lowest, noise.highest).astype(np.float32)


def draw_prefix_lengths(
    prefix: CommittedPrefix, random: np.random.Generator, *shape: int
) -> NDArray[np.int64]:
    """How many of the first actions are given: 0 in ``share_without`` of the draws, else 1 to ``longest``."""
    if not prefix.longest:
        return np.zeros(shape, np.int64)
    lengths = random.integers(1, prefix.longest + 1, shape)
    return np.where(random.random(shape) < prefix.share_without, 0, lengths)


def chunk_errors(
    expert: ActionExpert,
    keys_values: KeysValues,
    actions: Tensor,
    noise: Tensor,
    sigma: Tensor,
    prefix_lengths: Tensor | None,
) -> Tensor:
    """Errors of the inner network, several draws for each row's chunk.

    Args:
        expert: the action expert.
        keys_values: of ``rows`` conditions.
        actions: ``(rows, horizon, action_dim)`` normalised.
        noise: ``(rows, draws, horizon, action_dim)`` standard normal.
        sigma: ``(rows, draws)`` noise levels.
        prefix_lengths: ``(rows, draws)`` int64: so many first actions are given clean; they have no error.
            ``None``: none, as published.

    Returns:
        ``(rows, draws, horizon, action_dim)`` float32; the mean of their squares over ``action_dim`` and the
        actions that were not given is the published loss.
    """
    draws = sigma.shape[1]
    repeated = tuple(
        (key.repeat_interleave(draws, 0), value.repeat_interleave(draws, 0)) for key, value in keys_values
    )
    actions = actions.repeat_interleave(draws, 0)
    noise, sigma = noise.flatten(0, 1), sigma.flatten()
    if prefix_lengths is None:
        return expert.denoising_error(actions, noise, sigma, repeated).float().unflatten(0, (-1, draws))
    level = sigma[:, None, None]
    scalings = edm_scalings(level, expert.config.sigma_data)
    noised = actions + level * noise
    target = (actions - scalings.skip * noised) / scalings.output
    prefix = GivenActions.first(actions, prefix_lengths.flatten())
    clean = expert.modulation(torch.full((1,), CLEAN_LEVEL, device=actions.device))
    predicted = expert.predict_behind(
        prefix, scalings.input * noised, expert.modulation(sigma), clean, repeated
    )
    errors = torch.where(prefix.given[..., None], 0.0, predicted.float() - target)
    return errors.unflatten(0, (-1, draws))


def mean_square(errors: Tensor, joint_weights: Sequence[float], prefix_lengths: Tensor | None) -> Tensor:
    """One number: every row and draw counts the same, however much of its chunk was given.

    Args:
        errors: from :func:`chunk_errors`.
        joint_weights: of each action dimension; none are all 1.
        prefix_lengths: as there.
    """
    squares = _weighted(errors**2, joint_weights)
    counted = errors.shape[2] - (0 if prefix_lengths is None else prefix_lengths)
    return (squares.mean(dim=3).sum(dim=2) / counted).mean()


def mean_roughness(errors: Tensor, joint_weights: Sequence[float], prefix_lengths: Tensor | None) -> Tensor:
    """Like :func:`mean_square`, of the errors' second differences along the chunk.

    As a further term of the loss it moves no optimum: the expected value is best under every quadratic form
    of the error. But where a network's mean error is smooth, and what it lets through of the sampler's noise
    is not, this term is mostly the latter: that is learnt in tens of steps instead of tens of thousands.
    """
    bends = _weighted(errors.diff(n=2, dim=2) ** 2, joint_weights).mean(dim=3)
    if prefix_lengths is None:
        return bends.mean()
    counted = torch.arange(bends.shape[2], device=bends.device) >= prefix_lengths[..., None]
    return (torch.where(counted, bends, 0.0).sum(dim=2) / counted.sum(dim=2).clamp(min=1)).mean()


def _weighted(squares: Tensor, joint_weights: Sequence[float]) -> Tensor:
    if not joint_weights:
        return squares
    return squares * torch.tensor(tuple(joint_weights), device=squares.device)
