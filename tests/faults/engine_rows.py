"""Rows 33, 35 and 37 for built engines, which are code: one not for here, or changed, is refused."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from faults.refusal_rows import copy_of_tiny, refused
from faults.rig import FaultRig
from faults.row import Figures, row
from svam_ros.artifacts.engine_files import (
    EngineIdentity,
    EngineRecord,
    engine_identity,
    publish_engine,
)
from svam_ros.artifacts.model_directory import ModelDirectory, file_sha256, open_model
from svam_ros.engines.exported.openvino_backend import openvino_library

GRAPH = "backbone.onnx"
BUILD_AGAIN = "svam build-engine --model"

_ELSEWHERE: tuple[Callable[[EngineIdentity], EngineIdentity], ...] = (
    lambda here: dataclasses.replace(here, library="openvino 2024.0.0"),
    lambda here: dataclasses.replace(here, target="sm86"),
    lambda here: dataclasses.replace(here, precision="bfloat16"),
    lambda here: dataclasses.replace(here, network_sha256="0" * 64),
    lambda here: dataclasses.replace(here, weights_sha256="0" * 64),
)
_TRIALS = itertools.count()


@contextmanager
def _tiny_with_engine(
    change: Callable[[EngineIdentity], EngineIdentity],
) -> Iterator[tuple[ModelDirectory, Path]]:
    """A copy of the model with an engine whose files no library could read: none is to be given them."""
    with copy_of_tiny() as path:
        model = open_model(path)
        staging = path / "engines" / ".staging"
        staging.mkdir(parents=True)
        (staging / GRAPH).write_bytes(b"never to be opened")
        identity = change(engine_identity(model, "openvino", openvino_library(), "cpu", "float32"))
        files = {GRAPH: file_sha256(staging / GRAPH)}
        record = EngineRecord(identity, {}, files, "2026-01-01T00:00:00+00:00", 1.0, identity.library, {})
        yield model, publish_engine(model, staging, record).folder


@row(33, "a byte of an engine was changed")
def flipped_byte_of_an_engine(rig: FaultRig) -> Figures:
    """Refused by its hash, before the library sees it."""
    with _tiny_with_engine(lambda here: here) as (model, folder):
        (folder / GRAPH).write_bytes(b"Never to be opened")
        refused(rig, model.path, GRAPH, "changed or damaged", BUILD_AGAIN, engine="openvino")
    return {}


@row(35, "an engine for another device, library, precision or other weights")
def engine_for_elsewhere(rig: FaultRig) -> Figures:
    """Refused with what it was built for, what is here, and the command that builds one for here."""
    change = _ELSEWHERE[next(_TRIALS) % len(_ELSEWHERE)]
    with _tiny_with_engine(change) as (model, _):
        refused(rig, model.path, "was built for", "here it is", BUILD_AGAIN, engine="openvino")
    return {}


@row(35, "a model without the engine that was asked for")
def no_engine(rig: FaultRig) -> Figures:
    """Nothing is built on a robot unasked: the command that does so is named."""
    with copy_of_tiny() as model:
        refused(rig, model, "has no engine 'openvino'", BUILD_AGAIN, engine="openvino")
    return {}


@row(37, "an engine that the group may change")
def engine_writable_by_the_group(rig: FaultRig) -> Figures:
    """Refused as ssh refuses keys."""
    with _tiny_with_engine(lambda here: here) as (model, folder):
        (folder / GRAPH).chmod(0o664)
        refused(rig, model.path, "may be changed by other users", "chmod", engine="openvino")
    return {}
