"""Rows 1 to 6: the camera."""

from __future__ import annotations

import signal
import time
from functools import partial

from faults.rig import FaultRig
from faults.row import BRAKE_MS, HORIZON_MS, NAMED_MS, Figures, assert_resumes, assert_sound, row, suffer
from svam_ros.control.faults import Fault

LOOK_MS = 160.0
"""Between two frames that are looked at, and not only counted."""
FRAME_AGE_MS = 150.0
"""The default of max_image_age_ms."""


def _camera_breaks(rig: FaultRig, how: str, fault: Fault) -> Figures:
    rig.prepare()
    suffered = suffer(rig, partial(rig.parts["camera"].tell, camera=how), fault)
    figures = suffered.figures(fault, "policy_node")
    rig.parts["camera"].tell(camera="sound")
    assert_resumes(rig)
    return figures


@row(1, "camera driver killed", named_ms=NAMED_MS + 125.0, rest_ms=HORIZON_MS + BRAKE_MS)
def killed(rig: FaultRig) -> Figures:
    """The policy names it, chunks end, the arms hold; a new driver brings the motion back."""
    rig.prepare()

    def kill() -> int:
        at_ns = time.monotonic_ns()
        rig.parts["camera"].process.send_signal(signal.SIGKILL)
        return at_ns

    suffered = suffer(rig, kill, Fault.CAMERA_SLOW)
    figures = suffered.figures(Fault.CAMERA_SLOW, "policy_node")
    observed = [(c["heard_ns"] - suffered.since_ns) / 1e6 for c in suffered.record.chunks]
    assert max(observed) < FRAME_AGE_MS + 100.0, "a chunk was made long after the last frame"
    rig.parts.pop("camera").close()
    rig.replace_part("camera")
    assert_resumes(rig)
    return figures


@row(2, "camera frozen", named_ms=NAMED_MS + 167.0, rest_ms=HORIZON_MS + BRAKE_MS + 167.0)
def frozen(rig: FaultRig) -> Figures:
    """New stamps on the same picture, while the arms move."""
    return _camera_breaks(rig, "frozen", Fault.CAMERA_FROZEN)


@row(3, "frames stamped 5 s ago", named_ms=NAMED_MS + LOOK_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def old(rig: FaultRig) -> Figures:
    """No chunk is made from them."""
    return _camera_breaks(rig, "old", Fault.FRAME_NOT_CURRENT)


@row(3, "frames stamped 5 s ahead", rest_ms=HORIZON_MS + BRAKE_MS)
def ahead(rig: FaultRig) -> Figures:
    """Joint states never reach their time: nothing is looked at, and the policy says what it waits for."""
    rig.prepare()
    suffered = suffer(
        rig,
        partial(rig.parts["camera"].tell, camera="ahead"),
        Fault.CHUNKS_EXHAUSTED,
        "guard_node",
    )
    rig.parts["camera"].tell(camera="sound")
    assert_resumes(rig)
    return {"rest_ms": suffered.rest_ms()}


@row(3, "frames stamped 50 ms ago are used")
def a_little_old(rig: FaultRig) -> Figures:
    """They are within the allowed age: the motion goes on."""
    rig.prepare()
    rig.begin()
    rig.follow()
    rig.parts["camera"].tell(camera="a_little_old")
    rig.pause(1.5)
    record = rig.record()
    assert_sound(rig, record)
    assert rig.operator.motion["state"] == "following"
    return {}


@row(4, "wrong encoding", named_ms=NAMED_MS + LOOK_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def wrong_encoding(rig: FaultRig) -> Figures:
    """32FC1 where the profile says rgb8."""
    return _camera_breaks(rig, "wrong_encoding", Fault.FRAME_UNUSABLE)


@row(4, "wrong size", named_ms=NAMED_MS + LOOK_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def wrong_size(rig: FaultRig) -> Figures:
    """Half the lines."""
    return _camera_breaks(rig, "wrong_size", Fault.FRAME_UNUSABLE)


@row(4, "line step of 0", named_ms=NAMED_MS + LOOK_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def wrong_step(rig: FaultRig) -> Figures:
    """A header that contradicts itself."""
    return _camera_breaks(rig, "wrong_step", Fault.FRAME_UNUSABLE)


@row(4, "short data", named_ms=NAMED_MS + LOOK_MS, rest_ms=HORIZON_MS + BRAKE_MS)
def truncated(rig: FaultRig) -> Figures:
    """5000 bytes are missing."""
    return _camera_breaks(rig, "truncated", Fault.FRAME_UNUSABLE)


@row(5, "black pictures", named_ms=NAMED_MS + 167.0, rest_ms=HORIZON_MS + BRAKE_MS + 167.0)
def black(rig: FaultRig) -> Figures:
    """The lens is covered."""
    return _camera_breaks(rig, "black", Fault.CAMERA_BLIND)


@row(5, "white pictures", named_ms=NAMED_MS + 167.0, rest_ms=HORIZON_MS + BRAKE_MS + 167.0)
def white(rig: FaultRig) -> Figures:
    """The exposure is stuck."""
    return _camera_breaks(rig, "white", Fault.CAMERA_BLIND)


@row(6, "camera at 5 Hz", named_ms=NAMED_MS + 200.0)
def five_hz(rig: FaultRig) -> Figures:
    """Too seldom to act on."""
    figures = _camera_breaks(rig, "five_hz", Fault.CAMERA_SLOW)
    return {"named_ms": figures["named_ms"]}


@row(6, "thirty late frames at once")
def burst(rig: FaultRig) -> Figures:
    """Only the newest is looked at: no chunk is older than the silence before the burst allows."""
    rig.prepare()
    suffered = suffer(
        rig, partial(rig.parts["camera"].tell, camera="burst"), Fault.CAMERA_SLOW, state="holding"
    )
    assert_resumes(rig)
    record = rig.record()
    stamps = [chunk["stamp_ns"] for chunk in record.chunks]
    assert stamps == sorted(stamps)
    assert suffered.record.chunks
    return {}
