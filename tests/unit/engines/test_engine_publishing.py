"""Building, publishing and copying of engines, whatever happens in between.

The library is a stand-in that knows the result, and graphs are a few bytes; what is real is everything
around them. Real libraries are in ``test_built_engines`` and ``test_tensorrt``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil

import numpy as np
import pytest
from support.networks import CONFIG, observation, save_random_model

from svam_ros.artifacts import engine_files
from svam_ros.artifacts.engine_files import (
    EngineFilesError,
    EngineMismatch,
    EngineRecord,
    engine_identity,
    find_engine,
    publish_engine,
)
from svam_ros.artifacts.model_directory import (
    MANIFEST_FILE,
    ModelDirectoryError,
    file_sha256,
    open_model,
    resolve_model,
)
from svam_ros.artifacts.model_saving import copy_model
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.cli.main import main
from svam_ros.engines import create_engine
from svam_ros.engines.exported import building, engine_kinds
from svam_ros.engines.exported.building import BuildRequest, build_engine
from svam_ros.engines.exported.engine_kinds import BuildRefused, EngineKind
from svam_ros.engines.exported.graph_backend import GraphLoadError
from svam_ros.engines.exported.onnxruntime_backend import OnnxRuntimeBackend
from svam_ros.engines.exported.openvino_backend import OpenVinoBackend
from svam_ros.engines.exported.reference_case import REFERENCE_FILE, EngineInaccurate, load_reference_case
from svam_ros.engines.exported.stage_graphs import pass_shape

LIBRARY = "openvino 1.2.3"
STAGES = ["instruction", "backbone", "references", "decouplers", "uni_perceiver", "action_expert"]


class Knowing:
    """A backend that gives what it is to be compared with, times ``factor``."""

    factor = 1.0

    def __init__(self, folder, *_):
        self._outputs = load_reference_case(folder / REFERENCE_FILE).outputs
        self.closed = False

    def run_instruction(self, token_ids, attention_mask):
        pass

    def run_frame(self, given, timer):
        return self.value("actions")

    def value(self, name):
        return self._outputs[name] * np.float32(self.factor)

    def close(self):
        self.closed = True


@pytest.fixture
def kind(monkeypatch):
    """Stands in for OpenVINO; ``exported`` and ``compiled`` count what was made."""
    made: dict[str, list[str]] = {"exported": [], "compiled": []}

    def export_stage(graph, _example, path):
        made["exported"].append(graph.shape.name)
        path.write_text(graph.shape.name)
        path.with_name(f"{path.name}.data").write_bytes(b"weights")

    stand_in = EngineKind(
        name="openvino",
        device="cpu",
        library=lambda: LIBRARY,
        targets=lambda: ("cpu", "sm86", "sm89"),
        here=lambda: "cpu",
        graph_precisions={"float32": "float32", "bfloat16": "float32"},
        load=Knowing,
    )
    monkeypatch.setattr(building, "export_stage", export_stage)
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "openvino", stand_in)
    return made


@pytest.fixture
def model(tmp_path):
    return save_random_model(tmp_path / "models" / "small")


def build(model, target="cpu", precision="float32", report=lambda _: None):
    return build_engine(model, BuildRequest("openvino", target, precision), report)


def here(model, precision="float32"):
    return engine_identity(model, "openvino", LIBRARY, "cpu", precision)


def engines_in(model) -> list[str]:
    return sorted(os.listdir(model.path / "engines"))


def use(monkeypatch, **changes) -> None:
    changed = dataclasses.replace(engine_kinds.ENGINE_KINDS["openvino"], **changes)
    monkeypatch.setitem(engine_kinds.ENGINE_KINDS, "openvino", changed)


def test_engines_of_two_precisions_stand_side_by_side_and_share_their_graphs(kind, model):
    for precision in ("float32", "bfloat16"):
        build(model, precision=precision)
        model = open_model(model.path)
    assert engines_in(model) == sorted(model.manifest.engines)
    assert len(model.manifest.engines) == 2
    assert create_engine("openvino", model).infer(observation()).actions.shape == (6, 14)


def test_publishing_again_leaves_one_engine_and_nothing_else(kind, model):
    build(model)
    before = open_model(model.path).manifest.engines
    build(open_model(model.path))
    after = open_model(model.path).manifest.engines
    assert len(before) == len(after) == 1
    assert engines_in(model) == list(after)
    find_engine(open_model(model.path), here(model))


@pytest.mark.parametrize("step", range(1, 4))
def test_whatever_publishing_fails_at_the_engine_before_still_runs(kind, model, monkeypatch, step):
    build(model)
    before = open_model(model.path)
    calls = []  # the reference case, the engine's folder, the manifest
    sound = os.replace

    def replace(source, target):
        if "staging" in str(target):
            return sound(source, target)
        calls.append(target)
        if len(calls) == step:
            raise OSError(28, "No space left on device")
        return sound(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(engine_files.os, "replace", replace)
        with pytest.raises(OSError, match="No space left"):
            build(before)
    after = open_model(model.path)
    assert after.manifest.engines == before.manifest.engines
    create_engine("openvino", after).close()
    build(after)
    assert engines_in(after) == list(open_model(model.path).manifest.engines)


def test_what_was_compiled_for_one_device_is_not_published_for_another(kind, model, monkeypatch):
    def compile_stage(shape, graph, engine, target, _timing_cache):
        kind["compiled"].append(f"{shape.name} {target}")
        engine.write_text(f"{shape.name} for {target}")

    use(monkeypatch, compile=compile_stage, here=lambda: None)
    monkeypatch.setattr(building, "OnnxRuntimeBackend", lambda folder, *_, **__: Knowing(folder))

    def interrupt(step):
        if step.startswith("compile decouplers"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(model, "sm86", report=interrupt)
    built = build(model, "sm89")
    assert kind["exported"] == STAGES, "graphs are the same for every device"
    assert kind["compiled"][-6:] == [f"{stage} sm89" for stage in STAGES]
    for stage in STAGES:
        assert (built.folder / f"{stage}.engine").read_text() == f"{stage} for sm89"


def test_an_inaccurate_engine_is_not_gone_on_with(kind, model, monkeypatch):
    monkeypatch.setattr(Knowing, "factor", 1.001)
    with pytest.raises(EngineInaccurate, match=r"Nothing was published; engine 'eager' runs the model"):
        build(model)
    assert engines_in(model) == []
    monkeypatch.setattr(Knowing, "factor", 1.0)
    build(model)
    assert kind["exported"] == STAGES * 2


def test_an_engine_that_is_inaccurate_here_is_closed_and_says_what_to_do(kind, model, monkeypatch):
    build(model)
    opened = []
    use(monkeypatch, load=lambda *given: opened.append(Knowing(*given)) or opened[-1])
    monkeypatch.setattr(Knowing, "factor", 1.001)
    with pytest.raises(EngineInaccurate, match=r"Build it again: svam build-engine .*; or use"):
        create_engine("openvino", model.path)
    assert [backend.closed for backend in opened] == [True]


def test_another_configuration_of_the_same_weights_is_another_network(kind, model):
    build(model)
    manifest = json.loads((model.path / MANIFEST_FILE).read_text())
    manifest["config"]["action_expert"]["sampler_steps"] += 1
    (model.path / MANIFEST_FILE).write_text(json.dumps(manifest))
    with pytest.raises(EngineMismatch, match="was built for network_sha256"):
        create_engine("openvino", model.path)


def test_a_newer_network_code_is_another_network(kind, model, monkeypatch):
    build(model)
    monkeypatch.setattr(engine_files, "NETWORK_VERSION", engine_files.NETWORK_VERSION + 1)
    with pytest.raises(EngineMismatch, match="was built for network_sha256"):
        create_engine("openvino", model.path)


def test_other_tensors_between_stages_are_a_newer_network():
    """Else an engine built before the change is loaded after it, and fails in its library's own words."""
    handed_on = hashlib.sha256(repr(pass_shape(empty_network(CONFIG))).encode()).hexdigest()[:16]
    assert (engine_files.NETWORK_VERSION, handed_on) == (3, "67b8e9a07579a27c"), "count NETWORK_VERSION up"


def test_a_damaged_engine_does_not_stand_before_a_sound_one(kind, model):
    for precision in ("bfloat16", "float32"):
        build(open_model(model.path), precision=precision)
    model = open_model(model.path)
    broken = find_engine(model, here(model, "bfloat16")).folder
    (broken / "backbone.onnx").write_text("broken")
    find_engine(model, here(model))
    shutil.rmtree(broken)
    find_engine(model, here(model))
    with pytest.raises(EngineFilesError, match=r"cannot be read.*Build it again: svam build-engine"):
        find_engine(model, here(model, "bfloat16"))


@pytest.mark.parametrize("place", ["", "manifest.json", "engines"])
def test_a_group_that_may_change_the_model_may_not_have_its_engines_run(kind, model, place):
    build(model)
    (model.path / place).chmod(0o775)
    with pytest.raises(EngineFilesError, match="may be changed by other users; run: chmod -R go-w"):
        create_engine("openvino", model.path)
    create_engine("eager", model.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_an_engine_of_another_user_is_refused(kind, model):
    folder = build(model).folder
    os.chown(folder / "backbone.onnx", 54321, -1)
    with pytest.raises(EngineFilesError, match=r"belongs to another user \(id 54321\)"):
        create_engine("openvino", model.path)


def test_a_folder_that_is_a_link_is_refused(kind, model, tmp_path):
    folder = build(model).folder
    shutil.move(folder, tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(EngineFilesError, match="it is a link"):
        create_engine("openvino", model.path)


def test_the_manifest_keeps_its_mode_and_files_can_be_read_by_the_robots_user(kind, model):
    (model.path / MANIFEST_FILE).chmod(0o640)
    before = os.umask(0o077)
    try:
        folder = build(model).folder
    finally:
        os.umask(before)
    assert (model.path / MANIFEST_FILE).stat().st_mode & 0o777 == 0o640
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_staged_files_that_are_not_the_records_are_not_published(model):
    staging = model.path / "engines" / ".staging"
    staging.mkdir(parents=True)
    (staging / "a.onnx").write_bytes(b"graph")
    record = EngineRecord(here(model), {}, {"a.onnx": "0" * 64}, "2026-01-01", 1.0, LIBRARY, {})
    with pytest.raises(EngineFilesError, match=r"a\.onnx was changed or damaged"):
        publish_engine(model, staging, record)
    assert open_model(model.path).manifest.engines == {}


def test_what_older_builds_left_is_removed_unless_somebody_goes_on_with_it(kind, model):
    left = model.path / "engines" / ".work-0123456789abcdef"
    left.mkdir(parents=True)
    (left / "backbone.onnx").write_text("old")
    (model.path / "engines" / "openvino-cpu-float32-0123").mkdir()
    build(model)
    assert engines_in(model) == list(open_model(model.path).manifest.engines)


def test_a_copy_has_no_engines_and_a_standing_copy_keeps_its_own(kind, model, tmp_path):
    build(model)
    copied = copy_model(open_model(model.path), tmp_path / "copy")
    assert (copied.manifest.engines, (copied.path / "engines").exists()) == ({}, False)
    build(copied)
    again = copy_model(open_model(model.path), tmp_path / "copy")
    assert len(again.manifest.engines) == 1
    other = save_random_model(tmp_path / "other")
    (other.path / "README.md").write_text("another card\n")
    manifest = json.loads((other.path / MANIFEST_FILE).read_text())
    manifest["files"]["README.md"] = file_sha256(other.path / "README.md")
    (other.path / MANIFEST_FILE).write_text(json.dumps(manifest))
    assert copy_model(open_model(other.path), tmp_path / "copy").manifest.engines == {}
    assert (tmp_path / "copy" / "README.md").read_text() == "another card\n"


def test_a_copy_inside_the_model_or_over_something_else_is_refused(model, tmp_path):
    with pytest.raises(ModelDirectoryError, match="lies in the model that is to be copied"):
        copy_model(model, model.path / "copy")
    (tmp_path / "notes").mkdir()
    with pytest.raises(ModelDirectoryError, match="is no model directory"):
        copy_model(model, tmp_path / "notes")


def test_the_command_says_what_it_did_and_builds_in_a_copy(kind, model, tmp_path, capsys):
    arguments = ["build-engine", "--model", str(model.path), "--out", str(tmp_path / "copy")]
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert f"built for {LIBRARY}, cpu, float32" in said.out
    assert "worst joint rad" in said.out
    assert "export action_expert (6 of 6)" in said.err
    assert open_model(model.path).manifest.engines == {}
    assert len(open_model(tmp_path / "copy").manifest.engines) == 1
    assert main([*arguments, "--precision", "bfloat16"]) == 0
    assert len(open_model(tmp_path / "copy").manifest.engines) == 2


def test_the_command_leaves_the_installed_package_alone(kind, capsys):
    for name in ("tiny", str(resolve_model("tiny"))):
        assert main(["build-engine", "--model", name]) == 2
        assert "belongs to the installed package: build the engine in a copy" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "no_such_model"], "'no_such_model' is neither a folder nor a model"),
        (["--target", "sm90"], "builds for cpu, sm86, sm89, not for 'sm90'"),
        (["--precision", "float16"], "is built in float32, bfloat16, not in 'float16'; 'auto' chooses"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(kind, capsys, arguments, words):
    assert main(["build-engine", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_too_little_memory_or_disk_is_said_before_anything_is_made(kind, model, monkeypatch):
    monkeypatch.setattr(building, "available_bytes", lambda: 1_000_000)
    with pytest.raises(BuildRefused, match=r"takes up to 0\.2 GB of memory, 0\.0 GB are free"):
        build(model)
    monkeypatch.setattr(building, "available_bytes", lambda: None)
    monkeypatch.setattr(building.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(BuildRefused, match=r"GB on the disk of .*small, 0\.0 GB are free"):
        build(model)
    assert not (model.path / "engines").exists()


def test_a_graph_that_the_library_cannot_load_is_made_again_next_time(kind, model, monkeypatch):
    def load(*_):
        raise GraphLoadError("backbone.onnx: OpenVINO cannot load it: bad model")

    sound = engine_kinds.ENGINE_KINDS["openvino"].load
    use(monkeypatch, load=load)
    with pytest.raises(GraphLoadError, match="cannot load it"):
        build(model)
    use(monkeypatch, load=sound)
    build(model)
    assert kind["exported"] == STAGES * 2


@pytest.mark.parametrize("backend", [OpenVinoBackend, OnnxRuntimeBackend])
def test_a_file_that_is_no_graph_is_named(model, tmp_path, backend):
    shape = pass_shape(empty_network(model.manifest.config))
    for stage in shape.stages:
        (tmp_path / f"{stage.name}.onnx").write_bytes(b"no graph")
    options = {"precision": "float32"} if backend is OpenVinoBackend else {}
    with pytest.raises(GraphLoadError, match=r"instruction\.onnx: .* cannot load it"):
        backend(tmp_path, shape, threads=1, **options)
