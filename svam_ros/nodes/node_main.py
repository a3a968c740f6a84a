"""How every node's process starts, spins and ends.

Exit codes: 0 after SIGINT or SIGTERM, 2 when the node refused to start (one sentence on stderr),
1 when something failed while it ran.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from svam_ros.bringup.supervisor import PARENT_VARIABLE

REFUSED_TO_START = 2
_PR_SET_PDEATHSIG = 1


class RunnableNode(Protocol):
    """What :func:`run_node` needs of a node beside being one."""

    def request_shutdown(self) -> None:
        """SIGINT or SIGTERM came: bring motion to rest, then make :meth:`finished` true."""

    def finished(self) -> int | None:
        """The exit code once the process may end, ``None`` before."""

    def release(self) -> None:
        """Stop threads and free devices."""


def run_node(make_node: Callable[[], Node]) -> int:
    """Create the node, spin it in a single-threaded executor, end it in order.

    The single-threaded executor is the fast one in rclpy: the multi-threaded one loses messages at
    camera rate, and the events executor of the wheels does not return from ``spin``.
    """
    _end_with_parent()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    try:
        try:
            node = make_node()
        except (ValueError, OSError, ImportError) as error:
            print(f"{error}", file=sys.stderr)
            return REFUSED_TO_START
        return _spin_until_finished(node)
    finally:
        rclpy.try_shutdown()


def _spin_until_finished(node: Node) -> int:
    runnable: RunnableNode = node

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        runnable.request_shutdown()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while (code := runnable.finished()) is None:
            executor.spin_once(timeout_sec=0.05)
        return code
    except ExternalShutdownException:
        return 0
    finally:
        runnable.release()
        executor.remove_node(node)
        node.destroy_node()


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the process that started us dies, if it wants that."""
    parent = os.environ.get(PARENT_VARIABLE, "")
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != parent:
        os.kill(os.getpid(), signal.SIGTERM)
