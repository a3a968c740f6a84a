"""Reads episodes back, finished or not, with messages that look as rclpy's do.

A message is decoded when its ``message`` is first asked for: passing over a thousand camera frames
costs nothing.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, cast

from mcap.exceptions import EndOfFile, McapError
from mcap.reader import make_reader
from mcap.records import Channel, Message, Metadata, Schema
from mcap.stream_reader import CRCValidationError, StreamReader
from mcap_ros2.decoder import DecoderFactory
from zstandard import ZstdError

from svam_ros.recording.episode_file import EPISODE_METADATA, EpisodeFile
from svam_ros.whole_files import PART_SUFFIX

MAGIC = b"\x89MCAP0\r\n"
"""First and last bytes of a finished file."""

RECOVERED_METADATA = "svam_recovered"
"""Metadata record of an episode that was made of a ``.part`` file."""

_RECORD_HEADER = struct.Struct("<BQ")


class EpisodeReadError(ValueError):
    """A file is no episode, or is damaged in the middle; the text names it."""


@dataclass(frozen=True)
class EpisodeMessage:
    """One recorded message."""

    topic: str
    type_name: str
    """``package/msg/Type``."""
    log_time_ns: int
    """When the recorder received it, ROS time."""
    publish_time_ns: int
    """Its ``header.stamp``."""
    sequence: int
    """Counts up by one per topic; a gap is a message that the recorder dropped."""
    data: bytes
    """The serialised message."""
    decoder: Callable[[bytes], Any]

    @cached_property
    def message(self) -> Any:
        """The decoded message, with the attributes of the rclpy message of its type."""
        return self.decoder(self.data)


def is_finished(path: Path) -> bool:
    """Whether the file was closed properly; the others are read as far as they go.

    Raises:
        EpisodeReadError: it is no MCAP file at all.
    """
    with path.open("rb") as stream:
        head = stream.read(len(MAGIC))
        if head != MAGIC:
            raise EpisodeReadError(f"{path} is not an MCAP file")
        stream.seek(0, 2)
        if stream.tell() < 2 * len(MAGIC):
            return False
        stream.seek(-len(MAGIC), 2)
        return stream.read() == MAGIC


def read_episode(path: Path, topics: Iterable[str] | None = None) -> Iterator[EpisodeMessage]:
    """The messages of an episode, lazily.

    A finished file is read in the order of reception, only the chunks that hold wanted topics; an
    unfinished one in the order of writing, up to its last whole chunk.

    Args:
        path: a ``.mcap`` file or the ``.mcap.part`` of a killed run.
        topics: only these; ``None`` for all.

    Raises:
        EpisodeReadError: the file is no episode, or is damaged before its end.
    """
    factory = DecoderFactory()
    wanted = None if topics is None else list(topics)
    try:
        for schema, channel, message in _raw_messages(path, wanted):
            decoder = factory.decoder_for(channel.message_encoding, schema)
            if schema is None or decoder is None:
                raise EpisodeReadError(
                    f"{path}: topic {channel.topic} is not ROS 2 CDR with a message definition"
                )
            yield EpisodeMessage(
                topic=channel.topic,
                type_name=schema.name,
                log_time_ns=message.log_time,
                publish_time_ns=message.publish_time,
                sequence=message.sequence,
                data=message.data,
                decoder=decoder,
            )
    except (McapError, CRCValidationError, ZstdError, struct.error) as error:
        raise EpisodeReadError(f"{path} is damaged: {error}") from error


def read_metadata(path: Path) -> dict[str, dict[str, str]]:
    """The metadata records of an episode by name: ``svam_episode``, and ``svam_outcome`` if finished."""
    if is_finished(path):
        with path.open("rb") as stream:
            return {record.name: record.metadata for record in make_reader(stream).iter_metadata()}
    return {record.name: record.metadata for record in _whole_records(path) if isinstance(record, Metadata)}


def recover_episode(part_path: Path) -> tuple[Path, int]:
    """Make a finished episode of what a killed run left; the ``.part`` file stays as it is.

    Returns:
        The new file (the name without ``.part``) and the number of messages in it.

    Raises:
        RecordingError: an episode of that name exists.
        EpisodeReadError: the file is no MCAP file.
    """
    if part_path.suffix != PART_SUFFIX:
        raise EpisodeReadError(f"{part_path} does not end in {PART_SUFFIX}: nothing to recover")
    metadata = read_metadata(part_path)
    target = EpisodeFile(part_path.with_suffix(""), metadata.get(EPISODE_METADATA, {}), ".recovering")
    topics: set[str] = set()
    count = 0
    for schema, channel, message in _raw_messages(part_path, None):
        if schema is not None and channel.topic not in topics:
            topics.add(channel.topic)
            target.add_topic(channel.topic, schema.name, schema.data.decode())
        target.add_message(
            channel.topic, message.data, message.log_time, message.publish_time, message.sequence
        )
        count += 1
    target.add_metadata(RECOVERED_METADATA, {"from": part_path.name, "messages": str(count)})
    return target.finish(), count


def _raw_messages(path: Path, topics: list[str] | None) -> Iterator[tuple[Schema | None, Channel, Message]]:
    if is_finished(path):
        with path.open("rb") as stream:
            yield from make_reader(stream, validate_crcs=True).iter_messages(topics)
        return
    schemas: dict[int, Schema] = {}
    channels: dict[int, Channel] = {}
    for record in _whole_records(path):
        if isinstance(record, Schema):
            schemas[record.id] = record
        elif isinstance(record, Channel):
            channels[record.id] = record
        elif isinstance(record, Message):
            channel = channels[record.channel_id]
            if topics is None or channel.topic in topics:
                yield schemas.get(channel.schema_id), channel, record


def _whole_records(path: Path) -> Iterator[Any]:
    """Every record of an unfinished file that was written completely."""
    end = _end_of_whole_records(path)
    if end <= len(MAGIC):
        return
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), end, access=mmap.ACCESS_READ) as whole:
        try:
            yield from StreamReader(cast(IO[bytes], whole), validate_crcs=True).records
        except EndOfFile:
            return


def _end_of_whole_records(path: Path) -> int:
    """Offset behind the last record that lies wholly in the file."""
    size = path.stat().st_size
    position = len(MAGIC)
    with path.open("rb") as stream:
        while position + _RECORD_HEADER.size <= size:
            stream.seek(position)
            _, length = _RECORD_HEADER.unpack(stream.read(_RECORD_HEADER.size))
            behind = position + _RECORD_HEADER.size + length
            if behind > size:
                break
            position = behind
    return min(position, size)
