"""A process beside the nodes under test, told what to do line by line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ANSWER_S = 20.0


class Companion:
    """A module of this package as a process of its own.

    Args:
        module: ``robot_process``, ``referee_process`` or ``recorder_process``.
        arguments: of its command line.
        environment: of the ROS domain.
        log: what it writes to standard error.
    """

    def __init__(
        self, module: str, arguments: tuple[str, ...], environment: dict[str, str], log: Path
    ) -> None:
        self._name = " ".join((module, *arguments))
        tests = str(Path(__file__).resolve().parents[1])
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", f"faults.{module}", *arguments],
                env={**environment, "PYTHONPATH": tests},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                start_new_session=True,
            )
        self._log = log
        self._answer()

    def tell(self, **order: object) -> int:
        """Change its behaviour; gives the steady time at which that was in force."""
        return self.order(json.dumps(order))

    def order(self, line: str) -> int:
        """Send a line; gives the steady time of the answer."""
        return int(self.ask(line))

    def ask(self, line: str) -> str:
        """Send a line; gives the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        if self.process.poll() is None:
            assert self.process.stdin is not None
            self.process.stdin.close()
            try:
                self.process.wait(3.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            words = self._log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise AssertionError(f"{self._name} ended with code {self.process.wait()}: {words}")
        return line.strip()
