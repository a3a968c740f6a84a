"""Rows 32 to 34, 36 and 37: what must not be started with is refused with its reason; nothing moves."""

from __future__ import annotations

import itertools
import json
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from support.processes import spec

from faults.rig import FaultRig
from faults.row import Figures, row
from svam_ros import graph
from svam_ros.artifacts.model_directory import resolve_model
from svam_ros.nodes.robot_operator import OperatorError
from svam_ros.shipped_files import shipped_directory

_CONFIGURATIONS = itertools.count()
_FLIPS = itertools.count()
_FLIPS_A_TRIAL = 2
_CONFIGURATIONS_A_TRIAL = 2


def _joint(index: int, key: str, value: object) -> Callable[[dict], None]:
    def change(limits: dict) -> None:
        limits["limits"][key][index] = value

    return change


def _drop(key: str) -> Callable[[dict], None]:
    def change(limits: dict) -> None:
        del limits["limits"][key]

    return change


def _rename(key: str) -> Callable[[dict], None]:
    def change(limits: dict) -> None:
        limits["limits"][key[:-1]] = limits["limits"].pop(key)

    return change


def _set(key: str, value: object) -> Callable[[dict], None]:
    def change(limits: dict) -> None:
        limits[key] = value

    return change


def _shorten(key: str) -> Callable[[dict], None]:
    def change(limits: dict) -> None:
        limits["limits"][key].pop()

    return change


_KEYS = ("lower", "upper", "velocity", "acceleration", "jerk")
MUTATIONS: tuple[Callable[[dict], None], ...] = (
    *(make(key) for key in _KEYS for make in (_drop, _rename, _shorten)),
    *(_joint(index, key, value) for index, key in enumerate(_KEYS) for value in (float("nan"), "fast")),
    *(
        _joint(index, key, value)
        for index, key in enumerate(("velocity", "acceleration", "jerk"))
        for value in (0.0, -1.0, float("inf"))
    ),
    _joint(2, "lower", 9.0),
    _joint(3, "upper", -9.0),
    _set("control_period_s", 0.0),
    _set("control_period_s", None),
    _set("home", [0.0] * 13),
    _set("speed", 3.0),
)
"""Forty files that are wrong: keys missing or misspelt, rows too short, numbers out of range."""


@row(32, "a calibration file that is wrong")
def configuration(rig: FaultRig) -> Figures:
    """The guard does not start: exit code 2, and a sentence that names the file."""
    rig.prepare_robot()
    rig.kill(graph.GUARD_NODE)
    shipped = (shipped_directory("calibration") / "cobot.yaml").read_text()
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(_CONFIGURATIONS_A_TRIAL):
            number = next(_CONFIGURATIONS) % len(MUTATIONS)
            limits = yaml.safe_load(shipped)
            MUTATIONS[number](limits)
            path = Path(folder) / f"wrong_{number}.yaml"
            path.write_text(yaml.safe_dump(limits))
            rig.supervisor.start(spec(graph.GUARD_NODE, limits=str(path)))
            code = rig.wait_exit(graph.GUARD_NODE, 20.0)
            words = rig.supervisor.last_words(graph.GUARD_NODE, 1)
            assert code == 2, f"mutation {number}: exit code {code}, {words}"
            assert path.name in words, f"mutation {number}: {words}"
    return {}


@contextmanager
def copy_of_tiny() -> Iterator[Path]:
    """The model that ships, to be broken."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "tiny"
        shutil.copytree(resolve_model("tiny"), copy)
        yield copy


def refused(rig: FaultRig, model: Path, *words: str, engine: str = "eager") -> None:
    """policy_node does not become configured and says why."""
    rig.prepare_robot()
    try:
        rig.start_policy({"model": str(model), "engine": engine, "instruction": "swing"})
    except OperatorError:
        said = rig.supervisor.last_words(graph.POLICY_NODE, 1)
        rig.kill(graph.POLICY_NODE)
        missing = [word for word in words if word not in said]
        assert not missing, f"the refusal does not say {missing}: {said}"
        return
    raise AssertionError(f"{model} was accepted")


@row(33, "a byte of the weights was changed")
def flipped_byte(rig: FaultRig) -> Figures:
    """Refused by its hash, before anything is read from it."""
    for _ in range(_FLIPS_A_TRIAL):
        with copy_of_tiny() as model:
            weights = model / "weights.safetensors"
            content = bytearray(weights.read_bytes())
            place = (next(_FLIPS) * 7_919_771 + 11) % len(content)
            content[place] ^= 1 << (place % 8)
            weights.write_bytes(content)
            refused(rig, model, "weights.safetensors", "changed or damaged")
    return {}


@row(34, "a pickle in the model directory")
def pickled(rig: FaultRig) -> Figures:
    """Refused by its name; the code in it is not run."""
    with copy_of_tiny() as model:
        marker = model.parent / "was_run"
        (model / "extra.ckpt").write_bytes(pickle.dumps(_Touch(str(marker))))
        refused(rig, model, "extra.ckpt", "only safetensors")
        assert not marker.exists()
    return {}


class _Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (self._path, "w"))


@row(36, "statistics of another model")
def other_statistics(rig: FaultRig) -> Figures:
    """Even with a hash made right, they are not those that the weights were trained with."""
    from svam_ros.artifacts.model_directory import file_sha256

    with copy_of_tiny() as model:
        path = model / "statistics.json"
        statistics = json.loads(path.read_text())
        _first_number_doubled(statistics)
        path.write_text(json.dumps(statistics))
        manifest = json.loads((model / "manifest.json").read_text())
        manifest["files"]["statistics.json"] = file_sha256(path)
        (model / "manifest.json").write_text(json.dumps(manifest))
        refused(rig, model, "statistics.json", "the numbers are those of")
    return {}


def _first_number_doubled(tree: object) -> bool:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        if isinstance(value, float) and value:
            tree[key] = 2.0 * value  # type: ignore[index]
            return True
        if _first_number_doubled(value):
            return True
    return False


@row(36, "joints of another robot")
def other_joints(rig: FaultRig) -> Figures:
    """The model moves them in another order."""
    with copy_of_tiny() as model:
        manifest = json.loads((model / "manifest.json").read_text())
        names = manifest["joint_names"]
        names[0], names[1] = names[1], names[0]
        (model / "manifest.json").write_text(json.dumps(manifest))
        refused(rig, model, "joints are not this robot's")
    return {}


@row(37, "a model that every user may change")
def writable(rig: FaultRig) -> Figures:
    """Refused as ssh refuses keys."""
    with copy_of_tiny() as model:
        (model / "weights.safetensors").chmod(0o666)
        refused(rig, model, "every user", "chmod")
    return {}
