"""Pictures are encoded once: in memory or in files, which give what encoding on the spot gives."""

import dataclasses
import logging

import numpy as np
import pytest
import torch
from support.made_up_video import PREPARATION, ROBOT, autoencoder_tensors, episode_rows, image_encoder
from support.networks import CONFIG

from svam_ros.networks.image_encoder import ImageEncoder
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError, EpisodeSet
from svam_train.stages import latent_cache
from svam_train.stages.latent_cache import encode_rows, latent_bytes, load_image_encoder
from svam_train.training.run_folder import RunError

OFFSETS = (0, 4, 8)
ROWS = np.array([0, 3, 7, 15])


def shards(folder):
    return sorted(folder.glob("*.npz"))


@pytest.mark.parametrize("on_disk", [False, True], ids=["in memory", "in files"])
def test_clips_are_those_of_pictures_encoded_on_the_spot(tmp_path, on_disk):
    rows = episode_rows()
    encoded = encode_rows(rows, image_encoder(), tmp_path if on_disk else None)
    clips = rows.clips(ROWS, OFFSETS)["clips"]
    with torch.no_grad():
        expected = image_encoder()(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
    torch.testing.assert_close(encoded.clips(ROWS, OFFSETS), expected, rtol=1e-4, atol=1e-5)
    assert len(encoded) == len(rows)
    assert len(shards(tmp_path)) == (2 if on_disk else 0)


def test_what_was_encoded_is_not_encoded_again(tmp_path, monkeypatch):
    first = encode_rows(episode_rows(), image_encoder(), tmp_path)
    stored = {path: path.read_bytes() for path in shards(tmp_path)}
    shards(tmp_path)[0].unlink()
    made = []
    original = latent_cache.encode_episode
    monkeypatch.setattr(
        latent_cache, "encode_episode", lambda e, c: made.append(e.identity) or original(e, c)
    )
    again = encode_rows(episode_rows(), image_encoder(), tmp_path)
    assert made == ["lift_pot_0"]
    assert torch.equal(first.clips(ROWS, OFFSETS), again.clips(ROWS, OFFSETS))
    assert shards(tmp_path) == list(stored)


def test_a_damaged_file_is_named_and_made_again(tmp_path, caplog):
    expected = encode_rows(episode_rows(), image_encoder(), tmp_path).clips(ROWS, OFFSETS)
    damaged = shards(tmp_path)[1]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        again = encode_rows(episode_rows(), image_encoder(), tmp_path)
    assert str(damaged) in caplog.text
    assert torch.equal(again.clips(ROWS, OFFSETS), expected)
    caplog.clear()
    encode_rows(episode_rows(), image_encoder(), tmp_path)
    assert not caplog.text


def test_other_pictures_and_other_encoders_have_other_files(tmp_path):
    encode_rows(episode_rows(), image_encoder(), tmp_path)
    episode = episode_rows().episodes[0]
    images = episode.images.copy()
    images[3, 0, 0, 0] ^= 1
    changed = dataclasses.replace(episode, images=images)
    rows = EpisodeRows(EpisodeSet("one", ROBOT, PREPARATION, (changed,)))
    encode_rows(rows, image_encoder(), tmp_path)
    assert len(shards(tmp_path)) == 3
    torch.manual_seed(9)
    encode_rows(rows, ImageEncoder(CONFIG.image_encoder), tmp_path)
    assert len(shards(tmp_path)) == 4


def test_frames_between_two_pictures_are_refused():
    encoded = encode_rows(episode_rows(), image_encoder())
    with pytest.raises(DataError, match="every 2: use multiples"):
        encoded.clips(ROWS, (0, 3))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="make room, or name another folder"):
        encode_rows(episode_rows(), image_encoder(), tmp_path / "file")


def test_the_size_of_latents_is_known_before(tmp_path):
    encode_rows(episode_rows(), image_encoder(), tmp_path)
    arrays = sum(np.load(path)["latents"].nbytes for path in shards(tmp_path))
    assert latent_bytes(episode_rows(), CONFIG) == arrays


def test_progress_is_told():
    told = []
    encode_rows(episode_rows(), image_encoder(), told=lambda *args: told.append(args))
    assert told == [(0, 2, "lift_pot_0"), (1, 2, "place_to_pot_1")]


def test_the_encoder_is_found_among_a_runs_tensors():
    encoder = load_image_encoder(CONFIG, autoencoder_tensors())
    images = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(encoder(images), image_encoder()(images))
    assert not any(value.requires_grad for value in encoder.parameters())
    with pytest.raises(RunError, match="another network"):
        load_image_encoder(CONFIG, {})
