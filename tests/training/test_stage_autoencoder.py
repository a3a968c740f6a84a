"""The autoencoder of a network that starts from nothing: it learns, and hands on latents of unit variance."""

import dataclasses

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLTemporalDecoder
from support.made_up_video import PREPARATION, ROBOT, SIZE, TRAINING, descend, episode_rows
from support.networks import CONFIG

from svam_ros.networks.svam import Svam
from svam_ros.simulation.front_camera import SceneClass
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import EpisodeSet
from svam_train.recipes.autoencoder import PRESETS, AutoencoderRecipe
from svam_train.stages.autoencoder import (
    Autoencoder,
    AutoencoderObjective,
    error_of_classes,
    rescaled_latents,
)
from svam_train.stages.video_decoder import VideoDecoder, as_picture
from svam_train.training.loop import train
from svam_train.training.run_folder import RunFolder, load_weights

RECIPE = AutoencoderRecipe(network="tiny", training=TRAINING, frame_spacing=4, held_out_pictures=4)
SCALED = dataclasses.replace(
    CONFIG, image_encoder=dataclasses.replace(CONFIG.image_encoder, latent_scale=0.25)
)


def made(recipe=RECIPE, config=CONFIG):
    return AutoencoderObjective(recipe, config, episode_rows(), episode_rows(10))


@pytest.fixture(scope="module")
def trained():
    objective = made()
    losses = descend(objective, 25)
    objective.module.eval()
    return objective, losses


def test_a_few_steps_lower_the_losses(trained):
    _, losses = trained
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.parametrize("known", [False, True], ids=["pictures alone", "with classes"])
def test_losses_are_means_of_the_rows_and_every_parameter_counts(known):
    rows = with_classes(episode_rows()) if known else episode_rows()
    objective = AutoencoderObjective(RECIPE, CONFIG, rows, rows)
    batch = objective.batch(0, 4)
    whole = objective.module(batch)
    alone = [objective.module({name: value[i : i + 1] for name, value in batch.items()}) for i in range(4)]
    for name, loss in whole.items():
        torch.testing.assert_close(loss, torch.stack([row[name] for row in alone]).mean())
    whole["total"].backward()
    assert all(value.grad is not None for value in objective.module.parameters())


def test_a_small_thing_counts_as_much_as_the_table_around_it():
    """One patch of 64 is a cube that is off by 0.8, all else by 0.1; a third class is nowhere."""
    clips, segments = torch.zeros(2, 1, 3, 16, 16), torch.zeros(2, 1, 8, 8, 3)
    segments[..., 0] = 1.0
    segments[0, 0, 2, 3] = torch.tensor([0.0, 1.0, 0.0])
    decoded = clips + 0.1
    decoded[0, 0, :, 4:6, 6:8] = -0.8
    assert float(error_of_classes(decoded, clips, segments)) == pytest.approx(((0.1 + 0.8) / 2 + 0.1) / 2)


def with_classes(rows):
    """The same episodes as simulation knows them: a thing in one patch, the table elsewhere."""
    episodes = []
    for episode in rows.episodes:
        segments = np.zeros((len(episode), 8, 8, len(SceneClass)), np.float32)
        segments[..., SceneClass.TABLE] = 1.0
        if episode.task == "lift_pot":  # the other shows the table alone
            segments[:, 2, 3] = np.eye(len(SceneClass))[SceneClass.POT]
        episodes.append(dataclasses.replace(episode, segments=segments))
    return EpisodeRows(EpisodeSet("seen through", ROBOT, PREPARATION, tuple(episodes)))


def test_classes_count_where_every_episode_knows_them():
    rows = with_classes(episode_rows())
    halved = dataclasses.replace(RECIPE, classes_weight=0.5)
    objective = AutoencoderObjective(halved, CONFIG, rows, rows)
    batch = objective.batch(0, 4)
    losses = objective.module(batch)
    parts = losses["absolute"] + losses["square"] + 0.5 * losses["classes"]
    total = parts + RECIPE.divergence_weight * losses["divergence"]
    torch.testing.assert_close(losses["total"], total)
    with torch.no_grad():
        assert objective.held_out(objective.module.eval())["classes"] > 0.0


def test_classes_are_left_out_where_nobody_knows_or_wants_them():
    rows = with_classes(episode_rows())
    unwanted = AutoencoderObjective(dataclasses.replace(RECIPE, classes_weight=0.0), CONFIG, rows, rows)
    for objective in (unwanted, made(), AutoencoderObjective(RECIPE, CONFIG, rows, episode_rows(10))):
        with torch.no_grad():
            assert "classes" not in objective.held_out(objective.module.eval())
    for objective in (unwanted, made()):
        assert objective.module(objective.batch(0, 4)).keys() == {"total", "absolute", "square", "divergence"}


def test_a_batch_is_a_function_of_seed_and_step():
    one, other = made(), made()
    for name, value in one.batch(3, 4).items():
        assert torch.equal(value, other.batch(3, 4)[name])
        assert not torch.equal(value, one.batch(4, 4)[name])
    for (name, value), again in zip(
        one.module.state_dict().items(), other.module.state_dict().values(), strict=True
    ):
        assert torch.equal(value, again), name


def test_the_divergence_is_that_of_the_latents_distribution():
    objective = made()
    module, batch = objective.module, objective.batch(0, 2)
    mean, log_variance = module.image_encoder.moments(batch["clips"].flatten(0, 1))
    normal = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).mean()
    torch.testing.assert_close(module(batch)["divergence"], expected)


@pytest.mark.parametrize("config", [CONFIG, SCALED], ids=["scale 1", "scale 0.25"])
def test_what_is_handed_on_has_unit_variance_and_decodes_to_the_same(config):
    objective = made(config=config)
    module = objective.module.eval()
    clips = episode_rows().clips(torch.arange(4).numpy(), (0, 4, 8))["clips"]
    with torch.no_grad():
        before, decoded = module.reconstruct(clips)
        handed_on = Autoencoder(config, RECIPE).eval()
        handed_on.load_state_dict(objective.network_tensors(module))
        every_row = torch.arange(len(episode_rows())).numpy()
        latents = handed_on.reconstruct(episode_rows().clips(every_row, (0, 4, 8))["clips"])[0]
        after, same = handed_on.reconstruct(clips)
    scale = config.image_encoder.latent_scale
    assert float((scale * latents).std()) == pytest.approx(1.0, abs=1e-3)
    assert not torch.allclose(before, after, rtol=0.05)
    torch.testing.assert_close(same, decoded, rtol=1e-4, atol=1e-4)


def test_rescaling_keeps_what_the_drawn_latents_say():
    """Mean and deviation are scaled alike."""
    module = made().module.eval()
    scaled = Autoencoder(CONFIG, RECIPE).eval()
    scaled.load_state_dict(rescaled_latents(module.state_dict(), CONFIG.image_encoder.latent_channels, 3.0))
    images = torch.rand(2, 3, SIZE, SIZE)
    with torch.no_grad():
        (mean, log_variance), (larger, wider) = (m.image_encoder.moments(images) for m in (module, scaled))
    torch.testing.assert_close(larger, 3.0 * mean)
    torch.testing.assert_close(wider.exp(), 9.0 * log_variance.exp(), rtol=1e-4, atol=1e-6)


def test_the_network_takes_the_encoder(trained):
    objective, _ = trained
    with torch.no_grad():
        tensors = objective.network_tensors(objective.module)
    names = {name for name in Svam(CONFIG).state_dict() if name.startswith("image_encoder.")}
    assert names == {name for name in tensors if name.startswith("image_encoder.")}
    assert {name.split(".")[0] for name in tensors} == {"image_encoder", "video_decoder"}


def test_metrics_and_pictures_are_of_held_out_clips(trained):
    objective, _ = trained
    with torch.no_grad():
        metrics = objective.held_out(objective.module)
        pictures = objective.pictures(objective.module)
        rows = torch.tensor([0, 5, 10, 15]).numpy()
        clips = episode_rows(10).clips(rows, (0, 4, 8))["clips"]
        latents, decoded = objective.module.reconstruct(clips)
    assert metrics["square"] == pytest.approx(float((decoded - clips).square().mean()), rel=1e-4)
    assert metrics["latent_deviation"] == pytest.approx(float(latents.std()), rel=1e-2)
    assert pictures["decoded"].shape == (2 * SIZE, 8 * SIZE, 3)


def test_the_decoder_of_published_sizes_is_that_of_stable_video_diffusion():
    sizes = dataclasses.replace(CONFIG.image_encoder, block_widths=(32, 32, 64), norm_groups=32)
    torch.manual_seed(0)
    decoder = VideoDecoder(sizes).eval()
    published = AutoencoderKLTemporalDecoder(
        latent_channels=8, block_out_channels=(32, 32, 64), down_block_types=("DownEncoderBlock2D",) * 3
    ).eval()
    published.decoder.load_state_dict(decoder.decoder.state_dict())
    latents = torch.randn(2, 3, 8, 4, 4)
    with torch.no_grad():
        expected = published.decode(latents.flatten(0, 1), num_frames=3).sample.unflatten(0, (2, 3))
        torch.testing.assert_close(decoder(latents), expected)


def test_pictures_are_put_together_row_by_row():
    black, white = torch.full((2, 3, 4, 4), -1.2), torch.ones(2, 3, 4, 4)
    picture = as_picture([black, white])
    assert picture.shape == (8, 8, 3)
    assert picture[:4].max() == 0
    assert picture[4:].min() == 255


@pytest.mark.parametrize(
    "changes",
    [
        {"frame_spacing": 0},
        {"divergence_weight": -1.0},
        {"training": dataclasses.replace(TRAINING, gradient_checkpointing=True)},
    ],
)
def test_wrong_numbers_are_refused(changes):
    with pytest.raises(ValueError, match=r"must|no gradient_checkpointing"):
        dataclasses.replace(PRESETS["tiny"], **changes)


def test_the_loop_trains_it_and_its_run_hands_it_on(tmp_path):
    settings = dataclasses.replace(TRAINING, steps=2)
    objective = made(dataclasses.replace(RECIPE, training=settings))
    train(objective, settings, RunFolder(tmp_path / "run", objective.recipe), resume=False)
    Autoencoder(CONFIG, RECIPE).load_state_dict(load_weights(tmp_path / "run"))
    assert (tmp_path / "run" / "pictures" / "step_000002" / "decoded.png").is_file()
