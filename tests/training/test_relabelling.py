"""The expert goes on from where a policy led the arms, and what is kept did the task."""

import dataclasses
import json

import numpy as np
import pytest

from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_ros.types import Horizon
from svam_train.commands.relabel import Relabel, run
from svam_train.demonstrations.relabelling import RelabellingPlan, relabel
from svam_train.demonstrations.take_over import lead, nearest_row, way_back
from svam_train.episodes.episode_files import open_episode_file
from svam_train.episodes.scene_seeds import RELABELLING_SEEDS_FROM as FIRST_SEED
from svam_train.evaluation.closed_loop import front_camera
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import PolicyChoice

SETTINGS = LoopSettings()


class Stray:
    """Starts as the expert would, then leads the arms astray."""

    horizon = Horizon(16, 8)

    def start(self, task, seed):
        self.plan = plan_demonstration(CobotSimulation(task, seed))
        self.first_ns = None

    def predict(self, observation, prefix):
        self.first_ns = self.first_ns or observation.stamp_ns
        step = (observation.stamp_ns - self.first_ns) // 40_000_000
        rows = self.plan[np.minimum(step + np.arange(16), len(self.plan) // 3)].copy()
        rows[:, [0, 7]] += 0.004 * np.minimum(step + np.arange(16), 40)[:, None]
        return rows


@pytest.fixture(scope="module")
def plan():
    return plan_demonstration(CobotSimulation("lift_pot", 3))


def test_the_nearest_row_is_never_behind(plan):
    cobot = load_cobot()
    assert nearest_row(plan, plan[20] + 1e-3, 5, cobot) == 20
    assert nearest_row(plan, plan[20], 25, cobot) >= 25
    closed, opened = plan[20].copy(), plan[20].copy()
    opened[6], closed[6] = 0.07, 0.0
    row = nearest_row(np.stack([opened, closed]), closed + 1e-3, 0, cobot)
    assert row == 1  # grippers tell rows apart where the arms do not


def test_the_way_back_begins_at_rest_keeps_the_limits_and_ends_as_the_plan_does(plan):
    cobot = load_cobot()
    start = plan[30].copy()
    start[[1, 8]] += 0.2
    way = np.concatenate([[start], [start], way_back(plan, 30, start, cobot)])
    np.testing.assert_allclose(way[-1], plan[-1])
    speeds = np.diff(way, axis=0) / cobot.control_period_s
    accelerations = np.diff(speeds, axis=0) / cobot.control_period_s
    assert (np.abs(speeds) / cobot.limits.velocity).max() <= 1.0
    assert (np.abs(accelerations) / cobot.limits.acceleration).max() <= 1.05  # between 25 Hz rows
    assert np.abs(way - plan[30]).max(axis=1).min() < 0.02, "it goes through the plan's row"


def test_a_robot_can_be_brought_to_where_the_policy_led():
    with front_camera(load_robot_profile(SETTINGS.profile)) as camera:
        taken = lead(Stray(), camera, "lift_pot", FIRST_SEED, SETTINGS)
    first, second = (taken.robot(SETTINGS).simulation for _ in range(2))
    np.testing.assert_array_equal(first.data.qpos, second.data.qpos)
    assert first.time_s == pytest.approx(sum(passed for _, passed in taken.passed))
    assert np.abs(first.arm_state().positions - taken.set_point).max() < 0.1


def test_relabelled_scenes_are_ordinary_episodes_beside_the_demonstrations(tmp_path, coarse_recipe):
    def outcomes():
        return list(relabel(Stray, RelabellingPlan(tmp_path, ("lift_pot",), 2, coarse_recipe, SETTINGS)))

    told = outcomes()
    assert [(task, seed) for task, seed, _ in told] == [
        ("lift_pot", FIRST_SEED),
        ("lift_pot", FIRST_SEED + 1),
    ]
    kept = [seed for _, seed, outcome in told if outcome in ("continued", "replanned")]
    assert kept, told
    files = sorted(tmp_path.glob("*.npz"))
    assert [file.name for file in files] == [f"relabelled_lift_pot_{seed}.npz" for seed in kept]
    episode = open_episode_file(files[0])
    home = load_cobot().home
    assert episode.identity == f"relabelled_lift_pot_{kept[0]}"
    assert np.abs(episode.joints[0] - home).max() > 0.02, "it begins where the policy led"
    assert np.abs(episode.joints[0] - episode.targets[0]).max() < 0.2
    assert [seed for _, seed, _ in outcomes()] == [seed for _, seed, _ in told if seed not in kept]


def test_scenes_of_evaluations_and_other_recipes_are_refused(tmp_path, coarse_recipe):
    with pytest.raises(ValueError, match="numbered 0 to"):
        RelabellingPlan(tmp_path, ("pour",), 2, coarse_recipe, SETTINGS, FIRST_SEED)
    shared = dataclasses.replace(SETTINGS, shared_scenes=True)
    with pytest.raises(ValueError, match="leave out shared_scenes"):
        RelabellingPlan(tmp_path, ("pour",), 2, coarse_recipe, shared)
    (tmp_path / "recipe.json").write_text(json.dumps({"stride": 3}))
    with pytest.raises(ValueError, match="use another folder"):
        next(relabel(Stray, RelabellingPlan(tmp_path, ("pour",), 2, coarse_recipe, SETTINGS)))
    with pytest.raises(ValueError, match="record some there"):
        run(dataclasses.replace(Relabel(), folder=tmp_path))


@pytest.mark.slow
def test_workers_relabel_as_one_process_does_in_scenes_of_the_recipes_kind(tmp_path, coarse_recipe):
    recipe = dataclasses.replace(coarse_recipe, shared_scenes=0.5, varied_looks=1.0)
    plan = RelabellingPlan(tmp_path / "several", ("lift_pot",), 2, recipe, SETTINGS)
    choice = PolicyChoice("random", "tiny", "eager", tmp_path, ("lift_pot",))
    several = list(relabel(choice.make, plan, workers=2))
    alone = dataclasses.replace(plan, folder=tmp_path / "alone")
    assert list(relabel(choice.make, alone)) == several
    loops = [plan.loop_of(seed) for seed in range(FIRST_SEED, FIRST_SEED + 50)]
    assert {loop.shared_scenes for loop in loops} == {True, False}
    assert all(loop.varied_looks for loop in loops)
    files = sorted(plan.folder.glob("*.npz"))
    assert files
    for file in files:
        assert file.read_bytes() == (alone.folder / file.name).read_bytes()


def test_the_robot_that_is_brought_there_stands_in_the_scene_that_the_policy_saw():
    settings = dataclasses.replace(SETTINGS, shared_scenes=True, varied_looks=True)
    with front_camera(load_robot_profile(settings.profile)) as camera:
        taken = lead(Stray(), camera, "lift_pot", FIRST_SEED, settings)
    snapshot = taken.robot(settings).snapshot()
    seen = CobotSimulation("lift_pot", FIRST_SEED, shared=True)
    assert snapshot.kinds == seen.kinds
    assert snapshot.appearance != seen.appearance
