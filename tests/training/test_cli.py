"""What a user sees when something is missing: one sentence and exit code 2."""

import pytest

from svam_ros.artifacts.model_directory import open_model
from svam_train.cli import EXIT_REFUSED, main


def test_help_has_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "svam-train evaluate --model" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tiny", "--threads", "1"], "svam-train demonstrations"),
        (["publish", "--output", "model"], "no checkpoint"),
        (["evaluate", "--model", "nowhere"], "'nowhere' is neither a folder nor a model"),
        (["evaluate", "--report", "no/where.json"], "there is no folder no"),
        (["evaluate", "--policy", "replay"], "has no demonstrations of 'lift_pot'"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == EXIT_REFUSED
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_from_nothing_to_a_published_model_and_its_figures(tmp_path, monkeypatch, capsys):
    """Every subcommand as a newcomer would type it, at the smallest size."""
    monkeypatch.chdir(tmp_path)
    loop = ["--episodes", "1", "--task", "lift_pot", "--loop.latency-ms", "120", "--loop.episode-s", "1"]
    sizes = ["--recipe.steps", "3", "--recipe.batch-size", "4", "--recipe.held-out-every", "3"]
    for command in (
        ["demonstrations", "--lift-pot", "3", "--place-to-pot", "3", "--workers", "1"],
        ["tiny", "--threads", "1", *sizes],
        ["publish", "--output", "models/small", "--hardware", "a desk"],
        ["evaluate", "--model", "models/small", *loop, "--report", "seeing.json"],
        ["evaluate", "--model", "models/small", "--policy", "blind", *loop, "--report", "blind.json"],
        ["evaluate", "--model", "models/small", "--policy", "replay", *loop, "--report", "replay.json"],
        ["publish", "--output", "models/small", "--reports", "seeing.json", "blind.json", "replay.json"],
    ):
        assert main(command) == 0, capsys.readouterr().err
    card = (tmp_path / "models" / "small" / "README.md").read_text()
    for policy in ("model", "blind", "replay"):
        assert f"| lift_pot | {policy} | 120 ms | " in card
    results = open_model(tmp_path / "models" / "small").manifest.provenance.results
    assert sorted(results) == [
        f"lift_pot_{name}_latency_120_ms_replan_4_ramp_0.2_n_1" for name in ("blind", "model", "replay")
    ]
