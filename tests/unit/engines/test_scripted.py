from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from support.networks import observation

from svam_ros.cobot import load_cobot
from svam_ros.engines import create_engine
from svam_ros.engines.scripted import ScriptedEngine, ScriptedMotion, parse_motion

HOME = load_cobot().home


def test_a_model_name_instead_of_a_description_holds_the_arms():
    actions = create_engine("scripted", "tiny").infer(observation()).actions
    assert actions.shape == (16, 14)
    assert np.array_equal(actions, np.tile(observation().arms.positions, (16, 1)))


@pytest.mark.parametrize("motion", ["hold", "sine"])
def test_arms_that_sag_are_not_followed(motion):
    engine = create_engine("scripted", f"motion={motion} joints=1,8")
    first = observation()
    still = [i for i in range(14) if motion == "hold" or i not in (1, 8)]
    swings = engine.infer(first).actions[:, 1]
    for pass_number in range(1, 20):
        sagging = dataclasses.replace(first.arms, positions=first.arms.positions - 0.01 * pass_number)
        actions = engine.infer(dataclasses.replace(first, arms=sagging)).actions
        assert np.array_equal(actions[:, still], np.tile(first.arms.positions[still], (16, 1)))
        assert np.array_equal(actions[:, 1], swings)


def test_a_sine_swings_the_chosen_joints_around_the_first_pose_on_the_observations_clock():
    engine = create_engine("scripted", "motion=sine joints=1,8 amplitude=0.2 period_s=2")
    seen = observation()
    actions = engine.infer(seen).actions
    due_s = seen.stamp_ns / 1e9 + 0.04 * np.arange(1, 17)
    base = seen.arms.positions
    np.testing.assert_allclose(actions[:, 1] - base[1], 0.2 * np.sin(np.pi * due_s))
    still = [i for i in range(14) if i not in (1, 8)]
    assert np.array_equal(actions[:, still], np.tile(base[still], (16, 1)))


def test_chunks_made_at_different_moments_agree_on_the_same_moment():
    engine = ScriptedEngine(ScriptedMotion(motion="sine"))
    seen = observation()
    later_frame = dataclasses.replace(seen.frame, stamp_ns=seen.stamp_ns + 5 * 40_000_000)
    later = engine.infer(dataclasses.replace(seen, frame=later_frame)).actions
    np.testing.assert_allclose(engine.infer(seen).actions[5:], later[:-5], atol=1e-9)


def test_home_is_where_the_calibration_says():
    assert np.array_equal(ScriptedEngine(ScriptedMotion("home")).infer(observation()).actions[0], HOME)


def test_faults_begin_after_the_sound_predictions():
    nan = create_engine("scripted", "fault=nan fault_after=2")
    broken = [bool(np.isnan(nan.infer(observation()).actions).any()) for _ in range(4)]
    assert broken == [False, False, True, True]

    jump = ScriptedEngine(ScriptedMotion(motion="home", fault="jump", jump_by=0.7, joints=(2,)))
    moved = jump.infer(observation()).actions - HOME
    np.testing.assert_allclose(moved[:, 2], 0.7)
    assert not moved[:, :2].any()

    slow = ScriptedEngine(ScriptedMotion(fault="slow", slow_ms=30.0, fault_after=1))
    quick, late = (slow.infer(observation()).stages_ms["action_expert"] for _ in range(2))
    assert quick < 30 <= late


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("motion=dance", r"motion='dance', allowed is hold \| home \| sine"),
        ("speed=3", "'speed=3' is not key=value with one of motion, joints"),
        ("motion=sine fast", "'fast' is not key=value"),
        ("amplitude=big", "amplitude='big' is no number"),
        ("joints=0,14", "indices from 0 to 13"),
        ("period_s=0", "period_s must be above 0"),
        ("pred_horizon=4 exec_horizon=8", "exec_horizon 8 must be 1 to pred_horizon 4"),
    ],
)
def test_descriptions_that_mean_nothing_are_refused(description, words):
    with pytest.raises(ValueError, match=words):
        parse_motion(description)


def test_an_unknown_engine_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match="unknown engine 'warp', known: eager, compiled, openvino, tensorrt"):
        create_engine("warp", "tiny")


def test_the_scripted_engine_runs_where_torch_cannot_be_imported():
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from svam_ros.engines import create_engine\n"
        "print(create_engine('scripted', 'motion=sine').horizon.pred)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "16"
