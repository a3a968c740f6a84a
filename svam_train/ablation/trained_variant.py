"""A finished run of a variant as an engine takes a model, so that variants without a model directory run too.

Weights stay in float32, as they were trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from svam_ros.artifacts.manifest import Manifest, Provenance
from svam_ros.artifacts.model_directory import joint_units
from svam_ros.artifacts.tokenizer import InstructionTokenizer
from svam_ros.cobot import load_cobot
from svam_ros.networks.normalization import Statistics
from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.ablation.network_variants import apply_variant, sees_what_it_should
from svam_train.episodes.statistics import IdentifiedStatistics
from svam_train.recipes.ablation import Variant
from svam_train.recipes.actions import ActionRecipe
from svam_train.stages.inheritance import STATISTICS_FILE, inherited_tokenizer
from svam_train.training.run_folder import RunError, load_weights


@dataclass(frozen=True)
class TrainedVariant:
    """See :class:`svam_ros.engines.network_engine.EngineModel`; can be pickled, weights are read late."""

    run: Path
    variant: Variant
    manifest: Manifest
    statistics: Statistics
    tokenizer: InstructionTokenizer

    def load_network(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Svam:
        """The network in evaluation mode.

        Raises:
            RunError: the run's weights are not those of this variant.
        """
        network, weights = Svam(self.manifest.config), load_weights(self.run)
        apply_variant(network, self.variant)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise RunError(
                f"{self.run}: its weights are not those of variant '{self.variant.name}': {error}"
            ) from error
        if not sees_what_it_should(weights, self.manifest.config, self.variant):
            raise RunError(
                f"{self.run}: the first layer of its Uni-Perceiver does not leave out what variant "
                f"'{self.variant.name}' leaves out; delete the run and train it anew"
            )
        return network.to(device=device, dtype=dtype).eval()


def trained_variant(
    run: Path, variant: Variant, recipe: ActionRecipe, image: ImagePreparation
) -> TrainedVariant:
    """Open a finished run.

    Args:
        run: its folder.
        variant: what was trained there.
        recipe: with which numbers.
        image: how its pictures were prepared.

    Raises:
        RunError: the run, or one that it is built on, is not finished, not there, or changed.
    """
    cobot = load_cobot()
    known = IdentifiedStatistics.from_json((run / STATISTICS_FILE).read_text(encoding="utf-8"))
    manifest = Manifest(
        name=f"{variant.name}, seed {recipe.training.seed}",
        preset=recipe.network,
        config=recipe.config,
        image=image,
        joint_names=cobot.joint_names,
        joint_units=joint_units(cobot),
        step_s=cobot.control_period_s,
        statistics_id=known.id,
        provenance=Provenance("", "", "", recipe.training.seed, {}, {}),
        files={},
    )
    tokenizer = inherited_tokenizer(run, recipe.config.text)
    return TrainedVariant(run, variant, manifest, known.statistics, tokenizer)
