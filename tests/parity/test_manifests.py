"""What a manifest may say: every variation is honoured by both forms alike, or refused in a sentence."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.parity_network import our_values

from benchmarks.golden_sets.golden_config import published_sizes
from benchmarks.golden_sets.golden_manifest import end_to_end_manifest
from benchmarks.golden_sets.golden_set import GoldenSet, GoldenSetError
from benchmarks.golden_sets.golden_values import load_group, published_values
from svam_ros.engines.accuracy import relative_rms
from svam_ros.networks.presets import CALVIN
from svam_ros.networks.published_form.groups import PublishedSizes

OWN_SETS = Path(__file__).parent / "goldens"
LARGEST_DEVIATION = 1e-5

Manifest = dict[str, Any]
Change = Callable[[Manifest], None]


def changed(kind: str, change: Change) -> GoldenSet:
    """One of our own sets with another manifest; its goldens are another network's."""
    golden_set = GoldenSet.open(OWN_SETS / kind)
    manifest = copy.deepcopy(dict(golden_set.manifest))
    change(manifest)
    return dataclasses.replace(golden_set, manifest=manifest)


def agreeing_values(golden_set: GoldenSet) -> dict[str, torch.Tensor]:
    plain = published_values(golden_set, golden_set.names, torch.float32)
    ours = our_values(golden_set)
    assert plain.keys() == ours.keys()
    for name, value in plain.items():
        deviation = relative_rms(ours[name].reshape(value.shape), value)
        assert deviation <= LARGEST_DEVIATION, f"{name}: {deviation:.1e}"
    return plain


def differs(values: dict[str, torch.Tensor], golden_set: GoldenSet, name: str) -> bool:
    return golden_set.deviation(name, values[name]) > 1e-3


def longer_sentence(manifest: Manifest) -> None:
    ids = manifest["token_ids"]
    padded = ids["text_token_ids"][0]
    begin, end = padded[0], 41
    words = [7, 3, 30, 12, 9, 21, 33, 2, 16]
    ids["goal_token_ids"] = [[begin, *words, end]]
    ids["text_token_ids"] = [[begin, *words[: len(padded) - 2], end]]


def test_a_sentence_longer_than_the_padded_ids_is_the_policys_goal_whole():
    golden_set = changed("end_to_end", longer_sentence)
    assert len(golden_set.manifest["token_ids"]["goal_token_ids"][0]) == 11
    values = agreeing_values(golden_set)
    assert differs(values, golden_set, "goal")
    assert differs(values, golden_set, "text_states")


def test_text_positions_reach_the_backbone():
    golden_set = changed("end_to_end", lambda manifest: manifest["config"].update(text_positions=True))
    values = agreeing_values(golden_set)
    assert differs(values, golden_set, "backbone_features")
    assert not differs(values, golden_set, "text_states"), "that golden is without positions in every set"


def test_reference_images_may_be_normalised_as_in_training():
    golden_set = changed(
        "end_to_end", lambda manifest: manifest["config"].update(reference_images="imagenet")
    )
    values = agreeing_values(golden_set)
    assert differs(values, golden_set, "semantic_reference")
    assert differs(values, golden_set, "geometric_reference")
    assert not differs(values, golden_set, "image_latents")


def table_at_the_grid(manifest: Manifest) -> None:
    shape = manifest["state_dict_shapes"]["da3_backbone"]["pos_embed"]
    shape[1] = 1 + manifest["config"]["grid"] ** 2


def test_position_tables_have_sides_of_their_own_and_one_of_the_right_side_is_taken_as_it_is():
    golden_set = changed("end_to_end", table_at_the_grid)
    sizes = published_sizes(golden_set)
    assert (sizes.semantic_position_grid, sizes.geometric_position_grid) == (21, 8)
    values = agreeing_values(golden_set)
    assert differs(values, golden_set, "geometric_reference")
    assert not differs(values, golden_set, "semantic_reference")


def test_actions_beyond_the_context_are_compared_too():
    def extend(manifest: Manifest) -> None:
        manifest["config"]["chunk"] += 20
        manifest["state_dict_shapes"]["model"]["inner_model.pos_emb"][1] += 20

    golden_set = changed("end_to_end", extend)
    network = published_sizes(golden_set).network
    context = 1 + network.backbone.frames * network.uni_perceiver.latents_per_frame
    assert network.action_expert.pred_horizon > context
    agreeing_values(golden_set)


def without_what_a_set_may_lack(manifest: Manifest) -> None:
    shapes, config = manifest["state_dict_shapes"], manifest["config"]
    shapes["model"] = {name: shape for name, shape in shapes["model"].items() if "proprio" not in name}
    del shapes["da3_backbone"], config["da3"], config["da3_out"]


def test_a_set_without_depth_anything_or_joints_has_all_else():
    values = agreeing_values(changed("modules", without_what_a_set_may_lack))
    assert "da3_stage0_tokens" not in values
    assert {"geometric_foresight", "encoded_context", "actions_evaluation_schedule"} <= values.keys()


@torch.no_grad()
def test_an_even_output_block_stands_beside_itself_and_an_odd_one_beside_the_one_before():
    golden_set = GoldenSet.open(OWN_SETS / "modules")
    module = load_group(golden_set, "da3_backbone")
    image = golden_set.input("reference_image", 1, 3, 112, 112)
    stages = {}
    for module.output_block in (4, 5):
        stages[module.output_block] = module(image).chunk(2, dim=-1)
    assert torch.equal(stages[4][0], stages[5][0])
    assert torch.allclose(stages[4][1], module.norm(stages[4][0]), atol=1e-6)
    assert relative_rms(stages[5][1], stages[4][1]) > 1e-3


def test_what_a_manifest_does_not_say_is_as_published():
    def change(manifest: Manifest) -> None:
        config = manifest["config"]
        for part in ("unet", "text_encoder", "dinov2", "da3"):
            config[part] = {}
        for name in ("vf_heads", "expert_heads", "decoupler", "da3_blocks"):
            config.pop(name, None)
        manifest["state_dict_shapes"] = published_shapes()

    network = published_sizes(changed("end_to_end", change)).network
    assert network.backbone.heads == (5, 10, 20, 20)
    assert (network.text.heads, network.text.bos_id, network.text.eos_id) == (8, 49406, 49407)
    assert network.references.semantic.heads == 12
    geometric = network.references.geometric
    assert (geometric.heads, geometric.alternate_from, geometric.rotary_from) == (16, 8, 8)
    assert (network.uni_perceiver.heads, network.action_expert.heads) == (8, 8)
    assert network.semantic_decoupler.heads == CALVIN.semantic_decoupler.heads


def published_shapes() -> dict[str, dict[str, list[int]]]:
    """Of the full size; no weight is made."""
    manifest = end_to_end_manifest(PublishedSizes(CALVIN), seed=0, text="", padded_ids=(), unpadded_ids=())
    shapes: dict[str, dict[str, list[int]]] = manifest["state_dict_shapes"]
    return shapes


def lacks(*path: str) -> Change:
    def change(manifest: Manifest) -> None:
        for name in path[:-1]:
            manifest = manifest[name]
        del manifest[path[-1]]

    return change


def says(part: str, name: str, value: object) -> Change:
    return lambda manifest: manifest["config"].setdefault(part, {}).update({name: value})


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("end_to_end", lacks("state_dict_shapes", "da3_backbone"), "has no group da3_backbone"),
        ("modules", lacks("state_dict_shapes", "unet"), "has no group unet"),
        (
            "modules",
            lacks("state_dict_shapes", "model", "inner_model.lang_emb.0.weight"),
            "has no 'inner_model",
        ),
        ("modules", lacks("config", "alen"), "config has no chunk or alen"),
        ("modules", lambda m: m["state_dict_shapes"].update(Video_Former={}), "has no '"),
        ("end_to_end", lacks("token_ids"), "has no 'token_ids'"),
        ("end_to_end", says("da3", "cat_token", False), r"config\.da3\.cat_token is False.* has True"),
        ("modules", says("da3", "alt_start", -1), r"alt_start is -1"),
        ("end_to_end", says("dinov2", "interpolate_antialias", False), "interpolate_antialias is False"),
        ("end_to_end", says("dinov2", "interpolate_offset", 0.1), r"offset is 0\.1.* has 0\.0"),
        ("end_to_end", lambda m: m["config"].update(reference_images="clip"), "reference_images is clip"),
        (
            "end_to_end",
            lambda m: m["state_dict_shapes"]["hidden2dpa"].update({"adapter.weight": [36, 50, 1, 1, 1]}),
            "hidden2dpa takes references 50 wide, its encoder gives 48",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_sentence(kind: str, change: Change, words: str):
    with pytest.raises(GoldenSetError, match=words):
        published_sizes(changed(kind, change))
