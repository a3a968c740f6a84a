"""Transitions of managed nodes that do not fail in silence."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

Transition = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def failing_aloud(transition: Transition) -> Transition:
    """Log what a transition of a node raises: rclpy makes an error of it without a word."""

    @wraps(transition)
    def told(node: Any, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__} failed: {error!r}")
            raise

    return told
