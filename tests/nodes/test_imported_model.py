"""policy_node with an imported model: refused on the Cobot, unless another robot's model is allowed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.fake_cobot import FakeCobot, wait_for
from support.networks import with_expert
from support.processes import spec
from support.published_files import PUBLISHED, groups, write_without_pickles

from svam_ros import graph
from svam_ros.artifacts.published.importing import PublishedImport, import_published
from svam_ros.artifacts.published.robots import CALVIN_ACTIONS
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.nodes.robot_operator import Operator, OperatorError
from svam_ros.translation.chunks import read_chunk
from svam_ros.translation.rejection import RejectedMessage

PROFILE = load_robot_profile("cobot_magic")


class Unwatched:
    def begin(self, what: str, total_bytes: int) -> None: ...

    def advance(self, done_bytes: int) -> None: ...


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Predicts for longer than this machine can take."""
    folder = tmp_path_factory.mktemp("imported")
    config = with_expert(PUBLISHED, pred_horizon=24)
    files = write_without_pickles(folder / "published", groups(config))
    wanted = PublishedImport(files, "calvin", config, folder / "small", "as_stored", None, "test")
    return import_published(wanted, Unwatched())[0].path


@pytest.fixture
def bench(supervisor):
    robot, operator = FakeCobot(PROFILE), Operator(PROFILE)
    yield robot, operator, supervisor
    operator.close()
    robot.close()


def parameters(model: Path, **changes: object) -> dict[str, object]:
    return {"engine": "eager", "model": str(model), "instruction": "open the it", **changes}


@pytest.mark.slow
def test_an_imported_model_runs_and_its_chunks_bear_names_that_the_guard_refuses(bench, model):
    robot, operator, supervisor = bench
    supervisor.start(spec(graph.POLICY_NODE, **parameters(model, allow_other_robot=True)))
    operator.transition(graph.POLICY_NODE, "configure", 60.0)
    assert "is for another robot (joints step_x" in supervisor.last_words(graph.POLICY_NODE, lines=5)
    operator.transition(graph.POLICY_NODE, "activate", 10.0)
    wait_for(lambda: len(robot.heard.chunks) >= 2, 30.0, "two chunks")
    for message in robot.heard.chunks:
        assert tuple(message.joint_names) == CALVIN_ACTIONS
        actions = np.array([point.positions for point in message.points])
        assert actions.shape[1:] == (7,)
        assert np.all(np.isfinite(actions))
        assert np.ptp(actions) > 0
        with pytest.raises(RejectedMessage, match="chunk names joints"):
            read_chunk(message, load_cobot())


@pytest.mark.slow
def test_a_model_for_another_robot_is_refused_unless_that_is_allowed(bench, model):
    _robot, operator, supervisor = bench
    supervisor.start(spec(graph.POLICY_NODE, **parameters(model)))
    with pytest.raises(OperatorError, match="could not configure"):
        operator.transition(graph.POLICY_NODE, "configure", 60.0)
    assert "the model's joints are not this robot's" in supervisor.last_words(graph.POLICY_NODE, lines=1)
