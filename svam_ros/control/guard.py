"""The state machine between chunks and arms: engage, ramp, follow, hold, stop.

One object for both arms, so they start, hold and stop together. It reads no clock and starts no thread:
its caller hands in steady time, and calls everything from one thread.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.control.approach_ramp import ApproachRamp
from svam_ros.control.arm_conditions import ArmConditions
from svam_ros.control.chunk_curve import Reference
from svam_ros.control.chunk_streak import ChunkStreak
from svam_ros.control.chunk_timeline import ChunkTimeline
from svam_ros.control.clocks import NS_PER_MS, NS_PER_S, TickClock
from svam_ros.control.coming_to_rest import ComingToRest
from svam_ros.control.commander_watch import CommanderWatch
from svam_ros.control.faults import Fault, Finding, Reaction
from svam_ros.control.guard_activity import GuardActivity
from svam_ros.control.guard_state import MOVING, Command, GuardState, GuardStatus, WayToRest
from svam_ros.control.joint_state_watch import JointStateWatch
from svam_ros.control.motion_limiter import MotionLimiter
from svam_ros.control.policy_watch import PolicyWatch
from svam_ros.control.settings import GuardSettings
from svam_ros.control.step_counter import StepCounter
from svam_ros.control.tracking_watch import TrackingWatch
from svam_ros.types import ActionChunk, ArmReading, FloatArray

__all__ = ["Command", "Guard", "GuardSettings", "GuardState", "GuardStatus"]

WAITING_REASON = "waiting for a chunk"
OPERATOR_REASON = "an operator asked to hold"


class Guard:
    """Decides, tick by tick, what both arms are told.

    Args:
        cobot: joints and limits.
        settings: rates, ages, tolerances.
    """

    def __init__(self, cobot: Cobot, settings: GuardSettings) -> None:
        self._cobot = cobot
        self._settings = settings
        self._lookahead_ns = round(settings.lookahead_ms * NS_PER_MS)
        self._ahead_ns = round(settings.commit_ahead_ms * NS_PER_MS)
        self._arm_joints = cobot.is_arm_joint
        self._timeline = ChunkTimeline(cobot, settings)
        self._joints = JointStateWatch(cobot, settings)
        self._tracking = TrackingWatch(cobot, settings)
        self._streak = ChunkStreak(settings)
        self._commanders = CommanderWatch()
        self.conditions = ArmConditions()
        """What the output hears from the arms, beside their joints."""
        restart_after_ns = round(settings.restart_after_ms * NS_PER_MS)
        self._clock = TickClock(settings.tick_period_ns, settings.catch_up_periods, restart_after_ns)
        self._steps = StepCounter(round(cobot.control_period_s * NS_PER_S))
        self._limiter: MotionLimiter | None = None
        self.set_points: list[Command] = []
        """Of the last tick: a late one owes several, of which it gives the last."""
        self._state = GuardState.IDLE
        self._fault: Fault | None = None
        self._reason = ""
        self._held_by_operator = False
        self._owes_first_command = False
        self._ramp = ApproachRamp(settings, cobot.is_arm_joint)
        self._rest = ComingToRest(settings)
        self._activity = GuardActivity(cobot.is_arm_joint)
        self._late_ticks = 0
        self._faults: Counter[Fault] = Counter()
        self.policy = PolicyWatch(self._faults)
        """Whether who sends the chunks is alive."""

    # -- what operators ask for --------------------------------------------------------------------

    def engage(self, now_ns: int) -> list[Finding]:
        """Begin to follow chunks whose observations are made from now on.

        From ``IDLE`` and ``STOPPED`` the first command is the measured pose. A hold that an operator
        asked for is released; engaging when engaged changes nothing.

        Returns:
            Why it is refused; empty when engaged.
        """
        if self._state in MOVING or (self._state is GuardState.HOLDING and not self._held_by_operator):
            return []
        if self._state is GuardState.HOLDING:
            self._welcome_chunks(now_ns)
            return []
        findings = self._joints.obstacles_to_engage(now_ns)
        findings += self._commanders.obstacles_to_engage(now_ns) + self.conditions.obstacles_to_engage()
        if self._limiter is not None and not self._limiter.at_rest:
            findings.append(Finding(Fault.ENGAGE_WHILE_BRAKING, "ask again when they are at rest"))
        self._faults.update(finding.fault for finding in findings)
        measured = self._joints.positions
        if not findings and measured is not None:
            # While a resting pose is still repeated after a stop, the arms are held there: the measured
            # pose beside it (gravity, backlash) would be a jump of the command.
            if self._limiter is None:
                period_s = self._settings.tick_period_ns / NS_PER_S
                self._limiter = MotionLimiter(self._cobot.limits, period_s, measured)
                self._owes_first_command = True
                self._clock.start(max(now_ns + self._ahead_ns, self._clock.last_due_ns))
            self._welcome_chunks(now_ns)
        return findings

    def hold(self) -> None:
        """Brake and hold until :meth:`engage`; without effect where the guard is not engaged."""
        if self._state in MOVING or self._state is GuardState.HOLDING:
            self._held_by_operator = True
            self._timeline.close()
            self._steps.pause()
            self._become(GuardState.HOLDING, None, OPERATOR_REASON)

    def stop(self, reason: str, fault: Fault | None = None) -> None:
        """Brake and stay until :meth:`engage`; the first reason stands, with the fault that it is told as."""
        self._stop(fault, reason)

    # -- what comes in -----------------------------------------------------------------------------

    def submit(self, chunk: ActionChunk, ros_to_steady_ns: int, now_ns: int) -> Finding | None:
        """Take a chunk in.

        Args:
            chunk: as it arrived, in the order of ``cobot.joint_names``; anything may be wrong with it.
            ros_to_steady_ns: add this to a ROS stamp to get steady time.
            now_ns: steady time.

        Returns:
            ``None``, or why the chunk was rejected; the motion goes on without it.
        """
        committed_ns = self._clock.last_due_ns + self._lookahead_ns
        finding = self._timeline.accept(chunk, ros_to_steady_ns, now_ns, committed_ns)
        self._judge_chunk(finding)
        return finding

    def refuse(self, finding: Finding) -> None:
        """A message was no chunk, or no joint state, at all: it counts among the refused ones."""
        self._judge_chunk(finding)

    def observe_arm(
        self, arm: str, reading: ArmReading, ros_to_steady_ns: int, now_ns: int
    ) -> Finding | None:
        """Take the measured joints of one arm in.

        They count as fresh for as long as their stamp is, and only when it is newer than the arm's last.

        Args:
            arm: ``"left"`` or ``"right"``.
            reading: as it arrived; anything may be wrong with it.
            ros_to_steady_ns: add this to a ROS stamp to get steady time.
            now_ns: steady time.

        Returns:
            ``None``, or why they were rejected; rejected ones do not count as having arrived.
        """
        return self._counted(self._joints.observe(arm, reading, ros_to_steady_ns, now_ns))

    def sent(self, stamp_ns: int) -> None:
        """Set-points were sent with this stamp: they are ours when they come by."""
        self._commanders.sent(stamp_ns)

    def observe_command(self, arm: str, stamp_ns: int, now_ns: int) -> None:
        """A set-point came by on the command topic of ``arm``; a foreign one stops the arms.

        The guard cannot keep the arms from following it: it ends its own part of the fight.
        """
        finding = self._commanders.heard(arm, stamp_ns, now_ns)
        if finding is not None and self._state is not GuardState.IDLE:
            self._stop(finding.fault, str(finding))

    def clock_jumped(self, by_s: float, now_ns: int) -> None:
        """ROS time has jumped: nothing stamped before can be compared with what comes.

        The chunks in use are given up and the arms hold, until one comes whose observation is newer.
        """
        finding = Finding(Fault.CLOCK_JUMPED, f"by {by_s:+.3f} s")
        self._joints.excuse(now_ns)
        if self._state in MOVING or (self._state is GuardState.HOLDING and not self._held_by_operator):
            self._timeline.open(now_ns)
            self._hold_for(finding.fault, str(finding))
        else:
            self._counted(finding)

    # -- what goes out -----------------------------------------------------------------------------

    def tick(self, now_ns: int) -> Command | None:
        """Compute the set-point that is due; ``None`` where nothing is to be sent.

        Never raises: what cannot be computed becomes braking.
        """
        if self._limiter is None:
            return None
        owed = self._clock.advance(now_ns + self._ahead_ns)
        self._late_ticks += int(owed.late)
        if owed.restarted:
            # Nothing was sent for so long that the arms stand where what was sent has led them.
            way = self._limiter.way_to_rest(1.0).positions
            self._limiter.restart(way[-1] if self._ahead_ns else self._limiter.state.positions)
            self._tracking.restart()
            self._joints.excuse(now_ns)
            self._hold_for(Fault.GUARD_WAS_LATE, Fault.GUARD_WAS_LATE.text)
        stale = self.conditions.worst(self._joints.check(now_ns))
        if stale and stale.fault.reaction is Reaction.STOP:
            self._stop(stale.fault, str(stale))
        self._stop_where_arms_do_not_follow(self._limiter, now_ns)
        self.set_points = []
        for due_ns in owed.due_ns:
            if self._ahead_ns and due_ns <= now_ns and not owed.restarted:
                # Too late to be sent: the arms were on the way to rest that was sent before.
                self._limiter.brake()
                self._hold_for(Fault.GUARD_WAS_LATE, Fault.GUARD_WAS_LATE.text)
            elif (command := self._step(self._limiter, due_ns, stale)) is not None:
                self.set_points.append(command)
            else:
                break
        return self.set_points[-1] if self.set_points else None

    def way_to_rest(self, spacing_s: float) -> WayToRest | None:
        """How the arms stop behind the last set-point; ``None`` where nothing is sent."""
        return None if self._limiter is None else self._limiter.way_to_rest(spacing_s)

    def status(self, now_ns: int) -> GuardStatus:
        """State, reasons and counters; the arms may still follow what a policy sent before it fell silent."""
        silence = self.policy.silence if self._state in MOVING else None
        return GuardStatus(
            state=self._state,
            reason=str(silence) if silence else self._reason,
            fault=silence.fault if silence else self._fault,
            at_rest=self._limiter is None or self._limiter.at_rest,
            commanding=self._limiter is not None,
            joint_state_age_ms=self._joints.age_ms(now_ns),
            chunks_accepted=self._timeline.chunks_accepted,
            steps_executed=self._steps.executed,
            steps_stalled=self._steps.stalled,
            active_s=self._steps.seconds,
            steps_clamped=self._timeline.steps_clamped,
            late_ticks=self._late_ticks,
            ticks_followed=self._activity.followed,
            ticks_limited=self._activity.limited,
            faults=dict(self._faults),
        )

    @property
    def measured(self) -> FloatArray | None:
        """``(14,)`` newest measured joints; ``None`` before both arms have reported."""
        return self._joints.positions

    # -- within a tick -----------------------------------------------------------------------------

    def _step(self, limiter: MotionLimiter, due_ns: int, stale: Finding | None) -> Command | None:
        is_first, self._owes_first_command = self._owes_first_command, False
        path = None if is_first else self._permitted(due_ns, stale)
        if path is not None:
            self._follow(limiter, path, due_ns)
        elif not is_first:
            self._rest.step(limiter)
        self._tracking.commanded(due_ns, limiter.state.positions)
        fresh = self._state in MOVING
        self._steps.count(due_ns, fresh)
        if self._state is GuardState.STOPPED and self._rest.is_over(limiter, due_ns):
            self._limiter = None
            self._tracking.restart()
            return None
        age_ms = (due_ns - path.observed_ns) / NS_PER_MS if fresh and path is not None else None
        return Command(limiter.state.positions, limiter.state.velocities, due_ns, self._state, fresh, age_ms)

    def _stop_where_arms_do_not_follow(self, limiter: MotionLimiter, now_ns: int) -> None:
        """Stop where the arms are measured: braking would press on. Grippers keep what they hold."""
        measured = self._joints.positions
        finding = self._tracking.check(measured, now_ns)
        if finding is not None and measured is not None and self._state is not GuardState.STOPPED:
            self._stop(finding.fault, str(finding))
            self._rest.aim_at(np.where(self._arm_joints, measured, limiter.state.positions))

    def _permitted(self, due_ns: int, stale: Finding | None) -> Reference | None:
        """What the chunks say, if it may be followed; otherwise ``None``, and the arms hold for a cause."""
        reference = self._timeline.reference(due_ns + self._lookahead_ns)
        if self._held_by_operator:
            self._hold_for(None, OPERATOR_REASON)
        elif stale is not None:
            self._hold_for(stale.fault, str(stale))
        elif (unusable := self._streak.verdict()) is not None:
            self._hold_for(unusable.fault, str(unusable))
        elif reference is not None and reference.fresh:
            return reference
        elif (silence := self.policy.silence) is not None:
            self._hold_for(silence.fault, str(silence))
        elif self._state in MOVING:
            self._hold_for(Fault.CHUNKS_EXHAUSTED, Fault.CHUNKS_EXHAUSTED.text)
        elif self._fault is not Fault.CHUNKS_EXHAUSTED:
            self._hold_for(None, WAITING_REASON)
        return None

    def _follow(self, limiter: MotionLimiter, reference: Reference, due_ns: int) -> None:
        if self._state is GuardState.HOLDING:
            self._ramp.begin(due_ns, limiter.state.positions, reference.positions)
            self._become(GuardState.RAMPING, None, "")
        limiter.limit_speed(1.0 if self._state is GuardState.FOLLOWING else self._ramp.speed_share(due_ns))
        fault = limiter.track(reference.positions, reference.velocities)
        if fault is not None:
            self._hold_for(fault, fault.text)
        elif self._state is GuardState.FOLLOWING:
            self._activity.count(limiter.state.positions, reference.positions)
        elif self._ramp.arrives(limiter.state.positions, reference.positions):
            self._become(GuardState.FOLLOWING, None, "")

    def _judge_chunk(self, finding: Finding | None) -> None:
        self._streak.count(self._counted(finding))
        verdict = self._streak.verdict()
        if verdict and verdict.fault.reaction is Reaction.STOP and self._state is not GuardState.IDLE:
            self._stop(verdict.fault, str(verdict))

    # -- transitions -------------------------------------------------------------------------------

    def _welcome_chunks(self, now_ns: int) -> None:
        """Hold, and follow what is observed from now on; carefully at first, as after any engage."""
        self._held_by_operator = False
        self._ramp.restart()
        self._rest.restart()
        self._streak.restart()
        self._timeline.open(now_ns)
        self._become(GuardState.HOLDING, None, WAITING_REASON)

    def _become(self, state: GuardState, fault: Fault | None, reason: str) -> None:
        if fault is not None and fault not in (self._fault, Fault.POLICY_SILENT):
            self._faults[fault] += 1  # a silence was counted when it began
        self._state, self._fault, self._reason = state, fault, reason

    def _hold_for(self, fault: Fault | None, reason: str) -> None:
        if self._state is not GuardState.STOPPED:
            self._become(GuardState.HOLDING, fault, reason)

    def _stop(self, fault: Fault | None, reason: str) -> None:
        if self._state is not GuardState.STOPPED:
            self._timeline.close()
            self._steps.pause()
            self._become(GuardState.STOPPED, fault, reason)

    def _counted(self, finding: Finding | None) -> Finding | None:
        if finding is not None:
            self._faults[finding.fault] += 1
        return finding
