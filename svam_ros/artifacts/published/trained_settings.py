"""What weights of the published trainer have to be shown: the settings that no tensor tells.

A preset says what is right for a network that is trained from here on. Imported weights were trained
already: published stage 3 showed its reference encoders [-1, 1] and plain bilinear pictures and told the
video backbone a rate of 4, whatever the robot. Its action expert has learnt to live with that and is wrong
about anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.networks.config import SvamConfig
from svam_ros.networks.config_checks import ConfigError
from svam_ros.networks.presets import CALVIN, PRESETS

POSITION_TABLE = "inner_model.pos_emb"
"""Goal, context and action positions of the action expert, ``(1, 1 + context + actions, width)``. Never added
to anything, but the only tensor that knows how many actions the expert was trained to predict."""


def trained_config(preset: str) -> SvamConfig:
    """The preset with what published stage 3 showed its networks.

    ``sigma_min`` and text positions stay the preset's: the former belongs to the sampler, not to the
    weights, the latter to the fine-tuning of the video model, which differed from robot to robot.
    """
    config = PRESETS[preset]
    shown = CALVIN.references
    return replace(
        config,
        backbone=replace(config.backbone, frames_per_second_id=CALVIN.backbone.frames_per_second_id),
        references=replace(config.references, resize=shown.resize, normalization=shown.normalization),
    )


def switches(config: SvamConfig) -> dict[str, str]:
    """The fidelity switches of ``svam import-published`` as they stand in a configuration, by option."""
    return {
        "--reference-normalization": config.references.normalization,
        "--reference-resize": config.references.resize,
        "--sigma-min": f"{config.action_expert.sigma_min:g}",
        "--text-positions": "on" if config.text.add_positions else "off",
        "--frames-per-second-id": f"{config.backbone.frames_per_second_id:g}",
    }


@dataclass(frozen=True)
class Horizons:
    """How many actions the expert predicts and how many of them are sent; ``None`` where nothing was said."""

    predicted: int | None = None
    executed: int | None = None


def with_horizons(config: SvamConfig, expert: Mapping[str, Tensor], asked: Horizons) -> SvamConfig:
    """The configuration with as many actions as the expert was trained to predict.

    Args:
        config: from :func:`trained_config`.
        expert: tensors of the action expert by their published names.
        asked: numbers that were typed; a file that knows better contradicts them.

    Raises:
        PublishedCheckpointError: neither the file nor ``asked`` says how many, both do and they differ, or
            more are to be executed than predicted.
    """
    predicted = _predicted(config, expert, asked.predicted)
    executed = min(config.exec_horizon, predicted) if asked.executed is None else asked.executed
    try:
        return replace(
            config,
            action_expert=replace(config.action_expert, pred_horizon=predicted),
            exec_horizon=executed,
        )
    except ConfigError as error:
        raise PublishedCheckpointError(f"--exec-horizon: {error}") from error


def _predicted(config: SvamConfig, expert: Mapping[str, Tensor], asked: int | None) -> int:
    if POSITION_TABLE not in expert:
        if asked is None:
            raise PublishedCheckpointError(
                f"--action: without the tensor '{POSITION_TABLE}' no file says how many actions the expert "
                f"was trained to predict: give --pred-horizon"
            )
        return asked
    before = 1 + config.backbone.frames * config.uni_perceiver.latents_per_frame
    table = expert[POSITION_TABLE]
    found = table.shape[1] - before if table.dim() == 3 else 0
    if found < 1:
        raise PublishedCheckpointError(
            f"--action: '{POSITION_TABLE}' is {tuple(table.shape)}; behind the goal and "
            f"{before - 1} context tokens of the preset no position is left for an action"
        )
    if asked not in (None, found):
        raise PublishedCheckpointError(
            f"--pred-horizon is {asked}, the expert in --action was trained to predict {found} actions"
        )
    return found
