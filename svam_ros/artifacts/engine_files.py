"""Engines in a model directory. An engine is code: nothing of it is opened before its hash was compared.

``engines/FOLDER/engine.json`` says what an engine was made of and for, and holds the hashes of the files
beside it; the manifest holds that file's hash. Whoever may change the manifest may change the weights as
well. A folder is named after its record's hash and never written again: the manifest alone says which count.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
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
    ships_with_package,
)
from svam_ros.user_cache import WRITABLE_BY_OTHERS
from svam_ros.whole_files import write_through

RECORD_FILE = "engine.json"

NETWORK_VERSION = 3
"""Counts up whenever ``svam_ros.networks`` makes something else of the same weights and configuration, or its
stages hand other tensors to each other or are compiled otherwise.

2: of the text the backbone takes what its attentions made of it, no longer keys and values.
3: stages that TensorRT compiles compute in memory that they are given.
"""


class EngineFilesError(ModelDirectoryError):
    """An engine is damaged, or somebody else could have changed it; the text says where."""


class EngineMissing(ModelDirectoryError):
    """The model has no such engine; the text says how to build it."""


class EngineMismatch(ModelDirectoryError):
    """The engines of this kind are for another device, library, precision, network or other weights."""


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
    network_sha256: str
    """Of the configuration and :data:`NETWORK_VERSION`: a graph holds both as constants."""
    weights_sha256: str
    """Of the model's weights, as in its manifest."""

    def differences(self, here: EngineIdentity) -> list[str]:
        """What it was built for, where that is not what is here."""
        return [
            f"{entry.name} {getattr(self, entry.name)}, here it is {getattr(here, entry.name)}"
            for entry in fields(self)
            if getattr(self, entry.name) != getattr(here, entry.name)
        ]

    def digest(self) -> str:
        """Different for every identity."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]

    def build_command(self, model: Path) -> str:
        """What makes it."""
        shipped = ships_with_package(model)
        command = ["svam", "build-engine", "--model", model.name if shipped else str(model)]
        command += ["--engine", self.engine, "--precision", self.precision]
        command += [] if self.target == "cpu" else ["--target", self.target]
        command += ["--calibration", "EPISODE.mcap"] if self.precision == "int8" else []
        return shlex.join(command) + (" --out FOLDER" if shipped else "")


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
    quantized_layers: int = 0
    """That compute in eight bits."""
    kept_groups: list[str] = field(default_factory=list)
    """Groups of layers that could not without leaving the accuracy table, the most sensitive first."""


@dataclass(frozen=True)
class EngineFiles:
    """An engine whose files were all compared with their hashes."""

    folder: Path
    record: EngineRecord


def engine_identity(
    model: ModelDirectory, engine: str, library: str, target: str, precision: str
) -> EngineIdentity:
    """The identity of an engine for this model."""
    network = json.dumps([NETWORK_VERSION, asdict(model.manifest.config)], sort_keys=True)
    network_sha256 = hashlib.sha256(network.encode()).hexdigest()
    weights_sha256 = model.manifest.files[WEIGHTS_FILE]
    return EngineIdentity(engine, library, target, precision, network_sha256, weights_sha256)


def find_engine(model: ModelDirectory, here: EngineIdentity) -> EngineFiles:
    """The engine that is for exactly what is here, verified.

    Raises:
        EngineMissing: the model has none of this name.
        EngineMismatch: those that it has are for something else.
        EngineFilesError: a record or a file was changed, is missing, or may be changed by others.
    """
    engines = model.path / ENGINES_FOLDER
    command = here.build_command(model.path)
    listed = sorted(name for name in model.manifest.engines if name.startswith(f"{here.engine}-"))
    if not listed:
        raise EngineMissing(f"{model.path} has no engine '{here.engine}'; build it: {command}")
    _refuse_changeable(model.path)
    others: list[str] = []
    damaged: list[EngineFilesError] = []
    for name in listed:
        match _look_at(engines / name, model.manifest.engines[name], here):
            case EngineFiles() as found:
                return found
            case EngineFilesError() as error:
                damaged.append(error)
            case differences:
                others.append(f"{name} was built for {differences}")
    if damaged:
        raise EngineFilesError(f"{damaged[0]}. Build it again: {command}") from damaged[0]
    raise EngineMismatch(f"{engines}: {'. '.join(others)}. Build one for here: {command}")


def publish_engine(model: ModelDirectory, staging: Path, record: EngineRecord) -> EngineFiles:
    """Move a finished engine into the model directory and list it; an older one of its kind goes.

    The engine counts from the moment in which the manifest is replaced; until then, and whatever happens, the
    older one does.

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
    staging.chmod(0o755)
    for path in staging.iterdir():
        path.chmod(0o644)
    _verify_files(staging, record)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    kind = f"{record.identity.engine}-{record.identity.target}-{record.identity.precision}"
    name = f"{kind}-{sha256[:16]}"
    engines = model.path / ENGINES_FOLDER
    with engines_locked(model.path, exclusive=True):
        manifest = open_model(model.path, any_robot=True).manifest
        if replace(manifest, engines={}) != replace(model.manifest, engines={}):
            raise ModelDirectoryError(f"{model.path} was changed while the engine was built: build it again")
        if (engines / name).exists():
            shutil.rmtree(engines / name)  # left by an end between this and the manifest
        os.replace(staging, engines / name)
        write_through(engines)
        listed = {other: sha for other, sha in manifest.engines.items() if other.rpartition("-")[0] != kind}
        listed[name] = sha256
        _replace_manifest(model.path, manifest_to_json(replace(manifest, engines=listed)))
        _remove_unlisted(engines, listed)
    return EngineFiles(engines / name, record)


@contextmanager
def engines_locked(model: Path, *, exclusive: bool) -> Iterator[None]:
    """Many may read the engines of a model at once, and one may change them while nobody reads."""
    folder = model / ENGINES_FOLDER
    if exclusive:
        folder.mkdir(mode=0o755, exist_ok=True)
    if not folder.is_dir():
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _look_at(folder: Path, expected: str, here: EngineIdentity) -> EngineFiles | EngineFilesError | str:
    """The engine, what is wrong with its files, or what else it was built for."""
    try:
        record = _verified_record(folder, expected)
        if differences := record.identity.differences(here):
            return "; ".join(differences)
        _verify_files(folder, record)
    except EngineFilesError as error:
        return error
    return EngineFiles(folder, record)


def _verified_record(folder: Path, expected: str) -> EngineRecord:
    path = folder / RECORD_FILE
    _refuse_links(folder, path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EngineFilesError(f"{path}: cannot be read: {error}") from error
    if (found := hashlib.sha256(text).hexdigest()) != expected:
        raise EngineFilesError(
            f"{path} was changed or damaged: the manifest says sha256 {expected}, found {found}"
        )
    try:
        return from_dict(EngineRecord, parse_json_object(text.decode()), Config(strict=True))
    except (DaciteError, ManifestError, ValueError) as error:
        raise EngineFilesError(f"{path}: {error}") from error


def _verify_files(folder: Path, record: EngineRecord) -> None:
    present = {path.name for path in folder.iterdir()} - {RECORD_FILE}
    if missing := sorted(record.files.keys() - present):
        raise EngineFilesError(f"{folder}: {missing[0]} is not there")
    if unlisted := sorted(present - record.files.keys()):
        raise EngineFilesError(f"{folder}: {unlisted[0]} does not belong there; remove it")
    for name, expected in record.files.items():
        path = folder / name
        _refuse_links(path)
        if (found := file_sha256(path)) != expected:
            raise EngineFilesError(
                f"{path} was changed or damaged: {RECORD_FILE} says sha256 {expected}, found {found}"
            )


def _refuse_links(*paths: Path) -> None:
    for path in paths:
        if path.is_symlink():
            raise EngineFilesError(f"{path} was changed or damaged: it is a link")


def _refuse_changeable(model: Path) -> None:
    """As ssh does with keys: what somebody else may change between two looks is not worth verifying."""
    engines = model / ENGINES_FOLDER
    below = (path for path in engines.rglob("*") if not path.relative_to(engines).parts[0].startswith("."))
    for path in (model, model / MANIFEST_FILE, engines, *below):
        if path.is_symlink() or not path.exists():
            continue  # said later, where it is looked for
        status = path.stat()
        if status.st_mode & WRITABLE_BY_OTHERS:
            command = shlex.join(["chmod", "-R", "go-w", str(model)])
            raise EngineFilesError(f"{path} may be changed by other users; run: {command}")
        if status.st_uid not in (os.geteuid(), 0):
            raise EngineFilesError(
                f"{path} belongs to another user (id {status.st_uid}), who may change it: "
                f"only root's engines and one's own are run"
            )


def _replace_manifest(model: Path, text: str) -> None:
    """The file has either its old text or the new one, whatever happens.

    What a kill leaves behind lies below ``engines/``: elsewhere an unlisted file makes the model unreadable.
    """
    partial = model / ENGINES_FOLDER / f".{MANIFEST_FILE}.partial"
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
    write_through(partial)
    shutil.copymode(model / MANIFEST_FILE, partial)
    os.replace(partial, model / MANIFEST_FILE)
    write_through(model)


def _remove_unlisted(engines: Path, listed: dict[str, str]) -> None:
    """Engines that no longer count; what a build has in hand has a name with a dot."""
    for path in engines.iterdir():
        if path.name not in listed and not path.name.startswith("."):
            shutil.rmtree(path, ignore_errors=True)
