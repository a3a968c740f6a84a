"""What is decided before a weight is read: device, precision, threads, and whether memory suffices."""

import os

import pytest
import torch

from svam_ros.engines import create_engine, run_plan
from svam_ros.engines.random_model import random_model
from svam_ros.engines.run_plan import DeviceError, plan_run

FULL_SIZE = random_model("cobot").manifest
SMALL = random_model("tiny").manifest


@pytest.mark.parametrize(
    ("capabilities", "manifest", "expected"),
    [
        ({"amx_bf16": True}, FULL_SIZE, "bfloat16"),
        ({"avx512_bf16": True}, FULL_SIZE, "bfloat16"),
        ({"avx512_f": True}, FULL_SIZE, "float32"),
        ({}, FULL_SIZE, "float32"),
        ({"amx_bf16": True}, SMALL, "float32"),
    ],
)
def test_auto_is_bfloat16_for_a_large_network_on_a_processor_that_has_it(
    monkeypatch, capabilities, manifest, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(run_plan, "available_bytes", lambda: None)
    assert plan_run(manifest, "cpu", "auto", 0).dtype_name == expected
    assert plan_run(manifest, "cpu", "float16", 0).dtype == torch.float16


def test_a_large_network_gets_every_core_a_small_one_gets_one_and_a_number_is_obeyed(monkeypatch):
    monkeypatch.setattr(run_plan, "available_bytes", lambda: None)
    assert plan_run(FULL_SIZE, "cpu", "auto", 0).threads == len(os.sched_getaffinity(0))
    assert plan_run(SMALL, "cpu", "auto", 0).threads == 1
    assert plan_run(SMALL, "cpu", "auto", 5).threads == 5


def test_the_plan_says_what_it_takes_before_it_takes_it(monkeypatch):
    monkeypatch.setattr(run_plan, "available_bytes", lambda: 16_000_000_000)
    text = plan_run(FULL_SIZE, "cpu", "bfloat16", 1).describe()
    assert (
        "1,949 M weights in bfloat16 on cpu, 3.90 GB; takes up to 5.17 GB of memory, 16.0 GB are free" in text
    )


def test_a_machine_with_less_memory_is_refused_before_any_is_taken(monkeypatch):
    monkeypatch.setattr(run_plan, "available_bytes", lambda: 6_000_000_000)
    plan_run(FULL_SIZE, "cpu", "bfloat16", 1)
    with pytest.raises(DeviceError, match=r"in float32 takes up to 10\.2 GB of memory, cpu has 6\.0 GB free"):
        create_engine("eager", random_model("cobot"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match=r"there is no device 'cuda' here .*: use device 'cpu'"):
        create_engine("eager", "tiny", device="cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_auto_is_float16_and_memory_is_the_gpu_s():
    plan = plan_run(SMALL, "cuda", "auto", 0)
    engine = create_engine("eager", random_model("tiny"), device="cuda", dtype=plan.dtype_name)
    assert plan.dtype == torch.float16
    assert plan.weights_bytes < (plan.peak_memory_bytes() or 0) < 2**30
    engine.close()


def test_the_figures_of_a_plan_are_all_in_the_report():
    plan = plan_run(SMALL, "cpu", "auto", 0)
    assert plan.figures() == {
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "device_memory": "torch",
        "weights": plan.weights,
        "weights_bytes": 4 * plan.weights,
    }
