"""A published run is its averaged weights, runs, and has a card that tells how it came to be."""

import json
import shutil

import numpy as np
import pytest
import torch
from support.action_runs import SMALL, decouplers_run, demonstrations, trained
from support.made_up_demonstrations import INSTRUCTIONS

from svam_ros.artifacts.model_directory import ModelDirectoryError, open_model
from svam_ros.engines import create_engine
from svam_ros.types import ArmState, CameraFrame, Observation
from svam_train.commands.publish import Publish, run
from svam_train.evaluation.closed_loop import Attempt
from svam_train.evaluation.evaluation_report import Subject, reports_to_json, summarise
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.publishing.run_model import publish_run
from svam_train.stages.inheritance import inherited_weights
from svam_train.training.run_folder import RunError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    base = tmp_path_factory.mktemp("runs")
    data = demonstrations(tmp_path_factory.mktemp("demonstrations"))
    return trained(SMALL, data, decouplers_run(base), base / "actions")


@pytest.fixture(scope="module")
def model(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    run(Publish(finished, folder / "small"))
    weights = open_model(folder / "small").manifest.files["weights.safetensors"]
    run(Publish(finished, folder / "small", (reports(folder / "reports.json", weights),)))
    return open_model(folder / "small")


def reports(path, *weights):
    loop = LoopSettings(latency_ms=120, shared_scenes=True)
    attempts = [Attempt("pour", 1, True, 80, 1.0), Attempt("pour", 2, False, 200, 0.5)]
    made = summarise(attempts, Subject("small", "eager", "random", None))
    for of in weights:
        made += summarise(attempts, Subject("small", "eager", "model", loop, of))
    path.write_text(reports_to_json(made))
    return path


def test_the_published_weights_are_what_the_run_handed_on(model, finished):
    handed_on = inherited_weights(finished)
    for name, value in model.load_network().state_dict().items():
        torch.testing.assert_close(value, handed_on[name], rtol=1e-3, atol=1e-4)


def test_the_model_runs(model):
    engine = create_engine("eager", model.path)
    frame = CameraFrame(np.zeros((480, 640, 3), np.uint8), 0)
    state = ArmState(np.zeros(14), np.zeros(14), 0, 0)
    actions = engine.infer(Observation(frame, state, INSTRUCTIONS["lift_pot"])).actions
    assert actions.shape == (16, 14)
    assert np.all(np.isfinite(actions))


def test_the_card_and_the_manifest_tell_the_truth(model):
    card = (model.path / "README.md").read_text()
    assert "| video | 7 | 3 |  | 2 | 1 x abacus |" in card
    assert "| actions | 2 | 4 | 0.001 |" in card
    loop = "mode auto, latency 120 ms, every 4 steps, older 0, ramp 0.2, 15 s"
    assert f"| pour | model | {loop} | shared | 1/2 = 50 %" in card
    assert "| pour | random | nodes | of the task | 1/2 = 50 %" in card
    assert "`random` moves both arms" in card
    assert "`blind`" not in card
    results = model.manifest.provenance.results
    assert results["pour_model_shared_latency_120_ms_replan_4_older_0_auto_ramp_0.2_n_2"] == 0.5
    configs = sorted(path.name for path in (model.path / "training").iterdir())
    assert configs == ["01_video.json", "02_decouplers.json", "03_actions.json"]
    said = json.loads((model.path / "training" / "03_actions.json").read_text())
    assert said["config"]["recipe"]["training"]["batch_size"] == SMALL.training.batch_size
    assert said["finished"]["steps"] == SMALL.training.steps
    assert "more held out" in model.manifest.provenance.data


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (("0" * 64,), "measured on the weights 0000"),
        ((None,), "do not say of which"),
        (("0" * 64, "1" * 64), "of 2 sets of weights"),
    ],
)
def test_results_of_other_weights_are_refused_and_the_old_model_stays(
    weights, sentence, model, finished, tmp_path
):
    before = model.manifest
    with pytest.raises((RunError, ModelDirectoryError), match=sentence):
        run(Publish(finished, model.path, (reports(tmp_path / "reports.json", *weights),)))
    assert open_model(model.path).manifest == before


def test_only_a_finished_run_of_the_last_stage_is_published(finished, tmp_path):
    with pytest.raises(RunError, match="is no run of 'svam-train actions'"):
        publish_run(finished.parent / "decouplers", tmp_path / "model")
    begun = shutil.copytree(finished, tmp_path / "begun")
    (begun / "weights.safetensors").unlink()
    with pytest.raises(RunError, match="not finished"):
        publish_run(begun, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_statistics_of_another_run_are_refused(finished, tmp_path):
    from svam_train.episodes.statistics import IdentifiedStatistics

    copy = shutil.copytree(finished, tmp_path / "copy")
    statistics = IdentifiedStatistics.from_json((copy / "statistics.json").read_text())
    other = IdentifiedStatistics(statistics.statistics, "other data")
    (copy / "statistics.json").write_text(other.to_json())
    with pytest.raises(RunError, match="it was trained with"):
        publish_run(copy, tmp_path / "model")


def test_nothing_but_a_model_is_replaced(finished, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(ValueError, match="no model directory"):
        publish_run(finished, tmp_path / "mine")
    assert (tmp_path / "mine" / "diary.txt").exists()
