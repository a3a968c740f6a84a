"""The first Ctrl-C interrupts; those that follow break into nothing."""

import os
import signal

import pytest

from svam_ros.cli.interrupts import INTERRUPTS, interrupted_once, interrupts_deferred, uninterrupted


@pytest.fixture(autouse=True)
def handlers():
    """The test process keeps its own."""
    earlier = {number: signal.getsignal(number) for number in INTERRUPTS}
    yield earlier
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", INTERRUPTS)
def test_the_first_interrupts_and_the_rest_are_ignored_to_the_end(number):
    def block() -> None:
        with interrupted_once():
            try:
                os.kill(os.getpid(), number)
            finally:
                for again in INTERRUPTS:
                    os.kill(os.getpid(), again)

    with pytest.raises(KeyboardInterrupt):
        block()
    assert all(signal.getsignal(one) is signal.SIG_IGN for one in INTERRUPTS)


def test_without_an_interrupt_all_is_as_before(handlers):
    with interrupted_once():
        assert signal.getsignal(signal.SIGTERM) is not handlers[signal.SIGTERM]
    assert {number: signal.getsignal(number) for number in INTERRUPTS} == handlers


def test_what_nohup_ignores_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupted_once():
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_block_that_must_not_be_broken_into(handlers):
    with uninterrupted():
        for number in INTERRUPTS:
            os.kill(os.getpid(), number)
    assert {number: signal.getsignal(number) for number in INTERRUPTS} == handlers


def test_a_deferred_interrupt_comes_when_the_block_ends():
    steps = []

    def block() -> None:
        with interrupted_once(), interrupts_deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("not broken into")

    with pytest.raises(KeyboardInterrupt):
        block()
    assert steps == ["not broken into"]
    with interrupts_deferred():
        steps.append("nothing came")
