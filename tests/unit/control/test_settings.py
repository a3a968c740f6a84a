from __future__ import annotations

import dataclasses
import math

import pytest

from svam_ros.control import settings as module
from svam_ros.control.settings import GuardSettings


def test_every_setting_has_a_range_and_a_default_inside_it():
    names = {field.name for field in dataclasses.fields(GuardSettings)}
    assert names == set(module._RANGES)
    GuardSettings()


@pytest.mark.parametrize("name", sorted(module._RANGES))
def test_a_value_outside_its_range_is_refused_by_name(name):
    low, high = module._RANGES[name]
    for value in (low - 0.1, high + 0.1, math.nan):
        with pytest.raises(ValueError, match=f"^{name} is"):
            GuardSettings(**{name: value})


def test_joint_states_cannot_stop_the_arms_before_they_hold_them():
    with pytest.raises(ValueError, match="joint_state_stop_ms is 50"):
        GuardSettings(joint_state_hold_ms=100.0, joint_state_stop_ms=50.0)


def test_tick_period():
    assert GuardSettings(tick_rate_hz=25.0).tick_period_ns == 40_000_000
