"""An executor in a thread of its own, which ends in order: first the thread, then what it waits on."""

from __future__ import annotations

import threading
from contextlib import suppress

import rclpy
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

SPIN_PERIOD_S = 0.1
"""How long the thread may take to notice that it is to end."""


class ExecutorThread:
    """Runs the services and timers of a node until closed.

    An executor or a context that is shut down while a thread waits in it may take the process with it: the
    wait goes on in memory that is freed.

    Args:
        node: whose callbacks run in the thread.
        context: the node's own.
        name: of the thread.
    """

    def __init__(self, node: Node, context: rclpy.Context, name: str) -> None:
        self._context = context
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(node)
        self._ending = threading.Event()
        self.failure: BaseException | None = None
        """What a callback raised; it ended the thread."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, then the executor; the node and its context are the caller's."""
        self._ending.set()
        self._thread.join()
        self._executor.shutdown(timeout_sec=1.0)

    def _run(self) -> None:
        try:
            while not self._ending.is_set() and self._context.ok():
                # Another thread may destroy a client or a subscription while the wait set is built. rclpy
                # looks for that in all it waits for but events; the next wait set is without it.
                with suppress(InvalidHandle):
                    self._executor.spin_once(timeout_sec=SPIN_PERIOD_S)
        except ExternalShutdownException:
            return
        except Exception as error:  # whoever waits for the callbacks must hear of it
            self.failure = error
