"""The loop on a small real objective, in this process: what is computed, refused, saved, resumed."""

import errno
import json
import logging
import os
import shutil
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from support.made_up_training import SETTINGS, MadeUpObjective
from support.run_records import everything_of, last_tensors, metric_lines
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from svam_train.training import checkpoints, loop
from svam_train.training.loop import train
from svam_train.training.run_folder import RunError, RunFolder

OFTEN = replace(SETTINGS, checkpoint_every_s=1e-9)
"""A checkpoint after every step."""


def trained(folder, settings=SETTINGS, objective=None, *, resume=False):
    train(objective or MadeUpObjective(), settings, RunFolder(folder, settings), resume=resume)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("uninterrupted"))


class Killed(Exception):
    pass


class DyingObjective(MadeUpObjective):
    """Dies when it is asked for the batch of step 7."""

    def batch(self, step: int, size: int):
        if step == 7:
            raise Killed
        return super().batch(step, size)


def died_at_7(folder, settings=OFTEN):
    with pytest.raises(Killed):
        trained(folder, settings, DyingObjective())
    return folder


def test_it_learns(tmp_path):
    settings = replace(SETTINGS, steps=200, average_decay=0.99)
    lines = metric_lines(trained(tmp_path, settings))
    untrained = MadeUpObjective()
    assert lines[-1]["held_out"]["total"] < 0.5 * untrained.held_out(untrained.module.eval())["total"]


def test_a_run_that_died_is_resumed_to_the_bit(tmp_path, uninterrupted):
    died_at_7(tmp_path)
    assert max(path.name for path in (tmp_path / "checkpoints").iterdir()) == "step_000007"
    assert everything_of(trained(tmp_path, OFTEN, resume=True)) == everything_of(uninterrupted)


def test_a_run_that_died_before_its_first_checkpoint_starts_again(tmp_path, uninterrupted):
    died_at_7(tmp_path, SETTINGS)
    assert len(metric_lines(tmp_path)) == 3
    assert everything_of(trained(tmp_path, resume=True)) == everything_of(uninterrupted)


def test_a_damaged_newest_checkpoint_costs_steps_not_the_run(tmp_path, uninterrupted, caplog):
    died_at_7(tmp_path)
    os.truncate(tmp_path / "checkpoints/step_000007/average.safetensors", 50)
    with caplog.at_level(logging.WARNING):
        trained(tmp_path, OFTEN, resume=True)
    assert "step_000007 is damaged" in caplog.text
    assert everything_of(tmp_path) == everything_of(uninterrupted)


def test_half_a_line_of_metrics_goes(tmp_path, uninterrupted):
    died_at_7(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 8, "training": {"to')
    assert metric_lines(trained(tmp_path, OFTEN, resume=True)) == metric_lines(uninterrupted)


def test_a_run_whose_end_was_lost_gets_it_again(tmp_path, uninterrupted):
    shutil.copytree(uninterrupted, tmp_path / "run")
    (tmp_path / "run/weights.safetensors").unlink()
    assert everything_of(trained(tmp_path / "run", resume=True)) == everything_of(uninterrupted)


def test_the_random_numbers_of_the_process_make_no_difference(tmp_path, uninterrupted):
    objective = MadeUpObjective()
    torch.manual_seed(99)
    assert everything_of(trained(tmp_path, objective=objective)) == everything_of(uninterrupted)


def test_resuming_with_another_config_is_refused(tmp_path, uninterrupted):
    with pytest.raises(RunError, match=r"learning_rate \(0\.02 there, 0\.1 now\)"):
        trained(uninterrupted, replace(SETTINGS, learning_rate=0.1), resume=True)


def test_a_changed_network_is_refused_by_name(tmp_path):
    died_at_7(tmp_path)
    objective = MadeUpObjective()
    objective.module.add_module("more", nn.Linear(2, 2))
    with pytest.raises(RunError, match=r"another version of the network: .*more\.bias"):
        trained(tmp_path, OFTEN, objective, resume=True)


def test_metrics_have_what_was_asked_for_when_it_was(uninterrupted):
    lines = metric_lines(uninterrupted)
    assert [line["step"] for line in lines] == [2, 4, 6, 8, 10, 12]
    assert [line["step"] for line in lines if "held_out" in line] == [4, 8, 12]
    assert set(lines[0]["training"]) == {"total", "square", "absolute", "gradient_norm"}
    assert sorted(path.name for path in (uninterrupted / "pictures").iterdir()) == [
        "step_000006",
        "step_000012",
    ]


def test_tensorboard_shows_the_same_once_after_a_resume(tmp_path):
    died_at_7(tmp_path)
    trained(tmp_path, OFTEN, resume=True)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in events.Scalars("training/total")]
    lines = [(line["step"], line["training"]["total"]) for line in metric_lines(tmp_path)]
    assert [step for step, _ in shown] == [step for step, _ in lines]
    assert [value for _, value in shown] == pytest.approx([value for _, value in lines])
    assert [image.step for image in events.Images("weights")] == [6, 12]


def test_what_is_handed_on_and_evaluated_is_the_average(uninterrupted):
    average = load_file(uninterrupted / "checkpoints/step_000012/average.safetensors")
    handed_on = load_file(uninterrupted / "weights.safetensors")
    assert torch.equal(handed_on["network.0.weight"], average["body.0.weight"])
    objective = MadeUpObjective()
    objective.module.load_state_dict(average, strict=False)
    held_out = objective.held_out(objective.module.eval())
    assert metric_lines(uninterrupted)[-1]["held_out"] == pytest.approx(held_out, rel=1e-6)
    weights = load_file(uninterrupted / "checkpoints/step_000012/weights.safetensors")
    assert not torch.equal(weights["body.0.weight"], average["body.0.weight"])
    assert "frozen" not in weights


def test_accumulated_parts_give_the_step_of_the_whole_batch(tmp_path):
    """Within 2e-5: the same sums in another order, over twelve steps of Adam."""
    whole = trained(tmp_path / "whole", objective=MadeUpObjective(dropout=0.0))
    parts = trained(tmp_path / "parts", replace(SETTINGS, accumulate=4), MadeUpObjective(dropout=0.0))
    expected = last_tensors(whole)
    for name, value in last_tensors(parts).items():
        torch.testing.assert_close(value, expected[name], rtol=2e-5, atol=2e-5, msg=name)


def test_bfloat16_is_near_float32_and_weights_stay_float32(tmp_path):
    exact = trained(tmp_path / "exact", objective=MadeUpObjective(dropout=0.0))
    mixed = trained(tmp_path / "mixed", replace(SETTINGS, precision="bf16"), MadeUpObjective(dropout=0.0))
    weights = load_file(mixed / "weights.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float32}
    exact_loss, mixed_loss = (metric_lines(run)[-1]["held_out"]["total"] for run in (exact, mixed))
    assert mixed_loss != exact_loss
    assert mixed_loss == pytest.approx(exact_loss, rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine can do it")
def test_a_precision_that_the_machine_cannot_do_is_refused(tmp_path):
    with pytest.raises(RunError, match="precision fp16 cannot be had"):
        trained(tmp_path, replace(SETTINGS, precision="fp16"))


def half_precision_on_cpu(_) -> Accelerator:
    """float16 with a scaled loss on a CPU, where accelerate alone would not; the first scale is too large."""
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision="fp16", cpu=True)
    accelerator.native_amp = True
    accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**22, growth_interval=4)
    return accelerator


def test_float16_skips_steps_until_its_scale_fits_and_resumes_to_the_bit(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "make_accelerator", half_precision_on_cpu)
    settings = replace(OFTEN, precision="fp16")
    whole = everything_of(trained(tmp_path / "whole", settings))
    first = load_file(
        died_at_7(tmp_path / "died", settings) / "checkpoints/step_000007/optimizer.safetensors"
    )
    assert 0 < first["body.0.weight/step"] < 7
    assert everything_of(trained(tmp_path / "died", settings, resume=True)) == whole
    assert whole["facts"]["scaler"]["scale"] < 2.0**22


def test_float16_gives_up_when_no_scale_fits(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "make_accelerator", half_precision_on_cpu)
    monkeypatch.setattr(loop, "_MOST_SKIPPED_IN_A_ROW", 2)
    objective = MadeUpObjective()
    objective.module.body[0].weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(RunError, match=r"step 2: gradient norm .*all losses are finite"):
        trained(tmp_path, replace(SETTINGS, precision="fp16"), objective)


def test_a_step_that_is_not_finite_is_named_and_changes_nothing(tmp_path):
    with pytest.raises(RunError, match=r"step 7: gradient norm nan .*total") as refused:
        trained(tmp_path, OFTEN, MadeUpObjective(poisoned_step=7))
    assert "lower learning_rate" in str(refused.value)
    newest = tmp_path / "checkpoints/step_000007"
    assert all(value.isfinite().all() for value in load_file(newest / "weights.safetensors").values())


def test_parameters_without_influence_are_named(tmp_path):
    objective = MadeUpObjective()
    objective.module.add_module("idle", nn.Linear(2, 2))
    with pytest.raises(RunError, match=r"no influence on 'total': idle\.weight, idle\.bias;"):
        trained(tmp_path, objective=objective)


def test_losses_without_a_total_are_refused(tmp_path):
    objective = MadeUpObjective()
    objective.module.forward = lambda batch: {
        "square": objective.module.body(batch["inputs"]).square().mean()
    }
    with pytest.raises(RunError, match="losses square have no 'total'"):
        trained(tmp_path, objective=objective)


def test_a_batch_of_another_size_is_refused(tmp_path):
    class Short(MadeUpObjective):
        def batch(self, step: int, size: int):
            return super().batch(step, size) | {"noise": torch.zeros(size - 1, 6)}

    with pytest.raises(RunError, match=r"step 0: 'noise' of the batch has shape \(7, 6\)"):
        trained(tmp_path, objective=Short())


def test_a_batch_that_cannot_be_divided_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(RunError, match="choose a multiple of 3"):
        trained(tmp_path / "run", replace(SETTINGS, accumulate=3))
    assert not (tmp_path / "run").exists()


def test_a_folder_in_which_another_process_trains_is_refused(tmp_path):
    run = RunFolder(tmp_path, SETTINGS)
    run.begin(resume=False)
    with run.alone(), pytest.raises(RunError, match="another process is training here"):
        trained(tmp_path, resume=True)


def test_a_module_without_anything_to_train_is_refused(tmp_path):
    objective = MadeUpObjective()
    objective.module.requires_grad_(False)
    with pytest.raises(RunError, match="no parameter to train"):
        trained(tmp_path, objective=objective)


def test_a_disk_that_fills_up_while_saving_is_told_and_the_run_goes_on_later(
    tmp_path, uninterrupted, monkeypatch
):
    original = checkpoints.save_file

    def full(tensors, path, metadata):
        if "step_000005" in {one.name for one in (tmp_path / "checkpoints").iterdir()}:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        original(tensors, path, metadata)

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(RunError, match="checkpoint of step 5 is still good"):
        trained(tmp_path, OFTEN)
    monkeypatch.undo()
    assert everything_of(trained(tmp_path, OFTEN, resume=True)) == everything_of(uninterrupted)


def test_a_disk_that_fills_up_while_writing_metrics_is_told(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(loop.Metrics, "write", full)
    with pytest.raises(RunError, match=r"the disk is full .*--resume"):
        trained(tmp_path)


def test_other_errors_of_the_system_are_not_called_a_full_disk(tmp_path):
    class Unreadable(MadeUpObjective):
        def batch(self, step: int, size: int):
            raise PermissionError(errno.EACCES, "Permission denied", "episode.npz")

    with pytest.raises(PermissionError, match=r"episode\.npz"):
        trained(tmp_path, objective=Unreadable())


def test_the_finished_run_says_on_what_it_was_computed(uninterrupted):
    facts = json.loads((uninterrupted / "finished.json").read_text(encoding="utf-8"))
    assert facts["steps"] == 12
    assert facts["processes"] == 1
    assert facts["torch"] == torch.__version__
