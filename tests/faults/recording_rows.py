"""Row 31: the recorder runs out of disk, or dies. The arms do not notice."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.companion import Companion
from faults.rig import FaultRig
from faults.row import Figures, assert_sound, row
from svam_ros.recording.episode_reader import read_episode, recover_episode

NEARLY_FULL_BYTES = 300_000


@contextmanager
def _recording(rig: FaultRig, most_bytes: int) -> Iterator[tuple[Companion, Path]]:
    """The arms swing and are recorded; the recorder and the file that it writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "episode_0000.mcap"
        rig.prepare()
        recorder = rig.companion("recorder_process", str(path), str(most_bytes))
        try:
            rig.begin()
            rig.follow()
            yield recorder, path.with_name(path.name + ".part")
        finally:
            recorder.close()


def _assert_motion_goes_on(rig: FaultRig) -> None:
    stalled = rig.operator.motion["steps_stalled"]
    rig.pause(1.5)
    assert_sound(rig, rig.record())
    motion = rig.operator.motion
    assert (motion["state"], motion["steps_stalled"]) == ("following", stalled), f"before {stalled}: {motion}"


def _assert_readable(part: Path) -> None:
    """What was kept is an episode, up to the last second."""
    episode, _ = recover_episode(part)
    messages = list(read_episode(episode))
    assert len(messages) > 100


@row(31, "the recorder's disk is full")
def disk_full(rig: FaultRig) -> Figures:
    """The recording ends with its reason and stays readable; the motion goes on without a stall."""
    with _recording(rig, NEARLY_FULL_BYTES) as (recorder, part):
        deadline = time.monotonic() + 20.0
        while not (said := json.loads(recorder.ask("how")))["failure"]:
            assert time.monotonic() < deadline, f"the disk never became full: {said}"
            rig.pause(0.1)
        assert "File too large" in said["failure"]
        assert part.name in said["failure"]
        _assert_motion_goes_on(rig)
        recorder.close()
        _assert_readable(part)
    return {}


@row(31, "kill -9 of the recorder")
def recorder_killed(rig: FaultRig) -> Figures:
    """What it wrote until a second before can be read; the motion goes on without a stall."""
    with _recording(rig, 0) as (recorder, part):
        rig.pause(2.5)
        recorder.process.kill()
        recorder.process.wait()
        _assert_motion_goes_on(rig)
        _assert_readable(part)
    return {}
