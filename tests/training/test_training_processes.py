"""The loop in processes of its own: killed, interrupted, several at once, on a disk that is full."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.run_records import everything_of, last_tensors, metric_lines

ROOT = Path(__file__).parents[2]
PROGRAM = "support.made_up_training"
SLOW = {"pause_s": 0.04, "steps": 60, "checkpoint_every_s": 0.01, "log_every": 1}
"""Long enough to be killed in the middle: each step takes its time, nearly each is saved."""
SEVERAL = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
PATIENCE_S = 200.0


def start(folder: Path, values: dict, *options: str, launcher: list[str] | None = None) -> subprocess.Popen:
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "tests"))),
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
    }
    return subprocess.Popen(
        [sys.executable, *(launcher or []), "-m", PROGRAM, str(folder), json.dumps(values), *options],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and what was said."""
    said = process.communicate(timeout=PATIENCE_S)[1]
    return process.returncode, said


def completed(folder: Path, values: dict, *options: str, launcher: list[str] | None = None) -> Path:
    code, said = finish(start(folder, values, *options, launcher=launcher))
    assert code == 0, said
    return folder


def wait_for(found: Callable[[], bool], process: subprocess.Popen) -> None:
    end = time.monotonic() + PATIENCE_S
    while not found():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end
        time.sleep(0.002)


def saved_steps(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step_??????"))


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_is_as_if_nothing_had_happened(tmp_path):
    uninterrupted = completed(tmp_path / "whole", SLOW | {"pause_s": 0.0})
    moments = random.Random()
    for step in (0, 20):
        process = start(tmp_path / "run", SLOW, "--resume")
        wait_for(lambda step=step: any(one > step for one in saved_steps(tmp_path / "run")), process)
        time.sleep(moments.uniform(0.0, 0.5))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        assert finish(process)[0] == -signal.SIGKILL
    assert step < max(saved_steps(tmp_path / "run")) < 60
    completed(tmp_path / "run", SLOW, "--resume")
    lines = [line["step"] for line in metric_lines(tmp_path / "run")]
    assert lines == list(range(1, 61))
    assert everything_of(tmp_path / "run") == everything_of(uninterrupted)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)]
)
def test_ctrl_c_saves_the_step_and_exits_with_the_shell_s_code(tmp_path, number, code):
    values = SLOW | {"checkpoint_every_s": 1e6}
    process = start(tmp_path, values)
    wait_for(lambda: (tmp_path / "metrics.jsonl").exists() and len(metric_lines(tmp_path)) > 3, process)
    process.send_signal(number)
    exit_code, said = finish(process)
    assert exit_code == code, said
    assert "Finishing the step, then saving" in said
    assert "Traceback" not in said
    assert saved_steps(tmp_path) == [metric_lines(tmp_path)[-1]["step"]]


SAME = {"dropout": 0.0}
"""Each process would drop out other units."""


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return completed(tmp_path_factory.mktemp("single"), SAME)


@pytest.mark.parametrize(
    ("values", "arrangement"),
    [
        pytest.param({}, "MULTI_CPU", id="copies"),
        pytest.param({"accumulate": 2}, "MULTI_CPU", id="copies, accumulated", marks=pytest.mark.slow),
        pytest.param({"sharded": True, "accumulate": 2}, "FSDP", id="sharded", marks=pytest.mark.slow),
    ],
)
def test_two_processes_give_the_result_of_one(tmp_path, single, values, arrangement):
    """Within 2e-5: the same sums in another order, over twelve steps of Adam."""
    double = completed(tmp_path / "double", SAME | values, launcher=SEVERAL)
    facts = json.loads((double / "finished.json").read_text(encoding="utf-8"))
    assert (facts["processes"], facts["arrangement"]) == (2, arrangement)
    expected = last_tensors(single)
    found = last_tensors(double)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        torch.testing.assert_close(value, expected[name], rtol=2e-5, atol=2e-5, msg=name)
    for ours, theirs in zip(metric_lines(double), metric_lines(single), strict=True):
        assert ours["training"] == pytest.approx(theirs["training"], rel=2e-5)
        assert ours.get("held_out", {}) == pytest.approx(theirs.get("held_out", {}), rel=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("sharded", [False, True], ids=["copies", "sharded"])
def test_two_processes_stopped_and_resumed_are_as_if_nothing_had_happened(tmp_path, sharded):
    values = SLOW | SAME | {"steps": 30, "sharded": sharded, "checkpoint_every_s": 1e6}
    whole = completed(tmp_path / "whole", values | {"pause_s": 0.0}, launcher=SEVERAL)
    process = start(tmp_path / "run", values, launcher=SEVERAL)
    wait_for(
        lambda: (tmp_path / "run/metrics.jsonl").exists() and bool(metric_lines(tmp_path / "run")), process
    )
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert code != 0
    (step,) = saved_steps(tmp_path / "run")
    assert 0 < step < 30, said
    completed(tmp_path / "run", values, "--resume", launcher=SEVERAL)
    assert everything_of(tmp_path / "run") == everything_of(whole)


@pytest.mark.slow
def test_a_checkpoint_of_one_process_goes_on_in_two_that_share_it(tmp_path, single):
    """The other way round too: what is saved is whole, whoever saved it."""
    values = SAME | {"poisoned_step": 7, "checkpoint_every_s": 1e-9}
    code, said = finish(start(tmp_path, values))
    assert code == 1
    assert "step 7: gradient norm" in said
    del values["poisoned_step"]
    completed(tmp_path, values | {"sharded": True}, "--resume", launcher=SEVERAL)
    expected = last_tensors(single)
    for name, value in last_tensors(tmp_path).items():
        torch.testing.assert_close(value, expected[name], rtol=2e-5, atol=2e-5, msg=name)


@pytest.mark.slow
def test_a_disk_that_takes_no_more_leaves_the_last_good_checkpoint(tmp_path, single):
    values = SAME | {"checkpoint_every_s": 1e-9}
    code, said = finish(start(tmp_path, values | {"full_disk_step": 5}))
    assert code == 1
    assert "could not be written (File too large" in said
    assert f"the checkpoint of step {max(saved_steps(tmp_path))} is still good" in said
    assert "--resume" in said
    assert "Traceback" not in said
    completed(tmp_path, values, "--resume")
    assert everything_of(tmp_path)["tensors"] == everything_of(single)["tensors"]
