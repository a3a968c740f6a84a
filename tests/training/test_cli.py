"""What a user sees: help at once, recipes by name, one sentence and exit code 2 for what cannot be."""

import subprocess
import sys

import pytest

from svam_train.cli import EXIT_INTERRUPTED, EXIT_REFUSED, main
from svam_train.commands import actions, teachers
from svam_train.commands.table import COMMANDS, RECIPE, Command
from svam_train.recipes.actions import PRESETS
from svam_train.training.interruption import Interrupted


def test_help_has_every_command_and_the_whole_recipe_in_its_order(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command.name} " in text for command in COMMANDS)
    places = [
        text.index(f"\n  svam-train {name} " if name == "video" else f"\n  svam-train {name}")
        for name in RECIPE
    ]
    assert places == sorted(places)
    assert "video, decouplers, actions: tiny, calvin, metaworld, cobot" in text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_has_help_with_its_examples(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command.name, "--help"])
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert all(" ".join(example.split()) in text for example in command.examples)
    assert all(example.startswith(f"svam-train {command.name}") for example in command.examples)


@pytest.mark.parametrize(
    "arguments", [["--help"], *([command.name, "--help"] for command in COMMANDS)], ids=str
)
def test_help_loads_neither_torch_nor_mujoco(arguments):
    program = (
        "import sys\nfrom svam_train.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'mujoco', 'transformers', 'diffusers', 'accelerate'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.fixture
def options(monkeypatch):
    """The options that ``actions`` was run with."""
    seen = []
    monkeypatch.setattr(actions, "run", seen.append)
    return seen


@pytest.mark.parametrize("name", PRESETS)
def test_config_chooses_the_recipe_and_options_change_single_numbers(name, options):
    assert main(["actions", "--config", name]) == 0
    assert main(["actions", "--recipe.training.steps", "7", f"--config={name}"]) == 0
    whole, changed = options
    assert whole.recipe == PRESETS[name]
    assert changed.recipe.training.steps == 7
    assert changed.recipe.training.batch_size == PRESETS[name].training.batch_size
    assert changed.recipe.frame_spacing == PRESETS[name].frame_spacing


def test_without_config_it_is_tiny(options):
    main(["actions"])
    assert options[0].recipe == PRESETS["tiny"]


@pytest.mark.parametrize("name", ["tiny", "cobot"])
def test_help_shows_the_presets_and_the_numbers_of_the_chosen_one(name, capsys):
    with pytest.raises(SystemExit):
        main(["actions", "--config", name, "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "tiny, calvin, metaworld, cobot" in text
    assert f"those of '{name}'" in text
    assert f"(default: {PRESETS[name].training.steps})" in text
    other = PRESETS["cobot" if name == "tiny" else "tiny"].training.steps
    assert f"(default: {other})" not in text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["demonstrations"], "--lift-pot 60"),
        (["publish", "nothing", "--out", "model"], "nothing/config.json: cannot be read"),
        (["evaluate", "--model", "nowhere"], "'nowhere' is neither a folder nor a model"),
        (["evaluate", "--report", "no/where.json"], "there is no folder no"),
        (["evaluate", "--policy", "replay"], "has no demonstrations of 'lift_pot'"),
        (["aktions"], "no command 'aktions', did you mean 'actions'? There are: demonstrations, "),
        (
            ["video", "--config", "cobott"],
            "no config 'cobott', did you mean 'cobot'? There are: tiny, calvin",
        ),
        (["teachers", "--config", "cobot"], "teachers: there is no config 'cobot'. There are: tiny"),
        (["foundations"], "runs/demonstrations"),
        (["teachers"], "runs/demonstrations"),
        (["video"], "either --autoencoder"),
        (["decouplers"], "give --teachers runs/teachers"),
        (["decouplers", "--teachers", "runs/teachers"], "runs/demonstrations"),
        (["actions"], "runs/demonstrations"),
        (["relabel"], "does not say how the demonstrations beside it were recorded"),
        (["check-data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == EXIT_REFUSED
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error
    assert error.startswith("svam-train: ")


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (KeyboardInterrupt(), EXIT_INTERRUPTED),
        (Interrupted(2), EXIT_INTERRUPTED),
        (Interrupted(15), 143),
        (FileNotFoundError("no such file"), EXIT_REFUSED),
        (ValueError("not like this"), EXIT_REFUSED),
    ],
    ids=repr,
)
def test_every_end_has_its_exit_code_and_a_sentence(raised, code, monkeypatch, capsys):
    def run(_):
        raise raised

    monkeypatch.setattr(teachers, "run", run)
    assert main(["teachers"]) == code
    assert capsys.readouterr().err.startswith("svam-train: ")


@pytest.mark.parametrize(("command", "goes_on"), [("teachers", True), ("evaluate", False)])
def test_what_starts_over_after_ctrl_c_does_not_say_that_it_goes_on(command, goes_on, monkeypatch, capsys):
    def run(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Command, "run", run)
    assert main([command]) == EXIT_INTERRUPTED
    assert ("the same command goes on" in capsys.readouterr().err) is goes_on


def test_a_mistake_in_the_program_keeps_its_traceback(monkeypatch):
    def run(_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(teachers, "run", run)
    with pytest.raises(RuntimeError):
        main(["teachers"])
