"""From demonstrations to a model that runs, by the commands alone, as the main help lists them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.action_runs import demonstrations
from support.made_up_demonstrations import INSTRUCTIONS
from support.run_records import metric_lines

from svam_ros.artifacts.model_directory import open_model
from svam_ros.engines import create_engine
from svam_ros.types import ArmState, CameraFrame, Observation
from svam_train.cli import EXIT_REFUSED, main
from svam_train.recipes.teachers import PRESETS as TEACHERS

ROOT = Path(__file__).parents[2]
BRIEF = [
    *("--recipe.training.steps", "2", "--recipe.training.batch-size", "2"),
    *("--recipe.training.evaluate-every", "2", "--recipe.training.pictures-every", "2"),
    *("--recipe.held-out-share", "0.4", "--config", "tiny"),
    *("--recipe.training.precision", "no"),  # in halves, sums in another order show
]
CLIPS = ["--recipe.held-out-clips", "2", "--recipe.pictured-clips", "1"]
pytestmark = pytest.mark.slow  # every stage has quick tests of its own

STAGES = (
    ["foundations", *BRIEF, "--recipe.held-out-pictures", "2"],
    ["teachers", *BRIEF, "--recipe.held-out-rows", "4", "--recipe.truth-grid", "16"],
    ["video", *BRIEF, *CLIPS, "--recipe.sampling.steps", "2"],
    [
        *("decouplers", *BRIEF, *CLIPS, "--recipe.sampling.steps", "2", "--recipe.surveyed-clips", "4"),
        *("--recipe.cached-examples", "2"),
    ],
    ["actions", *BRIEF, "--recipe.held-out-rows", "4", "--recipe.pictured-rows", "1"],
)
PARENTS = {
    "video": ["--autoencoder", "runs/foundations/autoencoder"],
    "decouplers": ["--teachers", "runs/teachers"],
}
RUNS = ["foundations/autoencoder", "teachers", "video", "decouplers", "actions"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder in which every command was typed once."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "runs" / "demonstrations").mkdir(parents=True)
    demonstrations(folder / "runs" / "demonstrations")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for command in STAGES:
            assert main([*command, *PARENTS.get(command[0], [])]) == 0, command[0]
        assert main(["publish", "runs/actions", "--out", "models/mine"]) == 0
    return folder


def test_the_published_model_runs(made):
    engine = create_engine("eager", made / "models" / "mine")
    frame = CameraFrame(np.zeros((480, 640, 3), np.uint8), 0)
    state = ArmState(np.zeros(14), np.zeros(14), 0, 0)
    for instruction in INSTRUCTIONS.values():
        actions = engine.infer(Observation(frame, state, instruction)).actions
        assert actions.shape == (16, 14)
        assert np.all(np.isfinite(actions))


def test_the_model_tells_of_every_run_that_it_was_built_on(made):
    configs = sorted((made / "models" / "mine" / "training").glob("*.json"))
    told = {path.stem.partition("_")[2]: json.loads(path.read_text()) for path in configs}
    assert sorted(told) == sorted(run.rpartition("/")[2] for run in RUNS)
    assert all(noted["config"]["recipe"]["training"]["steps"] == 2 for noted in told.values())
    assert all(noted["finished"]["steps"] == 2 for noted in told.values())
    assert len({noted["config"]["data"]["fingerprint"] for noted in told.values()}) == 1
    assert open_model(made / "models" / "mine").manifest.provenance.data.startswith("'")


def test_every_stage_left_a_whole_run(made):
    for run in RUNS:
        files = {path.name for path in (made / "runs" / run).iterdir()}
        wanted = {"config.json", "parent.json", "metrics.jsonl", "weights.safetensors", "finished.json"}
        assert wanted <= files, run


def test_a_stage_is_not_begun_again_by_accident_but_resumed_on_demand(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    weights = made / "runs" / "teachers" / "weights.safetensors"
    before = weights.read_bytes()
    assert main(STAGES[1]) == EXIT_REFUSED
    assert "add --resume" in capsys.readouterr().err
    assert main([*STAGES[1], "--resume"]) == 0
    assert weights.read_bytes() == before
    assert main([*STAGES[1], "--resume", "--recipe.training.learning-rate", "0.5"]) == EXIT_REFUSED
    rate = TEACHERS["tiny"].training.learning_rate
    assert f"recipe.training.learning_rate ({rate:g} there, 0.5 now)" in capsys.readouterr().err


@pytest.mark.parametrize("command", STAGES, ids=lambda command: command[0])
def test_two_processes_do_every_stage_as_one_does(made, tmp_path, command):
    """The same rows in the same batches: sums are taken in another order, which two steps hardly show."""
    stage, runs = command[0], tmp_path / "runs"
    where = ["--runs", str(runs)] if stage == "foundations" else ["--run", str(runs / stage)]
    options = [*command, *PARENTS.get(stage, []), *where, "--data.path", "runs/demonstrations"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "--", "svam_train.cli", *options],
        cwd=made,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    (double,) = runs.rglob("finished.json")
    single = made / "runs" / RUNS[STAGES.index(command)]
    assert json.loads(double.read_text())["processes"] == 2
    for ours, theirs in zip(metric_lines(double.parent), metric_lines(single), strict=True):
        assert ours["training"] == pytest.approx(theirs["training"], rel=1e-4)
        assert ours.get("held_out", {}) == pytest.approx(theirs.get("held_out", {}), rel=1e-2)
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (double.parent, single))
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-3, atol=2e-5, msg=name)


def test_a_model_s_figures_and_those_of_baselines_come_into_its_card(made, monkeypatch):
    monkeypatch.chdir(made)
    policies = ("model", "blind", "replay")
    loop = ["--loop.latency-ms", "120", "--loop.episode-s", "1"]
    for policy in policies:
        told = ["--policy", policy, "--report", f"{policy}.json"]
        asked = ["--model", "models/mine", "--episodes", "1", "--task", "lift_pot", *loop, *told]
        assert main(["evaluate", *asked]) == 0, policy
    reports = ["--reports", *(f"{policy}.json" for policy in policies)]
    assert main(["publish", "runs/actions", "--out", "models/mine", "--hardware", "a desk", *reports]) == 0
    card = (made / "models" / "mine" / "README.md").read_text()
    assert "on a desk" in " ".join(card.split())
    for policy in policies:
        assert f"| lift_pot | {policy} | mode auto, latency 120 ms, " in card
    assert {name.partition("_latency_120_ms")[0] for name in results(made)} == {
        f"lift_pot_{policy}" for policy in policies
    }


def results(made):
    return open_model(made / "models" / "mine").manifest.provenance.results


def test_a_run_of_an_earlier_stage_is_not_published(made, monkeypatch, capsys):
    monkeypatch.chdir(made)
    assert main(["publish", "runs/decouplers", "--out", "models/other"]) == EXIT_REFUSED
    assert "is no run of 'svam-train actions'" in capsys.readouterr().err
