from __future__ import annotations

import numpy as np
import pytest

from svam_ros.cobot import ARM_NAMES, load_cobot
from svam_ros.simulation.arm_kinematics import grasp_pose
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.inverse_kinematics import GraspTarget, UnreachableError, grasp_rotation, solve
from svam_ros.simulation.mujoco_loading import mujoco


def random_joints(rng) -> np.ndarray:
    limits = load_cobot().limits
    return rng.uniform(limits.lower, limits.upper)


def test_the_mujoco_model_is_the_product_of_the_published_rows():
    simulation = CobotSimulation("lift_pot", 0)
    rng = np.random.default_rng(1)
    for _ in range(50):
        joints = random_joints(rng)
        for arm in ARM_NAMES:
            row = simulation.cobot.arm_slice(arm)
            for name, angle in zip(simulation.cobot.joint_names[row][:6], joints[row], strict=False):
                simulation.data.joint(name).qpos = angle
        mujoco.mj_kinematics(simulation.model, simulation.data)
        for arm in ARM_NAMES:
            pose = grasp_pose(arm, joints[simulation.cobot.arm_slice(arm)][:6])
            site = simulation.data.site(f"{arm}_grasp")
            np.testing.assert_allclose(site.xpos, pose[:3, 3], atol=1e-9)
            np.testing.assert_allclose(site.xmat.reshape(3, 3), pose[:3, :3], atol=1e-9)


def test_the_arm_stretched_to_the_ceiling_is_as_long_as_its_parts():
    upright = np.deg2rad([0.0, 172.22 - 90.0, 102.78 - 270.0, 0.0, 0.0, 0.0])
    parts = [0.123, 0.28503, 0.25075, 0.091, 0.125]
    np.testing.assert_allclose(grasp_pose("left", upright)[:3, 3], [-0.02198, 0.29, sum(parts)], atol=1e-9)


def test_limits_of_the_model_are_the_calibrations():
    simulation = CobotSimulation("lift_pot", 0)
    limits, cobot = simulation.cobot.limits, simulation.cobot
    for index, name in enumerate(cobot.joint_names):
        share = 0.5 if index in cobot.gripper_indices else 1.0
        allowed = np.array([limits.lower[index], limits.upper[index]]) * share
        np.testing.assert_allclose(simulation.model.joint(name).range, allowed)


@pytest.mark.parametrize("arm", ARM_NAMES)
def test_inverse_kinematics_reaches_the_work_area_inside_the_limits(arm):
    cobot = load_cobot()
    row = cobot.arm_slice(arm)
    lower, upper, home = cobot.limits.lower[row][:6], cobot.limits.upper[row][:6], cobot.home[row][:6]
    side = 1.0 if arm == "left" else -1.0
    for x in (0.28, 0.37, 0.44):
        for y in (0.04, 0.16, 0.25):
            target = GraspTarget(np.array([x, side * y, 0.05]), grasp_rotation(-0.1 * side, np.deg2rad(65)))
            joints = solve(arm, [target], home, lower, upper)
            assert np.all((lower <= joints) & (joints <= upper))
            pose = grasp_pose(arm, joints)
            np.testing.assert_allclose(pose[:3, 3], target.position_m, atol=1e-3)
            np.testing.assert_allclose(pose[:3, 2], target.rotation[:, 2], atol=1e-2)
            assert abs(pose[:3, 1] @ target.rotation[:, 1]) > 0.999


def test_what_is_out_of_reach_is_said_to_be():
    cobot = load_cobot()
    far = GraspTarget(np.array([1.5, 0.0, 0.1]), grasp_rotation(0.0, 1.0))
    with pytest.raises(UnreachableError, match="left arm reaches none of 1"):
        solve("left", [far], cobot.home[:6], cobot.limits.lower[:6], cobot.limits.upper[:6])


@pytest.mark.parametrize("tilt_deg", [30.0, 65.0])
def test_a_solution_is_never_half_a_turn_off(tilt_deg):
    cobot = load_cobot()
    row = cobot.arm_slice("right")
    lower, upper, home = (values[row][:6] for values in (cobot.limits.lower, cobot.limits.upper, cobot.home))
    target = GraspTarget(np.array([0.44, -0.26, 0.1]), grasp_rotation(0.06, np.deg2rad(tilt_deg)))
    reference = np.array([0.06, home[1], home[2], 0.0, 0.2, 0.0])
    pose = grasp_pose("right", solve("right", [target], reference, lower, upper))
    np.testing.assert_allclose(pose[:3, 2], target.rotation[:, 2], atol=0.01)
    assert abs(pose[:3, 1] @ target.rotation[:, 1]) == pytest.approx(1.0, abs=1e-3)
