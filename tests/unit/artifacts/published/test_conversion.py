"""Published names to ours: where every tensor goes, and that whatever does not fit is named."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.networks import with_expert
from support.published_files import PUBLISHED, TABLE, groups
from torch.nn import functional

from svam_ros.artifacts.network_loading import weight_shapes
from svam_ros.artifacts.published.conversion import PublishedCheckpointError, convert_group
from svam_ros.artifacts.published.groups import GROUPS
from svam_ros.artifacts.published.name_rules import pattern

WEIGHTS = groups()


def refusal(group: str, tensors: dict[str, torch.Tensor], config=PUBLISHED) -> str:
    with pytest.raises(PublishedCheckpointError) as caught:
        convert_group(group, tensors, config)
    return str(caught.value)


def test_all_groups_together_are_exactly_what_a_model_directory_holds():
    converted = {}
    for group, tensors in WEIGHTS.items():
        part = convert_group(group, tensors, PUBLISHED)
        assert not part.keys() & converted.keys()
        converted |= part
    assert {name: tuple(t.shape) for name, t in converted.items()} == weight_shapes(PUBLISHED)


@pytest.mark.parametrize(
    ("group", "ours", "published"),
    [
        ("unet", "video_backbone.conv_in.weight", "conv_in.weight"),
        ("vae", "image_encoder.quant_conv.bias", "quant_conv.bias"),
        ("text_encoder", "text_encoder.clip.text_projection.weight", "text_projection.weight"),
        ("dinov2", "semantic_reference.dino.embeddings.register_tokens", "register_tokens"),
        ("dinov2", "semantic_reference.dino.encoder.layer.1.layer_scale2.lambda1", "blocks.1.ls2.gamma"),
        ("da3_backbone", "geometric_reference.blocks.3.attention.key_norm.bias", "blocks.3.attn.k_norm.bias"),
        ("da3_backbone", "geometric_reference.blocks.0.mlp_scale", "blocks.0.ls2.gamma"),
        (
            "hidden2dino",
            "semantic_decoupler.blocks.1.temporal_attention.qkv.weight",
            "base_model.blocks.1.temporal_attn.in_proj_weight",
        ),
        (
            "hidden2dpa",
            "geometric_decoupler.blocks.0.spatial_mlp.contract.bias",
            "base_model.blocks.0.spatial_mlp.3.bias",
        ),
        ("Video_Former", "uni_perceiver.frame_positions", "time_pos_emb"),
        ("Video_Former", "uni_perceiver.layers.1.mlp.expand.weight", "layers.1.2.1.weight"),
        ("model", "action_expert.goal_embedding.output.weight", "inner_model.lang_emb.2.weight"),
        ("model", "action_expert.decoder.1.cross_norm.bias", "inner_model.decoder.blocks.1.ln3.bias"),
        ("model", "action_expert.encoder.0.mlp_norm.weight", "inner_model.encoder.blocks.0.ln_2.weight"),
    ],
)
def test_tensors_that_are_only_renamed_arrive_unchanged(group, ours, published):
    assert torch.equal(convert_group(group, WEIGHTS[group], PUBLISHED)[ours], WEIGHTS[group][published])


def test_projections_are_joined_and_split_in_the_right_order():
    model = convert_group("model", WEIGHTS["model"], PUBLISHED)
    published = WEIGHTS["model"]
    name = "inner_model.decoder.blocks.1"
    parts = [published[f"{name}.attn.{part}.bias"] for part in ("query", "key", "value")]
    assert torch.equal(model["action_expert.decoder.1.self_attention.qkv.bias"], torch.cat(parts))
    parts = [published[f"{name}.cross_att.{part}.weight"] for part in ("key", "value")]
    assert torch.equal(model["action_expert.decoder.1.cross_attention.key_value.weight"], torch.cat(parts))
    perceiver = convert_group("Video_Former", WEIGHTS["Video_Former"], PUBLISHED)
    parts = [WEIGHTS["Video_Former"][f"layers.0.0.{part}.weight"] for part in ("to_k", "to_v")]
    assert torch.equal(perceiver["uni_perceiver.layers.0.resampling.key_value.weight"], torch.cat(parts))
    dino = convert_group("dinov2", WEIGHTS["dinov2"], PUBLISHED)
    layer = "semantic_reference.dino.encoder.layer.0.attention"
    parts = [dino[f"{layer}.{part}_proj.weight"] for part in "qkv"]
    assert torch.equal(torch.cat(parts), WEIGHTS["dinov2"]["blocks.0.attn.qkv.weight"])


def test_the_camera_token_is_that_of_the_first_view_and_the_adapter_is_a_matrix():
    geometric = convert_group("da3_backbone", WEIGHTS["da3_backbone"], PUBLISHED)
    token = WEIGHTS["da3_backbone"]["camera_token"]
    assert torch.equal(geometric["geometric_reference.camera_token"], token[:, :1])
    decoupler = convert_group("hidden2dpa", WEIGHTS["hidden2dpa"], PUBLISHED)
    kernel = WEIGHTS["hidden2dpa"]["adapter.weight"]
    assert torch.equal(decoupler["geometric_decoupler.adapter.weight"], kernel[:, :, 0, 0, 0])


@pytest.mark.parametrize(
    ("group", "ours", "resize"),
    [
        (
            "dinov2",
            "semantic_reference.dino.embeddings.position_embeddings",
            {"size": (4, 4), "antialias": True},
        ),
        (
            "da3_backbone",
            "geometric_reference.positions",
            {"scale_factor": (4.1 / TABLE, 4.1 / TABLE), "antialias": False},
        ),
    ],
)
def test_position_tables_are_resized_as_each_encoder_does_it(group, ours, resize):
    table = WEIGHTS[group]["pos_embed"]
    square = table[:, 1:].reshape(1, TABLE, TABLE, -1).permute(0, 3, 1, 2)
    expected = functional.interpolate(square, mode="bicubic", **resize).permute(0, 2, 3, 1).reshape(1, 16, -1)
    resized = convert_group(group, WEIGHTS[group], PUBLISHED)[ours]
    assert torch.equal(resized[:, :1], table[:, :1])
    assert torch.equal(resized[:, 1:], expected)


@pytest.mark.parametrize(
    ("group", "ours"),
    [
        ("dinov2", "semantic_reference.dino.embeddings.position_embeddings"),
        ("da3_backbone", "geometric_reference.positions"),
    ],
)
def test_a_position_table_at_the_grid_already_is_taken_as_it_is(group, ours):
    width = WEIGHTS[group]["pos_embed"].shape[-1]
    table = torch.randn(1, 1 + PUBLISHED.references.grid**2, width)
    assert torch.equal(convert_group(group, WEIGHTS[group] | {"pos_embed": table}, PUBLISHED)[ours], table)


@pytest.mark.parametrize("group", GROUPS)
def test_a_missing_tensor_is_named_with_its_group_unless_it_is_known_to_be_unused(group):
    unused = [pattern(known.published) for known in GROUPS[group].unused(PUBLISHED)]
    for name in list(WEIGHTS[group])[:: max(1, len(WEIGHTS[group]) // 12)]:
        rest = {n: t for n, t in WEIGHTS[group].items() if n != name}
        if any(known.fullmatch(name) for known in unused):
            assert convert_group(group, rest, PUBLISHED)
        else:
            said = refusal(group, rest)
            assert said.startswith(f"{group} (")
            assert f"1 missing: {name}" in said


@pytest.mark.parametrize("group", GROUPS)
def test_a_stranger_is_named_with_its_group(group):
    assert f"{group} (" in refusal(group, WEIGHTS[group] | {"lora_A.weight": torch.zeros(1)})
    assert "1 unexpected: lora_A.weight" in refusal(group, WEIGHTS[group] | {"lora_A.weight": torch.zeros(1)})


def test_everything_that_is_wrong_is_said_at_once():
    tensors = dict(WEIGHTS["hidden2dino"])
    del tensors["adapter.bias"]
    tensors["extra"] = torch.zeros(1)
    tensors["base_model.input_norm.bias"] = torch.zeros(3)
    tensors["base_model.input_proj.bias"] = tensors["base_model.input_proj.bias"].to(torch.int64)
    tensors["base_model.output_proj.bias"] = torch.full_like(
        tensors["base_model.output_proj.bias"], torch.nan
    )
    assert refusal("hidden2dino", tensors) == (
        "hidden2dino (semantic decoupler): 1 missing: adapter.bias; 1 unexpected: extra; "
        "2 of another shape or kind: base_model.input_norm.bias is (3,), wanted (96,), "
        "base_model.input_proj.bias is int64, not real numbers; "
        "1 not finite: base_model.output_proj.bias"
    )


def test_long_lists_are_counted_and_cut():
    tensors = WEIGHTS["model"] | {f"extra{i}": torch.zeros(1) for i in range(7)}
    assert "7 unexpected: extra0, extra1, extra2, extra3, extra4 and 2 more" in refusal("model", tensors)


@pytest.mark.parametrize(
    ("group", "changes", "words"),
    [
        ("model", {"action_dim": 14}, "number of values in an action is 7 in the file, 14 in the preset"),
        (
            "model",
            {"pred_horizon": 6},
            "number of goal, context and action positions is 30 in the file, 31 in the preset",
        ),
        ("model", {"decoder_layers": 3}, "number of decoder blocks is 2 in the file, 3 in the preset"),
    ],
)
def test_a_preset_of_another_size_is_said_with_both_numbers(group, changes, words):
    assert words in refusal(group, WEIGHTS[group], with_expert(PUBLISHED, **changes))


def test_fewer_blocks_of_the_geometric_encoder_than_needed_are_refused_more_are_not():
    few = {n: t for n, t in WEIGHTS["da3_backbone"].items() if not n.startswith(("blocks.3", "blocks.4"))}
    few = {n: t for n, t in few.items() if not n.startswith(("blocks.5", "blocks.6", "blocks.7"))}
    assert "number of blocks is 3 in the file, 4 in the preset" in refusal("da3_backbone", few)


def test_positions_that_are_no_square_are_refused():
    tensors = WEIGHTS["dinov2"] | {"pos_embed": torch.zeros(1, 12, 64)}
    assert "pos_embed: 12 positions are no square grid and a class token" in refusal("dinov2", tensors)


def test_the_joint_token_is_imported_where_the_network_has_one():
    config = with_expert(PUBLISHED, proprioception=True)
    assert "inner_model.proprio_emb.0.weight is (256, 8), wanted (256, 7)" in refusal(
        "model", WEIGHTS["model"], config
    )
    tensors = WEIGHTS["model"] | {"inner_model.proprio_emb.0.weight": torch.ones(256, 7)}
    converted = convert_group("model", tensors, config)
    assert torch.equal(converted["action_expert.joint_embedding.hidden.weight"], torch.ones(256, 7))


def test_half_precision_stays_half_precision():
    tensors = {name: tensor.half() for name, tensor in WEIGHTS["dinov2"].items()}
    assert {t.dtype for t in convert_group("dinov2", tensors, PUBLISHED).values()} == {torch.float16}


def test_every_unused_tensor_is_known_for_a_reason():
    for group in GROUPS.values():
        assert all(len(unused.reason) > 20 for unused in group.unused(PUBLISHED))
    deeper = dataclasses.replace(
        PUBLISHED.references, geometric=dataclasses.replace(PUBLISHED.references.geometric, layers=6)
    )
    config = dataclasses.replace(PUBLISHED, references=deeper)
    names = [unused.published for unused in GROUPS["da3_backbone"].unused(config)]
    assert "blocks.6.**" in names
    assert "blocks.5.**" not in names
