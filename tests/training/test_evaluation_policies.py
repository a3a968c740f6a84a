"""The model, and the baselines beside it, each see and say what their names promise."""

import numpy as np
import pytest
from support import networks

from svam_ros.cobot import load_cobot
from svam_ros.engines.policy_engine import Prediction, PredictionRefused
from svam_ros.simulation.simulated_robot import START_NS
from svam_ros.simulation.tasks import TASKS
from svam_ros.types import Horizon
from svam_train.episodes.demonstration_files import demonstration_path
from svam_train.evaluation.policies import (
    EnginePolicy,
    PolicyChoice,
    RandomPolicy,
    ReplayPolicy,
    WrongInstructionPolicy,
)


class Engine:
    """Keeps what it was shown; understands the sentences it is given."""

    step_s, model_name, horizon = 0.04, "stub", Horizon(16, 8)

    def __init__(self, *understood):
        self.understood, self.seen = understood, []

    def set_instruction(self, text):
        if text not in self.understood:
            raise PredictionRefused("unknown")

    def infer(self, observation, prefix=None):
        self.seen.append(observation)
        return Prediction(np.zeros((16, 14)), {}, "")


def test_the_blind_model_is_shown_black_and_all_else_as_it_is():
    engine, shown = Engine(), networks.observation()
    EnginePolicy(engine, blind=True).predict(shown, None)
    (seen,) = engine.seen
    assert shown.frame.rgb.any()
    assert not seen.frame.rgb.any()
    assert (seen.arms, seen.instruction, seen.stamp_ns) == (shown.arms, shown.instruction, shown.stamp_ns)


def test_the_wrong_instruction_is_another_tasks_that_the_model_understands():
    sentences = {name: task.instruction for name, task in TASKS.items()}
    engine = Engine(sentences["lift_pot"], sentences["place_to_pot"], sentences["pour"])
    policy = WrongInstructionPolicy(engine, tuple(TASKS))
    for seed in range(4):
        policy.start("place_to_pot", seed)
        policy.predict(networks.observation(sentences["place_to_pot"]), None)
    told = [seen.instruction for seen in engine.seen]
    assert told == [sentences["lift_pot"], sentences["pour"]] * 2
    np.testing.assert_array_equal(engine.seen[0].frame.rgb, networks.observation().frame.rgb)


def test_a_model_of_one_task_cannot_be_told_a_wrong_one():
    policy = WrongInstructionPolicy(Engine(TASKS["pour"].instruction), tuple(TASKS))
    with pytest.raises(ValueError, match="understands no instruction but that of 'pour'"):
        policy.start("pour", 0)


def test_random_motion_starts_at_the_arms_stays_in_their_limits_and_follows_from_the_seed():
    policy, shown, limits = RandomPolicy(Horizon(16, 8)), networks.observation(), load_cobot().limits
    chunks = []
    for seed in (7, 7, 8):
        policy.start("pour", seed)
        chunks.append(policy.predict(shown, None))
    first = shown.arms.positions + (chunks[0][-1] - shown.arms.positions) / 16
    np.testing.assert_allclose(chunks[0][0], first)
    assert np.all(chunks[0][-1] >= limits.lower)
    assert np.all(chunks[0][-1] <= limits.upper)
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert np.abs(chunks[0] - chunks[2]).max() > 0.1


@pytest.mark.parametrize("kind", ["random", "replay"])
def test_baselines_take_their_horizons_from_the_model(kind, tmp_path):
    model = networks.save_random_model(tmp_path / "model")
    choice = PolicyChoice(kind, str(model.path), "eager", tmp_path, tuple(TASKS))
    assert choice.make().horizon.exec == networks.CONFIG.exec_horizon


def test_a_model_of_another_control_step_is_refused():
    engine = Engine()
    engine.step_s, engine.model_name = 0.05, "slow"
    with pytest.raises(ValueError, match="model slow steps every 50 ms, the robot every 40 ms"):
        EnginePolicy(engine)


def test_replay_plays_a_demonstration_back_on_its_own_time(recorded):
    folder, _ = recorded
    policy = ReplayPolicy(folder, Horizon(16, 8))
    policy.start("lift_pot", 5)
    with np.load(demonstration_path(folder, "lift_pot", 0)) as file:
        targets = file["targets"]

    class At:
        def __init__(self, ms):
            self.stamp_ns = START_NS + ms * 1_000_000

    np.testing.assert_allclose(policy.predict(At(80), None), targets[:16])
    np.testing.assert_allclose(policy.predict(At(480), None), targets[10:26])
    policy.start("lift_pot", 5)
    np.testing.assert_allclose(policy.predict(At(480), None), targets[:16])
    with pytest.raises(ValueError, match="no demonstrations of 'pour'"):
        policy.start("pour", 0)
