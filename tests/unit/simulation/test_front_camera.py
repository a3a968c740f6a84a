from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import yaml

from svam_ros.cobot import CalibrationError
from svam_ros.simulation import scene_model
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.mujoco_loading import mujoco
from svam_ros.simulation.task_objects import CUBE_SIDE_M
from svam_ros.simulation.tasks import TASKS


@pytest.fixture(scope="module")
def camera():
    with FrontCamera() as camera:
        yield camera


def test_the_picture_is_what_the_driver_would_publish(camera):
    rgb = camera.render(CobotSimulation("lift_pot", 0).snapshot())
    assert rgb.shape == (480, 640, 3)
    assert rgb.dtype == np.uint8
    assert rgb.std() > 20


CLASSES = {
    "pot": SceneClass.POT,
    "cube": SceneClass.CUBE,
    "glass_cube": SceneClass.GLASS_CUBE,
    "cup": SceneClass.CUP,
    "bowl": SceneClass.BOWL,
}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("task", sorted(TASKS))
def test_objects_lie_in_the_centre_square_and_are_large_enough(camera, task, shared):
    for seed in range(25):
        simulation = CobotSimulation(task, seed, shared=shared)
        classes = camera.render_segmentation(simulation.snapshot())
        for name in (CLASSES[kind] for kind in simulation.kinds if kind != "bead"):
            rows, columns = np.nonzero(classes == name)
            assert columns.min() > 80 + 8
            assert columns.max() < 560 - 8
            assert rows.min() > 8
            assert rows.max() < 472
            width_at_128 = (columns.max() - columns.min() + 1) * 128 / 480
            assert width_at_128 >= 7


def test_classes_are_the_scenes_bodies(camera):
    classes = camera.render_segmentation(CobotSimulation("place_to_pot", 0).snapshot())
    arms_and_room = {SceneClass.BACKGROUND, SceneClass.TABLE, SceneClass.LEFT_ARM, SceneClass.RIGHT_ARM}
    assert set(np.unique(classes)) == arms_and_room | {SceneClass.POT, SceneClass.CUBE}
    assert (classes == SceneClass.LEFT_ARM)[:, :320].sum() > 1000
    assert (classes == SceneClass.LEFT_ARM)[:, 320:].sum() == 0
    assert (classes == SceneClass.RIGHT_ARM)[:, :320].sum() == 0
    lift = camera.render_segmentation(CobotSimulation("lift_pot", 0).snapshot())
    assert SceneClass.CUBE not in lift
    for task, shared in (("pour", False), ("place_to_pot_hard", False), ("pour", True)):
        simulation = CobotSimulation(task, 1, shared=shared)
        classes = camera.render_segmentation(simulation.snapshot())
        known = {kind: CLASSES.get(kind, SceneClass.BEADS) for kind in simulation.kinds}
        assert set(np.unique(classes)) == arms_and_room | set(known.values())


def test_the_numbers_of_the_classes_never_change():
    names = [
        "BACKGROUND",
        "TABLE",
        "LEFT_ARM",
        "RIGHT_ARM",
        "POT",
        "CUBE",
        "GLASS_CUBE",
        "CUP",
        "BOWL",
        "BEADS",
    ]
    assert [member.name for member in SceneClass] == names
    assert [int(member) for member in SceneClass] == list(range(10))


def test_the_glass_cube_is_hard_to_see_but_as_deep_and_as_solid_as_the_red_one(camera):
    glass, red = (CobotSimulation(task, 0).snapshot() for task in ("place_to_pot_hard", "place_to_pot"))
    np.testing.assert_array_equal(camera.render_depth(glass), camera.render_depth(red))
    there = camera.render_segmentation(glass) == SceneClass.GLASS_CUBE
    np.testing.assert_array_equal(there, camera.render_segmentation(red) == SceneClass.CUBE)
    bare = camera.render(CobotSimulation("lift_pot", 0).snapshot()).astype(int)
    contrasts = [np.abs(camera.render(each).astype(int) - bare)[there].mean() for each in (glass, red)]
    assert 10 < contrasts[0] < 0.75 * contrasts[1]


def test_points_are_where_the_surfaces_are(camera):
    simulation = CobotSimulation("place_to_pot", 0)
    snapshot = simulation.snapshot()
    points, classes = camera.render_points(snapshot), camera.render_segmentation(snapshot)
    assert points.shape == (480, 640, 3)
    np.testing.assert_allclose(points[classes == SceneClass.TABLE][:, 2], 0.0, atol=3e-3)
    cube = points[classes == SceneClass.CUBE] - simulation.data.body("cube").xpos
    local = cube @ simulation.data.body("cube").xmat.reshape(3, 3)
    np.testing.assert_allclose(np.abs(local).max(axis=1), CUBE_SIDE_M / 2, atol=1e-3)


def test_depth_of_the_table_follows_from_the_calibration(camera):
    snapshot = CobotSimulation("lift_pot", 0).snapshot()
    depth, classes = camera.render_depth(snapshot), camera.render_segmentation(snapshot)
    focal = 240.0 / np.tan(np.deg2rad(scene_model.vertical_field_of_view_deg() / 2))
    rows = np.arange(480)[:, None] + 0.5 - 240.0
    pitch = np.deg2rad(scene_model.CAMERA_PITCH_DOWN_DEG)
    expected = scene_model.CAMERA_POSITION_M[2] / (np.sin(pitch) + rows / focal * np.cos(pitch))
    expected = np.broadcast_to(expected, depth.shape)
    table = classes == SceneClass.TABLE
    # Gaps between boards lie a millimetre lower.
    np.testing.assert_allclose(depth[table], expected[table], atol=3e-3)


def test_pictures_do_not_depend_on_what_was_drawn_before(camera):
    snapshot = CobotSimulation("lift_pot", 0).snapshot()
    first = camera.render(snapshot)
    camera.render_depth(snapshot)
    camera.render_segmentation(snapshot)
    camera.render(CobotSimulation("place_to_pot", 1).snapshot())
    np.testing.assert_array_equal(camera.render(snapshot), first)


def test_a_camera_lives_in_a_thread_of_its_own(camera):
    simulation = CobotSimulation("lift_pot", 0)
    expected = camera.render(simulation.snapshot())
    snapshot, pictures = simulation.snapshot(), []

    def draw() -> None:
        with FrontCamera() as own:
            pictures.extend(own.render(snapshot) for _ in range(5))

    thread = threading.Thread(target=draw)
    thread.start()
    simulation.step(0.5)
    thread.join(timeout=60)
    assert len(pictures) == 5
    for picture in pictures:
        np.testing.assert_array_equal(picture, expected)


def test_the_overview_shows_the_same_scene_from_elsewhere(camera):
    snapshot = CobotSimulation("lift_pot", 0).snapshot()
    with FrontCamera(view=scene_model.OVERVIEW_NAME) as overview:
        assert np.abs(overview.render(snapshot).astype(int) - camera.render(snapshot)).mean() > 10


def test_a_hanging_object_has_a_wider_and_fainter_spot_below_it(camera):
    simulation = CobotSimulation("place_to_pot", 0)
    spots = []
    for height in (0.0225, 0.2):
        with_cube = simulation.data.joint("cube").qpos
        with_cube[2] = height
        mujoco.mj_forward(simulation.model, simulation.data)
        lit = camera.render(simulation.snapshot()).astype(int)
        simulation.data.joint("cube").qpos[2] = 50.0
        mujoco.mj_forward(simulation.model, simulation.data)
        bare = camera.render(simulation.snapshot()).astype(int)
        simulation.data.joint("cube").qpos[2] = height
        table = camera.render_segmentation(simulation.snapshot()) == SceneClass.TABLE
        darker = (bare - lit).sum(axis=-1) * table
        spots.append(((darker > 3).sum(), darker.max()))
    assert spots[1][0] > 1.5 * spots[0][0]
    assert spots[1][1] < spots[0][1]


def test_the_field_of_view_is_read_from_the_calibration(tmp_path, monkeypatch):
    monkeypatch.setattr(scene_model, "shipped_directory", lambda _name: tmp_path)
    path = tmp_path / "front_camera.yaml"
    path.write_text(yaml.safe_dump({"image_height": 480, "camera_matrix": {"data": [1, 0, 1, 0, 240.0]}}))
    assert scene_model.vertical_field_of_view_deg() == pytest.approx(90.0)
    path.write_text("image_height: 480\n")
    with pytest.raises(CalibrationError, match=r"front_camera\.yaml.*camera_matrix"):
        scene_model.vertical_field_of_view_deg()


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_opengl_physics_runs_and_the_camera_names_the_packages():
    code = """
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera, RenderingUnavailableError
CobotSimulation("lift_pot", 0).step(0.1)
try:
    FrontCamera()
except RenderingUnavailableError as error:
    print(error)
"""
    result = run_python(code, MUJOCO_GL="disable")
    assert result.returncode == 0, result.stderr
    assert "apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri" in result.stdout


def test_egl_is_the_default_and_simulation_loads_neither_torch_nor_ros():
    code = """
import os, sys
os.environ.pop("MUJOCO_GL", None)
import svam_ros.simulation.front_camera, svam_ros.simulation.scripted_expert
print(os.environ["MUJOCO_GL"], {"torch", "rclpy"} & set(sys.modules))
"""
    assert run_python(code).stdout.split() == ["egl", "set()"]
