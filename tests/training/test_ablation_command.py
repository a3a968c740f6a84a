"""The command refuses unfair comparisons, trains and tries every cell once, and goes on where it ended."""

import json

import pytest
import torch
from support.ablation_runs import COSINES, made_up_report, parent_run
from support.action_runs import demonstrations

from svam_train.ablation import ablation_run
from svam_train.ablation.cells import Cell, trained_cells
from svam_train.ablation.parents import Parents
from svam_train.cli import EXIT_INTERRUPTED, EXIT_REFUSED, main
from svam_train.evaluation.attempts import AttemptPlan
from svam_train.evaluation.closed_loop import Attempt
from svam_train.recipes.ablation import VARIANTS
from svam_train.training.run_folder import RunError

BRIEF = [
    *("--recipe.training.steps", "1", "--recipe.training.batch-size", "2", "--recipe.held-out-rows", "2"),
    *("--recipe.held-out-share", "0.4", "--recipe.pictured-rows", "1", "--recipe.training.precision", "no"),
]
COMMAND = ["ablation", "--tasks", "lift_pot", "--episodes", "2", "--workers", "1", *BRIEF]


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    base = tmp_path_factory.mktemp("parents")
    return parent_run(base / "a"), parent_run(base / "b", "true_future", learning_rate=2.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return demonstrations(tmp_path_factory.mktemp("demonstrations"))


@pytest.fixture
def command(parents, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = ["--parent", str(parents[0]), "--true-future", str(parents[1])]
    return [*COMMAND, *named, "--data.path", str(data), "--run", "ablation"]


@pytest.fixture
def attempts(monkeypatch):
    """Attempts that are made up: what was asked for, and of whom."""
    asked = []

    def made_up(choice, plan, workers):
        torch.set_num_threads(2)  # as an engine does
        choice.make()
        for task, seed in plan.scenes():
            asked.append((choice.model.manifest.name, task, seed))
            yield Attempt(task, seed, "full" in choice.model.manifest.name, 10)

    monkeypatch.setattr(ablation_run, "run_attempts", made_up)
    return asked


@pytest.mark.slow
def test_every_cell_is_trained_and_tried_once_and_more_can_be_added(command, attempts, tmp_path, capsys):
    chosen = ["--variants", "full", "true_future", "without_uni_perceiver", "--seeds", "0"]
    threads = torch.get_num_threads()
    assert main([*command, *chosen]) == 0, capsys.readouterr().err
    assert torch.get_num_threads() == threads
    told = capsys.readouterr().out
    assert "training full, seed 0 (3 to train, 6 attempts to make)" in told
    assert "training true_future, seed 0 (2 to train, 4 attempts to make; about " in told
    assert len(attempts) == 6
    names = {path.parts[-2:] for path in (tmp_path / "ablation").glob("*/seed_*")}
    assert names == {("full", "seed_0"), ("true_future", "seed_0"), ("without_uni_perceiver", "seed_0")}
    numbers = json.loads((tmp_path / "ablation" / "table.json").read_text())
    rates = {row["variant"]["name"]: row["tasks"][0]["pooled"]["rate"] for row in numbers["variants"]}
    assert rates == {"full": 1.0, "true_future": 0.0, "without_uni_perceiver": 0.0}
    assert numbers["foresight"] == {"generated": COSINES, "true_future": COSINES}
    assert numbers["recipe_differences"] == ["training.learning_rate"]
    shards = list((tmp_path / "ablation" / "features").glob("*.npz"))
    assert len(shards) == 2 * 6  # six episodes, once for each of the two runs of decouplers

    assert main([*command, *chosen]) == EXIT_REFUSED
    assert "add --resume" in capsys.readouterr().err
    weights = (tmp_path / "ablation" / "full" / "seed_0" / "weights.safetensors").stat().st_mtime_ns
    more = ["--variants", "full", "--seeds", "0", "1", "--tasks", "lift_pot", "pour", "--resume"]
    assert main([*command, *more]) == 0
    assert [(name, task) for name, task, _ in attempts[6:]] == [
        *[("full, seed 0", "pour")] * 2,
        *[("full, seed 1", "lift_pot")] * 2,
        *[("full, seed 1", "pour")] * 2,
    ]
    assert (tmp_path / "ablation" / "full" / "seed_0" / "weights.safetensors").stat().st_mtime_ns == weights
    page = (tmp_path / "ablation" / "table.md").read_text()
    assert "without_uni_perceiver" in page
    assert "all tasks" in page

    assert main([*command, *chosen, "--resume", "--episodes", "3"]) == EXIT_REFUSED
    assert "episodes (2 there, 3 now)" in capsys.readouterr().err


def test_ctrl_c_between_attempts_keeps_what_is_whole(command, attempts, tmp_path, monkeypatch, capsys):
    made_up = ablation_run.run_attempts

    def ended(choice, plan, workers):
        yield from list(made_up(choice, plan, workers))[:3]
        raise KeyboardInterrupt

    chosen = ["--variants", "full", "--seeds", "4", "--tasks", "lift_pot", "pour"]
    with monkeypatch.context() as patch:
        patch.setattr(ablation_run, "run_attempts", ended)
        assert main([*command, *chosen]) == EXIT_INTERRUPTED
    assert "--resume" in capsys.readouterr().err
    results = tmp_path / "ablation" / "full" / "seed_4" / "evaluation"
    assert [path.name for path in results.iterdir()] == ["lift_pot.json"]
    del attempts[:]
    assert main([*command, *chosen, "--resume"]) == 0
    assert [task for _, task, _ in attempts] == ["pour", "pour"]


@pytest.mark.slow
def test_the_real_closed_loop_tries_the_real_networks(command, tmp_path, capsys):
    """In a worker process too, so that the networks travel there."""
    chosen = ["--variants", "one_step_features", "without_uni_perceiver", "--seeds", "0", "--episodes", "1"]
    chosen += ["--loop.episode-s", "0.5", "--workers", "2"]
    assert main([*command, *chosen]) == 0, capsys.readouterr().err
    for name in ("one_step_features", "without_uni_perceiver"):
        (report,) = Cell(VARIANTS[name], 0, tmp_path / "ablation").results().values()
        assert report.task == "lift_pot"
        assert len(report.successes) == 1
        assert report.steps[0] > 0
        assert report.subject.model.startswith(f"{name}/seed_0, weights ")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (["--parent", "nowhere"], "--parent nowhere: there is no such run"),
        (["--workers", "0"], "--workers is 0"),
        (["--recipe.training.seed", "3"], "named with --seeds"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(command, changed, sentence, capsys):
    assert main([*command, *changed]) == EXIT_REFUSED
    assert sentence in capsys.readouterr().err


def test_parents_of_another_kind_are_refused(command, parents, capsys):
    generated, true_future = parents
    assert main([*command, "--parent", str(true_future)]) == EXIT_REFUSED
    assert "were trained with targets 'true_future', wanted are 'generated'" in capsys.readouterr().err
    with pytest.raises(RunError, match=r"--true-future .*: its decouplers were trained with targets"):
        Parents(generated, generated)
    assert main([*command, "--parent", str(generated.parent / "video")]) == EXIT_REFUSED
    assert "not of 'svam-train decouplers'" in capsys.readouterr().err
    with pytest.raises(ValueError, match="name their run with --true-future"):
        Parents(generated).of(VARIANTS["true_future"])


def test_a_variant_that_is_not_there_is_refused(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command, "--variants", "without_wheels"])
    assert stop.value.code == EXIT_REFUSED
    assert "without_wheels" in capsys.readouterr().err


def test_parents_with_another_budget_or_other_data_or_video_are_refused(parents, tmp_path):
    longer = parent_run(tmp_path / "longer", "true_future", steps=6)
    with pytest.raises(RunError, match=r"differ in training\.steps"):
        Parents(parents[0], longer)
    config = json.loads((longer / "config.json").read_text())
    config["data"] = {"fingerprint": "other"}
    (longer / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="with other data"):
        Parents(parents[0], longer)
    video = parent_run(tmp_path / "video", "true_future")
    built_on = json.loads((video / "parent.json").read_text())
    built_on["video"]["sha256"] = "0" * 64
    (video / "parent.json").write_text(json.dumps(built_on))
    with pytest.raises(RunError, match="different runs as 'video'"):
        Parents(parents[0], video)


def finished_cell(base, parent, variant="full"):
    """As training leaves it, with weights that nobody runs."""
    cell = Cell(VARIANTS[variant], 0, base)
    cell.run.mkdir(parents=True)
    (cell.run / "weights.safetensors").write_bytes(b"weights")
    built_on = {"run": str(parent), "sha256": "0" * 64}
    (cell.run / "parent.json").write_text(json.dumps({"parent": built_on}))
    (cell.run / "statistics.json").write_text("{}")
    (cell.run / "finished.json").write_text("{}")
    return cell


def test_a_cell_is_finished_only_when_its_last_file_is_there(parents, tmp_path):
    cell = finished_cell(tmp_path, parents[0])
    assert cell.is_trained()
    assert list(trained_cells(tmp_path)) == [cell]
    with pytest.raises(RunError, match="delete it to train it anew"):
        cell.is_trained(parents[0])
    (cell.run / "statistics.json").unlink()
    assert not cell.is_trained()
    assert list(trained_cells(tmp_path)) == []


def test_results_of_other_weights_or_scenes_are_not_taken_for_these(parents, tmp_path):
    cell = finished_cell(tmp_path, parents[0])
    plan = AttemptPlan(("lift_pot", "pour"), 3)
    assert cell.missing_tasks(plan) == ("lift_pot", "pour")
    report = made_up_report("lift_pot", "yny")
    ours = type(report)(**{**vars(report), "subject": cell.subject(plan.loop)})
    cell.save_result(ours)
    assert cell.missing_tasks(plan) == ("pour",)
    assert cell.results() == {"lift_pot": ours}
    with pytest.raises(RunError, match="delete the file"):
        cell.missing_tasks(AttemptPlan(("lift_pot",), 4))
    (cell.run / "weights.safetensors").write_bytes(b"others")
    with pytest.raises(RunError, match="other weights"):
        cell.missing_tasks(plan)
