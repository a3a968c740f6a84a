"""What ends a writer leaves the old file or the new one."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from svam_ros.whole_files import PART_SUFFIX, whole_file, write_whole_text

_KILLED_HALFWAY = """
import os, signal, sys
from pathlib import Path
from svam_ros.whole_files import whole_file
with whole_file(Path(sys.argv[1])) as part:
    part.write_text("half of the new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _write_until_the_disk_is_full(path: Path) -> None:
    path.write_text("half of the new")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    write_whole_text(path, "new ä")
    assert path.read_text(encoding="utf-8") == "new ä"
    assert os.listdir(tmp_path) == ["report.json"]


def test_an_exception_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left"), whole_file(path) as part:
        _write_until_the_disk_is_full(part)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_kill_leaves_the_old_file_and_a_part_that_says_what_it_is(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    ended = subprocess.run([sys.executable, "-c", _KILLED_HALFWAY, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = set(os.listdir(tmp_path)) - {"report.json"}
    assert left.startswith("report.json.")
    assert left.endswith(PART_SUFFIX)


def test_what_was_abandoned_is_removed_by_the_next_writer_and_what_is_being_written_is_not(tmp_path):
    path, hour = tmp_path / "report.json", 3600.0
    old, young, others = (
        tmp_path / f"{name}{PART_SUFFIX}"
        for name in ("report.json.0123abcd", "report.json.deadbeef", "other.json.0123abcd")
    )
    for part in (old, young, others):
        part.write_text("half")
    for part in (old, others):
        os.utime(part, (time.time() - 2 * hour,) * 2)
    write_whole_text(path, "new")
    assert {it.name for it in tmp_path.iterdir()} == {path.name, young.name, others.name}


def test_two_writers_at_once_do_not_meet(tmp_path):
    path = tmp_path / "report.json"
    with whole_file(path) as first, whole_file(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first", "the one that ended last"
    assert os.listdir(tmp_path) == ["report.json"]


def test_what_a_link_leads_to_is_replaced_and_the_link_stays(tmp_path):
    (tmp_path / "there").mkdir()
    path = tmp_path / "link"
    path.symlink_to(tmp_path / "there" / "report.json")
    write_whole_text(path, "new")
    assert path.is_symlink()
    assert (tmp_path / "there" / "report.json").read_text() == "new"


def test_a_device_is_never_replaced(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(FileExistsError, match="no plain file"):
        write_whole_text(pipe, "new")
    assert pipe.is_fifo()
    with pytest.raises(FileExistsError):
        write_whole_text(Path("/dev/null"), "new")


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole_text(tmp_path / "nowhere" / "report.json", "new")
