"""The action expert: a diffusion transformer from context to a chunk of actions.

The encoder does not know the noise level and the decoder sees only as many context rows as there are
actions. So the encoder and the keys and values run once per prediction, its last block only for the rows
that are seen, and everything that depends on the noise level alone is computed once per set of weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from svam_ros.networks.attention import (
    CausalCrossAttention,
    Mlp,
    SelfAttention,
    TwoLayerEmbedding,
    sine_features,
)
from svam_ros.networks.config import ActionExpertConfig
from svam_ros.networks.input_checks import check_joints, check_prefix
from svam_ros.networks.sampler import EdmScalings, edm_scalings, exponential_sigmas, sample_ddim

KeysValues = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of the context for every decoder block."""

Modulation = tuple[Tensor, ...]
"""For every decoder block ``(batch, 1, 6 * width)``: shifts, scales and gates at one noise level."""


CLEAN_LEVEL = 0.001
"""Noise level that given actions are said to have: 0 has no logarithm. Few other actions ever have it."""


@dataclass(frozen=True)
class GivenActions:
    """Actions that are being executed already, and that a chunk has to go on from."""

    actions: Tensor
    """``(batch, n, action_dim)`` normalised; counts where ``given``."""
    given: Tensor
    """``(batch, n)`` bool."""

    @staticmethod
    def first(actions: Tensor, length: int | Tensor) -> GivenActions:
        """The first ``length`` (one for all, or ``(batch,)``) of ``(batch, n, action_dim)``."""
        if isinstance(length, Tensor):
            length = length[:, None]
        steps = torch.arange(actions.shape[1], device=actions.device)
        return GivenActions(actions, (steps < length).expand(actions.shape[:2]))

    def over(self, others: Tensor) -> Tensor:
        """``others`` ``(batch, n, action_dim)`` where none is given."""
        return torch.where(self.given[..., None], self.actions, others)


@dataclass(frozen=True)
class SamplingSchedule:
    """What the sampler needs of the weights and the configuration alone."""

    sigmas: tuple[float, ...]
    """One for every step, and 0."""
    scalings: tuple[EdmScalings, ...]
    """For every step."""
    modulations: tuple[Modulation, ...]
    """For every step, with batch size 1."""
    clean: Modulation
    """Of given actions, with batch size 1."""


class EncoderBlock(nn.Module):
    """Pre-norm transformer block over the context, without a mask."""

    def __init__(self, config: ActionExpertConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.width, bias=False)
        self.attention = SelfAttention(
            config.width, config.heads, output_bias=False, dropout=config.attention_dropout
        )
        self.mlp_norm = nn.LayerNorm(config.width, bias=False)
        self.mlp = Mlp(config.width, bias=False)
        self.residual_dropout = nn.Dropout(config.residual_dropout)
        self.mlp_dropout = nn.Dropout(config.mlp_dropout)

    def forward(self, x: Tensor, *, first: int | None = None) -> Tensor:
        """``(batch, n, width)`` -> the same shape, or of the ``first`` rows only what they become."""
        attended = self.attention(self.attention_norm(x), first=first)
        x = x[:, :first] + self.residual_dropout(attended)
        output: Tensor = x + self.mlp_dropout(self.mlp(self.mlp_norm(x)))
        return output


class DecoderBlock(nn.Module):
    """Causal self-attention and MLP modulated by the noise level, causal cross-attention between them.

    adaLN of DiT (Peebles and Xie 2023, arXiv 2212.09748, section 3.2) with one difference, see
    :meth:`forward`.
    """

    def __init__(self, config: ActionExpertConfig) -> None:
        super().__init__()
        width = config.width
        self.modulation = nn.Linear(width, 6 * width)
        self.self_norm = nn.LayerNorm(width, bias=False)
        self.self_attention = SelfAttention(
            width, config.heads, causal=True, output_bias=False, dropout=config.attention_dropout
        )
        self.cross_norm = nn.LayerNorm(width)
        self.cross_attention = CausalCrossAttention(width, config.heads, dropout=config.attention_dropout)
        self.mlp_norm = nn.LayerNorm(width, bias=False)
        self.mlp = Mlp(width, bias=False)
        self.residual_dropout = nn.Dropout(config.residual_dropout)
        self.mlp_dropout = nn.Dropout(config.mlp_dropout)

    def forward(self, x: Tensor, modulation: Tensor, keys_values: tuple[Tensor, Tensor]) -> Tensor:
        """Actions ``(batch, n, width)``; the modulation scales by itself, not by one plus itself."""
        shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = modulation.chunk(6, dim=-1)
        attended = self.self_attention(shift_1 + self.self_norm(x) * scale_1)
        x = x + gate_1 * self.residual_dropout(attended)
        x = x + self.residual_dropout(self.cross_attention(self.cross_norm(x), keys_values))
        output: Tensor = x + gate_2 * self.mlp_dropout(self.mlp(shift_2 + self.mlp_norm(x) * scale_2))
        return output


class ActionExpert(nn.Module):
    """EDM denoiser of action chunks and its sampler (Karras et al. 2022, arXiv 2206.00364, equation 7)."""

    def __init__(self, context_width: int, goal_width: int, config: ActionExpertConfig) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.width, config.hidden_width
        self.goal_embedding = TwoLayerEmbedding(goal_width, hidden, width)
        self.context_embedding = nn.Linear(context_width, width)
        self.joint_embedding = (
            TwoLayerEmbedding(config.action_dim, hidden, width) if config.proprioception else None
        )
        self.encoder = nn.ModuleList(EncoderBlock(config) for _ in range(config.encoder_layers))
        self.encoder_norm = nn.LayerNorm(width, bias=False)
        self.sigma_hidden = nn.Linear(width, hidden)
        self.sigma_output = nn.Linear(hidden, width)
        self.action_embedding = nn.Linear(config.action_dim, width)
        self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.decoder_layers))
        self.decoder_norm = nn.LayerNorm(width, bias=False)
        self.action_prediction = nn.Linear(width, config.action_dim)

    def forward(
        self,
        context: Tensor,
        goal_token: Tensor,
        joints: Tensor | None,
        noise: Tensor,
        schedule: SamplingSchedule,
        prefix: GivenActions | None = None,
    ) -> Tensor:
        """Sample a chunk.

        Args:
            context: ``(batch, n, context_width)`` latents of the Uni-Perceiver.
            goal_token: ``(batch, 1, width)`` from :meth:`embed_goal`.
            joints: ``(batch, action_dim)`` normalised; ``None`` where the network has no proprioception.
            noise: ``(batch, pred_horizon, action_dim)`` standard normal.
            schedule: from :meth:`schedule`.
            prefix: actions that the chunk begins with, where the network was trained for it.

        Returns:
            ``(batch, pred_horizon, action_dim)`` normalised actions.

        Raises:
            InputError: as :meth:`encode`; or a prefix that is longer than trained, or wrong.
        """
        check_prefix(prefix, noise, self.config)
        encoded = self.encode(context, goal_token, joints, first=noise.shape[1])
        return self.sample(self.keys_values(encoded), noise, schedule, prefix)

    def sample(
        self,
        keys_values: KeysValues,
        noise: Tensor,
        schedule: SamplingSchedule,
        prefix: GivenActions | None = None,
    ) -> Tensor:
        """As :meth:`forward`, from the keys and values of a context on."""

        def denoise(x: Tensor, step: int) -> Tensor:
            scalings, modulation = schedule.scalings[step], schedule.modulations[step]
            if prefix is None:
                predicted = self.predict(scalings.input * x, modulation, keys_values)
            else:
                predicted = self.predict_behind(
                    prefix, scalings.input * x, modulation, schedule.clean, keys_values
                )
            denoised = scalings.skip * x + scalings.output * predicted  # EDM, equation 7
            return denoised if prefix is None else prefix.over(denoised)

        return sample_ddim(denoise, noise, schedule.sigmas)

    def embed_goal(self, goal: Tensor) -> Tensor:
        """The pooled sentence ``(batch, 1, goal_width)`` -> its token ``(batch, 1, width)``."""
        token: Tensor = self.goal_embedding(goal)
        return token

    def encode(
        self, context: Tensor, goal_token: Tensor, joints: Tensor | None, *, first: int | None = None
    ) -> Tensor:
        """Goal, latents and joints after the encoder: ``(batch, 1 + n (+ 1), width)``.

        With ``first`` only so many rows, equal to those of the whole.

        Raises:
            InputError: joints are missing where the network has proprioception, given where not, or wrong.
        """
        check_joints(joints, self.config, self.action_embedding.weight.dtype)
        tokens = [goal_token, self.context_embedding(context)]
        if self.joint_embedding is not None and joints is not None:
            tokens.append(self.joint_embedding(joints)[:, None])
        x = torch.cat(tokens, dim=1)
        for block in self.encoder[:-1]:
            x = block(x)
        x = self.encoder[-1](x, first=first)
        encoded: Tensor = self.encoder_norm(x)
        return encoded

    def keys_values(self, encoded: Tensor) -> KeysValues:
        """Keys and values of the context rows that the decoder can see: at most as many as actions."""
        visible = encoded[:, : self.config.pred_horizon]
        return tuple(block.cross_attention.keys_values(visible) for block in self._decoder_blocks())

    def denoise(self, noised: Tensor, sigma: Tensor, keys_values: KeysValues) -> Tensor:
        """EDM's denoiser: ``(batch, n, action_dim)`` at noise levels ``(batch,)`` -> clean estimate."""
        scalings = edm_scalings(sigma[:, None, None], self.config.sigma_data)
        predicted = self.predict(scalings.input * noised, self.modulation(sigma), keys_values)
        return scalings.skip * noised + scalings.output * predicted  # EDM, equation 7

    def predict(self, scaled: Tensor, modulation: Modulation, keys_values: KeysValues) -> Tensor:
        """The inner network: actions of about unit variance ``(batch, n, action_dim)`` -> the same shape."""
        x = self.action_embedding(scaled)
        for block, block_modulation, block_keys_values in zip(
            self.decoder, modulation, keys_values, strict=True
        ):
            x = block(x, block_modulation, block_keys_values)
        predicted: Tensor = self.action_prediction(self.decoder_norm(x))
        return predicted

    def predict_behind(
        self,
        prefix: GivenActions,
        scaled: Tensor,
        modulation: Modulation,
        clean: Modulation,
        keys_values: KeysValues,
    ) -> Tensor:
        """:meth:`predict` where some actions are given clean, each modulated by its own noise level.

        Training-time real-time chunking (Black et al. 2025, arXiv 2512.05964). What comes out where actions
        are given means nothing.

        Args:
            prefix: the given actions.
            scaled: ``(batch, n, action_dim)`` noised actions times the input scaling.
            modulation: at the noise level of the actions that are not given.
            clean: at :data:`CLEAN_LEVEL`.
            keys_values: of the conditions.
        """
        per_action = tuple(
            torch.where(prefix.given[..., None], at_rest, noisy)
            for at_rest, noisy in zip(clean, modulation, strict=True)
        )
        given = GivenActions(prefix.actions / self.config.sigma_data, prefix.given)
        return self.predict(given.over(scaled), per_action, keys_values)

    def denoising_error(
        self, actions: Tensor, noise: Tensor, sigma: Tensor, keys_values: KeysValues
    ) -> Tensor:
        """Error ``(batch, n, action_dim)`` of the inner network at noise levels ``(batch,)``.

        The published training loss is the mean of its squares (EDM's weighting: the inner network's target
        has unit variance at every noise level).
        """
        scalings = edm_scalings(sigma[:, None, None], self.config.sigma_data)
        noised = actions + sigma[:, None, None] * noise  # EDM, equation 2: y + n
        target = (actions - scalings.skip * noised) / scalings.output  # equation 8, second bracket
        predicted = self.predict(scalings.input * noised, self.modulation(sigma), keys_values)
        error: Tensor = predicted - target
        return error

    def modulation(self, sigma: Tensor) -> Modulation:
        """Shifts, scales and gates of every decoder block at noise levels ``(batch,)``."""
        width = self.config.width
        features = sine_features(sigma.log() / 4, width, denominator=width // 2 - 1)  # table 1: c_noise
        hidden = functional.mish(self.sigma_hidden(features.to(self.sigma_hidden.weight.dtype)))
        embedding = functional.silu(self.sigma_output(hidden))
        return tuple(block.modulation(embedding)[:, None] for block in self._decoder_blocks())

    def schedule(self, *, steps: int | None = None, sigma_min: float | None = None) -> SamplingSchedule:
        """The noise levels of the sampler and the modulation at each, as configured or as given."""
        config = self.config
        sigmas = exponential_sigmas(
            config.sampler_steps if steps is None else steps,
            config.sigma_min if sigma_min is None else sigma_min,
            config.sigma_max,
        )
        device = self.action_embedding.weight.device
        levels = torch.tensor(sigmas[:-1], dtype=torch.float64)
        scalings = [edm_scalings(level, config.sigma_data) for level in levels]
        return SamplingSchedule(
            sigmas,
            tuple(EdmScalings(*(float(part) for part in row)) for row in scalings),
            tuple(self.modulation(level[None].float().to(device)) for level in levels),
            self.modulation(torch.full((1,), CLEAN_LEVEL, device=device)),
        )

    def _decoder_blocks(self) -> list[DecoderBlock]:
        return [cast(DecoderBlock, block) for block in self.decoder]
