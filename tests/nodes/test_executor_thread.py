"""Callbacks in a thread that ends in order, however busy it is."""

from __future__ import annotations

import threading
import time

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from support.fake_cobot import wait_for

from svam_ros.nodes.executor_thread import ExecutorThread


def test_it_runs_timers_and_can_be_closed_at_any_moment(ros_domain):
    for turn in range(20):
        context = rclpy.Context()
        rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
        node = Node("busy", context=context)
        ticks = []
        node.create_timer(0.001, lambda ticks=ticks: ticks.append(1))
        thread = ExecutorThread(node, context, "busy")
        wait_for(lambda ticks=ticks: ticks, 10.0, "a tick")
        time.sleep(0.002 * turn)
        thread.close()
        assert thread.failure is None
        assert not any(one.name == "busy" for one in threading.enumerate())
        node.destroy_node()
        context.try_shutdown()


def test_what_a_callback_raises_ends_the_thread_and_is_kept(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("broken", context=context)

    def fail() -> None:
        raise RuntimeError("injected")

    node.create_timer(0.01, fail)
    thread = ExecutorThread(node, context, "broken")
    wait_for(lambda: thread.failure is not None, 10.0, "the failure")
    assert str(thread.failure) == "injected"
    thread.close()
    node.destroy_node()
    context.try_shutdown()
