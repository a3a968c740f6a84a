"""Frozen and blind cameras, and the sound ones that look a little like them."""

from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.control.camera_watch import SUSPECT_FRAMES, CameraWatch, FrameTraits
from svam_ros.control.faults import Fault, Finding

COBOT = load_cobot()
PERIOD_NS = 33_333_333


def finding_after(digests, brightness=127.0, moved_rad=0.0, arm="left", joint=0) -> Finding | None:
    """Of a watch that has seen frames with these digests, while a joint moved evenly."""
    digests = list(digests)
    watch = watch_after(digests, brightness, moved_rad, arm, joint)
    return watch.finding(len(digests) * PERIOD_NS)


def watch_after(digests, brightness=127.0, moved_rad=0.0, arm="left", joint=0) -> CameraWatch:
    watch = CameraWatch(COBOT)
    for name in ("left", "right"):
        watch.add_positions(name, COBOT.home[COBOT.arm_slice(name)])
    for number, digest in enumerate(digests, start=1):
        watch.add_frame(FrameTraits(digest, brightness), number * PERIOD_NS)
        positions = COBOT.home[COBOT.arm_slice(arm)].copy()
        positions[joint] += moved_rad * number / len(digests)
        watch.add_positions(arm, positions)
    return watch


@pytest.mark.parametrize("arm", ["left", "right"])
def test_equal_pictures_of_arms_that_move_are_frozen(arm):
    finding = finding_after([7] * SUSPECT_FRAMES, moved_rad=0.2, arm=arm)
    assert finding.fault is Fault.CAMERA_FROZEN
    assert "5 equal frames while an arm moved by 0.20 rad" in finding.detail


@pytest.mark.parametrize(
    ("digests", "moved_rad", "joint"),
    [
        ([7] * 50, 0.0, 0),  # arms at rest
        ([7] * 50, 0.029, 0),  # a motion that might be missed
        ([7] * 50, 0.5, 6),  # a gripper, which may be hidden
        ([7] * (SUSPECT_FRAMES - 1), 0.2, 0),
        (list(range(50)), 2.0, 0),
        ([7, 8] * 25, 2.0, 0),
    ],
)
def test_a_sound_camera_is_not_taken_for_a_frozen_one(digests, moved_rad, joint):
    assert finding_after(digests, moved_rad=moved_rad, joint=joint) is None


def test_a_picture_that_changes_again_ends_it():
    watch = watch_after([7] * SUSPECT_FRAMES, moved_rad=0.2)
    watch.add_frame(FrameTraits(8, 127.0), 6 * PERIOD_NS)
    assert watch.finding(6 * PERIOD_NS) is None


@pytest.mark.parametrize(
    ("brightness", "blind"), [(0.0, True), (2.9, True), (3.1, False), (251.9, False), (253.0, True)]
)
def test_black_and_white_pictures_are_blind(brightness, blind):
    finding = finding_after(range(SUSPECT_FRAMES), brightness)
    assert (finding is not None and finding.fault is Fault.CAMERA_BLIND) is blind
    assert finding_after(range(SUSPECT_FRAMES - 1), brightness) is None


def test_of_compressed_pictures_the_brightness_is_not_known():
    assert finding_after(range(50), None) is None


def test_before_the_arms_have_reported_nothing_is_frozen():
    watch = CameraWatch(COBOT)
    for number in range(50):
        watch.add_frame(FrameTraits(7, 127.0), number * PERIOD_NS)
    assert watch.finding(49 * PERIOD_NS) is None
    watch.add_positions("left", np.ones(7))
    assert watch.finding(49 * PERIOD_NS) is None


def test_a_camera_that_falls_silent_is_named_and_forgiven_with_its_next_frames():
    watch = watch_after(range(10))
    last_ns = 10 * PERIOD_NS
    assert watch.finding(last_ns + 124_000_000) is None
    finding = watch.finding(last_ns + 126_000_000)
    assert finding.fault is Fault.CAMERA_SLOW
    assert "none for 126 ms" in finding.detail
    for number in range(3):
        assert watch.finding(last_ns + 300_000_000 + number * PERIOD_NS).fault is Fault.CAMERA_SLOW
        watch.add_frame(FrameTraits(99 + number, 127.0), last_ns + 300_000_000 + number * PERIOD_NS)
    assert watch.finding(last_ns + 300_000_000 + 2 * PERIOD_NS) is None


@pytest.mark.parametrize(("period_ms", "slow"), [(66, False), (124, False), (126, True), (200, True)])
def test_a_camera_that_is_slower_than_8_hz_is_named_even_while_a_frame_is_new(period_ms, slow):
    watch = CameraWatch(COBOT)
    for number in range(10):
        watch.add_frame(FrameTraits(number, 127.0), number * period_ms * 1_000_000)
    finding = watch.finding(9 * period_ms * 1_000_000)
    assert (finding is not None and finding.fault is Fault.CAMERA_SLOW) is slow


def test_a_camera_that_has_not_begun_is_not_slow():
    assert CameraWatch(COBOT).finding(10**12) is None
