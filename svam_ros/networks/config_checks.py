"""What must fit between the parts of a network's configuration, checked when one is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svam_ros.networks.config import SvamConfig

UNET_NORM_GROUPS = 32
"""Groups of every group norm in diffusers' spatio-temporal UNet; not adjustable there."""

MAY_BE_ZERO = frozenset(
    {"bos_id", "eos_id", "pad_id", "registers", "longest_prefix"}
    | {"alternate_from", "qk_norm_from", "rotary_from"}
)
"""Whole numbers of a configuration that count from zero; all others are sizes."""


class ConfigError(ValueError):
    """A number of a configuration cannot be, or two contradict each other; the text names them."""


def check_config(config: SvamConfig) -> None:
    """Refuse a configuration whose parts do not fit.

    Raises:
        ConfigError: a size is below 1, or grids, widths, heads or horizons contradict one another.
    """
    _check_sizes(config)
    _check_backbone(config)
    _check_image_encoder(config)
    _check_grids(config)
    _check_horizons(config)
    _check_heads(config)


def _check_sizes(config: SvamConfig) -> None:
    for name, value in _whole_numbers(config, ""):
        least = 0 if name.rpartition(".")[2] in MAY_BE_ZERO else 1
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")


def _whole_numbers(value: Any, name: str) -> Iterator[tuple[str, int]]:
    """Every whole number of a configuration under its path, such as ``backbone.block_widths.2``."""
    if isinstance(value, int) and not isinstance(value, bool):
        yield name, value
    elif isinstance(value, tuple):
        for index, entry in enumerate(value):
            yield from _whole_numbers(entry, f"{name}.{index}")
    elif is_dataclass(value):
        for field in fields(value):
            path = f"{name}.{field.name}" if name else field.name
            yield from _whole_numbers(getattr(value, field.name), path)


def _check_backbone(config: SvamConfig) -> None:
    backbone = config.backbone
    levels = len(backbone.block_widths)
    if levels < 3 or len(backbone.heads) != levels or len(backbone.attention_levels) != levels:
        raise ConfigError(
            f"backbone: block_widths, heads and attention_levels need the same length of at least 3, "
            f"got {backbone.block_widths}, {backbone.heads}, {backbone.attention_levels}"
        )
    if any(width % UNET_NORM_GROUPS for width in backbone.block_widths):
        raise ConfigError(
            f"backbone.block_widths must be multiples of {UNET_NORM_GROUPS}, got {backbone.block_widths}"
        )
    coarsest = 2 ** (levels - 1)
    if config.image_encoder.latent_size % coarsest:
        raise ConfigError(
            f"backbone: {levels} levels need a latent size divisible by {coarsest}, "
            f"got {config.image_encoder.latent_size} from image size {config.image_encoder.image_size}"
        )


def _check_image_encoder(config: SvamConfig) -> None:
    if any(width % config.image_encoder.norm_groups for width in config.image_encoder.block_widths):
        raise ConfigError(
            f"image_encoder.block_widths {config.image_encoder.block_widths} must be multiples of "
            f"norm_groups {config.image_encoder.norm_groups}"
        )


def _check_grids(config: SvamConfig) -> None:
    if config.references.image_size % config.references.patch_size:
        raise ConfigError(
            f"references.image_size {config.references.image_size} is no multiple of "
            f"patch_size {config.references.patch_size}"
        )
    if config.references.grid != config.grid:
        raise ConfigError(
            f"references give a grid of {config.references.grid}, the backbone's features one of "
            f"{config.grid}: change references.image_size or image_encoder.image_size"
        )


def _check_horizons(config: SvamConfig) -> None:
    pred_horizon = config.action_expert.pred_horizon
    if config.exec_horizon > pred_horizon:
        raise ConfigError(
            f"exec_horizon is {config.exec_horizon}, allowed is 1 to pred_horizon {pred_horizon}"
        )
    expert = config.action_expert
    # A prefix is of one chunk that is being executed, and behind it a whole chunk has to be left.
    longest = min(config.exec_horizon, pred_horizon - config.exec_horizon)
    if not 0 <= expert.longest_prefix <= longest:
        raise ConfigError(
            f"action_expert.longest_prefix is {expert.longest_prefix}, allowed is 0 to {longest}: at most "
            f"exec_horizon {config.exec_horizon}, and pred_horizon {pred_horizon} less that"
        )
    if not 0 < expert.sigma_min < expert.sigma_max:
        raise ConfigError(
            f"action_expert: need 0 < sigma_min < sigma_max, got {expert.sigma_min}, {expert.sigma_max}"
        )
    text = config.text
    if not 2 <= text.length <= text.max_positions:
        raise ConfigError(f"text.length is {text.length}, allowed is 2 to max_positions {text.max_positions}")


def _check_heads(config: SvamConfig) -> None:
    pairs = {
        "text": (config.text.width, config.text.heads),
        "references.semantic": (config.references.semantic.width, config.references.semantic.heads),
        "references.geometric": (config.references.geometric.width, 4 * config.references.geometric.heads),
        "semantic_decoupler": (config.semantic_decoupler.width, config.semantic_decoupler.heads),
        "geometric_decoupler": (config.geometric_decoupler.width, config.geometric_decoupler.heads),
        "uni_perceiver": (config.uni_perceiver.width, config.uni_perceiver.heads),
        "action_expert": (config.action_expert.width, 2 * config.action_expert.heads),
    }
    backbone = zip(config.backbone.block_widths, config.backbone.heads, strict=True)
    pairs |= {f"backbone.level {i}": pair for i, pair in enumerate(backbone)}
    for name, (width, divisor) in pairs.items():
        if width % divisor:
            raise ConfigError(f"{name}: width {width} is not divisible by {divisor} (from its heads)")
