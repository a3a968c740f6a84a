"""The supervisor with small processes of our own in place of nodes."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.fake_cobot import wait_for

from svam_ros.bringup.process_table import ProcessSpec
from svam_ros.bringup.shared_memory import (
    SHARED_MEMORY,
    abandoned_segments,
    remove_abandoned_segments,
    segments,
)
from svam_ros.bringup.supervisor import Supervisor

POLITE = """
import pathlib, signal, sys, time
def end(*_):
    pathlib.Path(sys.argv[0]).with_suffix(".ended").write_text(str(time.monotonic()))
    sys.exit(0)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
while True: time.sleep(0.01)
"""
STUBBORN = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
while True: time.sleep(0.01)
"""
BROKEN = "import sys; print('cannot find the robot', file=sys.stderr); sys.exit(2)"


@pytest.fixture
def start(tmp_path: Path, monkeypatch):
    """Starts a module with the given source under a supervisor."""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    supervisor = Supervisor(environment, tmp_path / "logs")

    def starting(name: str, source: str) -> Supervisor:
        (tmp_path / f"{name}.py").write_text(source)
        supervisor.start(ProcessSpec(name, name, name, False, {"key": "value"}, "", ()))
        return supervisor

    yield starting
    supervisor.stop([])


def ready(supervisor: Supervisor, name: str) -> None:
    wait_for(lambda: "ready" in supervisor.last_words(name), 10.0, f"{name} ready")


def test_children_end_in_the_order_asked_for(start, tmp_path):
    for name in ("camera", "guard"):
        supervisor = start(name, POLITE)
    for name in ("camera", "guard"):
        ready(supervisor, name)
    assert supervisor.failed_child() is None
    assert supervisor.stop(["guard"]) == {"guard": 0, "camera": 0}
    ended = [float((tmp_path / f"{name}.ended").read_text()) for name in ("guard", "camera")]
    assert ended == sorted(ended)


def test_a_child_that_will_not_end_is_killed(start, monkeypatch):
    monkeypatch.setattr(
        "svam_ros.bringup.supervisor.STOP_SIGNALS",
        ((signal.SIGINT, 0.1), (signal.SIGTERM, 0.1), (signal.SIGKILL, 2.0)),
    )
    supervisor = start("stubborn", STUBBORN)
    ready(supervisor, "stubborn")
    assert supervisor.stop(["stubborn"]) == {"stubborn": -signal.SIGKILL}


def test_a_child_that_fails_is_reported_with_its_last_words(start):
    supervisor = start("broken", BROKEN)
    wait_for(lambda: supervisor.failed_child() is not None, 10.0)
    assert supervisor.failed_child().sentence() == ("broken ended with exit code 2: cannot find the robot")


def test_segments_that_a_process_maps_are_kept_and_abandoned_ones_removed():
    mine = SHARED_MEMORY / f"fastdds_test_{os.getpid()}_mine"
    orphan = SHARED_MEMORY / f"fastdds_test_{os.getpid()}_orphan"
    mutex = SHARED_MEMORY / f"sem.{mine.name}_mutex"
    for path in (mine, orphan, mutex):
        path.write_bytes(b"\0" * 4096)
    try:
        with mine.open("r+b") as stream, mmap.mmap(stream.fileno(), 4096):
            assert {mine, orphan} <= segments()
            assert orphan in abandoned_segments()
            assert not {mine, mutex} & abandoned_segments()
            assert remove_abandoned_segments(keep=frozenset(abandoned_segments() - {orphan})) == 1
            assert mine.exists()
            assert not orphan.exists()
        assert mutex in abandoned_segments()
    finally:
        mine.unlink(missing_ok=True)
        mutex.unlink(missing_ok=True)
        orphan.unlink(missing_ok=True)


def test_a_segment_of_a_living_process_of_another_program_is_not_abandoned():
    path = SHARED_MEMORY / f"fastdds_test_{os.getpid()}_other"
    source = (
        f"import mmap,time; f=open({str(path)!r},'w+b'); f.truncate(4096); "
        "m=mmap.mmap(f.fileno(),4096); f.close(); print('ready',flush=True); time.sleep(30)"
    )
    process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        assert path not in abandoned_segments()
        process.kill()
        process.wait()
        time.sleep(0.05)
        assert path in abandoned_segments()
    finally:
        process.kill()
        process.wait()
        path.unlink(missing_ok=True)
