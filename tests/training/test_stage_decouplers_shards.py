"""Examples kept in files: the same as computed ones, made once, and named when damaged."""

import logging
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.made_up_foresight import RECIPE, changed, foresight_data, foresight_objective, frozen_pass
from support.networks import CONFIG

from svam_train.episodes.episodes import CorruptShard, DataError
from svam_train.stages import feature_shards
from svam_train.stages.decouplers import clip_batch, fill_example_shards
from svam_train.stages.distillation import ClipBatches
from svam_train.stages.feature_shards import FeatureShards, ShardPlan, fill_shards

CPU = torch.device("cpu")


def plan_in(folder, *, videos="one", examples=7, per_shard=3):
    return ShardPlan(folder / "cache", {"videos": videos}, examples, per_shard)


def numbered(plan):
    """Shard ``k`` holds examples whose value is their number."""
    made = []

    def make(number):
        made.append(number)
        values = torch.arange(number * plan.per_shard, (number + 1) * plan.per_shard)
        return {"features": values[:, None].float(), "target": -values[:, None, None].float()}

    return make, made


def filled(folder, **options):
    plan = plan_in(folder, **options)
    list(fill_shards(plan, numbered(plan)[0]))
    return plan


def test_examples_come_back_by_number(tmp_path):
    shards = FeatureShards(filled(tmp_path))
    assert len(shards) == 9  # whole shards
    rows = shards.rows(np.array([8, 0, 4, 4]))
    assert rows["features"].flatten().tolist() == [8, 0, 4, 4]
    assert rows["target"].shape == (4, 1, 1)
    assert rows["target"].flatten().tolist() == [-8, 0, -4, -4]


def test_filling_goes_on_where_it_was_stopped(tmp_path):
    plan = plan_in(tmp_path)
    make, made = numbered(plan)
    next(fill_shards(plan, make))
    assert made == [0]
    # Killed while the second one was written: a file without its hash.
    plan.path(1).write_bytes(plan.path(0).read_bytes())
    before = plan.path(0).stat().st_mtime_ns
    list(fill_shards(plan, make))
    assert made == [0, 1, 2]
    assert plan.path(0).stat().st_mtime_ns == before
    assert FeatureShards(plan).rows(np.array([4]))["features"].item() == 4


def test_processes_share_the_work(tmp_path):
    plan = plan_in(tmp_path)
    make, made = numbered(plan)
    assert list(fill_shards(plan, make, 0, 2)) == [0, 2]
    assert list(fill_shards(plan, make, 1, 2)) == [1]
    assert sorted(made) == [0, 1, 2]
    assert len(FeatureShards(plan)) == 9


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "no hash"])
def test_a_damaged_shard_is_named_and_left_out_only_on_request(tmp_path, caplog, damage):
    plan = filled(tmp_path)
    path = plan.path(1)
    if damage == "cut":
        os.truncate(path, 40)
    elif damage == "flipped":
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
    else:
        (path if damage == "missing" else path.with_suffix(".json")).unlink()
    with pytest.raises(CorruptShard, match=r"shard_00001\.safetensors: .*--skip-corrupt"):
        FeatureShards(plan)
    with caplog.at_level(logging.WARNING):
        shards = FeatureShards(plan, skip_corrupt=True)
    assert "shard_00001.safetensors is left out" in caplog.text
    assert len(shards) == 6
    assert shards.rows(np.arange(6))["features"].flatten().tolist() == [0, 1, 2, 6, 7, 8]


def test_examples_of_something_else_are_refused(tmp_path):
    filled(tmp_path)
    other = plan_in(tmp_path, videos="two")
    with pytest.raises(DataError, match="made with other videos"):
        list(fill_shards(other, numbered(other)[0]))
    with pytest.raises(DataError, match="made with other per_shard"):
        FeatureShards(plan_in(tmp_path, per_shard=4))
    with pytest.raises(DataError, match="no folder of cached examples"):
        FeatureShards(plan_in(tmp_path / "elsewhere"))


def test_a_folder_without_a_whole_shard_is_refused(tmp_path):
    plan = filled(tmp_path, examples=2)
    plan.path(0).unlink()
    with pytest.raises(DataError, match="no shard is whole"):
        FeatureShards(plan, skip_corrupt=True)


def test_a_disk_that_is_too_small_is_told_before_it_is_full(tmp_path, monkeypatch):
    plan = plan_in(tmp_path)
    monkeypatch.setattr(feature_shards.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(DataError, match="fewer cached_examples"):
        list(fill_shards(plan, numbered(plan)[0]))
    assert not list(plan.folder.glob("shard_*"))


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    recipe = changed(cached_examples=8)
    frozen, data = frozen_pass(), foresight_data()
    plan = ShardPlan(tmp_path_factory.mktemp("cache"), frozen.fingerprints(), 8, recipe.examples_per_shard)
    clips = ClipBatches(data.training, data.tokenizer, CONFIG, recipe.frame_spacing)
    list(fill_example_shards(plan, recipe, frozen, clips, CPU))
    return plan, clips


def test_kept_examples_are_the_computed_ones(cached):
    plan, clips = cached
    expected = frozen_pass().examples(clip_batch(clips, RECIPE.training.seed, 1, 4))
    kept = FeatureShards(plan).rows(np.arange(4, 8))
    assert set(kept) == set(expected)
    for name, value in kept.items():
        torch.testing.assert_close(value.float(), expected[name].float(), atol=2e-3, rtol=2e-3)


def test_training_on_kept_examples_lowers_the_loss_without_the_frozen_half(cached, monkeypatch):
    objective = foresight_objective(changed(cached_examples=8), shards=FeatureShards(cached[0]))
    monkeypatch.setattr(type(frozen_pass()), "examples", None)  # nothing is computed again
    first, again = objective.batch(5, 4), objective.batch(5, 4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    optimizer = torch.optim.AdamW(objective.module.parameters(), lr=3e-3)
    losses = []
    for step in range(15):
        loss = objective.module(objective.batch(step, 4))["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])


def test_other_weights_have_other_fingerprints(cached):
    prints, same = frozen_pass().fingerprints(), frozen_pass().fingerprints()
    assert prints == same
    other = frozen_pass(changed(sampling=type(RECIPE.sampling)(steps=3))).fingerprints()
    assert other["videos"] != prints["videos"]
    assert other["semantic"] == prints["semantic"]
    assert frozen_pass(changed(targets="true_future")).fingerprints()["videos"] != prints["videos"]
