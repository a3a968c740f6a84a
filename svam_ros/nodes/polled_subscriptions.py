"""Subscriptions that are read at a fixed pace instead of waking the executor for every message.

rclpy's executor builds a new wait set for every wake-up, 0.2 to 0.4 ms with the entities of a node; two
arms at 200 Hz alone are 400 wake-ups a second. A control loop needs what has arrived once a cycle, so
these subscriptions are left out of the executor and emptied by :meth:`PolledSubscriptions.poll`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import CallbackGroup, MutuallyExclusiveCallbackGroup
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.qos import QoSProfile

POLL_PERIOD_S = 0.005
EVENT_PERIOD_S = 5.0
EVENT_WINDOW_S = 0.15
"""Longer than an executor of ours waits, so that what was waited for is handled while the window is open."""


class _LeftOutOfExecutors(CallbackGroup):
    """A callback group none of whose entities an executor may run."""

    def can_execute(self, entity: Any) -> bool:
        """Never."""
        del entity
        return False

    def beginning_execution(self, entity: Any) -> bool:
        """Never."""
        del entity
        return False

    def ending_execution(self, entity: Any) -> None:
        """Nothing was begun."""


class _LookedAtNowAndThen(CallbackGroup):
    """A callback group whose entities an executor may run for a short while every few seconds.

    Whatever waits for an event of a subscription is woken by its unread messages too (rmw_fastrtps attaches
    the reader's one status condition for both). As long as something waits to be polled, which at 200 Hz is
    nearly always, an executor with the events in its wait set never sleeps: 3,500 wait sets and three
    quarters of a core were what `svam demo` spent on it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._opened_s = -math.inf

    def can_execute(self, entity: Any) -> bool:
        """Whether a window is open."""
        del entity
        now_s = time.monotonic()
        if now_s - self._opened_s >= EVENT_PERIOD_S:
            self._opened_s = now_s
        return now_s - self._opened_s < EVENT_WINDOW_S

    def beginning_execution(self, entity: Any) -> bool:
        """Whenever it was chosen."""
        del entity
        return True

    def ending_execution(self, entity: Any) -> None:
        """Nothing was held."""


@dataclass(frozen=True)
class _Polled:
    subscription: Any
    callback: Callable[[Any], None]
    depth: int


class PolledSubscriptions:
    """A set of subscriptions of one node, emptied by whoever calls :meth:`poll`."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._new_groups()
        self._polled: tuple[_Polled, ...] = ()

    def subscribe(
        self,
        kind: type,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile,
        raw: bool = False,
        events: SubscriptionEventCallbacks | None = None,
    ) -> None:
        """Add a subscription; ``callback`` runs in the thread that polls.

        Args:
            kind: message class.
            topic: its name.
            callback: gets the message, or its bytes with ``raw``.
            qos: ``depth`` messages at most wait between two polls.
            raw: hand over the serialised bytes.
            events: told by the executor as soon as it looks, at the price named above: for a topic of few
                messages. Without them an incompatible quality of service is told within seconds.
        """
        subscription = self._node.create_subscription(
            kind, topic, callback, qos, callback_group=self._group, raw=raw, event_callbacks=events
        )
        group = self._events if events is None else self._prompt_events
        for handler in subscription.event_handlers:
            handler.callback_group = group
            group.add_entity(handler)
        self._polled = (*self._polled, _Polled(subscription, callback, max(1, qos.depth)))

    def poll(self) -> None:
        """Hand everything that has arrived to its callback, subscription by subscription."""
        for polled in self._polled:
            for _ in range(polled.depth):
                message = _take(polled.subscription)
                if message is None:
                    break
                polled.callback(message)

    def close(self) -> None:
        """Destroy the subscriptions."""
        doomed, self._polled = self._polled, ()
        for polled in doomed:
            self._node.destroy_subscription(polled.subscription)
        self._new_groups()

    def _new_groups(self) -> None:
        """A callback group of rclpy keeps a trace of every entity that it ever had: none outlives its own."""
        self._group, self._events = _LeftOutOfExecutors(), _LookedAtNowAndThen()
        self._prompt_events = MutuallyExclusiveCallbackGroup()


class PollingThread:
    """Polls at a fixed pace until closed, for receivers without a loop of their own."""

    def __init__(self, polled: PolledSubscriptions, period_s: float = POLL_PERIOD_S) -> None:
        self._polled = polled
        self._period_s = period_s
        self._ending = threading.Event()
        self.failure: BaseException | None = None
        """What ended the thread against its will."""
        self._thread = threading.Thread(target=self._run, name="polling", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread, then the subscriptions."""
        self._ending.set()
        self._thread.join()
        self._polled.close()

    def _run(self) -> None:
        try:
            while not self._ending.wait(self._period_s):
                self._polled.poll()
        except Exception as error:  # whoever waits for the messages must hear of it
            self.failure = error


def _take(subscription: Any) -> Any:
    try:
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    except InvalidHandle:  # destroyed meanwhile
        return None
    return None if taken is None else taken[0]
