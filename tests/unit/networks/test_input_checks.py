"""Wrong inputs are refused by name, before anything is computed."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.networks import CONFIG, NetworkInputs, random_inputs, random_network, token_ids, with_expert

from svam_ros.networks.input_checks import InputError
from svam_ros.networks.svam import Svam


@pytest.fixture(scope="module")
def network() -> Svam:
    return random_network()


@pytest.fixture(scope="module")
def inputs(network) -> NetworkInputs:
    with torch.no_grad():
        return random_inputs(network)


def poisoned(tensor: torch.Tensor, value: float) -> torch.Tensor:
    copy = tensor.clone()
    copy.flatten()[3] = value
    return copy


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (
            "image",
            lambda x: x[..., :-1],
            r"image: expected the shape \(batch >= 1, 3, 32, 32\), got \(2, 3, 32, 31\)",
        ),
        ("image", lambda x: x[0], r"image: expected the shape"),
        ("image", lambda x: x[:0], r"image: .* got \(0, 3, 32, 32\)"),
        ("image", lambda x: x.double(), "image: expected float32 as the network, got float64"),
        ("image", lambda x: ((x + 1) * 127.5).to(torch.uint8), "image: expected float32 .* got uint8"),
        ("image", lambda x: poisoned(x, float("nan")), "image: has values that are not finite"),
        ("image", lambda x: poisoned(x, float("inf")), "image: has values that are not finite"),
        (
            "latent_noise",
            lambda x: x[:, :0],
            r"latent_noise: .*\(batch >= 1, 3, 8, 4, 4\), got \(2, 0, 8, 4, 4\)",
        ),
        ("latent_noise", lambda x: x.half(), "latent_noise: expected float32 as the network, got float16"),
        ("latent_noise", lambda x: poisoned(x, float("nan")), "latent_noise: has values"),
        (
            "action_noise",
            lambda x: torch.cat([x, x], dim=1),
            "a horizon of 12 was asked for, the network was trained to predict 6 actions",
        ),
        ("action_noise", lambda x: x[:, :2], r"action_noise: expected the shape \(batch >= 1, 6, 14\)"),
        ("joints", lambda x: x[:, :7], r"joints: expected the shape \(batch >= 1, 14\), got \(2, 7\)"),
        ("joints", lambda x: poisoned(x, float("nan")), "joints: has values that are not finite"),
        ("joints", lambda x: x.double(), "joints: expected float32 as the network, got float64"),
        ("joints", lambda x: None, "needs the joints"),
    ],
)
def test_a_wrong_input_is_named_with_what_was_expected(network, inputs, name, change, words):
    wrong = dataclasses.replace(inputs, **{name: change(getattr(inputs, name))})
    with pytest.raises(InputError, match=words):
        network(*wrong.as_tuple())


def test_joints_are_refused_by_a_network_without_proprioception(inputs):
    with pytest.raises(InputError, match="does not take the joints"):
        random_network(with_expert(CONFIG, proprioception=False))(*inputs.as_tuple())


def test_the_action_expert_by_itself_refuses_the_same_joints(inputs):
    """Training calls it without the rest of the network."""
    expert = random_network().action_expert
    context, goal_token = torch.zeros(2, 24, 96), inputs.condition.goal_token
    with pytest.raises(InputError, match="needs the joints"):
        expert.encode(context, goal_token, None)
    with pytest.raises(InputError, match=r"joints: expected the shape \(batch >= 1, 14\), got \(2, 7\)"):
        expert.encode(context, goal_token, inputs.joints[:, :7])
    blind = random_network(with_expert(CONFIG, proprioception=False)).action_expert
    with pytest.raises(InputError, match="does not take the joints"):
        blind.encode(context, goal_token, inputs.joints)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda layers: layers.pop("mid_block.attentions.0"),
            r"text: made by another network; missing are \['mid_block.attentions.0'\], too many are \[\]",
        ),
        (
            lambda layers: layers.update({"down_blocks.2.attentions.0": layers["mid_block.attentions.0"]}),
            r"text: .* missing are \[\], too many are \['down_blocks.2.attentions.0'\]",
        ),
    ],
)
def test_an_instruction_that_another_network_encoded_is_refused_by_layer(network, inputs, change, words):
    layers = dict(inputs.condition.text_attention)
    change(layers)
    condition = dataclasses.replace(inputs.condition, text_attention=layers)
    with pytest.raises(InputError, match=words):
        network(*dataclasses.replace(inputs, condition=condition).as_tuple())


@pytest.mark.parametrize("table", ["residuals", "frame_positions"])
@pytest.mark.parametrize("left_over", [True, False])
def test_constants_that_are_left_over_or_missing_are_refused_by_layer(network, inputs, table, left_over):
    backbone = network.video_backbone
    constants = backbone.constants()
    layers = dict(getattr(constants, table))
    name = next(iter(layers))
    if left_over:
        layers["up_blocks.9"] = layers[name]
    else:
        del layers[name]
    wrong = dataclasses.replace(constants, **{table: layers})
    words = r"too many are \['up_blocks.9'\]" if left_over else rf"missing are \['{name}'\]"
    latents = network.encode_image(inputs.image)
    with pytest.raises(InputError, match=f"{table.replace('_', ' ')}: .*{words}"):
        backbone(inputs.latent_noise, latents, inputs.condition.text_attention, wrong)


@pytest.mark.parametrize("stranger", [-1, CONFIG.text.vocabulary_size])
def test_token_ids_of_another_vocabulary_are_refused(network, stranger):
    ids, mask = token_ids()
    ids[1, 2] = stranger
    with pytest.raises(
        InputError, match=rf"token_ids: expected 0 to 63, got .*{stranger}.*another tokenizer"
    ):
        network.encode_instruction(ids, mask)


def test_token_ids_of_another_length_or_type_are_refused(network):
    ids, mask = token_ids()
    with pytest.raises(InputError, match=r"token_ids: expected the shape \(batch >= 1, 20\), got \(2, 19\)"):
        network.encode_instruction(ids[:, :-1], mask[:, :-1])
    with pytest.raises(InputError, match="attention_mask: expected int64, got float32"):
        network.encode_instruction(ids, mask.float())
