"""Engines in a model directory. An engine is code: nothing of it is opened before its hash was compared.

``engines/FOLDER/engine.json`` says what an engine was made of and for, and holds the hashes of the files
beside it; the manifest holds that file's hash. Whoever may change the manifest may change the weights as
well.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from dacite import Config, DaciteError, from_dict

from svam_ros.artifacts.manifest import ManifestError, manifest_to_json, parse_json_object
from svam_ros.artifacts.model_directory import (
    ENGINES_FOLDER,
    MANIFEST_FILE,
    WEIGHTS_FILE,
    ModelDirectory,
    ModelDirectoryError,
    file_sha256,
    open_model,
)

RECORD_FILE = "engine.json"

WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


class EngineFilesError(ModelDirectoryError):
    """An engine is damaged, or somebody else could have changed it; the text says where."""


class EngineMissing(ModelDirectoryError):
    """The model has no such engine; the text says how to build it."""


class EngineMismatch(ModelDirectoryError):
    """The engines of this kind are for another device, library, precision or other weights."""


@dataclass(frozen=True)
class EngineIdentity:
    """What an engine is made of and for. It runs where all of this is the same, and nowhere else."""

    engine: str
    """As :data:`svam_ros.parameters.EngineName`."""
    library: str
    """Name and exact version of the library that built it: no other version is known to read it."""
    target: str
    """The device: ``cpu``, or a compute capability such as ``sm86``."""
    precision: str
    weights_sha256: str
    """Of the model's weights, as in its manifest."""

    def differences(self, here: EngineIdentity) -> list[str]:
        """What it was built for, where that is not what is here."""
        return [
            f"{field.name} {getattr(self, field.name)}, here it is {getattr(here, field.name)}"
            for field in fields(self)
            if getattr(self, field.name) != getattr(here, field.name)
        ]

    def folder(self) -> str:
        """Its name below ``engines/``."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
        return f"{self.engine}-{self.target}-{self.precision}-{digest[:12]}"

    def build_command(self, model: Path) -> str:
        """What makes it."""
        target = "" if self.target == "cpu" else f" --target {self.target}"
        return (
            f"svam build-engine --model {model} --engine {self.engine}{target} --precision {self.precision}"
        )


@dataclass(frozen=True)
class EngineRecord:
    """What ``engine.json`` says."""

    identity: EngineIdentity
    graphs: dict[str, str]
    """Stage -> sha256 of the ONNX graph that it was built from, its weights included."""
    files: dict[str, str]
    """File beside the record -> sha256."""
    created: str
    """ISO 8601, UTC."""
    build_s: float
    checked_by: str
    """What ran the graphs when they were compared with the network: the engine's library, or another."""
    deviations: dict[str, float]
    """As :data:`svam_ros.engines.accuracy.OUTPUTS`: how far from the network in single precision."""


@dataclass(frozen=True)
class EngineFiles:
    """An engine whose files were all compared with their hashes."""

    folder: Path
    record: EngineRecord


def engine_identity(
    model: ModelDirectory, engine: str, library: str, target: str, precision: str
) -> EngineIdentity:
    """The identity of an engine for this model."""
    return EngineIdentity(engine, library, target, precision, model.manifest.files[WEIGHTS_FILE])


def find_engine(model: ModelDirectory, here: EngineIdentity) -> EngineFiles:
    """The engine that is for exactly what is here, verified.

    Raises:
        EngineMissing: the model has none of this name.
        EngineMismatch: those that it has are for something else.
        EngineFilesError: a record or a file was changed, is missing, or may be changed by others.
    """
    engines = model.path / ENGINES_FOLDER
    listed = sorted(name for name in model.manifest.engines if name.startswith(f"{here.engine}-"))
    command = here.build_command(model.path)
    if not listed:
        raise EngineMissing(f"{model.path} has no engine '{here.engine}'; build it: {command}")
    others = []
    for name in listed:
        record = _verified_record(engines / name, model.manifest.engines[name])
        differences = record.identity.differences(here)
        if not differences:
            _verify_files(engines / name, record)
            return EngineFiles(engines / name, record)
        others.append(f"{name} was built for {'; '.join(differences)}")
    raise EngineMismatch(f"{engines}: {'. '.join(others)}. Build one for here: {command}")


def publish_engine(model: ModelDirectory, staging: Path, record: EngineRecord) -> EngineFiles:
    """Move a finished engine into the model directory and list it; an older one of its kind goes.

    Args:
        model: the model that it was built of.
        staging: a folder on the same file system with the files of the record and nothing else.
        record: what the engine is.

    Raises:
        EngineFilesError: the staged files are not those of the record.
        ModelDirectoryError: the model was changed meanwhile.
    """
    text = json.dumps(asdict(record), indent=2) + "\n"
    (staging / RECORD_FILE).write_text(text, encoding="utf-8")
    for path in (staging, *staging.iterdir()):
        path.chmod(path.stat().st_mode & ~WRITABLE_BY_OTHERS)
    _verify_files(staging, record)
    name = record.identity.folder()
    target = model.path / ENGINES_FOLDER / name
    with engines_locked(model.path):
        manifest = open_model(model.path, any_robot=True).manifest
        if manifest.files != model.manifest.files:
            raise ModelDirectoryError(f"{model.path} was changed while the engine was built: build it again")
        shutil.rmtree(target, ignore_errors=True)
        os.replace(staging, target)
        kind = name.rpartition("-")[0]
        engines = {other: sha for other, sha in manifest.engines.items() if other.rpartition("-")[0] != kind}
        engines[name] = hashlib.sha256(text.encode()).hexdigest()
        _replace_manifest(model.path, manifest_to_json(replace(manifest, engines=engines)))
        for outdated in manifest.engines.keys() - engines.keys():
            shutil.rmtree(model.path / ENGINES_FOLDER / outdated, ignore_errors=True)
    return EngineFiles(target, record)


@contextmanager
def engines_locked(model: Path) -> Iterator[None]:
    """One process at a time changes what a model directory has of engines."""
    folder = model / ENGINES_FOLDER
    folder.mkdir(mode=0o755, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _verified_record(folder: Path, expected: str) -> EngineRecord:
    path = folder / RECORD_FILE
    _refuse_changeable(folder)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EngineFilesError(f"{path}: cannot be read: {error}; build the engine again") from error
    if path.is_symlink() or (found := hashlib.sha256(text).hexdigest()) != expected:
        raise EngineFilesError(
            f"{path} was changed or damaged: the manifest says sha256 {expected}, found "
            f"{'a link' if path.is_symlink() else found}; build the engine again"
        )
    try:
        return from_dict(EngineRecord, parse_json_object(text.decode()), Config(strict=True))
    except (DaciteError, ManifestError, ValueError) as error:
        raise EngineFilesError(f"{path}: {error}; build the engine again") from error


def _verify_files(folder: Path, record: EngineRecord) -> None:
    _refuse_changeable(folder)
    present = {path.name for path in folder.iterdir()} - {RECORD_FILE}
    if missing := sorted(record.files.keys() - present):
        raise EngineFilesError(f"{folder}: {missing[0]} is not there; build the engine again")
    if unlisted := sorted(present - record.files.keys()):
        raise EngineFilesError(f"{folder}: {unlisted[0]} does not belong there; remove it")
    for name, expected in record.files.items():
        path = folder / name
        if path.is_symlink() or (found := file_sha256(path)) != expected:
            raise EngineFilesError(
                f"{path} was changed or damaged: {RECORD_FILE} says sha256 {expected}, found "
                f"{'a link' if path.is_symlink() else found}; build the engine again"
            )


def _refuse_changeable(folder: Path) -> None:
    """As ssh does with keys: what somebody else may change between two looks is not worth verifying."""
    for path in (folder, *sorted(folder.iterdir() if folder.is_dir() else ())):
        if not path.is_symlink() and path.exists() and path.stat().st_mode & WRITABLE_BY_OTHERS:
            raise EngineFilesError(f"{path} may be changed by other users; run: chmod -R go-w {folder}")


def _replace_manifest(model: Path, text: str) -> None:
    """The file has either its old text or the new one, whatever happens.

    What a kill leaves behind lies below ``engines/``: elsewhere an unlisted file makes the model unreadable.
    """
    partial = model / ENGINES_FOLDER / f".{MANIFEST_FILE}.partial"
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, model / MANIFEST_FILE)
