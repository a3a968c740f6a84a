"""An engine that was really built: it computes what the network does; nothing damaged or foreign is run."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from support.networks import (
    CONFIG,
    SENTENCES,
    as_on_the_cobot,
    observation,
    save_random_model,
    with_expert,
    with_larger_pictures,
)

from svam_ros.artifacts.engine_files import (
    RECORD_FILE,
    EngineFilesError,
    EngineMismatch,
    EngineMissing,
    engine_identity,
    find_engine,
)
from svam_ros.artifacts.model_directory import MANIFEST_FILE, ModelDirectoryError, open_model
from svam_ros.artifacts.model_saving import copy_model
from svam_ros.artifacts.network_loading import empty_network, give_weights, weight_shapes
from svam_ros.engines import create_engine
from svam_ros.engines.accuracy import LARGEST_JOINT_DEVIATION_RAD
from svam_ros.engines.exported import engine_kinds
from svam_ros.engines.exported.building import BuildRequest, build_engine
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.openvino_backend import OpenVinoBackend, openvino_library
from svam_ros.engines.exported.reference_case import REFERENCE_FILE, EngineInaccurate
from svam_ros.engines.policy_engine import PredictionRefused
from svam_ros.engines.random_model import seeded_weights

STAGES = ["instruction", "backbone", "references", "decouplers", "uni_perceiver", "action_expert"]
ONNX_OPERATIONS = [
    "Add",
    "And",
    "ArgMax",
    "Cast",
    "Concat",
    "Conv",
    "Div",
    "Equal",
    "Expand",
    "Gather",
    "GatherND",
    "Gelu",
    "Gemm",
    "GroupNormalization",
    "IsNaN",
    "LayerNormalization",
    "MatMul",
    "Mul",
    "Neg",
    "Reshape",
    "Resize",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Split",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
    "Where",
]
ALLOWED_RAD = LARGEST_JOINT_DEVIATION_RAD["float32"]
REQUEST = BuildRequest("openvino", "cpu", "float32")

pytestmark = pytest.mark.slow  # building takes most of a minute; test_engine_publishing has stand-ins for it


@pytest.fixture(scope="module")
def unbuilt(tmp_path_factory):
    """A model without engines that takes joints and committed steps.

    Weights as torch initialises them make single precision itself 2e-4 wrong: norms of almost nothing.
    """
    config = with_larger_pictures(as_on_the_cobot(with_expert(CONFIG, longest_prefix=2)))
    network = give_weights(empty_network(config), seeded_weights(weight_shapes(config), seed=0))
    return save_random_model(tmp_path_factory.mktemp("models") / "small", network=network)


@pytest.fixture(scope="module")
def built(unbuilt, tmp_path_factory):
    """A copy of it with an engine. Building was interrupted in the third stage, and begun again."""
    model = copy_model(unbuilt, tmp_path_factory.mktemp("built") / "small")

    def interrupt(step: str) -> None:
        if "references" in step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engine(model, REQUEST, interrupt)
    assert open_model(model.path).manifest.engines == {}
    steps: list[str] = []
    build_engine(model, REQUEST, steps.append)
    exported = [step.split()[1] for step in steps if step.startswith("export")]
    assert exported == STAGES[2:], "what was exported before the interruption was exported again"
    assert [path.name for path in (model.path / "engines").iterdir() if path.name.startswith(".")] == []
    return open_model(model.path)


@pytest.fixture
def copied(built, tmp_path):
    """The model and its engine, to be damaged."""
    shutil.copytree(built.path, tmp_path / "small")
    return open_model(tmp_path / "small")


def here(model):
    return engine_identity(model, "openvino", openvino_library(), "cpu", "float32")


def test_the_same_chunk_as_torch_under_every_instruction_and_behind_every_prefix(built):
    reference, engine = (create_engine(name, built, seed=3) for name in ("eager", "openvino"))
    assert (engine.name, engine.model_name, engine.horizon) == ("openvino", "small", reference.horizon)
    committed = observation().arms.positions + np.linspace(0.0, 0.05, 2)[:, None]
    chunks = []
    for sentence in (*SENTENCES, SENTENCES[0]):
        for prefix in (None, committed[:1], committed, committed[:0]):
            seen = observation(sentence, seed=len(chunks))
            expected, given = (it.infer(seen, prefix) for it in (reference, engine))
            np.testing.assert_allclose(given.actions, expected.actions, atol=ALLOWED_RAD)
            assert given.input_digest == expected.input_digest
            if prefix is not None:
                np.testing.assert_allclose(given.actions[: len(prefix)], prefix, atol=1e-6)
            chunks.append(given.actions)
    assert np.abs(np.diff(chunks, axis=0)).max(axis=(1, 2)).min() > 10 * ALLOWED_RAD
    engine.close()


def test_fresh_noise_is_that_of_the_reference_engine(built):
    engines = [create_engine(name, built, seed=5, noise="fresh") for name in ("eager", "openvino")]
    for _ in range(2):
        expected, given = (engine.infer(observation()).actions for engine in engines)
        np.testing.assert_allclose(given, expected, atol=ALLOWED_RAD)


def test_every_stage_is_timed(built):
    stages = create_engine("openvino", built).infer(observation()).stages_ms
    assert list(stages) == ["preprocess", *STAGES[1:]]
    assert all(0 < duration < 5000 for duration in stages.values())


def test_a_chunk_that_was_given_out_is_not_overwritten_by_the_next_pass(built):
    engine = create_engine("openvino", built)
    first = engine.infer(observation(seed=1)).actions
    kept = first.copy()
    engine.infer(observation(seed=2))
    assert np.array_equal(first, kept)


def test_output_that_is_not_finite_is_refused(built, monkeypatch):
    engine = create_engine("openvino", built)
    monkeypatch.setattr(OpenVinoBackend, "value", lambda *_: np.full((1, 6, 14), np.nan, np.float32))
    with pytest.raises(PredictionRefused, match="gave actions that are not finite"):
        engine.infer(observation())


def test_the_record_says_what_was_built_for_what_and_how_exact_it_is(built):
    record = find_engine(built, here(built)).record
    assert record.identity == here(built)
    assert record.checked_by == record.identity.library == openvino_library()
    assert set(record.graphs) == set(STAGES)
    assert 0 < record.deviations["actions"] < 5e-5
    assert 0 < record.deviations["worst_joint_rad"] < 1e-3


def test_no_graph_says_where_it_was_made(built):
    folder = find_engine(built, here(built)).folder
    for path in folder.glob("*.onnx"):
        assert str(Path(__file__).parents[3]).encode() not in path.read_bytes()


def test_graphs_are_made_of_operations_that_every_library_reads(built):
    """At most these of ONNX itself: a new one is tried with OpenVINO, ONNX Runtime and TensorRT first."""
    graphs = [onnx.load(path) for path in find_engine(built, here(built)).folder.glob("*.onnx")]
    assert len(graphs) == len(STAGES)
    used = {(node.domain, node.op_type) for graph in graphs for node in graph.graph.node}
    assert ("", "Conv") in used
    assert used <= {("", name) for name in ONNX_OPERATIONS}
    assert {graph.opset_import[0].version for graph in graphs} == {21}


def test_a_model_without_an_engine_says_how_to_build_one(unbuilt):
    command = f"svam build-engine --model {unbuilt.path} --engine openvino --precision float32"
    with pytest.raises(EngineMissing, match=re.escape(command)):
        create_engine("openvino", unbuilt)


def test_no_flipped_byte_reaches_the_library(copied):
    files = sorted(find_engine(copied, here(copied)).folder.iterdir())
    rng = np.random.default_rng(0)
    for _ in range(200):
        path = files[rng.integers(len(files))]
        place, change = int(rng.integers(path.stat().st_size)), int(rng.integers(1, 256))
        with path.open("r+b") as stream:
            stream.seek(place)
            sound = stream.read(1)
            stream.seek(place)
            stream.write(bytes([sound[0] ^ change]))
            stream.flush()
            with pytest.raises(EngineFilesError, match=r"changed or damaged.*Build it again: svam"):
                find_engine(copied, here(copied))
            stream.seek(place)
            stream.write(sound)
    find_engine(copied, here(copied))


@pytest.mark.parametrize("name", ["backbone.onnx", "decouplers.onnx.data", REFERENCE_FILE, RECORD_FILE])
def test_a_missing_file_and_a_link_are_refused(copied, name, tmp_path):
    path = find_engine(copied, here(copied)).folder / name
    shutil.move(path, tmp_path / name)
    with pytest.raises(EngineFilesError, match=r"is not there|cannot be read"):
        create_engine("openvino", copied)
    path.symlink_to(tmp_path / name)
    with pytest.raises(EngineFilesError, match="changed or damaged: it is a link"):
        create_engine("openvino", copied)


def test_what_does_not_belong_to_an_engine_is_refused(copied):
    (find_engine(copied, here(copied)).folder / "plugin.so").write_bytes(b"code")
    with pytest.raises(EngineFilesError, match=r"plugin\.so does not belong there"):
        create_engine("openvino", copied)


@pytest.mark.parametrize("mode", [0o020, 0o002])
@pytest.mark.parametrize("name", ["", "backbone.onnx"])
def test_an_engine_that_others_may_change_is_refused(copied, mode, name):
    path = find_engine(copied, here(copied)).folder / name
    path.chmod(path.stat().st_mode | mode)
    with pytest.raises(ModelDirectoryError, match="chmod -R"):
        create_engine("openvino", copied.path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("library", "openvino 2024.0.0"),
        ("target", "sm86"),
        ("precision", "bfloat16"),
        ("network_sha256", "0" * 64),
        ("weights_sha256", "0" * 64),
    ],
)
def test_an_engine_for_something_else_is_refused_with_both_named(copied, field, value):
    there = here(copied)
    elsewhere = dataclasses.replace(there, **{field: value})
    words = f"{field} {getattr(there, field)}, here it is {value}.*svam build-engine"
    with pytest.raises(EngineMismatch, match=words):
        find_engine(copied, elsewhere)


def test_a_record_that_was_edited_together_with_the_files_is_still_not_the_manifests(copied):
    folder = find_engine(copied, here(copied)).folder
    record = json.loads((folder / RECORD_FILE).read_text())
    record["identity"]["library"] = "openvino 1.0"
    (folder / RECORD_FILE).write_text(json.dumps(record))
    with pytest.raises(EngineFilesError, match=r"engine\.json was changed or damaged"):
        create_engine("openvino", copied)


def test_an_engine_that_computes_something_else_here_is_not_used(copied, monkeypatch):
    sound = OpenVinoBackend.value

    def slightly_off(self, name):
        return sound(self, name) * np.float32(1.001)

    monkeypatch.setattr(OpenVinoBackend, "value", slightly_off)
    with pytest.raises(EngineInaccurate, match=r"actions in float32 deviates by 1\.00e-03, allowed is 5e-05"):
        create_engine("openvino", copied)


def test_an_inaccurate_engine_is_not_published_and_the_one_before_stays(copied, monkeypatch):
    kind = engine_kinds.ENGINE_KINDS["openvino"]

    class Wrong(OpenVinoBackend):
        def value(self, name):
            return super().value(name) + np.float32(0.01)

    def load(folder, shape, plan):
        return Wrong(folder, shape, threads=plan.threads, precision=plan.dtype_name)

    # The graphs of the engine that is there serve for the next one too: nothing is exported here.
    monkeypatch.setattr("svam_ros.engines.exported.building.export_stage", _link_from(copied))
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "openvino", dataclasses.replace(kind, load=load))
    before = open_model(copied.path).manifest.engines
    with pytest.raises(EngineInaccurate, match="does not compute what the network does"):
        build_engine(copied, REQUEST, lambda _: None)
    assert open_model(copied.path).manifest.engines == before
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "openvino", kind)
    create_engine("openvino", copied.path).close()


def test_a_rebuilt_engine_takes_the_place_of_the_old_one(copied, monkeypatch):
    monkeypatch.setattr("svam_ros.engines.exported.building.export_stage", _link_from(copied))
    build_engine(copied, REQUEST, lambda _: None)
    manifest = open_model(copied.path).manifest
    assert len(manifest.engines) == 1
    assert sorted(os.listdir(copied.path / "engines")) == list(manifest.engines)


def test_two_processes_do_not_build_the_same(copied):
    with pytest.raises(BuildRefused, match="another process is building"):
        build_engine(copied, REQUEST, _lock_work_folder_of_another(copied))


def test_a_weight_that_changed_while_the_engine_was_built_keeps_it_out(copied, monkeypatch):
    monkeypatch.setattr("svam_ros.engines.exported.building.export_stage", _link_from(copied))

    def change(step: str) -> None:
        if step == "publish":
            manifest = json.loads((copied.path / MANIFEST_FILE).read_text())
            card = copied.path / "README.md"
            card.write_text("another card\n")
            manifest["files"]["README.md"] = hashlib.sha256(card.read_bytes()).hexdigest()
            (copied.path / MANIFEST_FILE).write_text(json.dumps(manifest))

    with pytest.raises(ModelDirectoryError, match="was changed while the engine was built"):
        build_engine(copied, REQUEST, change)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (BuildRequest("eager"), "'eager' is not built; those that are: openvino, tensorrt"),
        (BuildRequest("openvino", "sm86"), "builds for cpu, not for 'sm86'"),
        (BuildRequest("openvino", "cpu", "float16"), "is built in float32, bfloat16, not in 'float16'"),
        (BuildRequest("tensorrt", "sm90"), r"tensorrt_rtx .* builds for sm75, .*, not for 'sm90'"),
        (BuildRequest("openvino", "cpu", "int8"), "is built in float32, bfloat16, not in 'int8'"),
    ],
)
def test_what_cannot_be_built_is_refused_with_what_can(unbuilt, request_, words):
    with pytest.raises(BuildRefused, match=words):
        build_engine(unbuilt, request_, lambda _: None)


def _link_from(model):
    """Takes the graph of a stage from the engine of ``model`` instead of exporting it."""
    folder = find_engine(model, here(model)).folder
    kept = model.path.parent / "graphs"
    shutil.copytree(folder, kept)

    def export_stage(graph, _example, path):
        for suffix in ("", ".data"):
            shutil.copy(kept / f"{graph.shape.name}.onnx{suffix}", f"{path}{suffix}")

    return export_stage


def _lock_work_folder_of_another(model):
    """Another process begins the same build while this one runs."""
    held = []

    def report(_step: str) -> None:
        if held:
            return
        work = next((model.path / "engines").glob(".work-*"))
        handle = os.open(work, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held.append(handle)
        build_engine(model, REQUEST, lambda _: None)

    return report
