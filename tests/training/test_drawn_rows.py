"""Rows of a step: fair to every instruction, however many there are."""

import numpy as np
import pytest
from support.made_up_demonstrations import made_up_demonstration

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import Episode, EpisodeSet, RobotFacts
from svam_train.stages.drawn_rows import balanced_rows


def rows_with(instructions):
    robot = RobotFacts.of(load_cobot(), load_robot_profile("cobot_magic"))
    d = made_up_demonstration("lift_pot", 0, size=32)
    episodes = tuple(
        Episode(f"episode_{i}", "lift_pot", text, d.stride, d.images, d.joints, d.targets)
        for i, text in enumerate(instructions)
    )
    return EpisodeRows(EpisodeSet("made up", robot, ImagePreparation("centre_square", 32, "area"), episodes))


def instructions_of(rows, drawn):
    return [rows.where(int(row))[0].instruction for row in drawn]


def test_every_instruction_has_its_share_whatever_its_number_of_episodes():
    rows = rows_with(["lift", "lift", "lift", "pour"])
    drawn = instructions_of(rows, balanced_rows(np.random.default_rng(0), rows, 10))
    assert sorted(drawn) == ["lift"] * 5 + ["pour"] * 5
    assert drawn != sorted(drawn)


@pytest.mark.parametrize("size", [2, 3, 7])
def test_with_fewer_rows_than_instructions_they_take_turns(size):
    names = [f"sentence {i}" for i in range(5)]
    rows = rows_with(names)
    drawn = [
        name
        for step in range(10)
        for name in instructions_of(rows, balanced_rows(np.random.default_rng(step), rows, size, step))
    ]
    assert {drawn.count(name) for name in names} == {2 * size}


def test_the_rows_of_a_step_are_a_function_of_its_randomness():
    rows = rows_with(["lift", "pour"])
    first, again, other = (balanced_rows(np.random.default_rng(seed), rows, 6) for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
