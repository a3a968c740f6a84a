"""Frozen and blind cameras, and the sound ones that look a little like them."""

from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import load_cobot
from svam_ros.control.camera_watch import SUSPECT_FRAMES, CameraWatch, FrameTraits
from svam_ros.control.faults import Fault

COBOT = load_cobot()


def watch_after(digests, brightness=127.0, moved_rad=0.0, arm="left", joint=0) -> CameraWatch:
    """A watch that has seen frames with these digests, while a joint moved evenly."""
    watch = CameraWatch(COBOT)
    for name in ("left", "right"):
        watch.add_positions(name, COBOT.home[COBOT.arm_slice(name)])
    for number, digest in enumerate(digests, start=1):
        watch.add_frame(FrameTraits(digest, brightness))
        positions = COBOT.home[COBOT.arm_slice(arm)].copy()
        positions[joint] += moved_rad * number / len(digests)
        watch.add_positions(arm, positions)
    return watch


@pytest.mark.parametrize("arm", ["left", "right"])
def test_equal_pictures_of_arms_that_move_are_frozen(arm):
    finding = watch_after([7] * SUSPECT_FRAMES, moved_rad=0.2, arm=arm).finding()
    assert finding.fault is Fault.CAMERA_FROZEN
    assert "5 equal frames while an arm moved by 0.20 rad" in finding.detail


@pytest.mark.parametrize(
    ("digests", "moved_rad", "joint"),
    [
        ([7] * 50, 0.0, 0),  # arms at rest
        ([7] * 50, 0.09, 0),  # a motion that might be missed
        ([7] * 50, 0.5, 6),  # a gripper, which may be hidden
        ([7] * (SUSPECT_FRAMES - 1), 0.2, 0),
        (list(range(50)), 2.0, 0),
        ([7, 8] * 25, 2.0, 0),
    ],
)
def test_a_sound_camera_is_not_taken_for_a_frozen_one(digests, moved_rad, joint):
    assert watch_after(digests, moved_rad=moved_rad, joint=joint).finding() is None


def test_a_picture_that_changes_again_ends_it():
    watch = watch_after([7] * SUSPECT_FRAMES, moved_rad=0.2)
    watch.add_frame(FrameTraits(8, 127.0))
    assert watch.finding() is None


@pytest.mark.parametrize(
    ("brightness", "blind"), [(0.0, True), (2.9, True), (3.1, False), (251.9, False), (253.0, True)]
)
def test_black_and_white_pictures_are_blind(brightness, blind):
    finding = watch_after(range(SUSPECT_FRAMES), brightness).finding()
    assert (finding is not None and finding.fault is Fault.CAMERA_BLIND) is blind
    assert watch_after(range(SUSPECT_FRAMES - 1), brightness).finding() is None


def test_of_compressed_pictures_the_brightness_is_not_known():
    assert watch_after(range(50), None).finding() is None


def test_before_the_arms_have_reported_nothing_is_frozen():
    watch = CameraWatch(COBOT)
    for _ in range(50):
        watch.add_frame(FrameTraits(7, 127.0))
    assert watch.finding() is None
    watch.add_positions("left", np.ones(7))
    assert watch.finding() is None
