"""A long call into a library that does not listen to Ctrl-C, in a process that can be ended."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any


class ProcessDied(RuntimeError):
    """The process ended without an answer; the text says how."""


def run_killable(function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function`` in a process of its own and wait for it; an interrupt here ends that at once.

    Args:
        function: of a module, since the process imports it anew. It answers with its effects.
        arguments: can be pickled.

    Raises:
        ProcessDied: a signal ended it, the system's for too little memory perhaps.
        Exception: what ``function`` raised.
    """
    spawn = multiprocessing.get_context("spawn")
    answers, answering = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(answering, function, arguments), daemon=True)
    process.start()
    answering.close()  # the end of the process is the end of the pipe then
    try:
        failure = answers.recv()
        process.join()
    except EOFError:
        process.join()
        raise ProcessDied(_how_it_ended(process.exitcode)) from None
    finally:
        process.kill()
        process.join()
        answers.close()
    if failure is not None:
        raise failure


def _answer(answering: Connection, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """In the process: whoever waits for it ends it, and not the terminal."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        function(*arguments)
    except Exception as error:  # its caller is in the other process
        answering.send(error)
    else:
        answering.send(None)


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code} and without an answer"
    name = signal.Signals(-code).name
    hint = ", as the system does where memory is short" if -code == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"
