"""What dead runs wrote down is removed, what living ones hold stays, and so does everybody else's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from svam_ros.bringup import shared_memory
from svam_ros.bringup.run_record import RECORD_PREFIX, RunRecord, remove_what_dead_runs_left

DIES = """
import mmap, os, subprocess, sys
from pathlib import Path
from svam_ros.bringup import shared_memory
shared_memory.SHARED_MEMORY = folder = Path(sys.argv[1])
from svam_ros.bringup.run_record import RunRecord
record = RunRecord()
stream = (folder / "fastdds_dead").open("w+b"); stream.truncate(4096)
kept = mmap.mmap(stream.fileno(), 4096)
record.note([os.getpid()])
waits = [sys.executable, "-c", "input()"]
child = subprocess.Popen(waits, pass_fds=(record.descriptor,), stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.readline()
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def memory(monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmp_path)
    return tmp_path


def test_a_run_that_was_killed_is_cleaned_up_after_once_its_children_are_gone(memory):
    others = memory / "fastdds_others"
    others.write_bytes(b"somebody else's")
    run = subprocess.Popen(
        [sys.executable, "-c", DIES, str(memory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert int(run.stdout.readline()) > 0
    for companion in ("fastdds_dead_el", "sem.fastdds_dead_mutex"):
        (memory / companion).write_bytes(b"")
    assert remove_what_dead_runs_left() == 0
    assert (memory / "fastdds_dead").exists()
    run.stdin.write("\n")
    run.stdin.close()  # The child reads from a pipe that ends with its parent.
    run.wait(timeout=20)
    for _ in range(200):
        if remove_what_dead_runs_left():
            break
        subprocess.run(["sleep", "0.05"], check=True)
    assert [path.name for path in memory.iterdir()] == [others.name]


def test_a_record_that_ends_in_order_leaves_no_trace(memory):
    record = RunRecord()
    assert len(list(memory.glob(f"{RECORD_PREFIX}*"))) == 1
    record.note([1, 999_999_999])
    record.close()
    assert list(memory.iterdir()) == []


def test_a_record_cannot_name_anything_but_segments(memory):
    precious = memory / "precious"
    precious.write_text("keep me")
    (memory / f"{RECORD_PREFIX}forged").write_text(
        f"precious\n../{memory.name}/precious\nfastdds_../precious\n"
    )
    assert remove_what_dead_runs_left() == 0
    assert precious.read_text() == "keep me"


def test_a_record_stays_while_somebody_else_still_reads_one_of_its_segments(memory):
    record, segment = memory / f"{RECORD_PREFIX}dead", memory / "fastdds_dead"
    record.write_text("fastdds_dead\nfastdds_port7400\n")
    (memory / "fastdds_port7400").write_bytes(b"")
    with segment.open("wb"):
        assert remove_what_dead_runs_left() == 1
        assert record.exists()
    assert remove_what_dead_runs_left() == 1
    assert list(memory.iterdir()) == []
