"""The folder in which an engine is made: what a kill leaves in it is gone on with."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from svam_ros.artifacts.engine_files import EngineIdentity
from svam_ros.artifacts.model_directory import ENGINES_FOLDER, ModelDirectory
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.onnx_export import EXPORT_LIBRARIES, OPSET
from svam_ros.parameters import DtypeName

_PREFIX = ".work-"


@contextmanager
def work_folder(
    model: ModelDirectory, identity: EngineIdentity, precision: DtypeName, calibration: str
) -> Iterator[Path]:
    """A folder for the graphs of this network; it stays where the work is cut short.

    Args:
        model: whose ``engines/`` it lies in.
        identity: of the engine; its network, weights and precision count.
        precision: of the graphs.
        calibration: digest of the observations that they are quantised by.

    Raises:
        BuildRefused: another process works in it, or the model directory cannot be written.
    """
    exported = {
        "weights": identity.weights_sha256,
        "network": identity.network_sha256,
        "opset": OPSET,
        "versions": {name: version(name) for name in EXPORT_LIBRARIES},
    }
    kind = f"{_PREFIX}{_digest(exported)}-{identity.precision}-"
    work = (
        model.path / ENGINES_FOLDER / f"{kind}{_digest({'precision': precision, 'calibration': calibration})}"
    )
    try:
        # One by one: what mkdir makes on the way has the umask's mode, which may let others write there.
        for folder in (work.parent, work):
            folder.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise BuildRefused(
            f"{work.parent} cannot be written ({error.strerror}): build it in a copy, with --out FOLDER"
        ) from error
    for other in work.parent.glob(f"{_PREFIX}*"):
        # A search in eight bits takes long: that a float16 engine is built meanwhile does not outdate it.
        same_network = other.name.startswith(f"{_PREFIX}{_digest(exported)}-")
        if other != work and (other.name.startswith(kind) or not same_network):
            _remove_unless_in_use(other)
    handle = os.open(work, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BuildRefused(
                f"another process is building an engine of {model.path}: wait for it"
            ) from error
        yield work
        shutil.rmtree(work, ignore_errors=True)
    finally:
        os.close(handle)


def _digest(facts: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def _remove_unless_in_use(work: Path) -> None:
    """What an older build left that nobody is going on with."""
    handle = os.open(work, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(work, ignore_errors=True)
    except BlockingIOError:
        pass  # another engine of the model is being built
    finally:
        os.close(handle)
