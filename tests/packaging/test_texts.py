"""What a reader is told is there: links, make targets, topics, parameters. And nothing left unfinished."""

import dataclasses
import re
import runpy
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from svam_ros import graph
from svam_ros.artifacts.model_directory import open_model
from svam_ros.cli.main import COMMANDS
from svam_ros.cobot import profile_names
from svam_ros.parameters import GuardParameters, PolicyParameters, SimulationParameters, TaskName, describe
from svam_ros.profiling.run_report import RunReport
from svam_train.commands.table import COMMANDS as TRAINING_COMMANDS

ROOT = Path(__file__).parents[2]


def tracked_files() -> list[Path]:
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


PAGES = sorted(path for path in tracked_files() if path.suffix == ".md" and "models" not in path.parts)


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_relative_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) + re.findall(r'src="([^"]+)"', text)
    broken = [
        target
        for target in targets
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists()
    ]
    assert not broken


def test_the_readme_says_how_often_the_model_succeeds_as_its_card_does():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    card = (ROOT / "models" / "tiny" / "README.md").read_text(encoding="utf-8")
    measured = {
        task: figures
        for task in get_args(TaskName)
        if (figures := re.search(rf"\| {task} \| model \|.* (\d+)/(\d+) =", card))
    }
    assert set(get_args(TaskName)) == set(measured), "what the shipped model was trained for"
    for task, figures in measured.items():
        assert f"{figures[1]} of {figures[2]} with `{task}`" in readme
    assert "9.9 M parameters" in readme
    assert "9.9 M parameters" in card


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_make_target_that_is_named_exists(page):
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = re.findall(r"^make ([a-z]+)|`make ([a-z]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert {first or second for first, second in named} <= targets


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_every_svam_command_that_is_named_exists(page):
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"^svam ([a-z-]+)|`svam ([a-z-]+)", text, re.MULTILINE))
    assert {first or second for first, second in named} <= {command.name for command in COMMANDS}


def test_every_instruction_that_is_quoted_is_one_that_the_shipped_model_knows():
    tokenizer = open_model("tiny").tokenizer
    quoted = [
        text
        for page in [*PAGES, *(ROOT / "launch").glob("*.py")]
        for text in re.findall(r'instruction(?::=|[= ])"([^"\n]+)"', page.read_text(encoding="utf-8"))
    ]
    assert len(quoted) >= 3
    for text in quoted:
        tokenizer.encode(text)  # raises when a word is unknown


def test_every_svam_train_command_is_in_the_reference():
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    commands = {command.name for command in TRAINING_COMMANDS}
    assert set(re.findall(r"^\| `svam-train ([a-z-]+)`", reference, re.MULTILINE)) == commands


def test_the_reference_explains_every_field_of_the_report():
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    section = reference.partition("## report.json")[2].partition("\n## ")[0]
    explained = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", section, re.MULTILINE))))
    assert explained == {field.name for field in dataclasses.fields(RunReport)}


def test_ci_runs_the_readme_s_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^make test$", readme, re.MULTILINE)
    assert re.search(r"^make test$", script, re.MULTILINE)


def test_every_known_hazard_of_the_arms_names_tests_that_exist():
    page = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (H\d+): .*\| ([^|]+) \|$", page, re.MULTILINE)
    assert [hazard for hazard, _ in rows] == [f"H{number}" for number in range(1, 11)]
    files = [*(ROOT / "tests/unit/drivers").glob("*.py"), ROOT / "tests/nodes/test_piper_can_output.py"]
    tests = re.findall(r"^def (test_\w+)", "".join(file.read_text() for file in files), re.MULTILINE)
    for hazard, cell in rows:
        named = re.findall(r"`(\w+)`", cell)
        assert named, hazard
        assert not [name for name in named if not any(name in test for test in tests)], hazard


def test_the_reference_is_as_the_code_is():
    writer = runpy.run_path(str(ROOT / "tools/reference_tables.py"))
    page = writer["PAGE"].read_text(encoding="utf-8")
    assert page == writer["page_with_tables"](page), "make format writes it anew"
    assert set(re.findall(r"<!-- table: (\w+) -->", page)) == set(writer["TABLES"])


def test_the_reference_names_every_topic_service_profile_and_parameter():
    reference = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    names = [value for name, value in vars(graph).items() if name.endswith(("_TOPIC", "_SERVICE"))]
    names += profile_names()
    for parameters in (PolicyParameters, GuardParameters, SimulationParameters):
        names += [parameter.name for parameter in describe(parameters)]
    assert len(names) > 30
    assert not [name for name in names if f"| `{name}` |" not in reference]


def test_nothing_is_unfinished_or_speaks_of_one_machine():
    # Written in pieces, so that this file does not find itself.
    words = ("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "NotImplemented" + "Error")
    places = ("/wor" + "k/", "/tmp/" + "lab", "/tmp/" + "venv", "/ro" + "ot/", "/home/" + "[a-z]")
    pattern = re.compile(rf"\b({'|'.join(words)})\b|(?<![\w/])({'|'.join(places)})")
    found = []
    for path in tracked_files():
        if path.suffix in (".png", ".gif", ".safetensors", ".npz") or path.name == "LICENSE":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:80]}")
    assert not found
