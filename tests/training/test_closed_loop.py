"""The closed loop uses predictions when and as the robot would."""

import numpy as np
import pytest

from svam_ros.simulation.cobot_simulation import CobotSimulation
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.scripted_expert import plan_demonstration
from svam_train.closed_loop import STEPS_BY_TASK, ReplayPolicy, run_episode
from svam_train.demonstration_files import demonstration_path, load_demonstration


@pytest.fixture(scope="module")
def camera():
    # small pictures: nobody here looks at them
    with FrontCamera(64, 48) as camera:
        yield camera


class Expert:
    """Knows the scene; predicts exactly what the expert would do next."""

    def start(self, task, seed):
        self.plan = plan_demonstration(CobotSimulation(task, seed))
        self.asked_at = []

    def predict(self, observation):
        step = round(observation.stamp_ns * 1e-9 / 0.04)
        self.asked_at.append(step)
        return self.plan[np.minimum(step + np.arange(16), len(self.plan) - 1)]


class Still:
    """Stays at home."""

    def start(self, task, seed):
        self.home = CobotSimulation(task, seed).cobot.home

    def predict(self, observation):
        return np.tile(self.home, (16, 1))


def test_the_experts_motion_in_chunks_does_the_task(camera):
    expert = Expert()
    episode = run_episode(expert, camera, "lift_pot", 1_000_003, exec_horizon=8, latency_steps=0)
    assert episode.success
    assert episode.steps < 120
    assert expert.asked_at == list(range(0, episode.steps, 8))


def test_standing_still_does_not_and_takes_all_the_time(camera):
    episode = run_episode(Still(), camera, "lift_pot", 1_000_003, exec_horizon=32, latency_steps=0)
    assert not episode.success
    assert episode.steps == STEPS_BY_TASK["lift_pot"]


def test_late_predictions_are_used_from_the_late_step_on(camera, monkeypatch):
    executed = []
    monkeypatch.setattr("svam_train.closed_loop.STEPS_BY_TASK", {"lift_pot": 20})
    monkeypatch.setattr(
        "svam_train.closed_loop.stream_step", lambda simulation, _, target: executed.append(target.copy())
    )

    class Counting(Still):
        calls = 0

        def predict(self, observation):
            self.calls += 1
            return np.tile(self.home, (16, 1)) + 0.01 * self.calls + 0.0001 * np.arange(16)[:, None]

    run_episode(Counting(), camera, "lift_pot", 0, exec_horizon=8, latency_steps=3)
    offsets = np.round([(row - executed[0])[0] for row in executed], 4)
    # three steps at home, then steps 3.. of the first prediction; the second, made at 8, from 11 on
    first = [0.01 + 0.0001 * i for i in range(3, 11)]
    second = [0.02 + 0.0001 * i for i in range(3, 11)]
    np.testing.assert_allclose(offsets, [0, 0, 0, *first, *second, 0.0303], atol=1e-6)


def test_replay_plays_a_demonstration_back_on_its_own_time(recorded):
    folder, _ = recorded
    policy = ReplayPolicy(folder, horizon=16)
    policy.start("lift_pot", 5)
    targets = load_demonstration(demonstration_path(folder, "lift_pot", 0)).targets

    class At:
        stamp_ns = 400_000_000

    np.testing.assert_allclose(policy.predict(At()), targets[10:26])
    with pytest.raises(ValueError, match="no demonstrations of 'pour'"):
        policy.start("pour", 0)
