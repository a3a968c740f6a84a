"""The command ``svam``: finds the subcommand, reads its options, runs it, says errors in one sentence.

A subcommand is an options dataclass and a function from options to an exit code. Each is imported
only when it is needed, so that ``svam --help`` and ``svam demo --help`` stay quick.

Exit codes: 0 done; 1 it ran and did not succeed; 2 it was asked for something that cannot be, or the
machine lacks something; 130 ended with Ctrl-C, or the terminal was closed, or it was asked to end.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import version
from typing import Any

from svam_ros.bringup.python_path import shadowed_by_python_path
from svam_ros.cli.interrupts import EXIT_INTERRUPTED, interrupted_once
from svam_ros.cli.output_streams import forgiving_output

EXIT_FAILED = 1
EXIT_REFUSED = 2

_OUR_PACKAGES = ("svam_ros", "svam_train")


@dataclass(frozen=True)
class Command:
    """One subcommand. What it consists of is named as ``module:attribute``, so that naming it imports
    nothing.
    """

    name: str
    options: str
    """Dataclass that tyro turns into command-line options."""
    function: str
    """Options -> exit code."""
    summary: str
    example: str


COMMANDS = (
    Command(
        name="demo",
        options="svam_ros.cli.demo_options:DemoOptions",
        function="svam_ros.cli.demo:run_demo",
        summary="The simulated Cobot does a task on real ROS 2, and a report is written.",
        example="svam demo --task place_to_pot --episodes 3",
    ),
    Command(
        name="doctor",
        options="svam_ros.cli.doctor:DoctorOptions",
        function="svam_ros.cli.doctor:run_doctor",
        summary="What works on this machine, and what to do about the rest.",
        example="svam doctor --json",
    ),
    Command(
        name="profile",
        options="svam_ros.cli.profile:ProfileOptions",
        function="svam_ros.cli.profile:run_profile",
        summary="How long every stage of the network takes here.",
        example="svam profile --model tiny --repeats 50",
    ),
    Command(
        name="build-engine",
        options="svam_ros.cli.build_engine:BuildEngineOptions",
        function="svam_ros.cli.build_engine:run_build_engine",
        summary="Builds a faster way to run a model's network, and checks that it computes the same.",
        example="svam build-engine --model tiny --engine openvino --out models/tiny_openvino",
    ),
    Command(
        name="blackbox",
        options="svam_ros.cli.blackbox:BlackBoxOptions",
        function="svam_ros.cli.blackbox:run_blackbox",
        summary="What happened before the arms held or stopped, from the guard's black box.",
        example="svam blackbox ~/.ros/log/svam_black_box/black_box_20270131_120000_4711_0001.mcap",
    ),
    Command(
        name="access-policy",
        options="svam_ros.cli.access_policy:AccessPolicyOptions",
        function="svam_ros.cli.access_policy:run_access_policy",
        summary="The SROS2 policy that allows our nodes what they do, and strangers nothing.",
        example="svam access-policy --profile cobot_magic --out policy.xml",
    ),
    Command(
        name="import-published",
        options="svam_ros.cli.import_published:ImportOptions",
        function="svam_ros.cli.import_published:run_import",
        summary="Published S-VAM checkpoints to a model directory; pickles are read in quarantine.",
        example="svam import-published --unet svd-robot-calvin-ft --action action.pt --preset calvin "
        "--out models/calvin",
    ),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``svam``; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    if arguments[0] == "--version":
        print(f"svam_ros {version('svam_ros')}")
        return 0
    command = next((command for command in COMMANDS if command.name == arguments[0]), None)
    if command is None:
        print(_unknown_command(arguments[0]), file=sys.stderr)
        return EXIT_REFUSED
    with forgiving_output():
        return _run_and_say(command, arguments[1:])


def _run_and_say(command: Command, arguments: Sequence[str]) -> int:
    """Run it; an expected error becomes a sentence."""
    try:
        with interrupted_once():
            return _run(command, arguments)
    except KeyboardInterrupt:
        print(f"svam {command.name}: stopped", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        if not _is_expected(error):
            raise
        print(f"svam {command.name}: {error}{_blame(error)}", file=sys.stderr)
        return EXIT_FAILED if isinstance(error, RuntimeError) else EXIT_REFUSED


def _blame(error: Exception) -> str:
    """Where a library that could not be imported came from, if it should have been another one."""
    shadowed = shadowed_by_python_path() if isinstance(error, ImportError) else ""
    return f". {shadowed}: unset PYTHONPATH" if shadowed else ""


def _run(command: Command, arguments: Sequence[str]) -> int:
    import tyro

    from svam_ros.parameters import check_options

    options_class = _load(command.options)
    options: Any = tyro.cli(
        options_class,
        prog=f"svam {command.name}",
        description=f"{command.summary}\n\nExample: {command.example}",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    check_options(options)
    exit_code: int = _load(command.function)(options)
    return exit_code


def _load(reference: str) -> Any:
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _is_expected(error: Exception) -> bool:
    """Whether the error's own sentence says all: it is one of ours, or of the system or an import.

    Anything else is a mistake in the program and keeps its traceback.
    """
    ours = type(error).__module__.partition(".")[0] in _OUR_PACKAGES
    return ours or isinstance(error, (OSError, ImportError))


def _help() -> str:
    width = max(len(command.name) for command in COMMANDS)
    lines = [
        "S-VAM on ROS 2: video foresight moves a dual-arm robot.",
        "",
        "usage: svam COMMAND [options]",
        "",
    ]
    lines += [f"  {command.name:{width}}  {command.summary}" for command in COMMANDS]
    lines += ["", "examples:"]
    lines += [f"  {command.example}" for command in COMMANDS]
    lines += ["", "Options of a command: svam COMMAND --help"]
    return "\n".join(lines)


def _unknown_command(name: str) -> str:
    names = [command.name for command in COMMANDS]
    hint = "".join(f", did you mean '{match}'?" for match in get_close_matches(name, names, 1))
    return f"svam: there is no command '{name}'{hint or '.'} There are: {', '.join(names)}"
