"""Attempts come in order whatever the number of workers, with films of the first failures only."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
from support import networks

from svam_ros.simulation.tasks import TASKS
from svam_train.commands.evaluate import Evaluate, run
from svam_train.episodes.scene_seeds import EVALUATION_SEEDS_FROM
from svam_train.evaluation.attempts import AttemptPlan, Films, run_attempts
from svam_train.evaluation.closed_loop import Attempt
from svam_train.evaluation.films import write_film
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import PolicyChoice
from svam_train.evaluation.real_nodes import DemoRunFailed, demo_command, read_attempts, run_through_nodes

SHORT = LoopSettings(episode_s=0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(networks.save_random_model(tmp_path_factory.mktemp("models") / "small").path)


def random_choice(model):
    return PolicyChoice("random", model, "eager", Path(), tuple(TASKS))


def test_scenes_are_never_those_of_demonstrations():
    scenes = list(AttemptPlan(("pour", "lift_pot"), 2, seed=5).scenes())
    first = EVALUATION_SEEDS_FROM + 5
    assert scenes == [("pour", first), ("pour", first + 1), ("lift_pot", first), ("lift_pot", first + 1)]
    with pytest.raises(ValueError, match="at least one of one"):
        AttemptPlan(("pour",), 0)


def test_only_the_first_failures_are_filmed(model, tmp_path):
    films = Films(tmp_path / "films", failures=1)
    plan = AttemptPlan(("lift_pot",), 2, loop=SHORT, films=films)
    made = list(run_attempts(random_choice(model), plan, 1))
    assert [attempt.success for attempt in made] == [False, False]
    (film,) = (tmp_path / "films").iterdir()
    assert film.name == f"lift_pot_{EVALUATION_SEEDS_FROM}.mp4"
    with av.open(str(film)) as video:
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 5  # 0.5 s; chunks of 4 steps are followed up a step before they end
    assert pictures[0].shape == (240, 320, 3)
    assert pictures[0].std() > 10


def test_films_need_pictures(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        write_film(tmp_path / "empty.mp4", [], 6.0, "")
    assert list(tmp_path.iterdir()) == []


def test_films_show_the_pictures_in_order(tmp_path):
    grey = [np.full((48, 64, 3), level, np.uint8) for level in (40, 200)]
    write_film(tmp_path / "grey.mp4", grey, 6.0, "")
    with av.open(str(tmp_path / "grey.mp4")) as video:
        shown = [frame.to_ndarray(format="rgb24").mean() for frame in video.decode(video=0)]
    assert shown == pytest.approx([40, 200], abs=4)


@pytest.mark.slow
def test_two_workers_find_what_one_finds(model):
    plan = AttemptPlan(("lift_pot", "place_to_pot"), 2, loop=SHORT)
    assert list(run_attempts(random_choice(model), plan, 2)) == list(
        run_attempts(random_choice(model), plan, 1)
    )


def test_json_is_one_object_a_task_and_the_report_is_for_publish(model, tmp_path, capsys):
    from svam_train.evaluation.evaluation_report import load_reports

    report = tmp_path / "report.json"
    run(
        Evaluate(
            model=model,
            task=("lift_pot", "pour"),
            episodes=1,
            policy="random",
            loop=SHORT,
            json=True,
            report=report,
        )
    )
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["task"], line["episodes"], line["policy"]) for line in lines] == [
        ("lift_pot", 1, "random"),
        ("pour", 1, "random"),
    ]
    assert [r.task for r in load_reports(report)] == ["lift_pot", "pour"]


@pytest.mark.slow
def test_ctrl_c_leaves_the_table_of_what_was_finished(model):
    """In a process of its own, with workers, as a person would end it."""
    program = (
        "import sys\nfrom svam_train.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main(sys.argv[1:]))\n"
    )
    script = Path(model).parent / "evaluate.py"
    script.write_text(program)
    report = Path(model).parent / "so_far.json"
    command = [sys.executable, str(script), "evaluate", "--model", model, "--task", "lift_pot"]
    command += ["--episodes", "1000", "--policy", "random", "--loop.episode-s", "0.5", "--workers", "2"]
    command += ["--json", "--report", str(report)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, env=environment, start_new_session=True
    ) as process:
        ended = threading.Event()
        try:
            deadline = time.monotonic() + 120
            while not report.exists() and process.poll() is None and time.monotonic() < deadline:
                ended.wait(0.1)
            os.killpg(process.pid, signal.SIGINT)
            output = process.communicate(timeout=60)[0]
        finally:
            process.kill()
    assert process.returncode == 130
    (line,) = output.splitlines()
    assert 1 <= json.loads(line)["episodes"] < 1000


def test_through_the_nodes_the_demo_runs_and_its_report_is_read(tmp_path):
    plan = AttemptPlan(("pour",), 3, seed=2, loop=LoopSettings(episode_s=20))
    words = " ".join(demo_command("pour", "models/tiny", "eager", plan, tmp_path))
    assert "-m svam_ros.cli demo --headless --task pour --model models/tiny --engine eager" in words
    assert f"--episodes 3 --seed {EVALUATION_SEEDS_FROM + 2} --seconds 20" in words
    path = tmp_path / "report.json"
    path.write_text(json.dumps({"episodes": [{"task": "pour", "seed": 4, "success": True, "steps": 70}]}))
    assert read_attempts(path) == [Attempt("pour", 4, True, 70)]
    path.write_text("[]")
    with pytest.raises(DemoRunFailed, match=r"report\.json"):
        read_attempts(path)


def test_what_the_nodes_do_not_do_is_refused(model, tmp_path):
    plan = AttemptPlan(("pour",), 1, films=Films(tmp_path))
    with pytest.raises(ValueError, match="leave these options out"):
        list(run_through_nodes(model, "eager", plan))
    with pytest.raises(ValueError, match="no --policy"):
        run(Evaluate(model=model, ros=True, policy="blind"))
