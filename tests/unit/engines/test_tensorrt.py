"""TensorRT for RTX really compiles every stage for an RTX 3090; then a GPU that is not there runs them."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from support.fake_gpu import FakeEngine, FakeGpu, FakeMemory
from support.fake_pycuda import FakePycuda
from support.networks import (
    CONFIG,
    SENTENCES,
    as_on_the_cobot,
    observation,
    save_random_model,
    with_expert,
    with_larger_pictures,
)

from svam_ros.artifacts.engine_files import EngineFilesError, EngineMismatch, engine_identity, find_engine
from svam_ros.artifacts.model_directory import open_model
from svam_ros.artifacts.model_saving import copy_model
from svam_ros.artifacts.network_loading import empty_network, give_weights, weight_shapes
from svam_ros.engines import create_engine
from svam_ros.engines.accuracy import AT_SMALL_WIDTHS, LARGEST_JOINT_DEVIATION_RAD
from svam_ros.engines.exported import (
    engine_kinds,
    pycuda_memory,
    runtime_cache,
    tensorrt_build,
    tensorrt_stages,
)
from svam_ros.engines.exported.building import BuildRequest, build_engine
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.loading import load_graph_engine
from svam_ros.engines.exported.stage_graphs import StageShape
from svam_ros.engines.exported.tensorrt_build import TensorRtError, compile_stage, tensorrt_library
from svam_ros.engines.random_model import seeded_weights
from svam_ros.engines.run_plan import DeviceError, plan_run

pytestmark = pytest.mark.slow

REQUEST = BuildRequest("tensorrt", "sm86")
STAGES = ["instruction", "backbone", "references", "decouplers", "uni_perceiver", "action_expert"]


@pytest.fixture(scope="module")
def gpu():
    return FakeGpu()


@contextmanager
def remembering(gpu):
    """What TensorRT compiles, the device can run."""
    kind = engine_kinds.ENGINE_KINDS["tensorrt"]

    def compile_and_remember(shape, graph, engine, target, timing_cache):
        compile_stage(shape, graph, engine, target, timing_cache)
        gpu.remember(graph, engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(
            engine_kinds.ENGINE_KINDS, "tensorrt", dataclasses.replace(kind, compile=compile_and_remember)
        )
        yield


@pytest.fixture(scope="module")
def built(gpu, tmp_path_factory):
    """A model with an engine for a 3090; building was interrupted while the last stage was compiled."""
    config = with_larger_pictures(as_on_the_cobot(with_expert(CONFIG, longest_prefix=2)))
    network = give_weights(empty_network(config), seeded_weights(weight_shapes(config), seed=0))
    model = save_random_model(tmp_path_factory.mktemp("models") / "small", network=network)

    def interrupt(step: str) -> None:
        if step.startswith("compile action_expert"):
            raise KeyboardInterrupt

    steps: list[str] = []
    with remembering(gpu):
        with pytest.raises(KeyboardInterrupt):
            build_engine(model, REQUEST, interrupt)
        build_engine(model, REQUEST, steps.append)
    assert [step for step in steps if step.startswith(("export", "compile"))] == [
        "compile action_expert (6 of 6)"
    ]
    return open_model(model.path)


@pytest.fixture
def device(gpu, monkeypatch, tmp_path):
    """The 3090 that the engine was built for, as far as the backend can see."""
    kind = engine_kinds.ENGINE_KINDS["tensorrt"]
    here = dataclasses.replace(kind, device="cpu", here=lambda: "sm86")
    monkeypatch.setitem(engine_kinds.DEVICE_MEMORIES, "torch", lambda: FakeMemory(gpu))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "tensorrt", here)
    library = tensorrt_library()
    monkeypatch.setattr(tensorrt_stages, "tensorrt_module", gpu.tensorrt)
    monkeypatch.setitem(
        engine_kinds.ENGINE_KINDS, "tensorrt", dataclasses.replace(here, library=lambda: library)
    )
    gpu.deserialized.clear()
    gpu.launches.clear()
    gpu.compiled.clear()
    return gpu


def loaded(model, precision="float16", device_memory="torch", **options):
    plan = plan_run(model.manifest, "cpu", precision, 1, device_memory)
    return load_graph_engine("tensorrt", model, plan, **options)


def here(model, precision="float16"):
    return engine_identity(model, "tensorrt", tensorrt_library(), "sm86", precision)


def test_the_engine_is_for_the_3090_and_says_what_it_was_compared_by(built):
    found = find_engine(built, here(built))
    names = {path.name for path in found.folder.iterdir()}
    assert names == {*(f"{stage}.engine" for stage in STAGES), "reference.npz", "engine.json"}
    assert found.record.checked_by.startswith("onnxruntime ")
    for output, limit in AT_SMALL_WIDTHS["float16"].items():
        assert 1e-5 < found.record.deviations[output] <= limit


def test_it_computes_what_the_network_does(built, device):
    reference, engine = create_engine("eager", built, seed=3), loaded(built, seed=3)
    engine.warm_up()
    committed = observation().arms.positions + np.linspace(0.0, 0.05, 2)[:, None]
    allowed_rad, chunks = 2 * LARGEST_JOINT_DEVIATION_RAD["float16"], []
    for sentence in (*SENTENCES, SENTENCES[0]):
        for prefix in (None, committed):
            seen = observation(sentence, seed=len(chunks))
            expected, given = (it.infer(seen, prefix).actions for it in (reference, engine))
            np.testing.assert_allclose(given, expected, atol=allowed_rad)
            chunks.append(given)
    assert np.abs(np.diff(chunks, axis=0)).max(axis=(1, 2)).min() > 3 * allowed_rad
    engine.close()


def test_in_eight_bits_it_computes_what_the_network_does_as_far_as_the_table_says(built, device, tmp_path):
    model = copy_model(built, tmp_path / "small")
    with pytest.raises(BuildRefused, match="at least 8 observations are needed, 0 are there"):
        build_engine(model, BuildRequest("tensorrt", "sm86", "int8"), lambda _: None)
    seen = tuple(observation(SENTENCES[seed % 2], seed=seed) for seed in range(12))
    with remembering(device):
        build_engine(model, BuildRequest("tensorrt", "sm86", "int8", 2, seen), lambda _: None)
    model = open_model(model.path)
    record = find_engine(model, here(model, "int8")).record
    assert record.quantized_layers > 20
    reference, engine = create_engine("eager", model, seed=3), loaded(model, "int8", seed=3)
    worst_rad = 0.0
    for one in seen[:4]:
        expected, given = (it.infer(one).actions for it in (reference, engine))
        worst_rad = max(worst_rad, np.abs(given - expected).max())
    assert 1e-4 < worst_rad < 2 * LARGEST_JOINT_DEVIATION_RAD["int8"]
    engine.close()


def test_stages_are_timed_by_the_devices_clock_and_launched_once_each(built, device):
    engine = loaded(built)
    engine.infer(observation())
    device.launches.clear()
    stages = engine.infer(observation()).stages_ms
    assert len(device.launches) == 5
    assert {stage: ms for stage, ms in stages.items() if stage != "preprocess"} == dict.fromkeys(
        STAGES[1:], 1.0
    )


def noted_memory(device, monkeypatch):
    memory = FakeMemory(device)
    monkeypatch.setitem(engine_kinds.DEVICE_MEMORIES, "torch", lambda: memory)
    return memory


def test_references_run_on_a_stream_of_their_own_until_they_are_needed(built, device, monkeypatch):
    memory = noted_memory(device, monkeypatch)
    engine = loaded(built)
    device.launches.clear()
    memory.order.clear()
    stages = engine.infer(observation()).stages_ms
    first, second = [FakeMemory.FIRST] * 2, [FakeMemory.SECOND] * 2  # a mark before and one after a launch
    assert memory.order == ["fork", *second, *first, "join", *first, *first, *first]
    assert device.launches[:3] == ["goal_token", "semantic_reference", "backbone_features"]
    assert list(stages)[1:] == STAGES[1:]
    engine.close()
    assert memory.order[-1] == "closed"


def test_what_runs_at_the_same_time_computes_in_scratch_of_its_own(built, device):
    loaded(built).infer(observation())
    references = device.scratch.pop("semantic_reference")
    assert len(device.scratch) == 5
    assert len({*device.scratch.values()} - {references}) == 1


def test_kernels_compiled_at_the_first_start_are_kept_for_the_next(built, device, tmp_path):
    loaded(built).close()
    assert len(device.compiled) == 6
    kept = sorted(tmp_path.glob("svam_ros/kernels/*.kernels"))
    assert len(kept) == 6
    loaded(built).close()
    assert len(device.compiled) == 6
    kept[0].write_bytes(b"of another driver")
    loaded(built).close()
    assert len(device.compiled) == 7
    loaded(built).close()
    assert len(device.compiled) == 7


def test_kernels_of_engines_that_nobody_loads_any_more_are_forgotten(built, device, tmp_path, monkeypatch):
    folder = tmp_path / "svam_ros" / "kernels"
    loaded(built).close()
    known = set(folder.iterdir())
    for number in range(5):
        (folder / f"old{number}.kernels").write_bytes(b"old")
        os.utime(folder / f"old{number}.kernels", (number, number))
    monkeypatch.setattr(runtime_cache, "KEPT_STAGES", 8)
    min(known).unlink()
    loaded(built).close()
    kept = set(folder.iterdir())
    assert known < kept
    assert {path.name for path in kept - known} == {"old4.kernels", "old3.kernels"}


def test_memory_is_given_back_where_an_engine_cannot_be_loaded(built, device, monkeypatch):
    monkeypatch.setattr(FakeEngine, "least_scratch_bytes", 10**15)
    closed = []

    def close(memory: FakeMemory) -> None:
        closed.append(memory)

    monkeypatch.setattr(FakeMemory, "close", close)
    with pytest.raises(DeviceError):
        loaded(built)
    assert len(closed) == 1


def test_where_nothing_can_be_kept_the_engine_runs_all_the_same(built, device, tmp_path, caplog):
    (tmp_path / "svam_ros").write_text("a file where the folder should be")
    loaded(built).infer(observation())
    assert "the next start compiles them again" in caplog.text


def test_tensorrt_itself_has_no_kernels_to_keep(built, device, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt_stages, "tensorrt_module", lambda: device.tensorrt(runtime_cache=False))
    loaded(built).infer(observation())
    assert device.compiled == []
    assert not (tmp_path / "svam_ros").exists()


def test_scratch_that_the_device_has_no_room_for_is_refused_with_the_figures(built, device, monkeypatch):
    monkeypatch.setattr(FakeEngine, "least_scratch_bytes", 10**15)
    with pytest.raises(DeviceError, match=r"scratch memory takes up to 2000000\.0 GB .* GB free: free some"):
        loaded(built)


@pytest.fixture
def cuda(device, monkeypatch):
    """pycuda, as far as our memory in it can see."""
    cuda = FakePycuda(device)
    sound = importlib.import_module

    def import_module(name):
        return cuda if name == "pycuda.driver" else sound(name)

    monkeypatch.setattr(pycuda_memory.importlib, "import_module", import_module)
    yield cuda
    device.contexts = None


def test_in_pycudas_memory_it_computes_the_same(built, device, cuda):
    device.contexts = None
    usual = loaded(built, seed=3)
    expected = [usual.infer(observation(sentence)).actions for sentence in SENTENCES]
    usual.close()
    device.contexts = cuda.contexts
    engine = loaded(built, device_memory="pycuda", seed=3)
    given = [engine.infer(observation(sentence)) for sentence in SENTENCES]
    assert np.array_equal([prediction.actions for prediction in given], expected)
    assert cuda.contexts == []
    assert cuda.order[-2:] == [("waits for 1", 2), ("waits for 2", 1)]
    stages_ms = {stage: ms for stage, ms in given[-1].stages_ms.items() if stage in STAGES}
    assert stages_ms == dict.fromkeys(STAGES[1:], 1.0)
    assert cuda.allocations
    engine.close()
    assert cuda.allocations == cuda.contexts == []


def test_pycuda_is_for_tensorrt_and_has_to_be_installed(built, device, monkeypatch):
    with pytest.raises(DeviceError, match="engine 'eager' runs in torch's memory"):
        create_engine("eager", built, device_memory="pycuda")
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'svam_ros[pycuda]'")):
        loaded(built, device_memory="pycuda")


def test_nothing_is_deserialised_before_every_hash_was_compared(built, device):
    path = find_engine(built, here(built)).folder / "action_expert.engine"
    sound = path.read_bytes()
    path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    try:
        with pytest.raises(EngineFilesError, match="changed or damaged"):
            loaded(built)
        assert device.deserialized == []
    finally:
        path.write_bytes(sound)
    loaded(built)
    assert len(device.deserialized) == 6


def test_an_engine_that_the_device_will_not_load_or_launch_is_named(built, device, monkeypatch):
    engine = loaded(built)
    engine.infer(observation())
    monkeypatch.setattr(device, "refuses_to_launch", True)
    with pytest.raises(TensorRtError, match="could not run stage 'references'"):
        engine.infer(observation())
    monkeypatch.setattr(device, "graphs", {})
    with pytest.raises(TensorRtError, match="cannot load stage 'instruction' here: no reason was given"):
        loaded(built)


def test_another_gpu_and_no_gpu_are_refused(built, device, monkeypatch):
    kind = engine_kinds.ENGINE_KINDS["tensorrt"]
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "tensorrt", dataclasses.replace(kind, here=lambda: "sm89"))
    with pytest.raises(EngineMismatch, match=r"built for target sm86, here it is sm89.*--target sm89"):
        loaded(built)
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "tensorrt", dataclasses.replace(kind, here=lambda: None))
    with pytest.raises(DeviceError, match="runs on a GPU, and there is none here"):
        loaded(built)
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "tensorrt", dataclasses.replace(kind, device="cuda"))
    with pytest.raises(DeviceError, match="engine 'tensorrt' runs on device 'cuda', not on 'cpu'"):
        loaded(built)


def test_without_a_gpu_the_target_has_to_be_named(built):
    with pytest.raises(BuildRefused, match=r"there is none here: --target sm75 or .*sm86"):
        build_engine(built, BuildRequest("tensorrt"), lambda _: None)


@pytest.mark.parametrize("compiler", [compile_stage, engine_kinds.ENGINE_KINDS["tensorrt"].compile])
def test_a_graph_that_is_no_graph_or_another_stages_is_refused(compiler, tmp_path):
    """In this process, and in the one that an engine is built in."""
    graph = tmp_path / "act.onnx"
    graph.write_bytes(b"no graph")
    shape = StageShape("act", ("x",), ("y",))
    with pytest.raises(TensorRtError, match=r"act\.onnx: TensorRT cannot read stage 'act'"):
        compiler(shape, graph, tmp_path / "act.engine", "sm86", tmp_path / "timing")
    assert not (tmp_path / "act.engine").exists()


def test_the_missing_library_is_named_with_the_way_to_install_it(monkeypatch):
    def missing(name):
        raise ImportError(f"no {name}")

    monkeypatch.setattr(tensorrt_build.importlib, "import_module", missing)
    tensorrt_build.tensorrt_module.cache_clear()
    try:
        with pytest.raises(ImportError, match=re.escape("pip install 'svam_ros[tensorrt]'")):
            tensorrt_library()
    finally:
        tensorrt_build.tensorrt_module.cache_clear()
