"""Text encoder, image encoder and the two reference encoders."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support.networks import CONFIG, token_ids

from svam_ros.networks.image_encoder import ImageEncoder
from svam_ros.networks.reference_encoders import GeometricReference, ReferenceImage, SemanticReference
from svam_ros.networks.rotary_positions import rotate, rotation_table
from svam_ros.networks.text import TextEncoder

GRID = CONFIG.references.grid


def reference_image(seed: int = 0) -> torch.Tensor:
    return torch.rand(2, 3, 56, 56, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
def test_one_padded_pass_gives_the_goal_of_an_unpadded_one():
    torch.manual_seed(0)
    encoder = TextEncoder(CONFIG.text).eval()
    ids, mask = token_ids()
    length = int(mask[0].sum())
    padded, unpadded = encoder(ids[:1], mask[:1]), encoder(ids[:1, :length], mask[:1, :length])
    torch.testing.assert_close(padded.goal, unpadded.goal)
    torch.testing.assert_close(padded.states[:, :length], unpadded.states)
    assert padded.states.shape == (1, CONFIG.text.length, 2 * CONFIG.text.width)
    first, second = padded.states.chunk(2, dim=-1)
    assert torch.equal(first, second)


@torch.no_grad()
def test_text_positions_are_added_only_where_the_configuration_says_so():
    torch.manual_seed(0)
    encoder = TextEncoder(CONFIG.text).eval()
    plain = encoder(*token_ids())
    encoder.config = dataclasses.replace(CONFIG.text, add_positions=True)
    placed = encoder(*token_ids())
    added = (placed.states - plain.states)[0, :, : CONFIG.text.width]
    assert torch.equal(placed.goal, plain.goal)
    torch.testing.assert_close(added[0, :32], torch.zeros(32), atol=1e-6, rtol=0)  # sin 0
    torch.testing.assert_close(added[0, 32:], torch.ones(32), atol=1e-6, rtol=0)  # cos 0
    assert added[3, 0].item() == pytest.approx(torch.tensor(3.0).sin().item(), abs=1e-6)


@torch.no_grad()
def test_image_latents_are_the_mode_of_the_encoder():
    encoder = ImageEncoder(CONFIG.image_encoder)
    image = torch.rand(1, 3, 32, 32) * 2 - 1
    mean, log_variance = encoder.moments(image)
    assert torch.equal(encoder(image), mean)
    assert mean.shape == log_variance.shape == (1, *CONFIG.latent_noise_shape[1:])


def test_reference_images_are_resized_and_normalised_as_configured():
    image = torch.full((1, 3, 64, 64), 0.5)
    plain = ReferenceImage(CONFIG.references)(image)
    assert plain.shape == (1, 3, 56, 56)
    torch.testing.assert_close(plain, torch.full_like(plain, 0.5))
    imagenet = ReferenceImage(dataclasses.replace(CONFIG.references, normalization="imagenet"))(image)
    expected = (0.75 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(imagenet[0, :, 10, 10], expected)


@torch.no_grad()
def test_semantic_tokens_are_the_patches_without_class_and_register_tokens():
    torch.manual_seed(0)
    encoder = SemanticReference(CONFIG.references).eval()
    tokens = encoder(reference_image())
    everything = encoder.dino(reference_image()).last_hidden_state
    assert tokens.shape == (2, GRID**2, 64)
    assert everything.shape[1] == GRID**2 + 1 + 4
    assert torch.equal(tokens, everything[:, 5:])


@torch.no_grad()
def test_geometric_tokens_are_a_plain_local_and_a_normalised_global_half():
    torch.manual_seed(0)
    encoder = GeometricReference(CONFIG.references).eval()
    block_outputs = []
    for block in encoder.blocks:
        block.register_forward_hook(lambda module, args, output: block_outputs.append(output))
    tokens = encoder(reference_image())
    assert tokens.shape == (2, GRID**2, 128)
    local_half, global_half = tokens.chunk(2, dim=-1)
    torch.testing.assert_close(global_half.mean(-1), torch.zeros(2, GRID**2), atol=1e-5, rtol=0)
    torch.testing.assert_close(global_half.var(-1, unbiased=False), torch.ones(2, GRID**2), atol=1e-3, rtol=0)
    assert torch.equal(local_half, block_outputs[2][:, 1:])
    torch.testing.assert_close(global_half, encoder.norm(block_outputs[3])[:, 1:])


@torch.no_grad()
def test_places_are_told_to_local_blocks_only():
    encoder = GeometricReference(CONFIG.references).eval()
    rotations = []
    for block in encoder.blocks:
        block.register_forward_pre_hook(lambda module, args: rotations.append(args[1]))
    encoder(reference_image())
    assert rotations[0] is None
    assert rotations[1] is None
    local_cosine, global_cosine = rotations[2][0], rotations[3][0]
    assert len(torch.unique(local_cosine[1:], dim=0)) == GRID**2
    assert len(torch.unique(global_cosine[1:], dim=0)) == 1
    assert not torch.equal(global_cosine[0], global_cosine[1]), "the camera token stands apart"


@torch.no_grad()
def test_the_camera_token_replaces_the_class_token_before_the_alternation():
    torch.manual_seed(0)
    encoder = GeometricReference(CONFIG.references).eval()
    before = encoder(reference_image())
    encoder.camera_token += torch.randn_like(encoder.camera_token)
    assert not torch.allclose(encoder(reference_image()), before, atol=1e-5)


def test_rotation_depends_on_relative_places_only_and_tells_rows_from_columns():
    head_width = 16
    places = torch.tensor([[0, 0], [1, 2], [3, 1], [4, 3]])
    cosine, sine = rotation_table(places, head_width)
    query, key = torch.randn(head_width), torch.randn(head_width)

    def logit(a: int, b: int) -> float:
        return float(rotate(query, cosine[a], sine[a]) @ rotate(key, cosine[b], sine[b]))

    assert logit(0, 1) == pytest.approx(logit(2, 3), rel=1e-4), "both are one row and two columns apart"
    assert logit(0, 1) != pytest.approx(logit(1, 0), rel=1e-3)
    assert logit(0, 0) == pytest.approx(float(query @ key), rel=1e-4)
