"""Stage 2: the decouplers learn to see in one step of the video model what teachers see in its videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from svam_ros.artifacts.tokenizer import InstructionTokenizer
from svam_ros.networks.config import SvamConfig
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.stages.distillation import Batch, ClipBatches, FrozenPass, placed
from svam_train.stages.drawn_rows import balanced_rows
from svam_train.stages.feature_shards import FeatureShards, ShardPlan, fill_shards
from svam_train.stages.foresight_module import ForesightModule
from svam_train.stages.foresight_quality import ForesightJudge, ForesightQuality
from svam_train.stages.step_draws import spread_rows, step_generator
from svam_train.teachers.teacher import Kind
from svam_train.training.objective import ImageArray

_SMALLEST_UNIT = 1e-3
"""Share of a kind's mean deviation: channels that never change are not blown up."""


@dataclass(frozen=True)
class DecouplersData:
    """What stage 2 sees."""

    training: EpisodeRows
    held_out: EpisodeRows
    tokenizer: InstructionTokenizer


class DecouplersObjective:
    """What the training loop needs to train the decouplers.

    Args:
        recipe: the numbers.
        config: of the network.
        data: clips.
        frozen: the frozen half, with the teachers of the kinds that the recipe names.
        shards: examples computed before; ``None`` computes them in every step, where the module is.
        references: reference encoders made of public teachers, by the network's names; they are handed on
            beside what is trained.
        device: on which channels' variances are measured, where the recipe wants them.

    Raises:
        DataError: rendered depth does not fit the teacher's tokens.
        ValueError: teachers of other kinds than the recipe's, or of other sizes than the network's.
    """

    def __init__(
        self,
        recipe: DecouplersRecipe,
        config: SvamConfig,
        data: DecouplersData,
        frozen: FrozenPass,
        *,
        shards: FeatureShards | None = None,
        references: Mapping[str, Tensor] | None = None,
        device: torch.device | None = None,
    ) -> None:
        _check_teachers(recipe, config, frozen)
        self._recipe, self._frozen, self._shards = recipe, frozen, shards
        self._references = dict(references or {})
        self.latest: ForesightQuality | None = None
        """What the last look at held-out clips found, if there was one."""
        self._training, held_out = (
            ClipBatches(rows, data.tokenizer, config, recipe.frame_spacing)
            for rows in (data.training, data.held_out)
        )
        depth_grid = _depth_grid(data)
        self._judge = ForesightJudge(recipe, frozen, self._training, held_out, depth_grid)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            self.module = ForesightModule(config, recipe.kinds, frozen, recipe.cosine_weight)
        if recipe.standardise:
            self.module.count_in_units(self._deviations(device or torch.device("cpu")))
        if recipe.training.gradient_checkpointing:
            self.module.recompute_activations()

    def batch(self, step: int, size: int) -> Batch:
        """See :class:`svam_train.training.objective.Objective`: clips, or examples from shards."""
        if self._shards is None:
            return clip_batch(self._training, self._recipe.training.seed, step, size)
        random = step_generator(self._recipe.training.seed, step)
        return self._shards.rows(random.integers(len(self._shards), size=size))

    def quality(self, module: nn.Module) -> ForesightQuality:
        """All that is known of the decouplers on held-out clips, frame by frame."""
        assert isinstance(module, ForesightModule)
        return self._judge.quality(module)

    def held_out(self, module: nn.Module) -> dict[str, float]:
        """Means of :meth:`quality` over the frames behind the first one."""
        self.latest = self.quality(module)
        return self.latest.metrics()

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        """See :meth:`svam_train.stages.foresight_quality.ForesightJudge.pictures`."""
        assert isinstance(module, ForesightModule)
        return self._judge.pictures(module)

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """The decouplers, and reference encoders made of public teachers, by their names in the network."""
        return {**self._references, **module.state_dict()}

    def _deviations(self, device: torch.device) -> dict[Kind, Tensor]:
        """``(width,)`` of every channel over what teachers see in recorded training clips."""
        rows = spread_rows(len(self._training.rows), self._recipe.surveyed_clips)
        sums: dict[Kind, list[Tensor]] = {kind: [] for kind in self._recipe.kinds}
        for row in rows:
            batch = placed(self._training.of(np.array([row]), np.random.default_rng(0)), device)
            seen = self._frozen.future(batch)
            for kind, moments in sums.items():
                tokens = seen[kind].double().flatten(0, 2)
                moments.append(torch.stack([tokens.mean(dim=0), tokens.square().mean(dim=0)]).cpu())
        deviations: dict[Kind, Tensor] = {}
        for kind, moments in sums.items():
            mean, square = torch.stack(moments).mean(dim=0)
            deviation = (square - mean.square()).clamp(min=0.0).sqrt()
            deviations[kind] = deviation.clamp(min=_SMALLEST_UNIT * float(deviation.mean())).float()
        return deviations


def clip_batch(clips: ClipBatches, seed: int, step: int, size: int) -> Batch:
    """The clips of a step: a function of seed and step alone."""
    random = step_generator(seed, step)
    return clips.of(balanced_rows(random, clips.rows, size, step), random)


def fill_example_shards(
    plan: ShardPlan,
    recipe: DecouplersRecipe,
    frozen: FrozenPass,
    clips: ClipBatches,
    device: torch.device,
    process: int = 0,
    processes: int = 1,
) -> Iterator[int]:
    """Compute the examples that are missing; see :func:`svam_train.stages.feature_shards.fill_shards`.

    Shard ``k`` holds the examples that step ``k`` of a run with batches of that size would see.
    """

    def make(number: int) -> Batch:
        batch = clip_batch(clips, recipe.training.seed, number, plan.per_shard)
        parts = []
        for first in range(0, plan.per_shard, recipe.training.batch_size):
            part = {name: t[first : first + recipe.training.batch_size] for name, t in batch.items()}
            parts.append(placed(frozen.examples(placed(part, device)), torch.device("cpu")))
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    return fill_shards(plan, make, process, processes)


def _check_teachers(recipe: DecouplersRecipe, config: SvamConfig, frozen: FrozenPass) -> None:
    if set(frozen.teachers) != set(recipe.kinds):
        raise ValueError(f"teachers of {sorted(frozen.teachers)} were given, kinds is {sorted(recipe.kinds)}")
    widths: dict[Kind, int] = {
        "semantic": config.references.semantic.width,
        "geometric": config.references.geometric_width,
    }
    for kind, teacher in frozen.teachers.items():
        wanted = (config.grid, widths[kind])
        if (teacher.grid, teacher.width) != wanted:
            raise ValueError(
                f"{teacher.name}: {teacher.grid} tokens a side of width {teacher.width}, the network has "
                f"{wanted[0]} of width {wanted[1]}"
            )


def _depth_grid(data: DecouplersData) -> int | None:
    """Patches along a side at which all episodes know depth; ``None`` where one does not know it."""
    grids = set()
    for rows in (data.training, data.held_out):
        for episode in rows.episodes:
            if episode.depth is None:
                return None
            grids.add(int(episode.depth.shape[1]))
    if len(grids) > 1:
        raise DataError(f"depth was recorded for {sorted(grids)} patches a side; record all episodes alike")
    return grids.pop()
