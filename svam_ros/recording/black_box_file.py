"""A black box as an MCAP file: one JSON message a tick and one an event, which any viewer plots.

Format: https://mcap.dev/spec, message encoding ``json``, schemas in JSON Schema.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.well_known import MessageEncoding, SchemaEncoding
from mcap.writer import CompressionType, Writer

from svam_ros.recording.episode_file import RecordingError
from svam_ros.types import BlackBoxEvent, BlackBoxExcerpt
from svam_ros.whole_files import whole_file

TICKS_TOPIC = "/svam/black_box/ticks"
EVENTS_TOPIC = "/svam/black_box/events"
METADATA = "svam_black_box"
BLACK_BOX_PATTERN = "black_box_*.mcap"
"""What the files are called: they may lie beside episodes."""
TICKS_AT_ONCE = 20
"""Between two such portions the writer rests, so that the guard's thread is not kept from its tick."""

_NUMBERS = {"type": "array", "items": {"type": ["number", "null"]}}
_TICK_SCHEMA = {
    "type": "object",
    "properties": {"state": {"type": "string"}, "commanded": _NUMBERS, "velocities": _NUMBERS}
    | {"measured": _NUMBERS},
}
_EVENT_SCHEMA = {"type": "object", "properties": {"kind": {"type": "string"}, "text": {"type": "string"}}}


@dataclass(frozen=True)
class BlackBoxRecord:
    """What a file of a black box holds."""

    excerpt: BlackBoxExcerpt
    joint_names: tuple[str, ...]
    profile: str
    """Name of the robot profile."""
    written_at: str
    """ISO 8601, local time with its offset."""


def write_black_box(path: Path, record: BlackBoxRecord, rest: Callable[[], object] = lambda: None) -> None:
    """Write ``path``, which appears whole or not at all.

    Args:
        path: of the file; it must not exist.
        record: what goes in.
        rest: called between portions.

    Raises:
        RecordingError: it exists, or cannot be written; the text says why.
    """
    if path.exists():
        raise RecordingError(f"{path} exists already: black boxes are never overwritten")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part, part.open("wb") as stream:
            _write(Writer(stream, compression=CompressionType.ZSTD), record, rest)
    except OSError as error:
        raise RecordingError(f"cannot write the black box {path}: {error.strerror or error}") from error


def read_black_box(path: Path) -> BlackBoxRecord:
    """Read a file that :func:`write_black_box` wrote.

    Raises:
        RecordingError: it is missing, damaged, or no black box.
    """
    ticks: list[tuple[int, dict[str, Any]]] = []
    events: list[BlackBoxEvent] = []
    about: dict[str, str] | None = None
    try:
        with path.open("rb") as stream:
            reader = make_reader(stream)
            about = next((m.metadata for m in reader.iter_metadata() if m.name == METADATA), None)
            for _, channel, message in reader.iter_messages(log_time_order=True):
                content = json.loads(message.data)
                if channel.topic == TICKS_TOPIC:
                    ticks.append((message.log_time, content))
                elif channel.topic == EVENTS_TOPIC:
                    events.append(BlackBoxEvent(message.log_time, content["kind"], content["text"]))
        if about is None or not ticks:
            raise RecordingError(f"{path} is no black box of svam_ros: it has no ticks")
        return _record(about, ticks, events)
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or error}") from error
    except (McapError, ValueError, KeyError, TypeError, EOFError) as error:
        raise RecordingError(
            f"{path} is no black box of svam_ros, or is damaged ({type(error).__name__}): give an MCAP file "
            f"that guard_node wrote"
        ) from error


def _write(writer: Writer, record: BlackBoxRecord, rest: Callable[[], object]) -> None:
    excerpt = record.excerpt
    writer.start(library="svam_ros")
    writer.add_metadata(
        METADATA,
        {
            "cause": excerpt.cause,
            "cause_ns": str(excerpt.cause_ns),
            "joint_names": json.dumps(record.joint_names),
            "profile": record.profile,
            "written_at": record.written_at,
        },
    )
    ticks = _channel(writer, TICKS_TOPIC, "svam.BlackBoxTick", _TICK_SCHEMA)
    events = _channel(writer, EVENTS_TOPIC, "svam.BlackBoxEvent", _EVENT_SCHEMA)
    for number, due_ns in enumerate(excerpt.due_ns.tolist()):
        if number % TICKS_AT_ONCE == 0:
            rest()
        content = {
            "state": excerpt.states[number],
            "commanded": _numbers(excerpt.commanded[number]),
            "velocities": _numbers(excerpt.velocities[number]),
            "measured": _numbers(excerpt.measured[number]),
        }
        writer.add_message(ticks, due_ns, json.dumps(content).encode(), due_ns, number)
    for number, event in enumerate(excerpt.events):
        content = {"kind": event.kind, "text": event.text}
        writer.add_message(events, event.at_ns, json.dumps(content).encode(), event.at_ns, number)
    writer.finish()


def _channel(writer: Writer, topic: str, name: str, schema: dict[str, Any]) -> int:
    schema_id = writer.register_schema(name, SchemaEncoding.JSONSchema, json.dumps(schema).encode())
    channel_id: int = writer.register_channel(topic, MessageEncoding.JSON, schema_id)
    return channel_id


def _numbers(row: np.ndarray) -> list[float | None]:
    """JSON has no NaN."""
    return [round(value, 6) if math.isfinite(value) else None for value in row.tolist()]


def _record(
    about: dict[str, str], ticks: Sequence[tuple[int, dict[str, Any]]], events: list[BlackBoxEvent]
) -> BlackBoxRecord:
    def rows(name: str) -> np.ndarray:
        return np.array([content[name] for _, content in ticks], dtype=np.float64)

    excerpt = BlackBoxExcerpt(
        cause=about["cause"],
        cause_ns=int(about["cause_ns"]),
        due_ns=np.array([at_ns for at_ns, _ in ticks], dtype=np.int64),
        commanded=rows("commanded"),
        velocities=rows("velocities"),
        measured=rows("measured"),
        states=tuple(content["state"] for _, content in ticks),
        events=tuple(events),
    )
    names = tuple(json.loads(about["joint_names"]))
    return BlackBoxRecord(excerpt, names, about["profile"], about["written_at"])
