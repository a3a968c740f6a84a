"""How every node's process starts, spins and ends.

Exit codes are those of ``svam_ros.bringup.exit_codes``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn, Protocol

import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor, TimeoutException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from svam_ros.bringup.exit_codes import REFUSED_TO_START
from svam_ros.bringup.shared_memory_health import OwnPort, close_shared_memory, port_is_lost
from svam_ros.bringup.supervisor import PARENT_VARIABLE
from svam_ros.control.faults import Fault, Finding

_PR_SET_PDEATHSIG = 1


EXECUTOR_PERIOD_S = 0.01
"""Services and timers are looked at a hundred times a second; each look costs 0.2 to 0.4 ms."""


CALLBACKS_A_LOOK = 2
"""A service call never waits behind more than one timer."""


HEARING_TRIES = 5
"""A port is lost in the milliseconds in which it is made: seldom once, never five times."""
TRIES_VARIABLE = "SVAM_HEARING_TRIES"

PORT_SETTLES_S = 0.1
"""Neighbours that still send to a dead node look at its port at the rate of their topics."""


class DeafNodeError(RuntimeError):
    """The node would be found by others and hear none of them, however often it was made anew."""


def hearing_lost() -> Finding:
    """What a node says of itself whose port is lost."""
    return Finding(
        Fault.HEARS_NOBODY, "another process has deleted its port in shared memory; it ends, start it anew"
    )


class RunnableNode(Protocol):
    """What :func:`run_node` needs of a node beside being one."""

    cycle_period_s: float
    """Time between two calls of :meth:`cycle`."""

    def cycle(self) -> None:
        """Poll what has arrived and do the periodic work."""

    def request_shutdown(self) -> None:
        """SIGINT or SIGTERM came: bring motion to rest, then make :meth:`finished` true."""

    def on_hearing_lost(self) -> None:
        """Nobody is heard any more: bring motion to rest, then end with ``exit_codes.HEARS_NOBODY``."""

    def finished(self) -> int | None:
        """The exit code once the process may end, ``None`` before."""

    def on_internal_error(self, error: Exception) -> None:
        """A service or timer raised ``error``. Raise it where the process is to end by it."""

    def release(self) -> None:
        """Stop threads and free devices."""


def run_node(make_node: Callable[[], Node]) -> int:
    """Create the node, run its cycle at its pace and its services beside it, end it in order.

    Services and timers run in the single-threaded executor, the fast one in rclpy: the multi-threaded
    one loses messages at camera rate, and the events executor of the wheels does not return from
    ``spin``. Streams of messages are polled in the cycle (``polled_subscriptions``).
    """
    _end_with_parent()
    try:
        try:
            node = _make_hearing_node(make_node)
        except (ValueError, OSError, ImportError, DeafNodeError) as error:
            print(f"{error}", file=sys.stderr)
            return REFUSED_TO_START
        return _spin_until_finished(node)
    finally:
        rclpy.try_shutdown()


def _make_hearing_node(make_node: Callable[[], Node]) -> Node:
    """The node; where its port in shared memory was lost the process begins anew."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = make_node()
    time.sleep(PORT_SETTLES_S)
    if port_is_lost():
        runnable: RunnableNode = node
        runnable.release()
        node.destroy_node()
        rclpy.shutdown()
        _begin_anew()
    return node


def _begin_anew() -> NoReturn:
    """The same program in the same process, from its start: Fast DDS stumbles over what it left behind.

    Raises:
        DeafNodeError: it was begun often enough.
    """
    tries = int(os.environ.get(TRIES_VARIABLE, "1"))
    if tries >= HEARING_TRIES:
        raise DeafNodeError(
            f"other processes have deleted this node's port in shared memory {tries} times, so that it "
            f"would hear nobody: end all ROS processes, then run 'rm /dev/shm/fastdds_*'"
        )
    print("this node's port in shared memory was deleted by another process: beginning anew", file=sys.stderr)
    sys.stderr.flush()
    close_shared_memory()
    os.environ[TRIES_VARIABLE] = str(tries + 1)
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - our own command line


def _spin_until_finished(node: Node) -> int:
    runnable: RunnableNode = node

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        runnable.request_shutdown()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    port, hears = OwnPort(), True
    try:
        next_cycle_s = next_look_s = time.monotonic()
        while (code := runnable.finished()) is None:
            time.sleep(max(0.0, next_cycle_s - time.monotonic()))
            # A cycle that was missed is not made up for: the next one does what is due then.
            next_cycle_s = max(next_cycle_s + runnable.cycle_period_s, time.monotonic())
            runnable.cycle()
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + EXECUTOR_PERIOD_S
                _look(executor, runnable)
                if hears and port.is_lost():
                    hears = False
                    runnable.on_hearing_lost()
        return code
    except ExternalShutdownException:
        return 0
    finally:
        runnable.release()
        executor.remove_node(node)
        node.destroy_node()


def _look(executor: SingleThreadedExecutor, runnable: RunnableNode) -> None:
    """Let services and timers run that are due.

    Not with ``spin_once``, which does not tell that nothing was due: a second look would cost as much again.
    """
    try:
        for _ in range(CALLBACKS_A_LOOK):
            callback, _entity, _node = executor.wait_for_ready_callbacks(timeout_sec=0.0)
            callback()
            callback.result()  # raises what the callback raised
    except TimeoutException:
        return
    except ExternalShutdownException:
        raise
    except Exception as error:
        runnable.on_internal_error(error)


def _end_with_parent() -> None:
    """Ask Linux for SIGTERM when the process that started us dies, if it wants that."""
    parent = os.environ.get(PARENT_VARIABLE, "")
    if not parent:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != parent:
        os.kill(os.getpid(), signal.SIGTERM)
