"""What is stepped: a stage of a recipe, with what is made smaller about it. Data only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.presets import PRESETS as NETWORKS
from svam_train.recipes.actions import PRESETS as ACTIONS
from svam_train.recipes.actions import ActionRecipe, ReadOutWeights
from svam_train.recipes.decouplers import PRESETS as DECOUPLERS
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.recipes.training_settings import TrainingSettings
from svam_train.recipes.video import PRESETS as VIDEO
from svam_train.recipes.video import VideoRecipe

StageName = Literal["video", "decouplers", "actions"]
RecipeName = Literal["tiny", "cobot"]
"""Those for the robot whose joints the made-up episodes have; ``calvin`` has the widths of ``cobot``."""
Recipe: TypeAlias = VideoRecipe | DecouplersRecipe | ActionRecipe

NO_CHECKPOINT_S = 1e9


@dataclass(frozen=True)
class StepPlan:
    """A stage's recipe with a batch of its own."""

    stage: StageName
    preset: RecipeName
    rows: int
    """Of a step's batch."""
    low_rank: int = 0
    """Stage 1 trains updates of this rank only; 0: as the recipe says."""

    @property
    def published(self) -> Recipe:
        """The recipe as ``svam-train`` runs it."""
        recipes: dict[StageName, Recipe] = {
            "video": VIDEO[self.preset],
            "decouplers": DECOUPLERS[self.preset],
            "actions": ACTIONS[self.preset],
        }
        return recipes[self.stage]

    @property
    def recipe(self) -> Recipe:
        """The recipe as it is stepped here."""
        recipe = self.published
        training = self._training(recipe.training)
        if isinstance(recipe, VideoRecipe):
            return replace(recipe, training=training, low_rank=self.low_rank or recipe.low_rank)
        if isinstance(recipe, ActionRecipe):
            return replace(recipe, training=training, features="none", read_outs=ReadOutWeights())
        return replace(recipe, training=training)

    @property
    def config(self) -> SvamConfig:
        """Sizes of the network."""
        recipe = self.recipe
        return recipe.config if isinstance(recipe, ActionRecipe) else NETWORKS[recipe.network]

    def differences(self) -> Iterator[str]:
        """What of the recipe is not as ``svam-train`` runs it."""
        there, here = self.published, self.recipe
        if there.training.batch_size != self.rows:
            yield f"batch of {self.rows} instead of {there.training.batch_size}"
        if isinstance(there, VideoRecipe) and isinstance(here, VideoRecipe) and here.low_rank:
            yield f"updates of rank {here.low_rank} of the attention (LoRA) instead of all weights"
        if isinstance(there, ActionRecipe) and isinstance(here, ActionRecipe):
            if there.features != here.features:
                yield "features computed in every step instead of kept"
            if there.read_outs != here.read_outs:
                yield "no read-outs"

    def _training(self, published: TrainingSettings) -> TrainingSettings:
        """Every step has its line of metrics; rate, optimizer, average and precision are the recipe's."""
        return replace(
            published,
            batch_size=self.rows,
            accumulate=1,
            log_every=1,
            checkpoint_every_s=NO_CHECKPOINT_S,
        )
