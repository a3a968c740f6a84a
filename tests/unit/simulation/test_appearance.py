from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from svam_ros.simulation.appearance import (
    CAMERA_SHIFT_M,
    CAMERA_TURN_DEG,
    NOMINAL,
    Appearance,
    Tint,
    draw_appearance,
)
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera, SceneClass
from svam_ros.simulation.scene_objects import scene_with


@pytest.fixture(scope="module")
def camera():
    with FrontCamera(320, 240) as camera:
        yield camera


def scene(appearance: Appearance = NOMINAL):
    return CobotSimulation("place_to_pot", 0, appearance=appearance).snapshot()


def test_a_seed_gives_one_appearance_within_the_tolerances():
    assert draw_appearance(4) == draw_appearance(4)
    assert draw_appearance(4) != draw_appearance(5)
    drawn = [draw_appearance(seed) for seed in range(200)]
    shifts = np.abs([appearance.camera_shift_m for appearance in drawn])
    turns = np.abs([appearance.camera_turn_rad for appearance in drawn])
    assert 0.9 * CAMERA_SHIFT_M < shifts.max() <= CAMERA_SHIFT_M
    assert 0.9 * CAMERA_TURN_DEG < math.degrees(turns.max()) <= CAMERA_TURN_DEG
    assert {appearance.brightness > 1.0 for appearance in drawn} == {True, False}


def test_the_nominal_look_comes_back_and_the_shared_model_never_changes(camera):
    model = scene_with(("pot", "cube"))
    before = [model.geom_rgba.copy(), model.light_dir.copy(), model.cam_pos.copy(), model.cam_quat.copy()]
    nominal = camera.render(scene())
    assert np.abs(camera.render(scene(draw_appearance(1))).astype(int) - nominal).mean() > 3
    np.testing.assert_array_equal(camera.render(scene()), nominal)
    for kept, now in zip(
        before, (model.geom_rgba, model.light_dir, model.cam_pos, model.cam_quat), strict=True
    ):
        np.testing.assert_array_equal(now, kept)


def test_physics_does_not_depend_on_the_look():
    plain, drawn = (CobotSimulation("pour", 2, appearance=look) for look in (NOMINAL, draw_appearance(3)))
    plain.step(0.2)
    drawn.step(0.2)
    np.testing.assert_array_equal(
        plain.snapshot().generalised_positions, drawn.snapshot().generalised_positions
    )


def test_a_moved_camera_moves_colour_depth_classes_and_points_alike(camera):
    look = replace(NOMINAL, camera_shift_m=(0.01, -0.01, 0.01), camera_turn_rad=(0.02, -0.03, 0.03))
    nominal, moved = scene(), scene(look)
    for render in (camera.render, camera.render_depth, camera.render_segmentation):
        assert not np.array_equal(render(moved), render(nominal))
    classes, depth = camera.render_segmentation(moved), camera.render_depth(moved)
    red = camera.render(moved).astype(int)
    cube = classes == SceneClass.CUBE
    redness = (red[..., 0] - red[..., 1])[cube]
    assert redness.min() > 30, "colour and classes show the cube in one place, but for mixed edges"
    assert np.mean(redness > 60) > 0.99
    table = camera.render_points(moved)[classes == SceneClass.TABLE]
    np.testing.assert_allclose(table[:, 2], 0.0, atol=3e-3)
    assert depth[cube].max() < depth[classes == SceneClass.TABLE].max()


def test_light_changes_colours_only(camera):
    look = replace(NOMINAL, brightness=0.7, light_turn_rad=(1.5, 0.2))
    nominal, dim = scene(), scene(look)
    assert camera.render(dim).mean() < 0.9 * camera.render(nominal).mean()
    np.testing.assert_array_equal(camera.render_depth(dim), camera.render_depth(nominal))
    np.testing.assert_array_equal(camera.render_segmentation(dim), camera.render_segmentation(nominal))


def test_a_tint_colours_what_it_names(camera):
    look = replace(NOMINAL, tints={"cube": Tint(hue_turns=0.5)})
    nominal, tinted = camera.render(scene()).astype(int), camera.render(scene(look)).astype(int)
    changed = np.abs(tinted - nominal).sum(axis=-1) > 0
    np.testing.assert_array_equal(changed, camera.render_segmentation(scene()) == SceneClass.CUBE)


def test_drawn_colours_keep_their_names():
    red = np.array([0.843, 0.149, 0.239])
    for seed in range(100):
        channels = draw_appearance(seed).tints["cube"].apply(red)
        assert channels[0] > 1.8 * max(channels[1:])
