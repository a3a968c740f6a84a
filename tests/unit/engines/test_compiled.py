"""Every stage can be compiled whole, and what is captured computes what the network does.

The compiler's front end and our wiring are real; its code generator and the GPU are not here.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.fake_gpu import FakeGpu, FakeMemory
from support.networks import CONFIG, SENTENCES, as_on_the_cobot, observation, save_random_model, with_expert

from svam_ros.artifacts.network_loading import empty_network, give_weights, weight_shapes
from svam_ros.engines import compiled as engine_module
from svam_ros.engines import create_engine
from svam_ros.engines.compiled import create_compiled_engine
from svam_ros.engines.exported.captured_backend import CapturedBackend
from svam_ros.engines.exported.reference_case import EngineInaccurate
from svam_ros.engines.random_model import seeded_weights
from svam_ros.engines.run_plan import DeviceError, plan_run

STAGES = ["backbone", "references", "decouplers", "uni_perceiver", "action_expert"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    config = as_on_the_cobot(with_expert(CONFIG, longest_prefix=2))
    network = give_weights(empty_network(config), seeded_weights(weight_shapes(config), seed=0))
    return save_random_model(tmp_path_factory.mktemp("models") / "small", network=network)


def compiled(model, precision="float32", **options):
    plan = plan_run(model.manifest, "cpu", precision, 1)
    return create_compiled_engine(model, plan, memory=FakeMemory(FakeGpu()), compiler="eager", **options)


@pytest.mark.slow
def test_the_same_chunk_as_call_by_call_under_every_instruction_and_prefix(model):
    reference, engine = create_engine("eager", model, seed=3), compiled(model, seed=3)
    engine.warm_up()
    assert (engine.name, engine.horizon) == ("compiled", reference.horizon)
    committed = observation().arms.positions + np.linspace(0.0, 0.05, 2)[:, None]
    chunks = []
    for sentence in (*SENTENCES, SENTENCES[0]):
        for prefix in (None, committed):
            seen = observation(sentence, seed=len(chunks))
            expected, given = (it.infer(seen, prefix) for it in (reference, engine))
            np.testing.assert_allclose(given.actions, expected.actions, atol=1e-5)
            assert list(given.stages_ms) == ["preprocess", *STAGES]
            chunks.append(given.actions)
    assert np.abs(np.diff(chunks, axis=0)).max(axis=(1, 2)).min() > 1e-2
    engine.close()


@pytest.mark.slow
def test_what_computes_something_else_is_refused_and_closed(model, monkeypatch):
    closed = []

    def close(backend):
        closed.append(backend)

    sound = CapturedBackend.value
    monkeypatch.setattr(CapturedBackend, "value", lambda self, name: sound(self, name) * np.float32(1.01))
    monkeypatch.setattr(CapturedBackend, "close", close)
    with pytest.raises(EngineInaccurate, match="engine 'compiled' does not compute what the network does"):
        compiled(model)
    assert len(closed) == 1


@pytest.mark.slow
def test_sums_in_half_precision_are_tried_first_and_given_up_where_they_are_not_exact_enough(
    model, monkeypatch, caplog
):
    allowed = []
    compile_stages = engine_module.compile_stages

    def compile_and_note(*args, **options):
        allowed.append(torch.backends.cuda.matmul.allow_fp16_accumulation)
        return compile_stages(*args, **options)

    def refuse_short_sums(*_args):
        if torch.backends.cuda.matmul.allow_fp16_accumulation:
            raise EngineInaccurate("actions are off")

    monkeypatch.setattr(engine_module, "compile_stages", compile_and_note)
    compiled(model, "float16").close()
    assert allowed == [True]
    monkeypatch.setattr(engine_module, "refuse_inaccurate", refuse_short_sums)
    compiled(model, "float16").close()
    assert allowed == [True, True, False]
    assert "sums in float16 are not exact enough" in caplog.text
    compiled(model).close()
    assert allowed == [True, True, False, False]


def test_without_a_gpu_it_is_refused_with_what_runs_here(model):
    with pytest.raises(DeviceError, match="captures CUDA graphs: use device 'cuda', or engine 'openvino'"):
        create_engine("compiled", model)
