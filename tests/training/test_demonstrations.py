"""Recording: pictures, joints and targets belong together, and a second call has nothing to do."""

import dataclasses
import json
import subprocess
import sys
import time
from typing import get_args, get_type_hints

import numpy as np
import psutil
import pytest

from svam_ros.cobot import load_robot_profile
from svam_ros.networks.presets import PRESETS as NETWORKS
from svam_ros.parameters import PolicyParameters
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.simulation.simulated_robot import SimulatedRobot, stream_step
from svam_ros.translation.observation import ObservationAssembler
from svam_ros.translation.preprocessing import image_to_network, prepare_observation
from svam_ros.types import CameraFrame
from svam_train.commands.demonstrations import Demonstrations
from svam_train.demonstrations.generation import generate_demonstrations, missing_demonstrations
from svam_train.demonstrations.recorded_scene import Cameras
from svam_train.demonstrations.recording_recipe import RECORDING, recipe_of, recording_for
from svam_train.demonstrations.scripted import record_demonstration
from svam_train.episodes.demonstration_files import demonstration_path
from svam_train.episodes.episode_files import open_episode_file
from svam_train.episodes.scene_seeds import RELABELLING_SEEDS_FROM
from svam_train.episodes.scene_truth import MOVABLE
from svam_train.recipes import actions, autoencoder, decouplers, teachers, video


@pytest.fixture(scope="module")
def lift(recorded):
    """As it was recorded, with all of its rows in memory."""
    episode = open_episode_file(demonstration_path(recorded[0], "lift_pot", 0))
    lazy = ("images", "depth", "segments", "points")
    return dataclasses.replace(
        episode, **{name: getattr(episode, name)[np.arange(len(episode))] for name in lazy}
    )


def test_every_attempt_is_told_and_kept(recorded):
    folder, attempts = recorded
    assert [task for task, _, success in attempts if success] == ["lift_pot", "place_to_pot"]
    assert len(list(folder.glob("*.npz"))) == 2


def test_a_second_call_has_nothing_to_do(recorded, coarse_recipe):
    counts = {"lift_pot": 1, "place_to_pot": 1}
    assert list(generate_demonstrations(recorded[0], counts, coarse_recipe, workers=1)) == []


def test_a_folder_of_its_own_scenes_begins_where_it_is_told_to(tmp_path, coarse_recipe):
    count = {"lift_pot": 1}
    (told,) = generate_demonstrations(tmp_path, count, coarse_recipe, workers=1, first_seed=40)
    assert told == ("lift_pot", 40, True)
    assert demonstration_path(tmp_path, "lift_pot", 40).exists()
    assert list(generate_demonstrations(tmp_path, count, coarse_recipe, workers=1)) == []
    for wrong in (-1, RELABELLING_SEEDS_FROM):
        with pytest.raises(ValueError, match=rf"first_seed is {wrong}: demonstrations have the scenes 0 to"):
            next(generate_demonstrations(tmp_path, count, coarse_recipe, workers=1, first_seed=wrong))


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
    with Cameras.open(recipe) as cameras:
        lift = record_demonstration("lift_pot", 0, recipe, cameras)
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
    with (
        Cameras.open(strict) as cameras,
        pytest.raises(ValueError, match=r"(\d+) of \1 pictures have no joint states"),
    ):
        record_demonstration("lift_pot", 0, strict, cameras)


def test_depth_and_classes_belong_to_the_scene(lift):
    np.testing.assert_allclose(lift.segments.sum(axis=-1), 1.0, atol=0.01)
    pot = lift.segments[0, :, :, int(SceneClass.POT)]
    assert 0.005 < pot.mean() < 0.2
    assert lift.segments[..., int(SceneClass.CUBE)].max() == 0.0
    # the lifted pot is nearer to the camera than the standing one
    last = lift.segments[-1, :, :, int(SceneClass.POT)]
    assert lift.depth[-1][last > 0.9].mean() < lift.depth[0][pot > 0.9].mean() - 0.03


def test_places_are_those_of_the_things(lift):
    pot = CobotSimulation("lift_pot", 0).data.body("pot").xpos
    seen = lift.points[0][lift.segments[0, :, :, int(SceneClass.POT)] > 0.9]
    assert np.abs(seen.mean(axis=0) - pot)[:2].max() < 0.08
    row, column, *place = lift.centres[0, MOVABLE.index(SceneClass.POT)]
    np.testing.assert_allclose(place, seen.mean(axis=0), atol=0.03)
    shares = lift.segments[0, :, :, int(SceneClass.POT)]
    axis = (np.arange(len(shares)) + 0.5) * 2.0 / len(shares) - 1.0
    assert row == pytest.approx((shares.sum(axis=1) * axis).sum() / shares.sum(), abs=0.02)
    assert column == pytest.approx((shares.sum(axis=0) * axis).sum() / shares.sum(), abs=0.02)
    assert np.isnan(lift.centres[:, MOVABLE.index(SceneClass.CUBE)]).all()
    table = lift.points[0][lift.segments[0, :, :, int(SceneClass.TABLE)] > 0.99]
    np.testing.assert_allclose(table[:, 2], 0.0, atol=5e-3)


def test_patches_cover_the_whole_picture_at_a_finer_grid_too(coarse_recipe):
    """What the fine grid says, averaged, is what the coarse grid says: nothing is cut off."""
    short = dataclasses.replace(coarse_recipe, stride=80, noise_shares=(0.0,))
    made = []
    for grid in (16, 32):
        recipe = dataclasses.replace(short, grid=grid)
        with Cameras.open(recipe) as cameras:
            made.append(record_demonstration("lift_pot", 0, recipe, cameras))
    coarse, fine = made
    assert fine.segments.shape[1:3] == (32, 32)
    averaged = fine.segments.reshape(-1, 16, 2, 16, 2, len(SceneClass)).mean(axis=(2, 4))
    assert np.abs(averaged - coarse.segments).mean() < 0.004
    assert np.abs(averaged - coarse.segments).mean(axis=(0, 1, 2)).max() < 0.02


def test_a_grid_that_does_not_fit_the_pictures_is_refused(coarse_recipe, monkeypatch):
    profile = load_robot_profile(coarse_recipe.profile)
    wide = dataclasses.replace(profile, camera=dataclasses.replace(profile.camera, width=853))
    monkeypatch.setattr("svam_train.demonstrations.recorded_scene.load_robot_profile", lambda name: wide)
    with pytest.raises(ValueError, match="use a multiple of 80"):
        Cameras.open(coarse_recipe)


def test_the_seed_decides_about_scene_and_look_in_the_shares_asked_for():
    recipe = RECORDING
    kinds = [recipe.scene_kind(seed) for seed in range(2000)]
    assert kinds == [recipe.scene_kind(seed) for seed in range(2000)]
    assert np.mean([kind.shared for kind in kinds]) == pytest.approx(recipe.shared_scenes, abs=0.03)
    assert np.mean([kind.varied for kind in kinds]) == pytest.approx(recipe.varied_looks, abs=0.03)
    more = dataclasses.replace(recipe, shared_scenes=1.0, varied_looks=1.0)
    assert {more.scene_kind(seed) for seed in range(50)} == {(True, True)}
    with pytest.raises(ValueError, match=r"shared_scenes is 1\.5, but is a share"):
        dataclasses.replace(recipe, shared_scenes=1.5)


@pytest.mark.parametrize("config", get_args(get_type_hints(Demonstrations)["config"]))
def test_what_is_recorded_fits_the_recipes_of_that_name(config):
    recording = recording_for(config)
    for recipes in (video, decouplers, actions):
        recipe = recipes.PRESETS[config]
        assert recording.image.size == NETWORKS[recipe.network].image_encoder.image_size
        assert recipe.frame_spacing % recording.stride == 0


def test_what_is_recorded_fits_the_tiny_network_and_its_teachers():
    assert recording_for("tiny") == RECORDING
    assert RECORDING.grid % teachers.PRESETS["tiny"].truth_grid == 0
    assert autoencoder.PRESETS["tiny"].frame_spacing % RECORDING.stride == 0


def test_tasks_share_scenes_that_only_the_instruction_tells_apart(coarse_recipe):
    recipe = dataclasses.replace(coarse_recipe, shared_scenes=1.0, varied_looks=1.0, stride=80)
    with Cameras.open(recipe) as cameras:
        red = record_demonstration("place_to_pot", 3, recipe, cameras)
        glass = record_demonstration("place_to_pot_hard", 3, recipe, cameras)
        plain = record_demonstration("place_to_pot", 3, coarse_recipe, cameras)
    np.testing.assert_array_equal(red.images[0], glass.images[0])
    assert red.instruction != glass.instruction
    assert red.segments[0, ..., int(SceneClass.GLASS_CUBE)].max() > 0
    assert plain.segments[0, ..., int(SceneClass.GLASS_CUBE)].max() == 0
    assert np.abs(red.images[0].astype(float) - plain.images[0]).mean() > 3, "it looks another way"


def test_tasks_whose_names_begin_alike_are_counted_apart(tmp_path):
    for task, seed in (("place_to_pot", 1), ("place_to_pot_hard", 1), ("place_to_pot_hard", 2)):
        demonstration_path(tmp_path, task, seed).touch()
    (tmp_path / "relabelled_place_to_pot_500000.npz").touch()
    counts = {"place_to_pot": 3, "place_to_pot_hard": 3, "pour": 1}
    assert missing_demonstrations(tmp_path, counts) == 2 + 1 + 1


def test_counts_are_said_for_all_tasks_or_for_one():
    assert Demonstrations(count=7, pour=2).wanted() == {
        "lift_pot": 7,
        "place_to_pot": 7,
        "place_to_pot_hard": 7,
        "pour": 2,
    }
    assert Demonstrations(lift_pot=5).wanted() == {"lift_pot": 5}
    assert Demonstrations(tasks=("pour",), count=5).wanted() == {"pour": 5}
    with pytest.raises(ValueError, match="say how many"):
        Demonstrations().wanted()
    with pytest.raises(ValueError, match="must not be negative"):
        Demonstrations(lift_pot=5, pour=-1).wanted()


def test_a_recipe_is_read_back_and_one_of_an_older_version_is_refused(recorded, coarse_recipe, tmp_path):
    assert recipe_of(recorded[0]) == coarse_recipe
    stored = json.loads((recorded[0] / "recipe.json").read_text())
    del stored["shared_scenes"]
    (tmp_path / "recipe.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="an older version wrote it: shared_scenes missing"):
        recipe_of(tmp_path)


@pytest.mark.slow
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
