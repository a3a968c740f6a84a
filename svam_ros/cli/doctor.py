"""``svam doctor``: what works on this machine, one line each, and what to do about the rest."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from svam_ros.bringup import system_checks
from svam_ros.bringup.system_checks import CheckResult

_STYLES = {"ok": "green", "note": "yellow", "fail": "bold red"}

Check = Callable[[], CheckResult | tuple[CheckResult, ...]]


@dataclass(frozen=True)
class DoctorOptions:
    """What ``svam doctor`` can be told."""

    json: bool = False
    """Print JSON: {"ok": bool, "checks": [{"name", "status", "text", "fix"}]}."""
    model: str = "tiny"
    """Model directory to verify: a path, or the name of one that ships with the package."""
    profile: str = "cobot_magic"
    """Robot profile, by name or file. Where its arms are on CAN, SDK and interfaces are looked at too."""


def run_doctor(options: DoctorOptions) -> int:
    """Run every check and print the answers; 1 when the demo cannot run, else 0."""
    results = run_checks(
        [
            system_checks.check_python,
            system_checks.check_python_path,
            system_checks.check_torch,
            system_checks.check_tensorrt,
            system_checks.check_ros,
            system_checks.check_rendering,
            system_checks.check_shared_memory,
            system_checks.check_discovery,
            system_checks.check_domain,
            lambda: check_model(options.model),
            lambda: check_arms(options.profile),
        ]
    )
    healthy = all(result.status != "fail" for result in results)
    if options.json:
        report = {"ok": healthy, "checks": [dataclasses.asdict(result) for result in results]}
        print(json.dumps(report, indent=2))
    else:
        _print_lines(results)
    return 0 if healthy else 1


def run_checks(checks: Iterable[Check]) -> list[CheckResult]:
    """The answers in the order of ``checks``; those that start processes run side by side."""
    with ThreadPoolExecutor(max_workers=4) as pool:
        answers = [future.result() for future in [pool.submit(check) for check in checks]]
    results: list[CheckResult] = []
    for answer in answers:
        results += answer if isinstance(answer, tuple) else (answer,)
    return results


def check_model(name: str) -> CheckResult:
    """Whether the model directory is complete and every file has the hash that its manifest says."""
    try:
        from svam_ros.artifacts.model_directory import open_model

        open_model(name)
    except ImportError as error:
        return CheckResult("model", "fail", str(error), "install what is missing, see above")
    except (ValueError, OSError) as error:
        return CheckResult("model", "fail", str(error), "name another one with --model")
    return CheckResult("model", "ok", f"{name}: every file has the hash that its manifest says")


def check_arms(name: str) -> tuple[CheckResult, ...]:
    """SDK and CAN interfaces of a profile with output ``piper_can``; nothing for the others.

    Never fails: the demo does without.
    """
    from svam_ros.cobot import CalibrationError, load_robot_profile
    from svam_ros.drivers.piper_interface import interface_problem, sdk_problem

    try:
        profile = load_robot_profile(name)
    except CalibrationError as error:
        return (CheckResult("profile", "note", str(error), "name another one with --profile"),)
    if profile.output != "piper_can":
        return ()
    bus_type = profile.piper_can.bus_type
    interfaces = profile.piper_can.interfaces.items()
    problems = {f"{arm} arm": interface_problem(interface, bus_type) for arm, interface in interfaces}
    found = {"piper_sdk": sdk_problem(), **problems}
    return tuple(
        CheckResult(part, "note" if problem else "ok", problem or "there", "see docs/real_robot.md")
        for part, problem in found.items()
    )


def _print_lines(results: list[CheckResult]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(len(result.name) for result in results)
    for result in results:
        line = Text(f"{result.status.upper():4}  ", style=_STYLES[result.status])
        line.append(f"{result.name:{width}}  {result.text}", style="default")
        console.print(line)
        if result.fix and result.status != "ok":
            console.print(Text(f"{'':{width + 8}}-> {result.fix}", style="default"))
    failed = [result.name for result in results if result.status == "fail"]
    if failed:
        console.print(f"\nThe demo cannot run here: see {', '.join(failed)}.", style="bold red")
    else:
        console.print("\nThe demo can run here: svam demo")
