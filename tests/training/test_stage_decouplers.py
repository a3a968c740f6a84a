"""Stage 2: the decouplers learn what teachers see in videos from the noise that they are given."""

import dataclasses

import pytest
import torch
from support.made_up_foresight import (
    RECIPE,
    changed,
    foresight_data,
    foresight_objective,
    frozen_network,
    frozen_pass,
)
from support.networks import CONFIG, random_network
from support.run_records import everything_of

from svam_ros.networks.svam import References
from svam_train.recipes.decouplers import PRESETS
from svam_train.recipes.video import PRESETS as VIDEO_PRESETS
from svam_train.stages.decouplers import DecouplersObjective
from svam_train.training.loop import train
from svam_train.training.run_folder import RunFolder, load_weights

TRUE_FUTURE = changed(targets="true_future")


@torch.no_grad()
def looked_at(objective):
    return objective.held_out(objective.module.eval())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("decouplers")
    objective = foresight_objective()
    before = looked_at(objective)
    train(objective, RECIPE.training, RunFolder(folder, RECIPE), resume=False)
    return folder, before, objective


def test_training_foresees_better_than_before_and_than_nothing_learnt(finished):
    _, before, objective = finished
    after = looked_at(objective)
    for kind in ("semantic", "geometric"):
        assert after[f"squared_error_{kind}"] < 0.8 * before[f"squared_error_{kind}"]
        assert after[f"cosine_{kind}"] > before[f"cosine_{kind}"] + 0.2
        assert after[f"cosine_{kind}_repeated"] == before[f"cosine_{kind}_repeated"]
    assert after["depth_error_m_teacher"] == before["depth_error_m_teacher"]
    assert set(after) == {
        *(f"cosine_{k}{f}{r}" for k in RECIPE.kinds for f in ("", "_future") for r in ("", "_repeated")),
        *(f"squared_error_{k}" for k in RECIPE.kinds),
        *(f"depth_error_m_{name}" for name in ("foreseen", "repeated", "teacher")),
    }


def test_only_the_decouplers_are_trained_and_handed_on(finished):
    weights = load_weights(finished[0])
    network = random_network()
    wanted = {
        n for n in network.state_dict() if n.startswith(("semantic_decoupler.", "geometric_decoupler."))
    }
    assert set(weights) == wanted
    assert {name.split(".")[0] for name, _ in finished[2].module.named_parameters()} == {
        "semantic_decoupler",
        "geometric_decoupler",
    }
    reference = random_network(seed=4, with_video_head=True).state_dict()
    assert all(torch.equal(value, reference[name]) for name, value in frozen_network().state_dict().items())


def test_what_was_trained_is_what_the_network_computes(finished):
    """With the features, references and noise of the robot's own stages."""
    objective = finished[2]
    network = random_network(seed=4, with_video_head=True)
    network.load_state_dict(load_weights(finished[0]), strict=False)
    frozen = frozen_pass()
    batch = objective.batch(7, 2)
    with torch.no_grad():
        examples = frozen.examples(batch)
        foreseen = objective.module.eval().foresee(examples)
        condition = network.encode_instruction(batch["token_ids"], batch["attention_mask"])
        first = batch["clips"][:, 0].contiguous()
        features = network.backbone(network.encode_image(first), condition, batch["noise"])
        references: References = network.references(first)
        tokens = network.foresight_tokens(network.decouple(features, references))
    torch.testing.assert_close(examples["features"], features, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(examples["semantic_reference"], references.semantic, atol=1e-4, rtol=1e-4)
    # The module carries the weights of its last step, the file their average.
    objective.module.load_state_dict(load_weights(finished[0]))
    with torch.no_grad():
        averaged = objective.module.foresee(examples)
    torch.testing.assert_close(averaged["semantic"], tokens.semantic, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(averaged["geometric"], tokens.geometric, atol=1e-3, rtol=1e-3)
    assert not torch.equal(foreseen["semantic"], averaged["semantic"])


def test_targets_are_of_the_video_from_the_noise_that_the_features_are_of():
    frozen = frozen_pass()
    batch = foresight_objective().batch(0, 2)
    first = frozen.examples(batch)
    other = frozen.examples({**batch, "noise": -batch["noise"]})
    for name in ("features", "semantic_target", "geometric_target"):
        assert not torch.allclose(first[name], other[name], atol=1e-3), name
    assert torch.equal(first["semantic_reference"], other["semantic_reference"])


def test_the_true_future_is_what_was_recorded():
    frozen = frozen_pass(TRUE_FUTURE)
    batch = foresight_objective(TRUE_FUTURE).batch(0, 2)
    examples, future = frozen.examples(batch), frozen.future(batch)
    assert torch.equal(examples["geometric_target"], future["geometric"])
    generated = frozen_pass().examples(batch)
    torch.testing.assert_close(generated["features"], examples["features"], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(generated["semantic_target"], examples["semantic_target"], atol=1e-2)
    found = looked_at(foresight_objective(TRUE_FUTURE))
    assert found["cosine_semantic"] == found["cosine_semantic_future"]


def test_batches_are_a_function_of_the_step():
    one, other = foresight_objective(), foresight_objective()
    first, again, next_one = one.batch(2, 4), other.batch(2, 4), one.batch(3, 4)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert all(not torch.equal(first[name], next_one[name]) for name in ("clips", "noise"))
    assert first["clips"].shape == (4, 3, 3, 32, 32)
    state, same = one.module.state_dict(), other.module.state_dict()
    assert all(torch.equal(value, same[name]) for name, value in state.items())


def test_a_run_can_be_repeated_to_the_bit(finished, tmp_path):
    settings = dataclasses.replace(RECIPE.training, steps=6, evaluate_every=6, pictures_every=6)
    recipe = changed(training=settings)
    runs = []
    for name in ("one", "other"):
        train(foresight_objective(recipe), settings, RunFolder(tmp_path / name, recipe), resume=False)
        runs.append(everything_of(tmp_path / name))
    assert runs[0] == runs[1]


def test_one_kind_alone_is_trained_as_beside_the_other():
    both, alone = foresight_objective(), foresight_objective(changed(kinds=("geometric",)))
    assert {name.split(".")[0] for name in alone.module.state_dict()} == {"geometric_decoupler"}
    batch = both.batch(0, 4)
    losses, single = both.module(batch), alone.module(batch)
    assert set(single) == {"total", "geometric_square"}
    torch.testing.assert_close(single["geometric_square"], losses["geometric_square"])
    torch.testing.assert_close(losses["total"], losses["geometric_square"] + losses["semantic_square"])


def test_the_cosine_counts_where_it_is_asked_for():
    weighted = foresight_objective(changed(cosine_weight=0.5))
    losses = weighted.module(weighted.batch(0, 4))
    parts = [losses[f"{kind}_square"] + 0.5 * losses[f"{kind}_cosine_loss"] for kind in RECIPE.kinds]
    torch.testing.assert_close(losses["total"], sum(parts))
    assert 0.0 < float(losses["semantic_cosine_loss"].detach()) < 2.0


def test_standardised_errors_are_in_units_of_each_channel():
    plain, scaled = foresight_objective(), foresight_objective(changed(standardise=True))
    batch = plain.batch(0, 4)
    examples = frozen_pass().examples(batch)
    clips = [plain.batch(step, 4)["clips"] for step in range(12)]
    seen = frozen_pass().future({"clips": torch.cat(clips)})["semantic"]
    unit = seen.flatten(0, 2).std(dim=0)
    with torch.no_grad():
        error = (plain.module.foresee(examples)["semantic"] - examples["semantic_target"]) / unit
        found = float(scaled.module(batch)["semantic_square"])
    assert found == pytest.approx(float(error.square().mean()), rel=0.2)
    assert set(scaled.module.state_dict()) == set(plain.module.state_dict())


def test_activations_computed_twice_give_the_same_gradients():
    settings = dataclasses.replace(RECIPE.training, gradient_checkpointing=True)
    plain, twice = foresight_objective(), foresight_objective(changed(training=settings))
    batch = plain.batch(0, 2)
    for objective in (plain, twice):
        objective.module(batch)["total"].backward()
    gradients = [{n: p.grad for n, p in o.module.named_parameters()} for o in (plain, twice)]
    assert all(torch.allclose(g, gradients[1][n], atol=1e-5, rtol=1e-3) for n, g in gradients[0].items())


def test_without_depth_there_is_no_probe_and_no_error():
    found = looked_at(foresight_objective(with_depth=False))
    assert "cosine_geometric" in found
    assert not any(name.startswith("depth") for name in found)
    semantic_only = looked_at(foresight_objective(changed(kinds=("semantic",))))
    assert not any("depth" in name or "geometric" in name for name in semantic_only)


def test_pictures_show_each_clip_seen_and_foreseen(finished):
    pictures = finished[0] / "pictures/step_000040"
    assert sorted(path.name for path in pictures.iterdir()) == ["clip_0.png", "clip_1.png"]
    objective = finished[2]
    one, again = (objective.pictures(objective.module.eval())["clip_0"] for _ in range(2))
    assert one.shape == (8 * 128, 150 + CONFIG.backbone.frames * 128, 3)
    assert (one == again).all()


def test_teachers_that_do_not_fit_are_refused():
    only = changed(kinds=("semantic",))
    with pytest.raises(ValueError, match=r"teachers of \['geometric', 'semantic'\] were given, kinds is"):
        DecouplersObjective(only, CONFIG, foresight_data(), frozen_pass())
    decoupled = dataclasses.replace(CONFIG.references.semantic, width=128)
    wider = dataclasses.replace(CONFIG, references=dataclasses.replace(CONFIG.references, semantic=decoupled))
    with pytest.raises(ValueError, match="4 tokens a side of width 64, the network has 4 of width 128"):
        DecouplersObjective(RECIPE, wider, foresight_data(), frozen_pass())


@pytest.mark.parametrize("name", PRESETS)
def test_presets_see_frames_as_the_video_model_of_their_name_did(name):
    assert PRESETS[name].frame_spacing == VIDEO_PRESETS[name].frame_spacing
    assert PRESETS[name].network == VIDEO_PRESETS[name].network


def test_recipes_with_senseless_numbers_are_refused():
    with pytest.raises(ValueError, match="surveyed_clips is 0"):
        changed(surveyed_clips=0)
    with pytest.raises(ValueError, match="must name each decoupler to train once"):
        changed(kinds=())
    with pytest.raises(ValueError, match=r"cosine_weight is -1"):
        changed(cosine_weight=-1.0)
