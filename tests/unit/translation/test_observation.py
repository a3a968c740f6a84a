from __future__ import annotations

import numpy as np
import pytest
from support.messages import chunk

from svam_ros.cobot import load_cobot
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.instructions import check_instruction
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.translation.preprocessing import ImagePreparation, prepare_observation
from svam_ros.translation.rejection import RejectedMessage
from svam_ros.types import ActionChunk, ArmReading, CameraFrame

MS = 1_000_000
COBOT = load_cobot()


def reading(value: float, stamp_ms: float) -> ArmReading:
    return ArmReading(np.full(7, value), np.zeros(7), round(stamp_ms * MS))


def frame(stamp_ms: float) -> CameraFrame:
    return CameraFrame(np.zeros((480, 640, 3), np.uint8), round(stamp_ms * MS))


def test_the_newest_state_at_or_before_the_frame_is_used_and_later_ones_change_nothing():
    assembler = ObservationAssembler(max_joint_age_ms=50)
    for stamp in (95, 100, 105):
        assembler.add_reading("left", reading(stamp, stamp))
    assembler.add_reading("right", reading(98, 98))
    assert not assembler.is_complete(100 * MS)
    assembler.add_reading("right", reading(103, 103))
    assert assembler.is_complete(100 * MS)
    first = assembler.observe(frame(100), "lift").arms
    assembler.add_reading("right", reading(108, 108))
    second = assembler.observe(frame(100), "lift").arms
    assert np.array_equal(first.positions, [100.0] * 7 + [98.0] * 7)
    assert np.array_equal(first.positions, second.positions)
    assert first.stamp_ns == 98 * MS


def test_stale_missing_and_repeated_states_are_rejected():
    assembler = ObservationAssembler(max_joint_age_ms=50)
    with pytest.raises(RejectedMessage, match="no state"):
        assembler.observe(frame(100), "lift")
    assembler.add_reading("left", reading(0, 40))
    assembler.add_reading("right", reading(0, 99))
    with pytest.raises(RejectedMessage, match="60 ms older"):
        assembler.observe(frame(100), "lift")
    with pytest.raises(RejectedMessage, match="not newer"):
        assembler.add_reading("left", reading(1, 40))


def test_preparation_keeps_the_middle_square_and_its_digest_sees_every_bit():
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[:, :80] = pixels[:, 560:] = 255
    assembler = ObservationAssembler(50)
    for arm in ("left", "right"):
        for stamp in (99, 101):
            assembler.add_reading(arm, reading(0.5, stamp))
    observation = assembler.observe(CameraFrame(pixels, 100 * MS), "lift")
    prepared = prepare_observation(observation, ImagePreparation("centre_square", 96, "area"))
    assert prepared.image.shape == (3, 96, 96)
    assert np.all(prepared.image == -1.0)
    squashed = prepare_observation(observation, ImagePreparation("squash", 96, "area"))
    assert squashed.image.max() == 1.0
    assert prepared.digest() != squashed.digest()


def test_a_chunk_survives_the_wire_in_any_joint_order():
    rows = np.arange(8 * 14, dtype=float).reshape(8, 14)
    order = np.random.default_rng(0).permutation(14)
    names = [COBOT.joint_names[i] for i in order]
    read = read_chunk(chunk(names, rows[:, order], 3, 5_000 * MS, "ab12/7"), COBOT)
    assert np.array_equal(read.actions, rows)
    assert (read.run_id, read.sequence, read.first_step) == ("ab12", 7, 3)
    assert read.target_times_ns()[0] == 5_160 * MS
    assert isinstance(read, ActionChunk)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"names": ["a"] * 14}, "names joints"),
        ({"rows": []}, "0 steps"),
        ({"rows": [[0.0] * 13]}, "14 positions"),
        ({"identity": "no sequence"}, "identity"),
        ({"identity": "run/-1"}, "identity"),
        ({"identity": "run/²"}, "identity"),
        ({"identity": "run/" + "9" * 5000}, "identity"),
        ({"identity": "r\n/1"}, "identity"),
        ({"step_ms": 33}, "multiples"),
        ({"first_step": -1}, "multiples"),
    ],
)
def test_messages_that_are_no_chunk_are_rejected(change, words):
    good = {"names": COBOT.joint_names, "rows": [[0.0] * 14] * 8, "first_step": 0, "ns": MS}
    with pytest.raises(RejectedMessage, match=words):
        read_chunk(chunk(**{**good, **change}), COBOT)


@pytest.mark.parametrize("text", ["", "   ", "a" * 257, "lift\x07", "lift\nthe pot"])
def test_bad_instructions_are_rejected(text):
    with pytest.raises(RejectedMessage):
        check_instruction(text)


def test_a_good_instruction_is_trimmed():
    assert check_instruction("  lift the pot ") == "lift the pot"
