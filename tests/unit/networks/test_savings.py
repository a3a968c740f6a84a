"""What we leave out changes nothing: every saving against the published form, which has none of them.

Fp32, relative root mean square at most 1e-5. Weights are those of a small golden set; each test also shows
that what was saved matters, so that it could not pass by comparing zeros.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from support.parity_network import imported_network
from torch import Tensor

from benchmarks.golden_sets.golden_config import published_sizes
from benchmarks.golden_sets.golden_set import GoldenSet
from benchmarks.golden_sets.golden_values import load_group
from svam_ros.engines.accuracy import relative_rms
from svam_ros.networks.published_form import evaluation
from svam_ros.networks.published_form.denoiser import noise_levels, sample
from svam_ros.networks.published_form.noise_schedule import first_step, svd_scheduler
from svam_ros.networks.published_form.resizing import resize_image
from svam_ros.networks.published_form.text import policy_goal, unet_text_states
from svam_ros.networks.svam import Foresight, InstructionCondition, References, Svam
from svam_ros.networks.unet_blocks import fold_time, run_residual

GOLDEN_SET = GoldenSet.open(Path(__file__).parents[2] / "parity" / "goldens" / "end_to_end")
CONFIG = published_sizes(GOLDEN_SET).network
BATCH = 2
LARGEST_DEVIATION = 1e-5


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@cache
def plain(group: str) -> Any:
    return load_group(GOLDEN_SET, group)


@cache
def ours() -> Svam:
    return imported_network(GOLDEN_SET, CONFIG, GOLDEN_SET.shapes).prepare_for_inference()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(BATCH, *shape, generator=torch.Generator().manual_seed(seed))


def assert_same(value: Tensor, reference: Tensor) -> None:
    assert relative_rms(value.reshape(reference.shape), reference) <= LARGEST_DEVIATION


def assert_other(value: Tensor, reference: Tensor) -> None:
    assert relative_rms(value.reshape(reference.shape), reference) > 1e-3


def as_video(features: Tensor) -> Tensor:
    """``(batch, frames, tokens, width)`` -> ``(batch, frames, width, h, w)``."""
    return features.unflatten(2, (CONFIG.grid, CONFIG.grid)).permute(0, 1, 4, 2, 3)


# -- once for each instruction ---------------------------------------------------------------------


def sentences() -> tuple[Tensor, Tensor, list[Tensor]]:
    """Padded ids, mask, and unpadded ids of two sentences of different length."""
    text = CONFIG.text
    words = [torch.tensor([7, 3, 30]), torch.tensor([11, 5, 2, 19, 23])]
    begin, end = torch.tensor([text.bos_id]), torch.tensor([text.eos_id])
    unpadded = [torch.cat([begin, sentence, end]) for sentence in words]
    padded = torch.full((2, text.length), text.pad_id)
    for row, ids in zip(padded, unpadded, strict=True):
        row[: len(ids)] = ids
    mask = torch.stack([(torch.arange(text.length) < len(ids)).long() for ids in unpadded])
    return padded, mask, unpadded


def test_one_padded_text_pass_gives_both_that_the_published_form_runs_two_for():
    padded, mask, unpadded = sentences()
    clip = plain("text_encoder")
    once = ours().text_encoder(padded, mask)
    assert_same(once.states, unet_text_states(clip, padded, mask, add_positions=False))
    assert_same(once.goal, torch.cat([policy_goal(clip, ids[None]) for ids in unpadded]))
    assert_other(once.goal[:1], once.goal[1:])


def test_text_projected_once_serves_every_image():
    """Keys and values of the text, and with them attention, scheduler, time ids and frame positions."""
    padded, mask, _ = sentences()
    condition = ours().encode_instruction(padded, mask)
    features = []
    for seed in (1, 2):
        noise, latents = normal(*CONFIG.latent_noise_shape, seed=seed), latents_of_an_image(seed)
        features.append(ours().backbone(latents, condition, noise))
        text = plain_text_states()
        assert_same(as_video(features[-1]), evaluation.backbone_features(plain("unet"), noise, latents, text))
    assert_other(features[0], features[1])
    swapped = condition.rows(torch.tensor([1, 0]))
    assert_other(ours().backbone(latents, swapped, noise), features[1])


def test_the_goal_embedded_once_serves_every_context():
    goal = normal(1, CONFIG.text.goal_width)
    token = ours().action_expert.embed_goal(goal)
    for seed in (1, 2):
        context = context_tokens(seed)
        encoded = plain("model").inner_model.encode(context, goal)
        assert_same(ours().action_expert.encode(context, token, None), encoded)
    assert_other(ours().action_expert.encode(context, token.flip(0), None), encoded)


def plain_text_states() -> Tensor:
    padded, mask, _ = sentences()
    return unet_text_states(plain("text_encoder"), padded, mask, add_positions=False)


# -- video backbone --------------------------------------------------------------------------------


def latents_of_an_image(seed: int) -> Tensor:
    _, channels, size, _ = CONFIG.latent_noise_shape
    return normal(channels, size, size, seed=seed)


def test_the_schedule_multiplies_the_noise_and_divides_it_again():
    noise = normal(*CONFIG.latent_noise_shape)
    scheduler = svd_scheduler()
    scaled, timestep = first_step(scheduler, noise)
    assert_same(scaled, noise)
    assert float(timestep) == pytest.approx(1.6377701, abs=1e-6)
    assert float(scheduler.init_noise_sigma) == pytest.approx(700.0007, abs=1e-4)


@pytest.mark.parametrize("level", [1, 2, 3])  # at level 0 every channel is a group of its own
def test_the_noise_level_folded_into_biases_equals_adding_it_to_every_pixel(level):
    """Each residual block's spatial and temporal convolution, against diffusers' own block."""
    residual = plain("unet").down_blocks[level].resnets[0]
    width = residual.spatial_res_block.conv1.in_channels
    frames, embedding = CONFIG.backbone.frames, ours().video_backbone.constants().time_embedding
    x = normal(frames, width, 4, 4).flatten(0, 1)
    every_frame = embedding.expand(len(x), -1)
    expected = residual(x, every_frame, image_only_indicator=torch.zeros(BATCH, frames))
    assert_same(run_residual(residual, x, fold_time(residual, embedding), frames), expected)
    assert_other(run_residual(residual, x, fold_time(residual, -embedding), frames), expected)


def test_constants_are_those_of_the_weights():
    """Sigma, time ids and frame positions: computed once, equal to computing them in every pass."""
    constants = ours().video_backbone.constants()
    unet, timestep = plain("unet"), torch.tensor(1.6377701)
    time = unet._time_embedding(timestep, BATCH, torch.zeros(1))
    assert_same(constants.time_embedding.expand(BATCH, -1), time)
    assert_other(unet._time_embedding(timestep + 1, BATCH, torch.zeros(1)), time)
    index = torch.arange(CONFIG.backbone.frames)
    assert constants.frame_positions
    for name, positions in constants.frame_positions.items():
        transformer = unet.get_submodule(name)
        assert_same(positions, transformer.time_pos_embed(transformer.time_proj(index)))


def test_up_blocks_after_the_features_are_not_kept():
    names = ours().run_time_state_dict()
    assert not [name for name in names if name.startswith(("video_backbone.up_blocks.2", "video_head"))]
    assert "video_backbone.up_blocks.1.resnets.0.spatial_res_block.conv1.weight" in names


# -- reference encoders ----------------------------------------------------------------------------


def test_blocks_behind_the_first_stage_are_left_out():
    """Positions resized once are part of the comparison, as ours has them at the resolution of use."""
    size = CONFIG.references.image_size
    image = normal(3, size, size)
    published = plain("da3_backbone")
    reference = published(image)
    assert len(ours().geometric_reference.blocks) < len(published.blocks)
    assert_same(ours().geometric_reference(image), reference)
    with mock.patch.object(published.blocks[-1], "forward", lambda x, _rotate: x * 0):
        assert published(image).equal(reference), "the last blocks' output is thrown away"
    with mock.patch.object(published.blocks[0], "forward", lambda x, _rotate: x * 0):
        assert_other(published(image), reference)


def test_semantic_positions_are_resized_once():
    size = CONFIG.image_encoder.image_size
    image = normal(3, size, size).clamp(-1, 1)
    shown = resize_image(image, CONFIG.references.image_size)
    assert_same(ours().references(image).semantic, plain("dinov2")(shown))


# -- decouplers and Uni-Perceiver ------------------------------------------------------------------


def features_and_references() -> tuple[Tensor, References]:
    tokens, references = CONFIG.tokens_per_frame, CONFIG.references
    return (
        normal(CONFIG.backbone.frames, tokens, CONFIG.backbone.feature_width, seed=3),
        References(
            normal(tokens, references.semantic.width, seed=4),
            normal(tokens, references.geometric_width, seed=5),
        ),
    )


def test_the_adapter_sees_one_frame_where_the_published_one_sees_every_copy():
    features, references = features_and_references()
    tokens = ours().foresight_tokens(ours().decouple(features, references))
    video = as_video(features)
    for group, value, shown in (
        ("hidden2dino", tokens.semantic, references.semantic),
        ("hidden2dpa", tokens.geometric, references.geometric),
    ):
        published = evaluation.foresight(plain(group), video, evaluation.as_map(shown))
        assert_same(value, published)
        assert_other(evaluation.foresight(plain(group), video, evaluation.as_map(shown.flip(0))), published)


def test_the_decouplers_last_layers_are_part_of_the_perceivers_first():
    features, references = features_and_references()
    foresight = ours().decouple(features, references)
    tokens = ours().foresight_tokens(foresight)
    published = evaluation.context_tokens(
        plain("Video_Former"), as_video(features), tokens.semantic, tokens.geometric
    )
    assert_same(ours().perceive(features, foresight), published)
    for changed in (
        Foresight(-foresight.semantic, foresight.geometric),
        Foresight(foresight.semantic, -foresight.geometric),
    ):
        assert_other(ours().perceive(features, changed), published)


# -- action expert ---------------------------------------------------------------------------------


def context_tokens(seed: int) -> Tensor:
    perceiver = CONFIG.uni_perceiver
    return normal(CONFIG.backbone.frames * perceiver.latents_per_frame, perceiver.width, seed=seed)


def condition_of(goal: Tensor) -> InstructionCondition:
    return InstructionCondition(goal, ours().action_expert.embed_goal(goal), ())


def test_the_context_is_encoded_once_where_the_published_form_encodes_it_at_every_step():
    """With it: keys and values once, modulation by the noise level as a constant of the weights."""
    context, goal = context_tokens(6), normal(1, CONFIG.text.goal_width)
    noise, expert = normal(*CONFIG.action_noise_shape), CONFIG.action_expert
    levels = noise_levels(expert.sampler_steps, expert.sigma_min, expert.sigma_max)
    denoiser, ours_encoder = plain("model"), ours().action_expert.encoder[0]
    encoder = denoiser.inner_model.encoder
    with mock.patch.object(encoder, "forward", wraps=encoder.forward) as published_calls:
        published = sample(denoiser, context, goal, noise, levels)
    with mock.patch.object(ours_encoder, "forward", wraps=ours_encoder.forward) as our_calls:
        actions = ours().act(context, condition_of(goal), None, noise)
    assert (published_calls.call_count, our_calls.call_count) == (expert.sampler_steps, 1)
    assert_same(actions, published)
    assert_other(sample(denoiser, context, goal, noise, [*levels[:-2], levels[-3], 0.0]), published)


def test_modulation_is_a_constant_of_the_weights():
    schedule = ours().action_expert.schedule()
    inner = plain("model").inner_model
    for sigma, modulation in zip(schedule.sigmas[:-1], schedule.modulations, strict=True):
        embedding = inner.sigma_emb(torch.tensor([sigma]).log() / 4).unsqueeze(1)
        for block, value in zip(inner.decoder.blocks, modulation, strict=True):
            assert_same(value, torch.cat(block.adaLN_zero(embedding), dim=-1))


def test_rows_of_the_context_behind_the_horizon_have_no_influence():
    """Which is why we keep as many as there are actions: the published mask is aligned at the top left."""
    inner, horizon = plain("model").inner_model, CONFIG.action_expert.pred_horizon
    context, goal = context_tokens(7), normal(1, CONFIG.text.goal_width)
    encoded = inner.encode(context, goal)
    x, sigma = normal(horizon, CONFIG.action_expert.width), normal(1, CONFIG.action_expert.width, seed=8)
    published = inner.decoder(x, sigma, encoded)
    changed = encoded.clone()
    changed[:, horizon:] = 100.0
    assert inner.decoder(x, sigma, changed).equal(published)
    changed[:, horizon - 1] = 100.0
    assert_other(inner.decoder(x, sigma, changed), published)
    expert, token = ours().action_expert, condition_of(goal).goal_token
    kept = expert.encode(context, token, None, first=horizon)
    assert kept.shape[1] == horizon < encoded.shape[1]
    assert_same(kept, encoded[:, :horizon])
