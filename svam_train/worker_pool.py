"""Worker processes that draw: spawned, deaf to Ctrl-C, and gone when their parent is."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import Any


@contextmanager
def worker_pool(workers: int, start: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Processes for the block; at its end what was not begun is dropped.

    Args:
        workers: how many.
        start: called once in each, with ``arguments``; both have to be picklable.
        arguments: for ``start``.
    """
    context = get_context("spawn")  # an OpenGL context does not survive a fork
    pool = ProcessPoolExecutor(workers, context, _start_worker, (start, arguments))
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker(start: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """The parent alone hears Ctrl-C; the worker ends when the parent is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    start(*arguments)
