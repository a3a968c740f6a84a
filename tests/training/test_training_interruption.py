"""Signals: the first is remembered, the second acts as ever."""

import signal
import threading

import pytest

from svam_train.training.interruption import Interrupted, watched_signals


def test_the_first_signal_is_remembered_and_the_second_acts(capsys):
    with watched_signals() as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.signal_number == signal.SIGINT
        assert "a second time ends at once" in capsys.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_do_what_they_did():
    before = signal.getsignal(signal.SIGTERM)
    with watched_signals() as interruption:
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert interruption.signal_number == 0


def test_in_another_thread_nothing_is_watched():
    seen = []

    def watch():
        with watched_signals() as interruption:
            seen.append((interruption.signal_number, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [(0, signal.getsignal(signal.SIGINT))]


def test_the_exit_code_is_the_shell_s():
    assert Interrupted(signal.SIGINT).code == 130
