"""Recording: pictures, joints and targets belong together, and a second call has nothing to do."""

import dataclasses
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from svam_ros.cobot import load_robot_profile
from svam_ros.parameters import PolicyParameters
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import SimulatedRobot, stream_step
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.translation.preprocessing import image_to_network, prepare_observation
from svam_ros.types import CameraFrame
from svam_train.demonstrations import generate_demonstrations, record_demonstration
from svam_train.episodes.demonstration_files import demonstration_path, load_demonstration


@pytest.fixture(scope="module")
def lift(recorded):
    return load_demonstration(demonstration_path(recorded[0], "lift_pot", 0))


def test_every_attempt_is_told_and_kept(recorded):
    folder, attempts = recorded
    assert [task for task, _, success in attempts if success] == ["lift_pot", "place_to_pot"]
    assert len(list(folder.glob("*.npz"))) == 2


def test_a_second_call_has_nothing_to_do(recorded, coarse_recipe):
    counts = {"lift_pot": 1, "place_to_pot": 1}
    assert list(generate_demonstrations(recorded[0], counts, coarse_recipe, workers=1)) == []


def test_another_recipe_in_the_same_folder_is_refused(recorded, coarse_recipe):
    other = dataclasses.replace(coarse_recipe, noise_rad=0.5)
    with pytest.raises(ValueError, match="use another folder"):
        next(generate_demonstrations(recorded[0], {"lift_pot": 5}, other, workers=1))


def test_targets_are_the_experts_without_the_noise_that_was_executed(lift, coarse_recipe):
    plan = plan_demonstration(CobotSimulation("lift_pot", 0))
    np.testing.assert_allclose(lift.targets[: len(plan)], plan, atol=1e-6)
    assert len(lift.targets) == len(plan) + coarse_recipe.hold_steps
    # measured joints follow the disturbed set-points: close to the targets, but not on them
    measured, commanded = lift.joints[-1], lift.targets[-1]
    arm = [i for i in range(14) if i not in (6, 13)]
    assert 1e-3 < np.abs(measured - commanded)[arm].max() < 0.15


def test_tensors_are_those_of_the_live_path_and_of_the_physics(coarse_recipe):
    """What is learnt from row ``k`` is what policy_node would have given the network, and nothing else."""
    recipe = dataclasses.replace(coarse_recipe, noise_shares=(0.0,))
    with FrontCamera() as camera:
        lift = record_demonstration("lift_pot", 0, recipe, camera, camera)
    robot = SimulatedRobot("lift_pot", 0, load_robot_profile(coarse_recipe.profile))
    assembler = ObservationAssembler(PolicyParameters().max_joint_age_ms)
    targets = plan_demonstration(CobotSimulation("lift_pot", 0))
    reports, before, row = robot.report(), robot.cobot.home, 0
    with FrontCamera() as camera:
        for step, target in enumerate(targets[: 2 * coarse_recipe.stride + 1]):
            rgb, stamp_ns = camera.render(robot.snapshot()), robot.now_ns
            measured = robot.simulation.arm_state().positions
            reports += stream_step(robot, before, target)
            before = target
            for arm, reading in reports:
                assembler.add_reading(arm, reading)
            reports = []
            if step % coarse_recipe.stride == 0:
                live = assembler.observe(CameraFrame(rgb, stamp_ns), "lift the pot")
                given = prepare_observation(live, coarse_recipe.image)
                np.testing.assert_array_equal(lift.joints[row], measured.astype(np.float32))
                np.testing.assert_array_equal(lift.joints[row], given.joints)
                np.testing.assert_array_equal(image_to_network(lift.images[row]), given.image)
                row += 1
    assert row == 3
    assert np.abs(lift.joints[2] - lift.joints[0]).max() > 0.01


def test_joint_states_that_are_too_old_for_the_node_are_not_learnt_from(coarse_recipe):
    """Recording asks the node's assembler, here with a limit that no state can keep."""
    strict = dataclasses.replace(coarse_recipe, max_joint_age_ms=-1.0)
    with FrontCamera() as camera, pytest.raises(ValueError, match="11 of 11 pictures have no joint states"):
        record_demonstration("lift_pot", 0, strict, camera, camera)


def test_depth_and_classes_belong_to_the_scene(lift):
    np.testing.assert_allclose(lift.segments.sum(axis=-1), 1.0, atol=0.01)
    pot = lift.segments[0, :, :, int(SceneClass.POT)]
    assert 0.005 < pot.mean() < 0.2
    assert lift.segments[..., int(SceneClass.CUBE)].max() == 0.0
    # the lifted pot is nearer to the camera than the standing one
    last = lift.segments[-1, :, :, int(SceneClass.POT)]
    assert lift.depth[-1][last > 0.9].mean() < lift.depth[0][pot > 0.9].mean() - 0.03


def test_workers_end_when_the_recording_is_killed(tmp_path):
    arguments = ["demonstrations", "--folder", str(tmp_path), "--lift-pot", "90", "--workers", "1"]
    command = [sys.executable, "-m", "svam_train.cli", *arguments]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as recording:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("*.npz")) and time.monotonic() < deadline:
            time.sleep(0.1)
        workers = psutil.Process(recording.pid).children(recursive=True)
        recording.kill()
    assert workers
    assert list(tmp_path.glob("*.npz"))
    _, alive = psutil.wait_procs(workers, timeout=10)
    for worker in alive:
        worker.kill()
    assert alive == []
