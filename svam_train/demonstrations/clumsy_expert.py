"""An expert that misjudges: it leads the arms where a half-trained policy would, before there is one.

Demonstrations alone show no way back: their arms are always where they should be, and a policy that has
missed a handle by a centimetre has never seen such a picture. Relabelling (DAgger) mends that, but needs a
policy first. This one stands in for it: an expert whose idea of where the objects are is off by some
centimetres and whose hand wanders, so that it misses, nudges and drops as policies do.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from svam_ros.cobot import load_robot_profile
from svam_ros.simulation.inverse_kinematics import UnreachableError
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import SimulatedRobot
from svam_ros.types import FloatArray, Horizon, Observation
from svam_train.demonstrations.recording_recipe import RecordingRecipe
from svam_train.demonstrations.smooth_noise import smooth_noise

MISJUDGED_BY_M = (0.0, 0.01, 0.02, 0.03)
"""Standard deviation of where it thinks that an object is, one of these for each scene: fingers and handles
forgive 1 cm, so that half of the attempts miss."""
MISJUDGED_BY_RAD = 0.15
"""Of how it thinks that an object is turned."""
WANDERS_BY_RAD = 0.06
"""Its hand wanders by up to this much, drawn for each scene."""
WANDERS_SLOWLY = 0.97
"""Correlation of that from one control step to the next: about a second."""
HORIZON_STEPS = 16
_BEAD = "bead"
"""Beads go with their cup: where they are taken to be changes no plan."""


class ClumsyExpert:
    """A :class:`svam_train.evaluation.policies.Policy` that knows the scene, and gets it wrong.

    Args:
        recipe: decides which kind of scene a seed means.
    """

    horizon = Horizon(HORIZON_STEPS, 8)

    def __init__(self, recipe: RecordingRecipe) -> None:
        self._recipe = recipe
        self._targets: FloatArray = np.empty((0, 0))
        self._step_ns = 1
        self._first_stamp_ns: int | None = None

    def start(self, task: str, seed: int) -> None:
        """Misjudge the scene, by its seed.

        Raises:
            UnreachableError: the objects are out of reach, wherever it takes them to be.
        """
        random = np.random.default_rng((seed, 6))
        shared = self._recipe.scene_kind(seed).shared
        robot = SimulatedRobot(task, seed, load_robot_profile(self._recipe.profile), shared=shared)
        plan = plan_demonstration(robot.simulation)
        spread_m = random.choice(MISJUDGED_BY_M)
        for body in (kind for kind in robot.simulation.kinds if kind != _BEAD):
            way_m, turn_rad = random.normal(0.0, spread_m, 2), random.normal(0.0, MISJUDGED_BY_RAD)
            robot.simulation.displace(body, (way_m[0], way_m[1]), turn_rad if spread_m else 0.0)
        with suppress(UnreachableError):
            plan = plan_demonstration(robot.simulation)
        wandering = random.uniform(0.0, WANDERS_BY_RAD) * smooth_noise(
            2 * len(plan), robot.cobot, random, WANDERS_SLOWLY
        )
        self._targets = plan[np.minimum(np.arange(len(wandering)), len(plan) - 1)] + wandering
        self._step_ns = round(robot.cobot.control_period_s * 1e9)
        self._first_stamp_ns = None

    def predict(self, observation: Observation, prefix: FloatArray | None) -> FloatArray:
        """``(16, 14)`` of its plan, by the clock."""
        if self._first_stamp_ns is None:
            self._first_stamp_ns = observation.stamp_ns
        step = round((observation.stamp_ns - self._first_stamp_ns) / self._step_ns)
        return self._targets[np.minimum(step + np.arange(HORIZON_STEPS), len(self._targets) - 1)]
