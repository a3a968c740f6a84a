from __future__ import annotations

import dataclasses
import math

import pytest

from svam_ros.control.settings import GuardSettings
from svam_ros.parameters import GuardParameters, TunableGuardSettings, describe

DESCRIPTIONS = {description.name: description for description in describe(GuardSettings)}


def test_every_setting_has_a_range_and_a_default_inside_it():
    assert set(DESCRIPTIONS) == {field.name for field in dataclasses.fields(GuardSettings)}
    assert all(description.limits for description in DESCRIPTIONS.values())
    GuardSettings()


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_value_outside_its_range_is_refused_by_name(name):
    limits = DESCRIPTIONS[name].limits
    for value in (limits.minimum - 0.1, limits.maximum + 0.1, math.nan):
        with pytest.raises(ValueError, match=f"'{name}' is"):
            GuardSettings(**{name: value})


def test_what_an_operator_may_set_has_one_range_and_one_default():
    tunable = {d.name: d for d in describe(TunableGuardSettings)}
    assert tunable
    for kind in (GuardParameters, GuardSettings):
        described = {d.name: d for d in describe(kind)}
        assert {name: described[name] for name in tunable} == tunable


def test_joint_states_cannot_stop_the_arms_before_they_hold_them():
    with pytest.raises(ValueError, match="'joint_state_stop_ms' is 50"):
        GuardSettings(joint_state_hold_ms=100.0, joint_state_stop_ms=50.0)


def test_tick_period():
    assert GuardSettings(tick_rate_hz=25.0).tick_period_ns == 40_000_000
