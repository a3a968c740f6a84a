"""Records an episode without ever making the caller wait.

``write`` only appends to a queue; a thread of its own compresses and writes. When the disk cannot keep
up, the queue is bounded: messages are dropped and counted rather than memory filled or a callback
blocked, and the gap stays visible in the messages' sequence numbers.
"""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from svam_ros.recording.episode_file import OUTCOME_METADATA, EpisodeFile, RecordingError

QUEUE_BYTES = 64 * 1024 * 1024
"""Messages that may wait for the disk: about two seconds of a raw camera."""

LARGE_MESSAGE_BYTES = 64 * 1024
"""Larger messages (pictures) leave the last eighth of the queue to small ones (joints, commands)."""

WRITER_NICENESS = 10

_POLL_S = 0.05
"""The thread wakes this often rather than at every message: a thousand wake-ups a second cost more
than the writing."""

_Topic = tuple[str, str, str]
_Message = tuple[str, bytes, int, int, int]


class EpisodeWriter:
    """One episode being recorded. Call it from one thread; a context manager closes it.

    Leaving the ``with`` block by an exception keeps what was recorded as a recoverable ``.part`` file.
    """

    def __init__(self, path: Path, metadata: Mapping[str, str], queue_bytes: int = QUEUE_BYTES) -> None:
        """Start recording to ``<path>.part``.

        Args:
            path: where the finished episode shall be, ``episode_0000.mcap``.
            metadata: what is recorded: task, seed, model, versions and so on; readable even if the run
                is killed.
            queue_bytes: messages that may wait for the disk.

        Raises:
            RecordingError: see :class:`EpisodeFile`.
        """
        self._file = EpisodeFile(path, metadata)
        self._queue_bytes = queue_bytes
        self._queue: deque[_Topic | _Message] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._sequences: Counter[str] = Counter()
        self._topics: set[str] = set()
        self._dropped: Counter[str] = Counter()
        self._failure: BaseException | None = None
        self._ending = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="episode writer", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Messages dropped so far because the disk did not keep up."""
        return sum(self._dropped.values())

    @property
    def dropped_by_topic(self) -> dict[str, int]:
        """Dropped messages of each topic that lost any."""
        return dict(self._dropped)

    @property
    def part_path(self) -> Path:
        """The file while it grows."""
        return self._file.part_path

    def add_topic(self, topic: str, type_name: str, schema_text: str) -> None:
        """Announce a topic before its first message.

        Args:
            topic: its full name.
            type_name: ``package/msg/Type``.
            schema_text: :func:`svam_ros.recording.message_schemas.message_schema` of it.
        """
        self._check_open()
        if topic in self._topics:
            raise ValueError(f"topic {topic} was added already")
        self._topics.add(topic)
        with self._lock:
            self._queue.append((topic, type_name, schema_text))

    def write(self, topic: str, cdr: bytes, log_time_ns: int, publish_time_ns: int) -> bool:
        """Hand over one serialised message; never waits.

        Args:
            topic: one that was added.
            cdr: the message as an rclpy subscription with ``raw=True`` receives it.
            log_time_ns: when it was received, ROS time.
            publish_time_ns: its ``header.stamp``; messages without one repeat ``log_time_ns``.

        Returns:
            ``False`` where the message was dropped (and counted).

        Raises:
            KeyError: the topic was not added.
            RecordingError: writing failed (disk full, say) or the episode is closed.
        """
        self._check_open()
        if topic not in self._topics:
            raise KeyError(f"topic {topic} was not added to {self._file.path.name}")
        sequence = self._sequences[topic]
        self._sequences[topic] += 1
        allowed = self._queue_bytes
        if len(cdr) > LARGE_MESSAGE_BYTES:
            allowed -= self._queue_bytes // 8
        with self._lock:
            fits = self._queued_bytes + len(cdr) <= allowed
            if fits:
                self._queue.append((topic, cdr, log_time_ns, publish_time_ns, sequence))
                self._queued_bytes += len(cdr)
        if not fits:
            self._dropped[topic] += 1
        return fits

    def close(self, outcome: Mapping[str, str] | None = None) -> Path:
        """Write what waits, the ``outcome`` and the index, and give the file its real name.

        Returns:
            The finished episode.

        Raises:
            RecordingError: writing failed; what could be written stays in the ``.part`` file.
        """
        self._check_open()
        self._stop_thread()
        self._check_failure()
        counts = {f"dropped {topic}": str(count) for topic, count in sorted(self._dropped.items())}
        try:
            self._file.add_metadata(
                OUTCOME_METADATA, {**(outcome or {}), "dropped": str(self.dropped), **counts}
            )
            return self._file.finish()
        except OSError as error:
            raise RecordingError(f"{self.part_path} could not be finished: {error}") from error

    def abandon(self) -> Path:
        """Stop; what was recorded stays, recoverable, in the returned ``.part`` file."""
        if not self._closed:
            self._stop_thread()
            if self._failure is None:
                self._file.abandon()
        return self.part_path

    def __enter__(self) -> EpisodeWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed:
            return
        if error is None:
            self.close()
        else:
            self.abandon()

    def _check_open(self) -> None:
        if self._closed:
            raise RecordingError(f"{self._file.path} is closed")
        self._check_failure()

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise RecordingError(f"recording to {self.part_path} failed: {self._failure}") from self._failure

    def _stop_thread(self) -> None:
        self._closed = True
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        # Compression must never delay motion: this thread alone steps back, by as much as it may.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), WRITER_NICENESS)
        """The writing thread: everything that touches the file happens here until it ends."""
        try:
            ending = False
            while not ending:
                # Read before draining: what was queued before the end was asked for is still written.
                ending = self._ending.wait(_POLL_S)
                self._drain()
                self._file.write_chunk_if_due()
        except (OSError, ValueError) as error:
            self._failure = error

    def _drain(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    return
                entry = self._queue.popleft()
            if len(entry) == 3:
                self._file.add_topic(*entry)
                continue
            self._file.add_message(*entry)
            with self._lock:
                self._queued_bytes -= len(entry[1])
