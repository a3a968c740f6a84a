from __future__ import annotations

import dataclasses

import pytest
from support.networks import CONFIG

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.config_checks import ConfigError
from svam_ros.networks.presets import PRESETS


def changed(part: str, **changes: object) -> SvamConfig:
    return dataclasses.replace(CONFIG, **{part: dataclasses.replace(getattr(CONFIG, part), **changes)})


def test_derived_sizes_of_the_tiny_preset_agree_with_one_another():
    config = PRESETS["tiny"]
    assert config.references.grid == config.grid
    assert config.tokens_per_frame == config.grid**2
    assert config.latent_noise_shape[2] == config.image_encoder.latent_size
    assert config.action_noise_shape == (config.action_expert.pred_horizon, 14)


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("backbone", {"heads": (1, 1)}, "same length"),
        ("backbone", {"block_widths": (32, 48, 64)}, "multiples of 32"),
        ("backbone", {"frames": 0}, "backbone.frames must be at least 1, got 0"),
        ("backbone", {"heads": (1, 1, 3)}, r"backbone.level 2: width 64 is not divisible by 3"),
        ("image_encoder", {"image_size": 72}, "divisible by 4"),
        ("image_encoder", {"norm_groups": 32}, "norm_groups 32"),
        ("references", {"image_size": 60}, "no multiple of"),
        ("references", {"image_size": 70}, "grid of 5, the backbone's features one of 4"),
        ("action_expert", {"pred_horizon": 3}, "exec_horizon is 4, allowed is 1 to pred_horizon 3"),
        ("action_expert", {"pred_horizon": 0}, "exec_horizon is 4, allowed is 1 to pred_horizon 0"),
        ("action_expert", {"sigma_min": 90.0}, "sigma_min < sigma_max"),
        ("action_expert", {"sampler_steps": 0}, "sampler_steps >= 1"),
        ("action_expert", {"heads": 5}, "action_expert: width 128 is not divisible by 10"),
        ("text", {"length": 30}, "text.length is 30, allowed is 2 to max_positions 20"),
        ("uni_perceiver", {"heads": 0}, "uni_perceiver"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_both_numbers(part, changes, words):
    with pytest.raises(ConfigError, match=words):
        changed(part, **changes)


def test_the_geometric_reference_needs_a_block():
    geometric = dataclasses.replace(CONFIG.references.geometric, layers=0)
    with pytest.raises(ConfigError, match="layers must be at least 1"):
        changed("references", geometric=geometric)
