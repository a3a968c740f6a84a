"""A process that died is started anew, but not for ever."""

import signal

import pytest

from svam_ros.bringup.exit_codes import (
    DEVICE_LOST,
    ENDED_IN_ORDER,
    FAILED,
    NO_DEVICE_MEMORY,
    REFUSED_TO_START,
)
from svam_ros.bringup.restarts import MOST_RESTARTS, WITHIN_S, Restarts


@pytest.mark.parametrize("exit_code", [FAILED, DEVICE_LOST, -signal.SIGKILL, -signal.SIGSEGV])
def test_who_died_comes_back_three_times_a_minute(exit_code):
    now = [0.0]
    restarts = Restarts(lambda: now[0])
    for _ in range(MOST_RESTARTS):
        assert restarts.stays_down(exit_code) is None
        now[0] += 5.0
    assert restarts.stays_down(exit_code) == "it was started anew 3 times within 60 s"
    now[0] = WITHIN_S
    assert restarts.stays_down(exit_code) is None
    assert restarts.stays_down(exit_code) is not None


@pytest.mark.parametrize(
    ("exit_code", "words"),
    [
        (ENDED_IN_ORDER, "told to end"),
        (-signal.SIGINT, "told to end"),
        (-signal.SIGTERM, "told to end"),
        (REFUSED_TO_START, "put right first"),
        (NO_DEVICE_MEMORY, "freed first"),
    ],
)
def test_who_would_end_the_same_way_or_is_not_wanted_stays_down(exit_code, words):
    assert words in str(Restarts().stays_down(exit_code))
