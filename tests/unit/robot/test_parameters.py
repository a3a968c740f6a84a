from __future__ import annotations

from typing import get_args

import pytest

from svam_ros.engines import ENGINE_NAMES
from svam_ros.parameters import (
    EngineName,
    GuardParameters,
    ParameterError,
    PolicyParameters,
    SimulationParameters,
    TaskName,
    build,
    describe,
)
from svam_ros.simulation.tasks import TASKS


@pytest.mark.parametrize("kind", [PolicyParameters, GuardParameters, SimulationParameters])
def test_every_parameter_is_described_and_its_default_is_allowed(kind):
    for description in describe(kind):
        assert len(description.text) > 10, description.name
        description.check(description.default)


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (GuardParameters, {"command_rate_hz": 201.0}, "201.0, allowed is 0 to 200"),
        (GuardParameters, {"command_rate_hz": float("nan")}, "nan, allowed"),
        (GuardParameters, {"comand_rate_hz": 1.0}, "did you mean 'command_rate_hz'"),
        (SimulationParameters, {"task": "lift_pott"}, "Did you mean 'lift_pot'"),
        (SimulationParameters, {"driver_quirks": 1}, "any bool"),
        (PolicyParameters, {"replan_steps": 2.5}, "1 to 64"),
        (PolicyParameters, {"replan_steps": True}, "1 to 64"),
        (PolicyParameters, {"model": 3}, "any str"),
    ],
)
def test_values_that_are_not_allowed_say_what_was_got_and_what_is_allowed(kind, values, words):
    with pytest.raises(ParameterError, match=words):
        build(kind, values)


def test_the_names_to_choose_from_are_those_that_exist():
    assert get_args(TaskName) == tuple(TASKS)
    assert get_args(EngineName) == ENGINE_NAMES


def test_the_guard_cannot_be_told_to_stop_before_it_holds():
    with pytest.raises(ParameterError, match="must not be below joint_state_hold_ms"):
        build(GuardParameters, {"joint_state_stop_ms": 100.0})
