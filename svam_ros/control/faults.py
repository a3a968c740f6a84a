"""Everything that can go wrong on the way to the arms, and what the guard does about each.

A :class:`Fault` is the only name for a fault: logs, diagnostics, counters and the docs all use its
member. Each carries its :class:`Reaction` and the sentence a person reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Reaction(Enum):
    """What follows from a fault, from mild to final."""

    REJECT = "reject"
    """The input is dropped and counted; the motion goes on as planned."""
    HOLD = "hold"
    """The arms brake within their limits and hold; motion resumes by a ramp when the cause is gone."""
    STOP = "stop"
    """The arms brake within their limits and stay; only an operator's engage starts motion again."""
    EXIT = "exit"
    """The process ends with an error, and whoever started it may start it anew; the guard brakes."""
    REFUSE = "refuse"
    """What was asked for does not begin; nothing has moved."""


class Fault(Enum):
    """One row of the fault table: what is wrong, and the guard's reaction."""

    CHUNK_MALFORMED = ("a chunk has the wrong shape, type or step index", Reaction.REJECT)
    CHUNK_NOT_FINITE = ("a chunk holds NaN or infinity", Reaction.REJECT)
    CHUNK_STEP_MISMATCH = ("a chunk's time step differs from the robot's control period", Reaction.REJECT)
    CHUNK_OUTSIDE_LIMITS = ("a chunk asks for positions far outside the joint limits", Reaction.REJECT)
    CHUNK_OUT_OF_ORDER = ("a chunk arrived twice or after a newer one", Reaction.REJECT)
    CHUNK_FROM_OTHER_RUN = ("a chunk comes from a policy run that has been replaced", Reaction.REJECT)
    CHUNK_FROM_FUTURE = ("a chunk's observation is stamped in the future", Reaction.REJECT)
    CHUNK_TOO_OLD = ("a chunk's observation is too old to act on", Reaction.REJECT)
    CHUNK_BEFORE_ENGAGE = ("a chunk's observation is older than the last engage", Reaction.REJECT)
    CHUNK_LATE = ("every step of a chunk was already past when it arrived", Reaction.REJECT)
    JOINT_STATES_MALFORMED = ("joint states have the wrong shape or hold NaN", Reaction.REJECT)
    JOINT_STATES_FROM_FUTURE = ("joint states are stamped in the future", Reaction.REJECT)
    CHUNKS_EXHAUSTED = ("no fresh chunk: the last one has been played to its end", Reaction.HOLD)
    POLICY_SILENT = ("the policy gives no sign of life", Reaction.HOLD)
    CHUNKS_UNUSABLE = ("chunk after chunk holds NaN or is none", Reaction.HOLD)
    CHUNKS_BROKEN = ("the policy sends nothing but broken chunks", Reaction.STOP)
    ARM_NOT_FOLLOWING = ("an arm does not go where it is told", Reaction.STOP)
    ARM_ENABLING = ("an arm's motors are being enabled", Reaction.HOLD)
    ARM_FAULTY = ("an arm reports that it cannot follow", Reaction.STOP)
    ARM_UNREACHABLE = ("set-points do not reach an arm", Reaction.STOP)
    SECOND_COMMANDER = ("somebody else commands the arms too", Reaction.STOP)
    FRAME_UNUSABLE = ("a camera frame cannot be read, or no joint states belong to it", Reaction.REJECT)
    FRAME_NOT_CURRENT = ("a camera frame's stamp is too old or in the future", Reaction.REJECT)
    INSTRUCTION_UNUSABLE = ("an instruction is empty, too long or holds control characters", Reaction.REJECT)
    PREDICTION_NOT_FINITE = ("the network predicted NaN or infinity", Reaction.REJECT)
    PREDICTION_LATE = ("every step of a prediction was past when it was made", Reaction.REJECT)
    CAMERA_SLOW = ("camera frames come too seldom, or not at all", Reaction.HOLD)
    CAMERA_FROZEN = ("the camera's pictures stay the same although the arms move", Reaction.HOLD)
    CAMERA_BLIND = ("the camera's pictures are black or white all over", Reaction.HOLD)
    INFERENCE_HUNG = ("a forward pass does not end", Reaction.EXIT)
    INFERENCE_FAILED = ("a forward pass failed", Reaction.EXIT)
    DEVICE_MEMORY_EXHAUSTED = ("the device has no memory for a forward pass", Reaction.EXIT)
    DEVICE_FAILED = ("the device failed in a forward pass, and is lost to this process", Reaction.EXIT)
    HEARS_NOBODY = ("the node hears nobody any more", Reaction.EXIT)
    JOINT_STATES_STALE = ("joint states are late", Reaction.HOLD)
    JOINT_STATES_LOST = ("no new joint states arrive any more", Reaction.STOP)
    CLOCK_JUMPED = ("ROS time jumped: stamps from before say nothing any more", Reaction.HOLD)
    GUARD_WAS_LATE = ("the guard was not run for longer than it can catch up", Reaction.HOLD)
    TARGET_NOT_FINITE = ("a joint target inside the guard is NaN or infinite", Reaction.HOLD)
    MOTION_NOT_COMPUTABLE = ("the next motion step could not be computed", Reaction.HOLD)
    ENGAGE_WITHOUT_JOINT_STATES = ("cannot engage: no fresh joint states", Reaction.REFUSE)
    ENGAGE_OUTSIDE_LIMITS = ("cannot engage: a joint stands outside its limits", Reaction.REFUSE)
    ENGAGE_BESIDE_ANOTHER_COMMANDER = ("cannot engage: somebody else commands the arms", Reaction.REFUSE)
    ENGAGE_WITH_FAULTY_ARM = ("cannot engage: an arm would not follow", Reaction.REFUSE)
    ENGAGE_WHILE_BRAKING = ("cannot engage: the arms are still braking", Reaction.REFUSE)

    def __init__(self, text: str, reaction: Reaction) -> None:
        self.text = text
        self.reaction = reaction


@dataclass(frozen=True)
class Finding:
    """One fault seen once, with what was got and what to do."""

    fault: Fault
    detail: str

    def __str__(self) -> str:
        return f"{self.fault.text}: {self.detail}"
