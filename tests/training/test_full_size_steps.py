"""The benchmark of training steps: what is counted is what is held, and every stage is really trained."""

from __future__ import annotations

import dataclasses
import functools
import json
import math

import pytest
import torch

from benchmarks import full_size_steps
from benchmarks.full_size.counted_step import CountedStep, LiveBytes, count_step, count_weights
from benchmarks.full_size.measured_steps import MeasuredSteps, measure_steps
from benchmarks.full_size.random_stages import batch_of_shapes, random_objective
from benchmarks.full_size.seen_shapes import shapes_of
from benchmarks.full_size.stage_process import StageFailed, measure_in_process
from benchmarks.full_size.step_plan import StepPlan
from benchmarks.full_size_steps import Options, main
from svam_train.training.exponential_average import ExponentialAverage

CPU = torch.device("cpu")
STAGES = ("video", "decouplers", "actions")
COUNTED = CountedStep(
    trained=10,
    weights=30,
    tflop=2.0,
    loop_estimate_bytes=200,
    frozen_bytes=80,
    passing_bytes=60,
    batch={"noise": (1, 2)},
    inside={"features": (1, 2, 3)},
)
MEASURED = MeasuredSteps(
    steps_s=[9.0, 4.0, 5.0],
    losses=[1.0, 0.5, 0.25],
    trained=10,
    weights=30,
    before_bytes=1000,
    built_bytes=1100,
    peak_bytes=1400,
    gpu_peak_bytes=None,
    gpu_reserved_bytes=None,
    build_s=1.0,
    batch={"noise": (1, 2)},
    inside={"features": (1, 2, 3)},
    teachers=[],
)


counted_once = functools.cache(count_step)
"""Counting takes seconds."""


def bytes_of(tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


@pytest.mark.parametrize("stage", STAGES)
def test_a_counted_batch_has_the_shapes_and_types_of_a_real_one(stage):
    plan = StepPlan(stage, "tiny", rows=2)
    objective, _ = random_objective(plan, CPU)
    real, made = objective.batch(0, 2), batch_of_shapes(plan.recipe, plan.config)
    assert shapes_of(made) == shapes_of(real)
    assert {name: t.dtype for name, t in made.items()} == {name: t.dtype for name, t in real.items()}


@pytest.mark.slow
@pytest.mark.parametrize("plan", [StepPlan(stage, "tiny", 2) for stage in STAGES], ids=STAGES)
def test_the_loop_s_estimate_is_what_a_trained_module_holds(plan):
    objective, stage = random_objective(plan, CPU)
    module = objective.module.train()
    trained = [value for value in module.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    average = ExponentialAverage(module, 0.9)
    module(objective.batch(0, 2))["total"].backward()
    optimizer.step()
    moments = [
        value
        for state in optimizer.state.values()
        for name, value in state.items()
        if name.startswith("exp_avg")
    ]
    held = bytes_of([*trained, *(value.grad for value in trained), *moments])
    averaged = {
        name: average.values[name] for name, value in module.named_parameters() if value.requires_grad
    }
    counted = counted_once(plan)
    assert counted.loop_estimate_bytes == held + bytes_of(averaged.values())
    everything = {id(value): value for part in (module, *stage.frozen) for value in part.parameters()}
    assert counted.weights == count_weights((module, *stage.frozen))
    assert counted.frozen_bytes == bytes_of(value for value in everything.values() if not value.requires_grad)
    # Gradients come and go within a step, and with them at least what the backward needs.
    assert counted.passing_bytes > bytes_of(value.grad for value in trained)
    assert counted.peak_bytes > counted.loop_estimate_bytes + counted.frozen_bytes
    assert counted.tflop > 0.0


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_trained_by_the_loop_and_sees_the_counted_shapes(stage):
    plan = StepPlan(stage, "tiny", rows=2)
    measured = measure_steps(plan, 2, CPU)
    assert len(measured.steps_s) == 2
    assert min(measured.steps_s) > 0.0
    assert all(math.isfinite(loss) for loss in measured.losses)
    assert 0 < measured.trained <= measured.weights
    assert measured.peak_bytes > 0  # of a process with a past; the tool gives every stage one of its own
    counted = counted_once(plan)
    assert (measured.trained, measured.weights) == (counted.trained, counted.weights)
    assert measured.batch == counted.batch
    assert measured.inside == counted.inside
    assert measured.inside["features"] == (2, 2, 64, plan.config.backbone.feature_width)
    if stage == "actions":
        assert measured.inside["context"] == (2, 24, plan.config.uni_perceiver.width)


@pytest.mark.slow
def test_arithmetic_grows_with_the_rows_and_with_the_sampler_s_steps(monkeypatch):
    one, two = (counted_once(StepPlan("video", "tiny", rows)) for rows in (1, 2))
    assert 1.8 < two.tflop / one.tflop <= 2.0
    assert two.loop_estimate_bytes == one.loop_estimate_bytes
    published = count_step(StepPlan("decouplers", "tiny", 1)).tflop
    recipe = StepPlan("decouplers", "tiny", 1).published
    longer = dataclasses.replace(recipe, sampling=dataclasses.replace(recipe.sampling, steps=30))
    monkeypatch.setattr(StepPlan, "published", property(lambda _plan: longer))
    per_pass = (count_step(StepPlan("decouplers", "tiny", 1)).tflop - published) / 20
    assert 0.0 < 10 * per_pass < published


@pytest.mark.slow
def test_low_rank_trains_less_and_holds_more():
    whole, low = (StepPlan("video", "tiny", 2, low_rank=rank) for rank in (0, 4))
    assert list(low.differences())[1].startswith("updates of rank 4")
    all_trained, updates = counted_once(whole), counted_once(low)
    assert updates.trained < all_trained.trained / 10
    assert updates.weights > all_trained.weights


def test_live_memory_counts_new_memory_while_it_lives():
    there = torch.zeros(1000)
    with LiveBytes() as live:
        held = there + 1.0
        there.add_(1.0)
        views = (there.view(10, 100), held[:10])
        assert live.held == 4000
        passing = held.double()
        assert live.held == 12000
        del passing, views
        assert live.held == 4000
    assert live.peak == 12000


def answer_with(monkeypatch, free_bytes: int) -> list[tuple[str, int]]:
    """Stands in for the processes; returns the stages that were trained, with their rank."""
    trained: list[tuple[str, int]] = []

    def count(plan, _device):
        size = 10**6 if plan.low_rank else 10**9
        return dataclasses.replace(COUNTED, frozen_bytes=size if plan.stage == "video" else 0), free_bytes

    def measure(plan, _steps, _device, _threads):
        trained.append((plan.stage, plan.low_rank))
        return MEASURED

    monkeypatch.setattr(full_size_steps, "count_in_process", count)
    monkeypatch.setattr(full_size_steps, "measure_in_process", measure)
    monkeypatch.setattr(full_size_steps.signal, "signal", lambda *_: None)
    return trained


def test_stage_1_falls_back_to_low_rank_where_all_of_it_does_not_fit(monkeypatch, tmp_path, capsys):
    trained = answer_with(monkeypatch, free_bytes=full_size_steps.PROCESS_BYTES + 10**8)
    file = tmp_path / "new" / "figures.json"
    main(Options(json=file))
    assert trained == [("video", full_size_steps.FALLBACK_RANK), ("decouplers", 0), ("actions", 0)]
    shown = capsys.readouterr().out
    assert "| video | 0.00 | 0.0 | 2 | 0.00 | 1.00 | - | - |" in shown
    assert "| video, rank 16 | 0.00 | 0.0 | 2 | 0.00 | 0.00 | 0.00 | 4 |" in shown
    assert "not trained: needs 2.5 GB, 1.6 GB are free" in shown
    assert "updates of rank 16 of the attention (LoRA) instead of all weights" in shown
    figures = json.loads(file.read_text())
    assert [stage["measured_peak_bytes"] for stage in figures["stages"]] == [None, 400, 400, 400]
    assert figures["stages"][1]["counted_peak_bytes"] == 10**6 + 160 + 60
    assert figures["machine"]["cpu"]


def test_what_was_asked_for_is_not_replaced_by_something_smaller(monkeypatch):
    trained = answer_with(monkeypatch, free_bytes=0)
    assert len(main(Options(stages=("video",), low_rank=0))) == 1
    assert trained == []
    trained = answer_with(monkeypatch, free_bytes=10**12)
    reports = main(Options(stages=("video", "decouplers"), low_rank=8))
    assert trained == [("video", 8), ("decouplers", 0)]
    assert [report.plan.low_rank for report in reports] == [8, 0]
    trained = answer_with(monkeypatch, free_bytes=10**12)
    main(Options(only_count=True))
    assert trained == []


@pytest.mark.slow
def test_the_command_prints_every_stage(capfd):
    reports = main(Options(config="tiny", steps=2, threads=1))
    shown = capfd.readouterr().out
    assert [report.plan.stage for report in reports] == list(STAGES)
    for report in reports:
        assert report.measured is not None
        assert report.measured.own_peak_bytes > 0
        assert report.measured.step_s > 0.0
        assert f"| {report.plan.stage} | {report.counted.trained / 1e6:,.2f} |" in shown


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_process_that_cannot_do_it_is_told_of(capfd):
    with pytest.raises(StageFailed, match="actions: its process ended with code 1"):
        measure_in_process(StepPlan("actions", "tiny", 1), 1, "cuda", 1)
    assert "torch finds no GPU here; use --device cpu" in capfd.readouterr().err


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"rows": 0}, {"low_rank": -1}, {"threads": -1}], ids=str)
def test_numbers_that_cannot_be_are_refused(wrong):
    ((name, value),) = wrong.items()
    with pytest.raises(ValueError, match=f"{name} is {value}, but must be at least"):
        Options(**wrong)
