"""Writes the tables of docs/reference.md from the code: ``make format`` runs it, the tests check it.

Each table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import docstring_parser

from svam_ros import graph
from svam_ros.bringup.process_table import SimulationOptions
from svam_ros.cobot import load_cobot, load_robot_profile, profile_names
from svam_ros.control import guard_state
from svam_ros.control.faults import Fault, Reaction
from svam_ros.parameters import GuardParameters, PolicyParameters, SimulationParameters, describe
from svam_ros.profiling.run_report import CommandFigures, EpisodeResult, MessageFigures, RunReport
from svam_train.commands.table import COMMANDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def option_table(options: type) -> str:
    """Name, default, allowed values and meaning of every field of a parameter or option dataclass."""
    rows = [
        (f"`{d.name}`", f"`{d.default!r}`", d.allowed().replace("any str", "any text"), d.text)
        for d in describe(options)
    ]
    return markdown(("name", "default", "allowed", "meaning"), rows)


def fault_table() -> str:
    """Every fault that the guard knows, and its reaction."""
    rows = [(f"`{fault.name}`", fault.text, fault.reaction.value) for fault in Fault]
    return markdown(("fault", "what is wrong", "reaction"), rows)


def reaction_table() -> str:
    """What follows from a fault."""
    body = ast.parse(inspect.getsource(Reaction)).body[0]
    assert isinstance(body, ast.ClassDef)
    meaning = dict(_documented(body.body))
    return markdown(
        ("reaction", "meaning"), [(reaction.value, meaning[reaction.name]) for reaction in Reaction]
    )


def graph_table(suffix: str, head: str) -> str:
    """The constants of ``svam_ros.graph`` with this suffix, and their docstrings."""
    documented = _documented(ast.parse(inspect.getsource(graph)).body)
    rows = [(f"`{getattr(graph, name)}`", text) for name, text in documented if name.endswith(suffix)]
    return markdown((head, "type and meaning"), rows)


def motion_table() -> str:
    """The keys of the status on ``svam/motion``."""
    classes = {
        node.name: node.body
        for node in ast.parse(inspect.getsource(guard_state)).body
        if isinstance(node, ast.ClassDef)
    }
    states = ", ".join(state.value for state in guard_state.GuardState)
    known = dict(_documented(classes["GuardStatus"])) | {"state": f"What the guard does: {states}."}
    per_fault = known.pop("faults")
    known |= {
        "fault": "Name of the fault behind `reason`; empty where an operator or nobody is.",
        "joint_state_age_ms": "Age of the joint states by their stamp, the older arm's; absent before both.",
        "lifecycle": "`active` or `inactive`; only an active guard can be engaged.",
        "messages_rejected": "Chunks and joint states that could not be read.",
        "chunks_late": "Chunks of which every step was past when they arrived.",
        "fault NAME": f"{per_fault} NAME is one of those below; only found ones are listed.",
    }
    names = [field.name for field in dataclasses.fields(guard_state.GuardStatus) if field.name != "faults"]
    names += [name for name in known if name not in names]
    return markdown(("key", "meaning"), [(f"`{name}`", known[name]) for name in names])


def profile_table() -> str:
    """The robot profiles in ``calibration/profiles``."""
    rows = []
    for name in profile_names():
        profile = load_robot_profile(name)
        left = profile.arms["left"]
        enable = profile.enable.kind + (f" `{profile.enable.names['left']}`" if profile.enable.names else "")
        rows.append(
            (
                f"`{name}`",
                profile.description,
                f"`{left.state_topic}`",
                f"`{left.command_topic}`",
                f"`{profile.camera.image_topic}`",
                f"{profile.command_rate_hz:g}",
                f"{profile.gripper.metres_per_unit:g}",
                enable,
            )
        )
    head = (
        "profile",
        "for",
        "state (left)",
        "command (left)",
        "camera",
        "commands/s",
        "gripper m/unit",
        "enable (left)",
    )
    return markdown(head, rows)


def limit_table() -> str:
    """What one arm may do; both arms are alike."""
    cobot = load_cobot()
    limits, rows = cobot.limits, []
    for index in range(cobot.joints_per_arm):
        unit = "m" if index in cobot.gripper_indices else "rad"
        numbers = (
            array[index] for array in (limits.lower, limits.upper, limits.velocity, limits.acceleration)
        )
        name = cobot.joint_names[index].removeprefix("left_")
        rows.append((f"`{name}`", unit, *(f"{number:g}" for number in numbers), f"{cobot.home[index]:g}"))
    return markdown(("joint", "unit", "lowest", "highest", "velocity /s", "acceleration /s²", "home"), rows)


def training_table() -> str:
    """The commands of ``svam-train``."""
    rows = [(f"`svam-train {command.name}`", command.summary) for command in COMMANDS]
    return markdown(("command", "what it does"), rows)


def report_table() -> str:
    """The fields of ``report.json``, with those of its parts."""
    return markdown(("field", "meaning"), list(_report_rows(RunReport, "")))


def _report_rows(part: type, prefix: str) -> Iterator[tuple[str, str]]:
    texts = {p.arg_name: p.description or "" for p in docstring_parser.parse_from_object(part).params}
    for name, hint in get_type_hints(part).items():
        text = " ".join(texts[name].replace("``", "`").split())
        yield f"`{prefix}{name}`", text
        items = get_args(hint) if get_origin(hint) is tuple else (hint,)
        suffix = "[]" if get_origin(hint) is tuple else ""
        for item in items:
            if item in DETAILED:
                yield from _report_rows(item, f"{prefix}{name}{suffix}.")


DETAILED = (CommandFigures, MessageFigures, EpisodeResult)
"""Parts of the report whose fields have rows of their own."""

TABLES: dict[str, Callable[[], str]] = {
    "topics": lambda: graph_table("_TOPIC", "topic"),
    "motion": motion_table,
    "services": lambda: graph_table("_SERVICE", "service"),
    "policy_node": lambda: option_table(PolicyParameters),
    "guard_node": lambda: option_table(GuardParameters),
    "cobot_sim_node": lambda: option_table(SimulationParameters),
    "launch": lambda: option_table(SimulationOptions),
    "reactions": reaction_table,
    "faults": fault_table,
    "profiles": profile_table,
    "limits": limit_table,
    "report": report_table,
    "training": training_table,
}


def page_with_tables(page: str) -> str:
    """``page`` with every table as the code has it now."""

    def table(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", table, page, flags=re.DOTALL)


def _documented(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Names that are assigned, each with the docstring that follows it."""
    for statement, documentation in itertools.pairwise(body):
        if isinstance(statement, (ast.Assign, ast.AnnAssign)) and isinstance(documentation, ast.Expr):
            target = statement.target if isinstance(statement, ast.AnnAssign) else statement.targets[0]
            if isinstance(target, ast.Name):
                text = str(ast.literal_eval(documentation.value))
                yield target.id, " ".join(text.replace("``", "`").split())


def main(arguments: Sequence[str]) -> int:
    """Rewrite the page, or with ``--check`` say whether it is as the code is."""
    written = PAGE.read_text(encoding="utf-8")
    wanted = page_with_tables(written)
    if "--check" in arguments:
        return int(written != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
