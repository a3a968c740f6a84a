"""An engine without a network: known motions and known faults, for tests and for trying a robot out."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, fields
from typing import Literal, get_args, get_type_hints

import numpy as np

from svam_ros.cobot import Cobot, load_cobot
from svam_ros.engines.observation_checks import check_prefix
from svam_ros.engines.policy_engine import DeviceFailed, DeviceMemoryExhausted, Prediction
from svam_ros.profiling.stage_timer import StageTimer
from svam_ros.types import FloatArray, Horizon, Observation

MotionKind = Literal["hold", "home", "sine"]
FaultKind = Literal["none", "nan", "jump", "slow", "error", "out_of_memory", "device"]


@dataclass(frozen=True)
class ScriptedMotion:
    """What a scripted engine does, observation after observation.

    Raises:
        ValueError: a number is out of its range.
    """

    motion: MotionKind = "hold"
    """``hold`` the first observed pose, go to ``home`` at once, or swing around the first observed pose
    as a ``sine``."""
    joints: tuple[int, ...] = (0, 7)
    """Joints that swing, as indices into the 14-vector; all others stay at the first observed pose."""
    amplitude: float = 0.1
    """Of the swing, rad (m for grippers)."""
    period_s: float = 4.0
    """Of the swing, on the clock of the observations' stamps."""
    fault: FaultKind = "none"
    """``nan`` in one entry, a ``jump`` of every step by ``jump_by``, a ``slow`` pass, or one that ends in an
    ``error``, ``out_of_memory`` or ``device``."""
    fault_after: int = 0
    """Predictions that are sound before the fault begins."""
    fault_on: str = ""
    """Instruction under which alone the fault is there; empty: under each."""
    jump_by: float = 1.0
    """Rad (m for grippers), on the swinging joints."""
    slow_ms: float = 0.0
    """How much longer a faulty pass takes."""
    pred_horizon: int = 16
    exec_horizon: int = 8
    longest_prefix: int = 0
    """Steps of a committed chunk that a prediction may be asked to begin with."""

    def __post_init__(self) -> None:
        if not all(0 <= joint < 14 for joint in self.joints):
            raise ValueError(f"joints must be indices from 0 to 13, got {self.joints}")
        if not 1 <= self.exec_horizon <= self.pred_horizon:
            raise ValueError(
                f"exec_horizon {self.exec_horizon} must be 1 to pred_horizon {self.pred_horizon}"
            )
        if not 0 <= self.longest_prefix <= min(self.exec_horizon, self.pred_horizon - self.exec_horizon):
            raise ValueError(
                f"longest_prefix {self.longest_prefix} must be 0 to exec_horizon {self.exec_horizon}, and at "
                f"most pred_horizon {self.pred_horizon} less that"
            )
        if self.period_s <= 0 or self.slow_ms < 0 or self.fault_after < 0:
            raise ValueError("period_s must be above 0, slow_ms and fault_after not below 0")


def parse_motion(description: str) -> ScriptedMotion:
    """Read ``"motion=sine joints=0,7 amplitude=0.2 fault=nan fault_after=20"``; all parts are optional.

    A text without any ``=``, such as the name of a model, describes no motion: the arms are held.

    Raises:
        ValueError: an unknown key, or a value that does not fit; the text lists what is allowed.
    """
    if "=" not in description:
        return ScriptedMotion()
    hints = get_type_hints(ScriptedMotion)
    values: dict[str, object] = {}
    for part in description.split():
        key, separator, text = part.partition("=")
        if not separator or key not in hints:
            known = ", ".join(field.name for field in fields(ScriptedMotion))
            raise ValueError(f"scripted motion: '{part}' is not key=value with one of {known}")
        values[key] = _parse_value(key, text, hints[key])
    return ScriptedMotion(**values)  # type: ignore[arg-type]  # _parse_value went by the fields' types


def _parse_value(key: str, text: str, kind: object) -> object:
    try:
        if kind in (int, float):
            return int(text) if kind is int else float(text)
        if kind is str:
            return text
        if kind == tuple[int, ...]:
            return tuple(int(item) for item in text.split(",") if item)
    except ValueError as error:
        raise ValueError(f"scripted motion: {key}='{text}' is no number") from error
    if text not in get_args(kind):
        raise ValueError(f"scripted motion: {key}='{text}', allowed is {' | '.join(get_args(kind))}")
    return text


class ScriptedEngine:
    """Predicts the motion of a :class:`ScriptedMotion`.

    The joints of the first observation are kept as the pose to hold or to swing around. Following the
    newest ones instead would creep: arms sag below their targets, and every chunk would start lower.
    """

    name = "scripted"

    def __init__(self, motion: ScriptedMotion, cobot: Cobot | None = None) -> None:
        self._motion = motion
        self._cobot = cobot or load_cobot()
        self.model_name = f"scripted {motion.motion}"
        self.horizon = Horizon(motion.pred_horizon, motion.exec_horizon, motion.longest_prefix)
        always_slow = motion.fault == "slow" and motion.fault_after == 0 and not motion.fault_on
        self.forward_s = motion.slow_ms / 1e3 if always_slow else 0.0
        self.step_s = self._cobot.control_period_s
        self._predictions = 0
        self._base: FloatArray | None = None

    def warm_up(self) -> None:
        """Nothing to warm up."""

    def set_instruction(self, text: str) -> None:
        """Every instruction is understood; the motion is the same for all."""

    def infer(self, observation: Observation, prefix: FloatArray | None = None) -> Prediction:
        """The next ``pred_horizon`` targets of the motion, as of the observation's stamp."""
        check_prefix(prefix, self.horizon.longest_prefix, len(self._cobot.joint_names))
        timer = StageTimer()
        motion = self._motion
        faulty = self._predictions >= motion.fault_after and motion.fault_on in ("", observation.instruction)
        self._predictions += 1
        with timer.stage("action_expert"):
            actions = self._targets(observation)
            if prefix is not None:
                actions[: len(prefix)] = prefix
            if faulty and motion.fault == "slow":
                time.sleep(motion.slow_ms / 1e3)
            elif faulty and motion.fault == "error":
                raise RuntimeError("the scripted fault: a forward pass failed")
            elif faulty and motion.fault == "out_of_memory":
                raise DeviceMemoryExhausted("the scripted fault: no memory for a forward pass")
            elif faulty and motion.fault == "device":
                raise DeviceFailed("the scripted fault: the device failed")
            elif faulty and motion.fault == "nan":
                actions[self.horizon.pred // 2, 0] = np.nan
            elif faulty and motion.fault == "jump":
                actions[:, list(motion.joints)] += motion.jump_by
        frame = observation.frame.rgb.tobytes() + observation.arms.positions.tobytes()
        return Prediction(actions, timer.durations_ms(), hashlib.sha256(frame).hexdigest()[:16])

    def close(self) -> None:
        """Nothing to free."""

    def _targets(self, observation: Observation) -> FloatArray:
        """``(pred_horizon, 14)``; step ``i`` is due ``(i + 1) * step_s`` after the stamp."""
        if self._base is None:
            self._base = observation.arms.positions.copy()
        base = self._cobot.home if self._motion.motion == "home" else self._base
        targets = np.tile(base, (self.horizon.pred, 1))
        if self._motion.motion == "sine":
            due_s = observation.stamp_ns / 1e9 + self.step_s * np.arange(1, self.horizon.pred + 1)
            swing = self._motion.amplitude * np.sin(2 * np.pi * due_s / self._motion.period_s)
            targets[:, list(self._motion.joints)] += swing[:, None]
        return targets
