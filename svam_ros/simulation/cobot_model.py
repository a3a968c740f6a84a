"""The two arms as a MuJoCo model: published kinematics, primitive shapes, position servos."""

from __future__ import annotations

from typing import Any

import numpy as np

from svam_ros.cobot import Cobot
from svam_ros.simulation import palette
from svam_ros.simulation.arm_kinematics import ARM_BASES_M, FLANGE_TO_GRASP_M, PIPER_ROWS, link_transform
from svam_ros.simulation.collision_bits import COLLISION_BITS
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.types import FloatArray

SERVO_LAG_S = 0.045
"""How far a joint runs behind a moving set-point: real Piper joints lag by 30 to 60 ms."""

_SERVO_STIFFNESS = (600.0, 600.0, 600.0, 200.0, 200.0, 120.0)
_SERVO_TORQUE_LIMIT = (60.0, 60.0, 60.0, 25.0, 25.0, 15.0)
_LINK_MASSES_KG = (0.7, 1.2, 0.7, 0.4, 0.4, 0.3)
_FINGER_MASS_KG = 0.04
_FINGER_STIFFNESS = 1500.0
_FINGER_FORCE_LIMIT_N = 25.0

# Where the next joint lies in the frame of the upper arm, the forearm and the wrist: their shapes end there.
_ELBOW = (PIPER_ROWS[2].a_m, 0.0, 0.0)
_WRIST = (PIPER_ROWS[3].a_m, -PIPER_ROWS[3].d_m, 0.0)
_FLANGE = (0.0, -PIPER_ROWS[5].d_m, 0.0)


class ArmBuilder:
    """Adds one arm to a model specification."""

    def __init__(self, spec: Any, arm: str, cobot: Cobot) -> None:
        self._spec = spec
        self._arm = arm
        self._limits = cobot.limits
        self._slice = cobot.arm_slice(arm)
        self._names = cobot.joint_names[self._slice]

    def add(self) -> None:
        """Base, six links, gripper, their joints and actuators."""
        base = self._spec.worldbody.add_body(name=f"{self._arm}_base", pos=ARM_BASES_M[self._arm])
        self._cylinder(base, (0, 0, 0.0), (0, 0, 0.022), 0.075, palette.GRAPHITE)
        self._cylinder(base, (0, 0, 0.022), (0, 0, 0.085), 0.052, palette.SHELL)
        self._ring(base, (0, 0, 0.03), (0, 0, 0.04), 0.0535)
        body = base
        for index in range(len(PIPER_ROWS)):
            body = self._add_link(body, index)
            self._add_shape(body, index)
        self._add_gripper(body)
        body.add_site(
            name=f"{self._arm}_grasp", pos=(0.0, 0.0, FLANGE_TO_GRASP_M), size=(0.002, 0, 0), group=4
        )

    def _add_link(self, parent: Any, index: int) -> Any:
        frame = link_transform(PIPER_ROWS[index])
        body = parent.add_body(
            name=f"{self._arm}_link{index + 1}",
            pos=frame[:3, 3],
            quat=_quaternion(frame[:3, :3]),
            gravcomp=1.0,
        )
        entry = self._slice.start + index
        body.add_joint(
            name=self._names[index],
            type=mujoco.mjtJoint.mjJNT_HINGE,
            axis=(0, 0, 1),
            range=(self._limits.lower[entry], self._limits.upper[entry]),
            limited=1,
            armature=0.05,
            damping=(0.3, 0.0, 0.0),
        )
        stiffness = _SERVO_STIFFNESS[index]
        _add_servo(
            self._spec, self._names[index], stiffness, _SERVO_TORQUE_LIMIT[index], stiffness * SERVO_LAG_S
        )
        return body

    def _add_shape(self, body: Any, index: int) -> None:
        shapes = (
            self._shoulder,
            self._upper_arm,
            self._forearm,
            self._wrist_roll,
            self._wrist_pitch,
            self._flange,
        )
        shapes[index](body)
        solid = [geom for geom in body.geoms if geom.contype]
        for geom in solid:
            geom.mass = _LINK_MASSES_KG[index] / len(solid)

    def _shoulder(self, body: Any) -> None:
        self._cylinder(body, (0, 0, -0.038), (0, 0, 0.0), 0.05, palette.GRAPHITE)
        self._capsule(body, (0, -0.035, 0.0), (0, 0.035, 0.0), 0.048, palette.SHELL)

    def _upper_arm(self, body: Any) -> None:
        self._ring(body, (0, 0, -0.062), (0, 0, 0.062), 0.036)
        self._capsule(body, (0.0, 0.0, 0.0), _ELBOW, 0.036, palette.SHELL)
        self._decoration(body, (0.11, 0, 0), (0.17, 0, 0), 0.0375, palette.GRAPHITE)

    def _forearm(self, body: Any) -> None:
        self._decoration(body, (0, 0, -0.046), (0, 0, 0.046), 0.041, palette.GRAPHITE)
        self._ring(body, (0, 0, -0.05), (0, 0, 0.05), 0.03)
        self._capsule(body, (0.0, 0.0, 0.0), tuple(0.72 * np.array(_WRIST)), 0.031, palette.SHELL)

    def _wrist_roll(self, body: Any) -> None:
        self._cylinder(body, (0, 0, -0.075), (0, 0, 0.0), 0.029, palette.GRAPHITE)
        self._ring(body, (0, 0, -0.072), (0, 0, -0.06), 0.0302)

    def _wrist_pitch(self, body: Any) -> None:
        self._capsule(body, (0, 0, -0.018), (0, 0, 0.018), 0.03, palette.SHELL)
        self._cylinder(body, (0, 0, 0), tuple(0.75 * np.array(_FLANGE)), 0.026, palette.GRAPHITE)

    def _flange(self, body: Any) -> None:
        self._cylinder(body, (0, 0, -0.022), (0, 0, 0.008), 0.03, palette.SHELL)
        self._ring(body, (0, 0, -0.012), (0, 0, -0.002), 0.0312)

    def _add_gripper(self, flange: Any) -> None:
        self._box(flange, (0, 0, 0.03), (0.026, 0.05, 0.022), palette.GRAPHITE)
        self._plate(flange, (0, 0, 0.03), (0.0268, 0.034, 0.016), palette.ACCENTS[self._arm])
        gripper = self._names[-1]
        half_opening = self._limits.upper[self._slice.stop - 1] / 2.0
        for side, joint in ((1.0, gripper), (-1.0, f"{gripper}_mirror")):
            finger = flange.add_body(name=f"{joint}_finger", gravcomp=1.0)
            finger.add_joint(
                name=joint,
                type=mujoco.mjtJoint.mjJNT_SLIDE,
                axis=(0, side, 0),
                range=(0.0, half_opening),
                limited=1,
                armature=0.2,
                damping=(2.0, 0.0, 0.0),
            )
            self._finger_shapes(finger, side)
        self._spec.add_equality(
            type=mujoco.mjtEq.mjEQ_JOINT,
            name1=f"{gripper}_mirror",
            name2=gripper,
            data=[0.0, 1.0, *[0.0] * 10],
            objtype=mujoco.mjtObj.mjOBJ_JOINT,
        )
        _add_servo(self._spec, gripper, _FINGER_STIFFNESS, _FINGER_FORCE_LIMIT_N, 60.0)

    def _finger_shapes(self, finger: Any, side: float) -> None:
        """A slim finger whose inner face lies at the joint's zero, with a high-friction pad."""
        stem = self._box(finger, (0, side * 0.008, 0.085), (0.011, 0.006, 0.03), palette.FINGER)
        stem.mass = _FINGER_MASS_KG / 2
        pad = self._box(finger, (0, side * 0.0045, 0.1225), (0.0115, 0.0045, 0.0165), palette.FINGER)
        pad.mass = _FINGER_MASS_KG / 2
        pad.condim = 4
        pad.friction = (2.5, 0.05, 0.001)
        pad.solref = (0.006, 1.0)
        self._plate(finger, (0, side * 0.0045, 0.137), (0.0117, 0.0047, 0.002), palette.ACCENTS[self._arm])

    def _solid(self, geom: Any) -> Any:
        geom.contype, geom.conaffinity = COLLISION_BITS[self._arm]
        return geom

    def _capsule(self, body: Any, start: Any, end: Any, radius: float, colour: palette.Colour) -> Any:
        return self._solid(_stretched(body, mujoco.mjtGeom.mjGEOM_CAPSULE, start, end, radius, colour))

    def _cylinder(self, body: Any, start: Any, end: Any, radius: float, colour: palette.Colour) -> Any:
        return self._solid(_stretched(body, mujoco.mjtGeom.mjGEOM_CYLINDER, start, end, radius, colour))

    def _decoration(self, body: Any, start: Any, end: Any, radius: float, colour: palette.Colour) -> None:
        _stretched(body, mujoco.mjtGeom.mjGEOM_CYLINDER, start, end, radius, colour)

    def _ring(self, body: Any, start: Any, end: Any, radius: float) -> None:
        self._decoration(body, start, end, radius, palette.ACCENTS[self._arm])

    def _box(self, body: Any, centre: Any, half_size: Any, colour: palette.Colour) -> Any:
        return self._solid(self._plate(body, centre, half_size, colour))

    def _plate(self, body: Any, centre: Any, half_size: Any, colour: palette.Colour) -> Any:
        return body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_BOX,
            pos=centre,
            size=half_size,
            rgba=colour,
            contype=0,
            conaffinity=0,
            mass=0.0,
        )


def _stretched(body: Any, kind: Any, start: Any, end: Any, radius: float, colour: palette.Colour) -> Any:
    return body.add_geom(
        type=kind, fromto=(*start, *end), size=(radius, 0, 0), rgba=colour, contype=0, conaffinity=0, mass=0.0
    )


def _add_servo(spec: Any, joint: str, stiffness: float, force_limit: float, damping: float) -> None:
    spec.add_actuator(
        name=joint,
        target=joint,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        gaintype=mujoco.mjtGain.mjGAIN_FIXED,
        biastype=mujoco.mjtBias.mjBIAS_AFFINE,
        gainprm=[stiffness, *[0.0] * 9],
        biasprm=[0.0, -stiffness, -damping, *[0.0] * 7],
        forcerange=(-force_limit, force_limit),
        forcelimited=1,
    )


def _quaternion(rotation: FloatArray) -> FloatArray:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.flatten())
    return quaternion
