"""The bytes of an episode: an MCAP file of profile ``ros2``, grown chunk by chunk.

While it grows it is called ``<name>.mcap.part``; only a file that was finished gets its real name. A
run that is killed leaves a ``.part`` that can be read up to its last whole chunk
(:mod:`svam_ros.recording.episode_reader`), at most :data:`CHUNK_SECONDS` before the end.

Format: https://mcap.dev/spec
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mcap.well_known import MessageEncoding, Profile, SchemaEncoding
from mcap.writer import CompressionType, Writer

from svam_ros.whole_files import PART_SUFFIX

"""What a file's name ends in until it is finished."""

CHUNK_BYTES = 4 * 1024 * 1024
"""A chunk is compressed and written once it holds this much: about four raw camera frames.

Measured with 30 raw 640x480 frames and 900 small messages a second: 0.06 of a core and 1.1 MB/s for
rendered pictures, 0.16 of a core and 24 MB/s for pictures with sensor noise. Chunks of 1 MiB cost a third
more CPU and twice the space, chunks of 16 MiB save no CPU and lose more when a run is killed."""

CHUNK_SECONDS = 1.0
"""A chunk is written at the latest after this long, so that a killed run loses no more."""

EPISODE_METADATA = "svam_episode"
"""Metadata record at the head of the file: what is being recorded."""

OUTCOME_METADATA = "svam_outcome"
"""Metadata record at the end of the file: how it ended, what was dropped."""


class RecordingError(RuntimeError):
    """An episode cannot be written; the text says which file and why."""


class EpisodeFile:
    """Writes one episode on the caller's thread. See ``EpisodeWriter`` for one that does not block."""

    def __init__(self, path: Path, metadata: Mapping[str, str], suffix: str = PART_SUFFIX) -> None:
        """Create ``<path>.part`` with ``metadata`` at its head.

        Args:
            path: name of the finished file.
            metadata: the record ``svam_episode``.
            suffix: what the name ends in until then.

        Raises:
            RecordingError: the folder is missing or not writable, or an episode of this name exists.
        """
        self.path = path
        self.part_path = path.with_name(path.name + suffix)
        if path.exists():
            raise RecordingError(f"{path} exists already: recordings are never overwritten, move it away")
        try:
            self._stream = self.part_path.open("xb")
        except FileExistsError as error:
            raise RecordingError(
                f"{self.part_path} exists already: it is being recorded now, or is what a killed run left "
                f"(svam_ros.recording.episode_reader.recover_episode makes an episode of it)"
            ) from error
        except OSError as error:
            raise RecordingError(f"cannot record to {self.part_path}: {error.strerror}") from error
        # The library never starts a chunk by itself at this size: add_message and flush decide.
        self._writer = Writer(self._stream, chunk_size=1 << 62, compression=CompressionType.ZSTD)
        self._writer.start(profile=Profile.ROS2, library="svam_ros")
        self._writer.add_metadata(EPISODE_METADATA, dict(metadata))
        self._schemas: dict[tuple[str, str], int] = {}
        self._channels: dict[str, int] = {}
        self._pending_bytes = 0
        self._chunk_started = time.monotonic()
        self._stream.flush()

    def add_topic(self, topic: str, type_name: str, schema_text: str) -> None:
        """Announce a topic; its messages are CDR bytes of ``type_name`` (``package/msg/Type``)."""
        if topic in self._channels:
            raise ValueError(f"topic {topic} was added already")
        key = (type_name, schema_text)
        if key not in self._schemas:
            self._schemas[key] = self._writer.register_schema(
                name=type_name, encoding=SchemaEncoding.ROS2, data=schema_text.encode()
            )
        self._channels[topic] = self._writer.register_channel(
            topic=topic, message_encoding=MessageEncoding.CDR, schema_id=self._schemas[key]
        )

    def add_message(
        self, topic: str, cdr: bytes, log_time_ns: int, publish_time_ns: int, sequence: int = 0
    ) -> None:
        """Append one message; full and old chunks go to disk.

        Args:
            topic: one that was added.
            cdr: the serialised message with its 4-byte encapsulation header.
            log_time_ns: when it was received, ROS time.
            publish_time_ns: its ``header.stamp``, or the time of reception where it has none.
            sequence: counts up by one per topic; a gap says that messages were dropped.
        """
        self._writer.add_message(self._channels[topic], log_time_ns, cdr, publish_time_ns, sequence)
        self._pending_bytes += len(cdr)
        self.write_chunk_if_due()

    def write_chunk_if_due(self) -> None:
        """Put the chunk in progress on disk when it is full or old."""
        old = time.monotonic() - self._chunk_started >= CHUNK_SECONDS
        if self._pending_bytes >= CHUNK_BYTES or old:
            self.write_chunk()

    def write_chunk(self) -> None:
        """Put the chunk in progress on disk: what came before survives a kill."""
        self._writer.flush()
        self._pending_bytes = 0
        self._chunk_started = time.monotonic()

    def add_metadata(self, name: str, metadata: Mapping[str, str]) -> None:
        """Append a named record of texts."""
        self._writer.add_metadata(name, dict(metadata))

    def finish(self) -> Path:
        """Write the index, close, and give the file its real name, which is returned."""
        self._writer.finish()
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self.part_path.rename(self.path)
        return self.path

    def abandon(self) -> Path:
        """Close without finishing: what was recorded stays, recoverable, in the returned ``.part`` file."""
        self.write_chunk()
        self._stream.close()
        return self.part_path
