"""Starts the quarantine: a pickled file goes in, a safetensors file comes out; no code of it runs here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import svam_ros
from svam_ros.artifacts.published.conversion import PublishedCheckpointError

# -I drops the environment's PYTHONPATH, by which svam_ros may have been found: its place is told instead.
_START = (
    "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
    "runpy.run_module('svam_ros.quarantine', run_name='__main__', alter_sys=True)"
)
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "SYSTEMROOT")
_POLL_S = 0.05


def unpickle(source: Path, output: Path, advance: Callable[[int], None]) -> list[str]:
    """Read a pickled checkpoint in a process of its own, and write its state dict to ``output``.

    Args:
        source: the ``.pt``, ``.pth``, ``.ckpt`` or ``.bin`` file.
        output: safetensors file to write, in a folder that holds nothing else.
        advance: called with bytes written, as they appear.

    Returns:
        The keys of the file that were left behind, such as the optimiser's.

    Raises:
        PublishedCheckpointError: the file holds more than tensors and plain containers, no state dict,
            or cannot be read. There is no output then.
    """
    package_root = Path(svam_ros.__file__).resolve().parents[1]
    command = [sys.executable, "-I", "-B", "-c", _START, str(package_root), str(source), str(output)]
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**environment, "OMP_NUM_THREADS": "1"},
        text=True,
    )
    try:
        _watch(process, output.parent, advance)
        said, complaints = process.communicate()
    finally:
        process.kill()
        process.wait()
    report = _last_report(said)
    if process.returncode != 0 or "dropped" not in report:
        output.unlink(missing_ok=True)
        last_words = complaints.strip().splitlines()[-1:] or [f"it ended with code {process.returncode}"]
        raise PublishedCheckpointError(f"{source} is refused: {report.get('refused', last_words[0])}")
    return [str(name) for name in report["dropped"]]


def _watch(process: subprocess.Popen[str], folder: Path, advance: Callable[[int], None]) -> None:
    """Follow the growing output until the process ends."""
    seen = 0
    while process.poll() is None:
        time.sleep(_POLL_S)
        size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
        if size > seen:
            advance(size - seen)
            seen = size


def _last_report(said: str) -> dict[str, Any]:
    lines = [line for line in said.splitlines() if line.startswith("{")]
    try:
        report = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}
