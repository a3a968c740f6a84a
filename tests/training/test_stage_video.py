"""Stage 1: the denoising loss, what a batch holds, what is looked at and what is handed on."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from support.made_up_video import (
    RECIPE,
    SIZE,
    autoencoder_tensors,
    descend,
    episode_rows,
    video_data,
    video_objective,
    with_training,
)  # fmt: skip
from support.networks import CONFIG, random_network

from svam_ros.networks.svam import Svam
from svam_ros.networks.svd_backbone import SIGMA
from svam_train.recipes.video import PRESETS, VideoNoise
from svam_train.stages.video import VideoObjective, draw_noise_levels
from svam_train.training.loop import train
from svam_train.training.run_folder import RunError, RunFolder, load_weights


@pytest.fixture(scope="module")
def objective():
    return video_objective()


@pytest.fixture(scope="module")
def trained():
    objective = video_objective()
    losses = descend(objective, 20)
    objective.module.eval()
    return objective, losses


def test_a_few_steps_lower_the_loss(trained):
    _, losses = trained
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


def test_the_loss_is_edms_weighted_error_of_the_denoised_video(objective):
    """As published: preconditioning, then the denoised video's error times (sigma^2 + 1) / sigma^2."""
    module, batch = objective.module, objective.batch(0, 4)
    batch["sigma"] = torch.tensor([0.05, 1.0, 30.0, 600.0])
    video, sigma = batch["latents"], batch["sigma"][:, None, None, None, None]
    noised = video + sigma * batch["noise"]
    backbone = module.video_backbone
    with torch.no_grad():
        text = module.encode_text(batch["token_ids"], batch["attention_mask"], batch["text_kept"])
        constants = backbone.constants(batch["sigma"])
        scaled = noised / (sigma**2 + 1).sqrt()
        passed = backbone(scaled, video[:, 0], backbone.project_text(text), constants)
        output = backbone.predict_velocity(passed, text, constants)
        denoised = noised / (sigma**2 + 1) - sigma / (sigma**2 + 1).sqrt() * output
        weighted = (denoised - video).square() * (sigma**2 + 1) / sigma**2
        errors = module.errors(batch)
    torch.testing.assert_close(errors, weighted.mean(dim=(1, 2, 3, 4)), rtol=1e-2, atol=1e-4)


def test_the_loss_is_the_mean_of_the_rows_and_every_trained_parameter_counts(objective):
    module, batch = objective.module, objective.batch(0, 4)
    whole = module(batch)["total"]
    rows = [module({name: value[i : i + 1] for name, value in batch.items()})["total"] for i in range(4)]
    torch.testing.assert_close(whole, torch.stack(rows).mean(), rtol=1e-4, atol=1e-5)
    module.zero_grad()
    whole.backward()
    trained = {name: value for name, value in module.named_parameters() if value.requires_grad}
    assert {name.split(".")[0] for name in trained} == {"text_encoder", "video_backbone"}
    assert all(value.grad is not None for value in trained.values())


def test_activations_computed_twice_change_no_gradient():
    sparing = video_objective(with_training(RECIPE, gradient_checkpointing=True))
    gradients = []
    for one in (video_objective(), sparing):
        batch = {k: v.double() if v.is_floating_point() else v for k, v in one.batch(0, 2).items()}
        one.module.double()(batch)["total"].backward()
        gradients.append({name: value.grad for name, value in one.module.named_parameters()})
    assert sparing.module.video_backbone.recompute
    for name, gradient in gradients[0].items():
        if gradient is not None:
            torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-8, msg=name)


def test_a_batch_is_a_function_of_seed_and_step(objective):
    other = video_objective()
    batch, later = objective.batch(3, 8), objective.batch(4, 8)
    for name, value in other.batch(3, 8).items():
        assert torch.equal(value, batch[name]), name
    assert not torch.equal(batch["noise"], later["noise"])
    assert not torch.equal(batch["sigma"], later["sigma"])
    assert video_objective(with_training(RECIPE, seed=4)).batch(3, 8)["sigma"][0] != batch["sigma"][0]
    assert batch["latents"].shape == batch["noise"].shape == (8, *CONFIG.latent_noise_shape)


def test_clips_and_sentences_belong_together(objective):
    """A clip's first latents are found among the pictures of an episode with the clip's instruction."""
    batch, data = objective.batch(0, 8), video_data()
    for i in range(8):
        rows = [
            row
            for row in range(len(data.training))
            if torch.equal(data.training.clips(np.array([row]), (0, 4, 8))[0], batch["latents"][i])
        ]
        instruction = data.training.rows.where(rows[0])[0].instruction
        assert np.array_equal(data.tokenizer.encode(instruction).token_ids[0], batch["token_ids"][i])


def test_noise_levels_are_log_normal_with_a_share_where_the_policy_is():
    random = np.random.default_rng(0)
    ordinary = np.log(draw_noise_levels(VideoNoise(deployment_share=0.0), random, 20_000))
    assert ordinary.mean() == pytest.approx(0.7, abs=0.05)
    assert ordinary.std() == pytest.approx(1.6, abs=0.05)
    high = np.log(draw_noise_levels(VideoNoise(deployment_share=1.0), random, 20_000))
    assert math.log(80.0) <= high.min() < high.max() <= math.log(700.0)
    assert high.mean() == pytest.approx((math.log(80.0) + math.log(700.0)) / 2, abs=0.05)
    mixed = draw_noise_levels(VideoNoise(deployment_share=0.15), random, 20_000)
    assert np.mean(mixed >= 80.0) == pytest.approx(0.15 + 0.85 * 0.0107, abs=0.01)


def test_a_share_of_rows_is_without_text():
    objective = video_objective(dataclasses.replace(RECIPE, text_dropout=0.3))
    kept = torch.cat([objective.batch(step, 50)["text_kept"] for step in range(20)])
    assert set(kept.tolist()) == {0.0, 1.0}
    assert float(kept.mean()) == pytest.approx(0.7, abs=0.05)
    module, batch = objective.module, objective.batch(0, 2)
    states = module.encode_text(batch["token_ids"], batch["attention_mask"], torch.tensor([0.0, 1.0]))
    assert not states[0].any()
    assert states[1].any()


def test_a_frozen_text_encoder_is_left_as_it_was():
    start = {f"text_encoder.{k}": v for k, v in random_network(seed=5).text_encoder.state_dict().items()}
    objective = video_objective(dataclasses.replace(RECIPE, train_text=False), start)
    descend(objective, 2)
    tensors = objective.network_tensors(objective.module)
    assert all(torch.equal(tensors[name], value) for name, value in start.items())


def test_the_metrics_are_of_the_same_rows_and_noise_every_time(trained):
    objective, _ = trained
    with torch.no_grad():
        metrics, again = (objective.held_out(objective.module) for _ in range(2))
    assert metrics == again
    assert list(metrics) == [
        "loss_sigma_0.02_to_0.5", "loss_sigma_0.5_to_4", "loss_sigma_4_to_80", "loss_sigma_80_to_700",
        "one_pass_error",
    ]  # fmt: skip
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("truth", [True, False], ids=["true video", "nothing moves"])
def test_the_one_pass_error_is_none_for_the_truth_and_one_for_a_still(truth, monkeypatch):
    objective = video_objective(dataclasses.replace(RECIPE, held_out_clips=8))
    rows = iter(np.array_split(np.array([0, 2, 4, 6, 9, 11, 13, 15]), 2))
    data = video_data().held_out

    def foresee(image_latents, text_states, noise):
        video = data.clips(next(rows), (0, 4, 8)) * objective.module.latent_scale
        return video if truth else video[:, :1].expand_as(video)

    monkeypatch.setattr(objective.module, "foresee", foresee)
    with torch.no_grad():
        error = objective.held_out(objective.module)["one_pass_error"]
    assert error == pytest.approx(0.0 if truth else 1.0, abs=1e-6)


def test_pictures_show_the_true_the_foreseen_and_the_drawn_video(trained):
    objective, _ = trained
    with torch.no_grad():
        pictures = objective.pictures(objective.module)
    frames = CONFIG.backbone.frames
    assert {name: picture.shape for name, picture in pictures.items()} == {
        "clip_0": (3 * SIZE, frames * SIZE, 3),
        "clip_1": (3 * SIZE, frames * SIZE, 3),
    }
    first = episode_rows(10).where(0)[0].images[np.array([0, 2, 4])]
    np.testing.assert_array_equal(pictures["clip_0"][:SIZE], np.concatenate(list(first), axis=1))


def test_the_network_takes_what_is_handed_on_and_foresees_the_same(trained):
    objective, _ = trained
    module = objective.module
    tensors = objective.network_tensors(module)
    network = Svam(CONFIG, with_video_head=True).eval()
    parts = ("image_encoder.", "text_encoder.", "video_backbone.")
    ours = {name for name in network.state_dict() if name.startswith(parts)}
    assert ours == {name for name in tensors if not name.startswith("video_decoder.")}
    network.load_state_dict({name: tensors[name] for name in ours}, strict=False)
    batch = objective.batch(0, 2)
    with torch.no_grad():
        condition = network.encode_instruction(batch["token_ids"], batch["attention_mask"])
        _, video = network.predict_video_latents(batch["latents"][:, 0], condition, batch["noise"])
        text = module.encode_text(batch["token_ids"], batch["attention_mask"])
        torch.testing.assert_close(module.foresee(batch["latents"][:, 0], text, batch["noise"]), video)


def test_training_at_the_highest_level_is_what_the_policy_will_see(trained):
    """Noise alone in place of the noised video: the loss at sigma 700 is the one pass's squared error."""
    objective, _ = trained
    module, batch = objective.module, objective.batch(0, 4)
    batch |= {"sigma": torch.full((4,), SIGMA), "text_kept": torch.ones(4)}
    with torch.no_grad():
        text = module.encode_text(batch["token_ids"], batch["attention_mask"])
        foreseen = module.foresee(batch["latents"][:, 0], text, batch["noise"])
        expected = (foreseen - batch["latents"]).square().mean(dim=(1, 2, 3, 4))
        torch.testing.assert_close(module.errors(batch), expected, rtol=0.02, atol=1e-3)


def test_weights_of_another_network_are_refused():
    with pytest.raises(RunError, match="another network"):
        video_objective(start={"video_backbone.conv_in.weight": torch.zeros(1)})


def test_a_start_without_a_decoder_is_refused():
    encoder = {k: v for k, v in autoencoder_tensors().items() if k.startswith("image_encoder.")}
    with pytest.raises(ValueError, match="train the autoencoder first"):
        VideoObjective(RECIPE, CONFIG, video_data(), encoder)


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_spacing": 0},
        {"held_out_clips": 0},
        {"low_rank": -1},
        {"text_dropout": 1.0},
    ],
)
def test_wrong_numbers_are_refused(changes):
    with pytest.raises(ValueError, match=next(iter(changes))):
        dataclasses.replace(PRESETS["tiny"], **changes)


@pytest.mark.parametrize("changes", [{"deployment_share": 1.1}, {"deployment_lowest": 900.0}])
def test_wrong_noise_is_refused(changes):
    with pytest.raises(ValueError, match="deployment"):
        VideoNoise(**changes)


@pytest.mark.parametrize(
    "low_rank",
    [pytest.param(0, id="all weights"), pytest.param(2, id="low rank", marks=pytest.mark.slow)],
)
def test_the_loop_trains_it_and_its_run_hands_it_on(tmp_path, low_rank):
    recipe = with_training(dataclasses.replace(RECIPE, low_rank=low_rank), steps=2)
    objective = video_objective(recipe)
    train(objective, recipe.training, RunFolder(tmp_path / "run", recipe), resume=False)
    handed_on = load_weights(tmp_path / "run")
    network = Svam(CONFIG, with_video_head=True)
    of_network = {name: value for name, value in handed_on.items() if name in network.state_dict()}
    assert not network.load_state_dict(of_network, strict=False).unexpected_keys
    assert sorted(file.name for file in (tmp_path / "run/pictures/step_000002").iterdir()) == [
        "clip_0.png",
        "clip_1.png",
    ]
    changed = {
        name
        for name, value in video_objective(recipe).module.state_dict().items()
        if name in handed_on and not torch.equal(value, handed_on[name])
    }
    assert ("video_backbone.conv_in.weight" in changed) == (low_rank == 0)
