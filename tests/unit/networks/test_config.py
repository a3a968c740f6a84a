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
        ("backbone", {"heads": (1, 1, 3)}, r"backbone.level 2: width 64 is not divisible by 3"),
        ("image_encoder", {"image_size": 72}, "divisible by 4"),
        ("image_encoder", {"norm_groups": 32}, "norm_groups 32"),
        ("references", {"image_size": 60}, "no multiple of"),
        ("references", {"image_size": 70}, "grid of 5, the backbone's features one of 4"),
        ("action_expert", {"pred_horizon": 3}, "exec_horizon is 4, allowed is 1 to pred_horizon 3"),
        ("action_expert", {"sigma_min": 90.0}, "sigma_min < sigma_max"),
        ("action_expert", {"heads": 5}, "action_expert: width 128 is not divisible by 10"),
        ("text", {"length": 30}, "text.length is 30, allowed is 2 to max_positions 20"),
    ],
)
def test_parts_that_do_not_fit_are_refused_with_both_numbers(part, changes, words):
    with pytest.raises(ConfigError, match=words):
        changed(part, **changes)


SIZES = {
    "image_encoder": ("image_size", "layers_per_block", "latent_channels", "norm_groups"),
    "text": ("vocabulary_size", "width", "mlp_width", "layers", "heads", "goal_width", "length"),
    "backbone": ("layers_per_block", "frames", "time_id_width"),
    "references": ("image_size", "patch_size"),
    "semantic_decoupler": ("width", "layers", "heads"),
    "geometric_decoupler": ("width", "layers", "heads"),
    "uni_perceiver": ("width", "hidden_width", "layers", "heads", "head_width", "latents_per_frame"),
    "action_expert": (
        "action_dim", "pred_horizon", "width", "hidden_width", "encoder_layers", "decoder_layers", "heads",
        "sampler_steps",
    ),
}  # fmt: skip


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize(("part", "size"), [(part, size) for part, sizes in SIZES.items() for size in sizes])
def test_a_size_below_one_is_refused_by_its_name(part, size, value):
    with pytest.raises(ConfigError, match=rf"^{part}\.{size} must be at least 1, got {value}$"):
        changed(part, **{size: value})


@pytest.mark.parametrize("value", [0, -1])
@pytest.mark.parametrize("size", ["width", "layers", "heads"])
@pytest.mark.parametrize("encoder", ["semantic", "geometric"])
def test_a_reference_encoder_of_no_size_is_refused_by_its_name(encoder, size, value):
    smaller = dataclasses.replace(getattr(CONFIG.references, encoder), **{size: value})
    with pytest.raises(ConfigError, match=rf"references\.{encoder}\.{size} must be at least 1, got {value}"):
        changed("references", **{encoder: smaller})


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        (
            "image_encoder",
            {"block_widths": (16, 0, 32, 32)},
            "image_encoder.block_widths.1 must be at least 1",
        ),
        ("backbone", {"heads": (1, 1, -2)}, "backbone.heads.2 must be at least 1, got -2"),
        ("text", {"pad_id": -1}, "text.pad_id must be at least 0, got -1"),
    ],
)
def test_a_number_in_a_list_and_an_index_have_their_own_least_value(part, changes, words):
    with pytest.raises(ConfigError, match=words):
        changed(part, **changes)


def test_no_action_to_execute_is_refused():
    with pytest.raises(ConfigError, match="exec_horizon must be at least 1, got 0"):
        dataclasses.replace(CONFIG, exec_horizon=0)


def test_what_counts_from_zero_may_be_zero():
    semantic = dataclasses.replace(CONFIG.references.semantic, registers=0)
    assert changed("references", semantic=semantic).references.semantic.registers == 0
    assert changed("text", pad_id=0).text.pad_id == 0
