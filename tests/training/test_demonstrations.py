"""Recording: pictures, joints and targets belong together, and a second call has nothing to do."""

import dataclasses
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.translation.preprocessing import prepare_image
from svam_train.demonstration_files import demonstration_path, load_demonstration
from svam_train.demonstrations import generate_demonstrations, stream_step


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


def test_pictures_are_what_the_network_would_be_given(lift, coarse_recipe):
    simulation = CobotSimulation("lift_pot", 0)
    with FrontCamera() as camera:
        first = prepare_image(camera.render(simulation.snapshot()), coarse_recipe.image)
    np.testing.assert_array_equal(lift.images[0], first)
    np.testing.assert_allclose(lift.joints[0], simulation.arm_state().positions, atol=1e-6)


def test_depth_and_classes_belong_to_the_scene(lift):
    np.testing.assert_allclose(lift.segments.sum(axis=-1), 1.0, atol=0.01)
    pot = lift.segments[0, :, :, int(SceneClass.POT)]
    assert 0.005 < pot.mean() < 0.2
    assert lift.segments[..., int(SceneClass.CUBE)].max() == 0.0
    # the lifted pot is nearer to the camera than the standing one
    last = lift.segments[-1, :, :, int(SceneClass.POT)]
    assert lift.depth[-1][last > 0.9].mean() < lift.depth[0][pot > 0.9].mean() - 0.03


def test_a_step_streams_four_set_points_and_stays_inside_the_limits():
    simulation = CobotSimulation("lift_pot", 0)
    home, limits = simulation.cobot.home, simulation.cobot.limits
    accepted = {arm: driver.accepted for arm, driver in simulation.drivers.items()}
    stream_step(simulation, home, home + 100.0)
    assert simulation.time_s == pytest.approx(0.04)
    assert {arm: d.accepted - accepted[arm] for arm, d in simulation.drivers.items()} == {
        "left": 4,
        "right": 4,
    }
    assert np.all(simulation.arm_state().positions <= limits.upper + 0.05)


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
