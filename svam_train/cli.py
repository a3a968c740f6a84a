"""The command ``svam-train``: finds the command, reads its options, runs it, says errors in one sentence.

Each command is imported only when it is needed, and torch only when it runs: help comes at once.

Exit codes: 0 done; 2 it was asked for something that cannot be; 130 ended with Ctrl-C, and 143 by the
system's request to end: what was begun can go on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from svam_train.commands.table import COMMANDS, RECIPE, Command
from svam_train.training.interruption import Interrupted

EXIT_REFUSED = 2
EXIT_INTERRUPTED = 130

USUAL_CONFIG = "tiny"

_OUR_PACKAGES = ("svam_ros", "svam_train")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of ``svam-train``; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return 0
    try:
        command = _command(arguments[0])
        command.run(_options(command, arguments[1:]))
    except Interrupted as stopped:
        print("svam-train: saved; the same command with --resume goes on from here", file=sys.stderr)
        return _left_together(int(stopped.code or EXIT_INTERRUPTED))
    except KeyboardInterrupt:
        goes_on = not _command(arguments[0]).starts_over
        way_on = "; the same command goes on where this one ended" if goes_on else ""
        print(f"svam-train: stopped{way_on}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        if not _is_expected(error):
            raise
        print(f"svam-train: {error}", file=sys.stderr)
        return EXIT_REFUSED
    return _left_together(0)


def _left_together(exit_code: int) -> int:
    """The code; a command that did not train has not loaded what ends several processes, and need not."""
    if "svam_train.training.processes" in sys.modules:
        from svam_train.training.processes import leave_together

        leave_together(exit_code)
    return exit_code


def _command(name: str) -> Command:
    """The command of that name.

    Raises:
        ValueError: there is none.
    """
    names = [command.name for command in COMMANDS]
    if name not in names:
        raise ValueError(f"there is no command {_unknown(name, names)}")
    return COMMANDS[names.index(name)]


def _options(command: Command, arguments: Sequence[str]) -> Any:
    """The options as the command line says, over those of the preset that it names.

    Raises:
        ValueError: there is no such preset, or a number is out of its range.
    """
    import tyro

    presets = command.presets
    text = [f"{command.name}: {command.summary}.", ""]
    changes: dict[str, Any] = {}
    if presets:
        name, arguments = _config(command, arguments)
        changes["default"] = replace(command.options_class(), recipe=presets[name])
        text += [
            f"--config NAME chooses a recipe: {', '.join(presets)} ({USUAL_CONFIG} where none is named). "
            f"Options of the recipe change single numbers of it; below are those of '{name}'.",
            "",
        ]
    text += ["examples:", *(f"  {example}" for example in command.examples)]
    return tyro.cli(
        command.options_class,
        args=arguments,
        prog=f"svam-train {command.name}",
        description="\n".join(text),
        **changes,
    )


def _config(command: Command, arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The preset's name, and the arguments without it."""
    parser = argparse.ArgumentParser(f"svam-train {command.name}", add_help=False, allow_abbrev=False)
    parser.add_argument("--config", metavar="NAME", default=USUAL_CONFIG)
    known, rest = parser.parse_known_args(arguments)
    if known.config not in command.presets:
        raise ValueError(f"{command.name}: there is no config {_unknown(known.config, command.presets)}")
    return known.config, rest


def _unknown(name: str, names: Sequence[str] | dict[str, Any]) -> str:
    hint = "".join(f", did you mean '{match}'?" for match in get_close_matches(name, names, 1))
    return f"'{name}'{hint or '.'} There are: {', '.join(names)}"


def _is_expected(error: Exception) -> bool:
    """Whether the error's own sentence says all.

    A RuntimeError that is not ours is a mistake in the program, and keeps its traceback.
    """
    ours = type(error).__module__.partition(".")[0] in _OUR_PACKAGES
    return ours or not isinstance(error, RuntimeError)


def _help() -> str:
    width = max(len(command.name) for command in COMMANDS)
    by_name = {command.name: command for command in COMMANDS}
    configs: dict[str, list[str]] = {}
    for command in COMMANDS:
        if command.recipes:
            configs.setdefault(", ".join(command.presets), []).append(command.name)
    return "\n".join(
        [
            "Makes the model directories that svam_ros runs.",
            "",
            "usage: svam-train COMMAND [options]",
            "",
            *(f"  {command.name:{width}}  {command.summary}" for command in COMMANDS),
            "",
            "--config NAME chooses a complete recipe:",
            *(f"  {', '.join(commands)}: {names}" for names, commands in configs.items()),
            "",
            "a model from nothing, each command after the one before:",
            *(f"  {by_name[name].examples[0]}" for name in RECIPE),
            "",
            "Options of a command, with the values of a recipe: svam-train COMMAND [--config NAME] --help",
        ]
    )


if __name__ == "__main__":
    raise SystemExit(main())
