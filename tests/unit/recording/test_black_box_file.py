"""A black box in its file, and what is said of files that are none."""

from __future__ import annotations

import dataclasses
import errno

import numpy as np
import pytest
from mcap.reader import make_reader
from support.black_boxes import stopped_in_motion

from svam_ros.cobot import load_cobot
from svam_ros.recording import black_box_file
from svam_ros.recording.black_box_file import BlackBoxRecord, read_black_box, write_black_box
from svam_ros.recording.episode_file import RecordingError


@pytest.fixture(scope="module")
def record() -> BlackBoxRecord:
    (excerpt,) = stopped_in_motion().taken
    excerpt.measured[0] = np.nan  # before there were any
    return BlackBoxRecord(excerpt, load_cobot().joint_names, "cobot_magic", "2027-01-31T12:00:00+01:00")


def test_what_is_written_is_read_again(tmp_path, record):
    path = tmp_path / "new" / "box.mcap"
    write_black_box(path, record)
    read = read_black_box(path)
    assert dataclasses.replace(read, excerpt=record.excerpt) == record
    for field in dataclasses.fields(record.excerpt):
        was, now = getattr(record.excerpt, field.name), getattr(read.excerpt, field.name)
        if isinstance(was, np.ndarray):
            np.testing.assert_allclose(now, was, atol=1e-6)
        elif field.name == "events":
            assert sorted(now, key=str) == sorted(was, key=str)
        else:
            assert now == was
    assert [file.name for file in path.parent.iterdir()] == ["box.mcap"]


def test_any_viewer_finds_topics_and_schemas(tmp_path, record):
    write_black_box(tmp_path / "box.mcap", record)
    with (tmp_path / "box.mcap").open("rb") as stream:
        summary = make_reader(stream).get_summary()
    assert {c.topic: c.message_encoding for c in summary.channels.values()} == {
        black_box_file.TICKS_TOPIC: "json", black_box_file.EVENTS_TOPIC: "json",
    }  # fmt: skip
    assert all(schema.encoding == "jsonschema" for schema in summary.schemas.values())


def test_nothing_is_overwritten(tmp_path, record):
    write_black_box(tmp_path / "box.mcap", record)
    before = (tmp_path / "box.mcap").read_bytes()
    with pytest.raises(RecordingError, match="never overwritten"):
        write_black_box(tmp_path / "box.mcap", record)
    assert (tmp_path / "box.mcap").read_bytes() == before


def test_a_full_disk_leaves_no_half_a_file(tmp_path, record):
    portions = []

    def rest() -> None:
        portions.append(1)
        if len(portions) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RecordingError, match="No space left on device"):
        write_black_box(tmp_path / "box.mcap", record, rest)
    assert list(tmp_path.iterdir()) == []


def test_the_writer_gives_way_between_portions(tmp_path, record):
    portions = []
    write_black_box(tmp_path / "box.mcap", record, lambda: portions.append(1))
    assert len(portions) == -(-len(record.excerpt.due_ns) // black_box_file.TICKS_AT_ONCE)


@pytest.mark.parametrize("kind", ["missing", "text", "cut", "other"])
def test_what_is_no_black_box_is_said_to_be_none(tmp_path, record, kind):
    path = tmp_path / "box.mcap"
    if kind == "text":
        path.write_text("not a black box")
    elif kind != "missing":
        write_black_box(path, record)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] if kind == "cut" else content)
    if kind == "other":
        path.write_bytes(content.replace(b"svam_black_box", b"svam_white_box"))
    with pytest.raises(RecordingError, match=r"box\.mcap"):
        read_black_box(path)
