"""Stage 3: Uni-Perceiver and action expert learn chunks of actions on top of the frozen foresight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from svam_ros.networks.action_expert import GivenActions, KeysValues
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.svam import Foresight, Svam
from svam_train.episodes.batches import EpisodeRows
from svam_train.recipes.actions import ActionRecipe
from svam_train.stages.action_loss import (
    chunk_errors,
    draw_noise_levels,
    draw_prefix_lengths,
    mean_roughness,
    mean_square,
)
from svam_train.stages.action_read_outs import ReadOuts, ReadOutTruth, movable_things
from svam_train.stages.chunk_measures import arm_error_rad, arm_roughness
from svam_train.stages.chunk_pictures import chunk_picture
from svam_train.stages.cpu_attention import attention_for_training
from svam_train.stages.drawn_rows import balanced_rows
from svam_train.stages.frozen_features import CachedFeatures, engine_latent_noise, frozen_features
from svam_train.stages.instruction_texts import InstructionTexts
from svam_train.stages.picture_changes import change_pictures
from svam_train.stages.step_draws import draw_normal, spread_rows, step_generator
from svam_train.training.objective import TOTAL, ImageArray
from svam_train.training.run_folder import RunError

TRAINED = ("uni_perceiver", "action_expert")
"""Parts of the network that this stage trains; the others are as the stages before left them."""

_DECOUPLERS = ("semantic_decoupler", "geometric_decoupler")

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class ActionRows:
    """One side of the data: training or held out."""

    rows: EpisodeRows
    texts: InstructionTexts
    features: CachedFeatures | None = None
    """Under the engine's latent noise; ``None`` computes them at every step."""


class ActionModel(nn.Module):
    """The network, of which only :data:`TRAINED` learns, and the read-outs of training.

    Args:
        network: with the weights of the stages before.
        recipe: the numbers.
    """

    def __init__(self, network: Svam, recipe: ActionRecipe) -> None:
        super().__init__()
        self.network = network.requires_grad_(requires_grad=False)
        for name in TRAINED:
            network.get_submodule(name).requires_grad_(requires_grad=True)
        movable = movable_things() if recipe.read_outs.places else 0
        self.read_outs = ReadOuts(network.config, recipe.read_outs, movable)
        self._recipe = recipe
        self.train()

    def train(self, mode: bool = True) -> ActionModel:
        """As in torch, but the frozen parts stay as on the robot; see ``decoupler_dropout``."""
        super().train(mode)
        for name, part in self.network.named_children():
            if name not in TRAINED:
                part.train(mode and self._recipe.decoupler_dropout and name in _DECOUPLERS)
        return self

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch of :class:`ActionObjective`."""
        with attention_for_training(batch["actions"].device):
            context, keys_values = self.conditions(batch)
            prefix = batch.get("prefix_lengths")
            errors = chunk_errors(
                self.network.action_expert,
                keys_values,
                batch["actions"],
                batch["action_noise"],
                batch["sigma"],
                prefix,
            )
        recipe = self._recipe
        losses = {"action": mean_square(errors, recipe.joint_weights, prefix)}
        if recipe.roughness_weight:
            losses["roughness"] = mean_roughness(errors, recipe.joint_weights, prefix)
        losses |= self.read_outs.losses(context, batch)
        weights = {"action": 1.0, "roughness": recipe.roughness_weight, **vars(recipe.read_outs)}
        total = torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()
        return {TOTAL: total, **losses}

    def conditions(self, batch: Batch) -> tuple[Tensor, KeysValues]:
        """Context of the Uni-Perceiver ``(rows, n, width)``, and what the chunk's decoder sees of it."""
        network = self.network
        if "features" in batch:
            features = batch["features"]
            foresight = Foresight(batch["semantic"], batch["geometric"])
        else:
            features, foresight = frozen_features(
                network, batch["images"], batch["text_states"], batch["latent_noise"]
            )
        context = network.perceive(features, foresight)
        expert = network.action_expert
        joints = batch["joints"] if expert.config.proprioception else None
        encoded = expert.encode(context, expert.embed_goal(batch["goals"]), joints)
        return context, expert.keys_values(encoded)


class ActionObjective:
    """What the training loop needs to train the action expert.

    Args:
        recipe: the numbers.
        network: with the weights of the stages before, from :func:`action_network`.
        statistics: of the training episodes.
        training: rows that are trained on.
        held_out: rows that are looked at only.

    Raises:
        DataError: the read-outs want what the episodes do not hold.
    """

    def __init__(
        self,
        recipe: ActionRecipe,
        network: Svam,
        statistics: Statistics,
        training: ActionRows,
        held_out: ActionRows,
    ) -> None:
        self.recipe = recipe
        self.statistics = statistics
        self._training, self._held_out = training, held_out
        offsets = range(0, recipe.frame_spacing * network.config.backbone.frames, recipe.frame_spacing)
        self._truths = {
            id(side): ReadOutTruth(side.rows, recipe.read_outs, tuple(offsets))
            for side in (training, held_out)
        }
        self._looked_at = spread_rows(len(held_out.rows), recipe.held_out_rows)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            self.module = ActionModel(network, recipe)

    def batch(self, step: int, size: int) -> Batch:
        """See :class:`svam_train.training.objective.Objective`."""
        recipe = self.recipe
        random = step_generator(recipe.training.seed, step)
        rows = balanced_rows(random, self._training.rows, size, step)
        batch = self._rows_as_batch(self._training, rows) | self._noises(random, size)
        kept = random.random((size, 1)) >= recipe.joint_dropout
        batch["joints"] = batch["joints"] * torch.from_numpy(kept)
        if recipe.augmentation.changes_anything:
            batch["images"] = change_pictures(batch["images"], recipe.augmentation, random)
        return batch

    def held_out(self, module: nn.Module) -> dict[str, float]:
        """Losses, and mean errors of sampled chunks: what the robot would get.

        ``sampled_error`` is normalised; ``sampled_error_rad`` is of the arms' joints. With a prefix the
        latter is there a second time, of what follows half the longest prefix. ``sampled_roughness`` is 1
        where sampled chunks are as smooth as the demonstrations'.
        """
        assert isinstance(module, ActionModel)
        sums: dict[str, float] = {}
        most = self.recipe.training.batch_size
        random = np.random.default_rng(0)
        for first in range(0, len(self._looked_at), most):
            rows = self._looked_at[first : first + most]
            batch = self._placed(rows, random, module)
            metrics = {name: float(loss) for name, loss in module(batch).items()}
            metrics |= self._sampled_errors(module, batch, rows)
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + value * len(rows) / len(self._looked_at)
        return sums

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        """Held-out pictures, each with the true and a sampled chunk as curves."""
        assert isinstance(module, ActionModel)
        rows = self._looked_at[spread_rows(len(self._looked_at), self.recipe.pictured_rows)]
        batch = self._placed(rows, np.random.default_rng(0), module)
        sampled = self._sample(module, batch).float().cpu().numpy()
        true = batch["actions"].float().cpu().numpy()
        shown = []
        for index, row in enumerate(rows):
            episode, picture = self._held_out.rows.where(int(row))
            image = episode.images[np.array([picture])][0]
            shown.append(chunk_picture(image, true[index], sampled[index], episode.instruction))
        return {"chunks": np.concatenate(shown)}

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """The whole network as it runs on the robot: nothing of the stages before is needed to publish."""
        assert isinstance(module, ActionModel)
        return module.network.run_time_state_dict()

    def _noises(self, random: np.random.Generator, size: int) -> Batch:
        recipe = self.recipe
        draws, config = recipe.noise_draws, recipe.config
        noises = {
            "action_noise": draw_normal(random, size, draws, *config.action_noise_shape),
            "sigma": torch.from_numpy(draw_noise_levels(recipe.noise, random, size, draws)),
        }
        if recipe.prefix.longest:
            noises["prefix_lengths"] = torch.from_numpy(
                draw_prefix_lengths(recipe.prefix, random, size, draws)
            )
        if recipe.features == "none":
            noises["latent_noise"] = (
                draw_normal(random, size, *config.latent_noise_shape)
                if recipe.latent_noise == "fresh"
                else engine_latent_noise(config).expand(size, -1, -1, -1, -1)
            )
        return noises

    def _rows_as_batch(self, side: ActionRows, rows: NDArray[np.int64]) -> Batch:
        if side.features is None:
            batch = side.rows.chunks(rows, self.statistics, self.recipe.pred_horizon)
            texts = side.texts.of(batch.pop("instructions"))
            batch |= texts
        else:
            batch = self._numbers(side, rows) | side.features.of(rows)
        return batch | self._truths[id(side)].of(rows, self.statistics)

    def _numbers(self, side: ActionRows, rows: NDArray[np.int64]) -> Batch:
        """Of rows whose pictures need not be read."""
        joints = side.rows.joints(rows)
        targets = side.rows.targets(rows, self.recipe.pred_horizon)
        places = [side.rows.instructions.index(side.rows.where(int(row))[0].instruction) for row in rows]
        return {
            "joints": torch.from_numpy(self.statistics.normalise_joints(joints)).float(),
            "actions": torch.from_numpy(self.statistics.normalise_actions(targets, joints)).float(),
            "goals": side.texts.of(np.asarray(places, np.int64))["goals"],
        }

    def _placed(self, rows: NDArray[np.int64], random: np.random.Generator, module: ActionModel) -> Batch:
        """A held-out batch on the module's device."""
        batch = self._rows_as_batch(self._held_out, rows) | self._noises(random, len(rows))
        device = next(module.parameters()).device
        return {name: tensor.to(device) for name, tensor in batch.items()}

    def _sample(self, module: ActionModel, batch: Batch, prefix: int = 0) -> Tensor:
        """``(rows, pred_horizon, action_dim)`` normalised."""
        _, keys_values = module.conditions(batch)
        expert, noise = module.network.action_expert, batch["action_noise"][:, 0]
        given = GivenActions.first(batch["actions"], prefix) if prefix else None
        return expert.sample(keys_values, noise, expert.schedule(), given)

    def _sampled_errors(self, module: ActionModel, batch: Batch, rows: NDArray[np.int64]) -> dict[str, float]:
        sampled = self._sample(module, batch)
        joints = self._held_out.rows.joints(rows)
        targets, true = self._targets(sampled, joints), self._targets(batch["actions"], joints)
        errors = {
            "sampled_error": float((sampled - batch["actions"]).abs().mean()),
            "sampled_error_rad": arm_error_rad(targets, true),
            "sampled_roughness": arm_roughness(targets, true),
        }
        half = (self.recipe.prefix.longest + 1) // 2
        if half:
            behind = self._targets(self._sample(module, batch, half), joints)
            errors["sampled_error_rad_behind_prefix"] = arm_error_rad(behind[:, half:], true[:, half:])
        return errors

    def _targets(self, chunks: Tensor, joints: NDArray[np.float64]) -> NDArray[np.float64]:
        """Joint targets of normalised chunks, rad and m."""
        return self.statistics.denormalise_actions(chunks.double().cpu().numpy(), joints)


def action_network(recipe: ActionRecipe, start: Mapping[str, Tensor]) -> Svam:
    """The network with the weights of the stages before.

    Args:
        recipe: the numbers.
        start: what the stage before handed on, by the network's names; Uni-Perceiver and action expert only
            where an earlier run of this stage is gone on from. What else is in there is not needed any more.

    Raises:
        RunError: a part is missing, or of another network.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        network = Svam(recipe.config)
    wanted = network.state_dict()
    given = {name: tensor for name, tensor in start.items() if name in wanted}
    begun = [name for name in given if name.startswith(TRAINED)]
    missing = [name for name in wanted if name not in given and (begun or not name.startswith(TRAINED))]
    other = [name for name, tensor in given.items() if tensor.shape != wanted[name].shape]
    if missing or other:
        raise RunError(
            f"the parent run does not fit network '{recipe.network}' with {recipe.pred_horizon} actions: "
            f"missing are {', '.join(missing[:3]) or 'none'}, of another shape are "
            f"{', '.join(other[:3]) or 'none'}; name a finished run of the decouplers (or of this stage) "
            f"with the same network"
        )
    network.load_state_dict(given, strict=False)
    return network
