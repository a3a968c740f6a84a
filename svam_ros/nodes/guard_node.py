"""guard_node: the only process that commands the arms. No torch, no GPU, nothing that can stall it.

A managed node: *configure* reads parameters, profile and limits and listens to the arms; *activate* lets an
operator engage, and moves nothing; *deactivate* brakes, and is done when the arms are at rest and nothing is
sent any more; *cleanup* closes everything. With ``autostart`` it configures and activates itself. On SIGINT
or SIGTERM the arms brake first, then the process ends.
"""

from __future__ import annotations

import gc
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import Trigger

from svam_ros import graph
from svam_ros.bringup.exit_codes import ENDED_IN_ORDER, FAILED, HEARS_NOBODY
from svam_ros.bringup.reach import strangers_warning
from svam_ros.control.faults import Finding
from svam_ros.control.guard import GuardState
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.guard_session import GuardSession
from svam_ros.nodes.message_conversion import status_message
from svam_ros.nodes.node_main import hearing_lost, run_node
from svam_ros.nodes.real_time import apply_real_time
from svam_ros.nodes.ros_parameters import declare_parameters, read_parameters
from svam_ros.nodes.transitions import failing_aloud
from svam_ros.parameters import GuardParameters, RealTimeParameters, describe

SHUTDOWN_PATIENCE_S = 1.0
"""Braking from full speed takes half of this; after it the process ends in any case."""

IDLE_PERIOD_S = 0.01
"""Between two cycles of a node that is not configured: it only answers."""

TELL_PERIOD_S = 1.0
"""How often a node that is not configured says so on ``/diagnostics``."""

_BEFORE_ENGAGE = {
    "unconfigured": "configure and activate it first",
    "inactive": "activate it first",
    "finalized": "start its process anew",
}
"""What an operator has to do with a node in this state."""


class GuardNode(LifecycleNode):
    """The lifecycle node; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__(graph.GUARD_NODE)
        self._session: GuardSession | None = None
        self._refusal: Exception | None = None
        self._finalized = False
        self._told_to_end = False
        self._deafness: Finding | None = None
        self._ending_since: float | None = None
        declare_parameters(self, GuardParameters, self._fixed_parameters)
        parameters = read_parameters(self, GuardParameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, graph.DIAGNOSTICS_TOPIC, qos.STATUS)
        # Of the node's whole life: who asks in the wrong state is told so.
        self.create_service(Trigger, graph.ENGAGE_SERVICE, self._on_engage)
        self.create_service(Trigger, graph.HOLD_SERVICE, self._on_hold)
        self.create_service(Trigger, graph.STOP_SERVICE, self._on_stop)
        self.create_timer(TELL_PERIOD_S, self._tell_what_is_missing)
        self._real_time = apply_real_time(parameters)
        if self._real_time:
            self.get_logger().info(f"real time: {self._real_time}")
        if warning := strangers_warning():
            self.get_logger().warning(warning)
        self._is_starting = parameters.autostart
        if parameters.autostart:
            self._lead_itself()

    def _lead_itself(self) -> None:
        """Configure and activate.

        Raises:
            Exception: what keeps the node from being configured.
        """
        self.trigger_configure()
        if self._refusal is not None:
            raise self._refusal
        self.trigger_activate()
        self._is_starting = False

    # -- lifecycle ------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read parameters, profile and limits, open everything; nothing is commanded."""
        self._refusal = None
        try:
            parameters = read_parameters(self, GuardParameters)
            self._session = GuardSession(self, parameters, self._diagnostics, self._real_time)
        except Exception as error:  # rclpy would swallow it, and nobody would know why
            self._refusal = error
            if not self._is_starting:  # otherwise the process ends by it, with the same sentence
                self.get_logger().error(f"cannot configure: {error}")
                self._tell_what_is_missing()
            return TransitionCallbackReturn.FAILURE
        # Collecting a young heap takes microseconds; all that rclpy has loaded, milliseconds.
        gc.collect()
        gc.freeze()
        self.get_logger().info(f"configured: {self._session.summary}")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Let an operator engage."""
        assert self._session is not None
        self._session.is_active = True
        self.get_logger().info("active; not engaged")
        return super().on_activate(state)

    @failing_aloud
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake; refused where the arms do not come to rest in time, and then they go on braking."""
        assert self._session is not None
        if not self._brake(self._session, "the guard was deactivated"):
            self.get_logger().error("still active: the arms are not at rest yet; they brake, ask again")
            return TransitionCallbackReturn.FAILURE
        self._session.is_active = False
        self.get_logger().info("inactive")
        return super().on_deactivate(state)

    @failing_aloud
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close everything: back to unconfigured."""
        self._close_session()
        return super().on_cleanup(state)

    @failing_aloud
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Brake, and close everything for good."""
        self._brake_and_close("the guard was shut down")
        self._finalized = True
        return super().on_shutdown(state)

    @failing_aloud
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition has failed half way: brake, close everything, back to unconfigured."""
        self._brake_and_close("a transition failed")
        return super().on_error(state)

    def _brake(self, session: GuardSession, reason: str) -> bool:
        """Whether the arms came to rest, and the guard to silence, in time.

        rclpy asks for the outcome when a transition's callback returns, and runs no cycle before: so the
        cycles that brake run in here, at their pace. The resting pose is repeated until the guard is silent
        by itself, as after every stop. Whoever asks for something meanwhile is answered afterwards.
        """
        if session.is_silent:
            return True
        session.stop(reason, reason)
        next_cycle_s = time.monotonic()
        deadline_s = next_cycle_s + SHUTDOWN_PATIENCE_S + session.settings.stop_silence_ms / 1e3
        while not session.is_silent and time.monotonic() < deadline_s:
            next_cycle_s = max(next_cycle_s + self.cycle_period_s, time.monotonic())
            time.sleep(max(0.0, next_cycle_s - time.monotonic()))
            self.cycle()
        return session.is_silent

    def _brake_and_close(self, reason: str) -> None:
        if self._session is not None and not self._brake(self._session, reason):
            self.get_logger().error(f"{reason}, and the arms were not at rest in time")
        self._close_session()

    def _close_session(self) -> None:
        session, self._session = self._session, None
        # What was frozen is never collected: not even the remains of what is closed here.
        gc.unfreeze()
        if session is not None:
            session.close()

    # -- process --------------------------------------------------------------------------------

    @property
    def cycle_period_s(self) -> float:
        """Time between two calls of :meth:`cycle`."""
        return IDLE_PERIOD_S if self._session is None else 1.0 / self._session.settings.tick_rate_hz

    def request_shutdown(self) -> None:
        """SIGINT or SIGTERM: the next cycle brakes; the process ends when the arms are at rest.

        Called from a signal handler, between any two lines of a cycle: so it only leaves a note.
        """
        self._told_to_end = True

    def on_hearing_lost(self) -> None:
        """Neither stop calls nor joint states arrive any more: the next cycle brakes."""
        self._deafness = hearing_lost()
        self.get_logger().fatal(str(self._deafness))
        self._told_to_end = True

    def finished(self) -> int | None:
        """Exit code once the arms are at rest, or a second after the brake when they are not."""
        if self._ending_since is None:
            return None
        if self._session is None or self._session.at_rest:
            return HEARS_NOBODY if self._deafness is not None else ENDED_IN_ORDER
        return FAILED if time.monotonic() - self._ending_since > SHUTDOWN_PATIENCE_S else None

    def release(self) -> None:
        """Close everything; what the black box holds is kept."""
        self._close_session()

    def cycle(self) -> None:
        """What is to be done now: see :meth:`GuardSession.cycle`."""
        if self._told_to_end and self._ending_since is None:
            self._ending_since = time.monotonic()
            if self._session is not None and self._deafness is not None:
                self._session.stop(str(self._deafness), "hears nobody", self._deafness.fault)
            elif self._session is not None:
                self._session.stop("the guard was told to end", "the process was told to end")
        if self._session is not None:
            self._session.cycle()

    def on_internal_error(self, error: Exception) -> None:
        """A service or timer failed: the guard stays, and brakes."""
        if self._session is not None:
            self._session.brake_after("a service or timer", error)
        else:
            self.get_logger().error(f"internal error on a service or timer: {error!r}")

    # -- operators ------------------------------------------------------------------------------

    def _on_engage(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._session is None or not self._session.is_active:
            state = self._lifecycle()
            refusals = [f"the guard is {state}: {_BEFORE_ENGAGE[state]}"]
        else:
            refusals = self._session.engage()
        response.success = not refusals
        response.message = "; ".join(refusals) or "engaged"
        self.get_logger().info(f"engage: {response.message}")
        return response

    def _on_hold(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        state = GuardState.IDLE if self._session is None else self._session.hold()
        response.success = state is GuardState.HOLDING
        response.message = (
            "holding until engaged again" if response.success else f"nothing to hold: {state.value}"
        )
        return response

    def _on_stop(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = True
        if self._session is None:
            response.message = f"nothing is commanded: the guard is {self._lifecycle()}"
        else:
            self._session.stop("an operator asked to stop", "stop asked for")
            response.message = "stopped until engaged again"
        self.get_logger().info("stop: an operator asked")
        return response

    # -- the rest -------------------------------------------------------------------------------

    def _lifecycle(self) -> str:
        if self._session is not None:
            return "active" if self._session.is_active else "inactive"
        return "finalized" if self._finalized else "unconfigured"

    def _tell_what_is_missing(self) -> None:
        """On ``/diagnostics``, where no session tells how it is."""
        if self._session is not None:
            return
        state = self._lifecycle()
        text = f"cannot configure: {self._refusal}" if self._refusal is not None else state
        level = DiagnosticStatus.WARN if self._refusal is None else DiagnosticStatus.ERROR
        values = {"lifecycle": state, "fault": "", "found": "", "real_time": self._real_time}
        now_ns = int(self.get_clock().now().nanoseconds)
        self._diagnostics.publish(status_message(graph.GUARD_NODE, text, values, now_ns, level))

    def _fixed_parameters(self) -> frozenset[str]:
        """The guard never changes while it is configured, and what its process asked Linux for never."""
        if self._session is not None:
            return frozenset(description.name for description in describe(GuardParameters))
        return frozenset(description.name for description in describe(RealTimeParameters)) | {"autostart"}


def main() -> int:
    """Entry point of the executable ``guard_node``."""
    return run_node(GuardNode)


if __name__ == "__main__":
    raise SystemExit(main())
