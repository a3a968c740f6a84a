"""The schedule of chunks that engine, camera and parameters of policy_node make for."""

from __future__ import annotations

import numpy as np

from svam_ros.cobot import CameraProfile, Cobot
from svam_ros.control.chunk_schedule import ScheduleSettings
from svam_ros.control.execution_mode import choose_mode
from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import PolicyParameters


def schedule_settings(
    parameters: PolicyParameters, engine: PolicyEngine, camera: CameraProfile, cobot: Cobot | None
) -> ScheduleSettings:
    """What the node's schedule runs with.

    The latency that the mode has to carry is that of the warm-up, on a frame that is as old as a frame gets.

    Args:
        parameters: of the node.
        engine: warm.
        camera: that it looks through.
        cobot: that the model is for; ``None`` for a model of another robot, whose joints nobody here knows.

    Raises:
        ValueError: model and robot step at different rates.
        ExecutionModeError: horizon and latency do not carry the mode that the parameters want.
    """
    if cobot is not None and abs(engine.step_s - cobot.control_period_s) > 1e-9:
        raise ValueError(
            f"model {engine.model_name} steps every {engine.step_s * 1e3:.0f} ms, "
            f"the robot every {cobot.control_period_s * 1e3:.0f} ms: they must agree"
        )
    step_ns, lead_ns = round(engine.step_s * 1e9), round(parameters.publish_lead_ms * 1e6)
    frame_period_ns = round(1e9 / camera.rate_hz)
    latency_ns = round(engine.forward_s * 1e9) + frame_period_ns + lead_ns
    return ScheduleSettings(
        mode=choose_mode(parameters.mode, engine.horizon, latency_ns, step_ns),
        horizon=engine.horizon,
        step_ns=step_ns,
        replan_steps=parameters.replan_steps,
        publish_lead_ns=lead_ns,
        older_weight=parameters.older_weight,
        is_arm_joint=np.zeros(0, np.bool_) if cobot is None else cobot.is_arm_joint,
        frame_period_ns=frame_period_ns,
        first_latency_ns=latency_ns,
    )
