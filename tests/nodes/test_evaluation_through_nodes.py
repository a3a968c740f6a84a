"""``svam-train evaluate --ros`` asks the real nodes, in real time."""

import pytest

from svam_train.episodes.scene_seeds import EVALUATION_SEEDS_FROM
from svam_train.evaluation.attempts import AttemptPlan
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.real_nodes import run_through_nodes


@pytest.mark.slow
def test_the_real_nodes_are_asked_and_answer():
    plan = AttemptPlan(("lift_pot",), 1, loop=LoopSettings(episode_s=8))
    (made,) = run_through_nodes("tiny", "eager", plan)
    assert (made.task, made.seed) == ("lift_pot", EVALUATION_SEEDS_FROM)
    assert made.steps > 0
