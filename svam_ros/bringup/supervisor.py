"""Starts the processes of the table as children, watches them, and ends them in the right order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from svam_ros.bringup.process_table import ProcessSpec

STOP_SIGNALS = ((signal.SIGINT, 4.0), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0))
"""Each signal and the seconds a child has to end after it: time for the guard to brake."""

BRISK_STOP_SIGNALS = ((signal.SIGINT, 1.5), (signal.SIGKILL, 2.0))
"""The same for children that command nothing, once the guard has ended: one that is loading a network cannot
answer for seconds, and loses nothing."""

PARENT_VARIABLE = "SVAM_PARENT_PID"
"""Tells a node whose death it must not outlive; see ``svam_ros.nodes.node_main``."""


@dataclass(frozen=True)
class ChildFailure:
    """A child that ended by itself."""

    name: str
    exit_code: int
    last_words: str
    """The end of what it wrote."""

    def sentence(self) -> str:
        """What happened, for a person."""
        if self.exit_code < 0:
            return f"{self.name} was killed by signal {signal.Signals(-self.exit_code).name}"
        return f"{self.name} ended with exit code {self.exit_code}: {self.last_words or 'it wrote nothing'}"


class Supervisor:
    """The children of one run.

    Every child gets its own session, so that Ctrl-C in a terminal reaches only the parent, which then
    ends the children in order. If the parent is killed, the kernel sends them SIGTERM.

    Args:
        environment: for the children.
        log_directory: receives ``<name>.log`` and ``<name>.parameters.yaml``.
        keep_open: file descriptors that the children inherit, and hold open as long as they live.
    """

    def __init__(
        self, environment: dict[str, str], log_directory: Path, keep_open: tuple[int, ...] = ()
    ) -> None:
        self._environment = {**environment, PARENT_VARIABLE: str(os.getpid())}
        self._log_directory = log_directory
        self._keep_open = keep_open
        log_directory.mkdir(parents=True, exist_ok=True)
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, spec: ProcessSpec) -> None:
        """Start one process of the table."""
        parameters = self._log_directory / f"{spec.name}.parameters.yaml"
        parameters.write_text(yaml.safe_dump({"/**": {"ros__parameters": spec.parameters}}), encoding="utf-8")
        with (self._log_directory / f"{spec.name}.log").open("wb") as log:
            self._children[spec.name] = subprocess.Popen(
                self.command(spec, parameters),
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=self._keep_open,
            )

    def command(self, spec: ProcessSpec, parameters: Path) -> list[str]:
        """The command line of a process whose ROS parameters are in this file."""
        command = [sys.executable, "-m", spec.module, "--ros-args", "--params-file", str(parameters)]
        if spec.namespace:
            command += ["-r", f"__ns:=/{spec.namespace.strip('/')}"]
        for source, target in spec.remappings:
            command += ["-r", f"{source}:={target}"]
        return command

    def failed_child(self) -> ChildFailure | None:
        """The first child that has ended, if any did."""
        for name, child in self._children.items():
            code = child.poll()
            if code is not None:
                return ChildFailure(name, code, self.last_words(name))
        return None

    def pid(self, name: str) -> int:
        """Process id of a child."""
        return self._children[name].pid

    def exit_code(self, name: str) -> int | None:
        """Of a child that has ended; ``None`` while it runs."""
        return self._children[name].poll()

    def pids(self) -> tuple[int, ...]:
        """Process ids of all children."""
        return tuple(child.pid for child in self._children.values())

    def stop(self, order: Sequence[str]) -> dict[str, int]:
        """End the children: those named in ``order`` one after the other, then briskly the rest together.

        Returns:
            Exit code of every child.
        """
        first = [name for name in order if name in self._children]
        rest = [name for name in self._children if name not in first]
        for name in first:
            _end([self._children[name]], STOP_SIGNALS)
        _end([self._children[name] for name in rest], BRISK_STOP_SIGNALS)
        return {name: self._children[name].wait() for name in (*first, *rest)}

    def last_words(self, name: str, lines: int = 3) -> str:
        """The end of a child's log on one line."""
        path = self._log_directory / f"{name}.log"
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        kept = [line.strip() for line in text.splitlines() if line.strip()]
        return " | ".join(kept[-lines:])


def _end(
    children: Sequence[subprocess.Popen[bytes]], signals: Sequence[tuple[signal.Signals, float]]
) -> None:
    for number, patience_s in signals:
        for child in children:
            if child.poll() is None:
                child.send_signal(number)
        deadline = time.monotonic() + patience_s
        while any(child.poll() is None for child in children) and time.monotonic() < deadline:
            time.sleep(0.01)
