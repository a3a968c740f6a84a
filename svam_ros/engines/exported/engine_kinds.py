"""The libraries that run exported stages: what each builds, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from svam_ros.engines.exported.graph_backend import GraphBackend
from svam_ros.engines.exported.openvino_backend import OpenVinoBackend, openvino_library
from svam_ros.engines.exported.stage_graphs import PassShape
from svam_ros.parameters import DtypeName


class BuildRefused(ValueError):
    """What was asked for cannot be built; the text says what can."""


@dataclass(frozen=True)
class EngineKind:
    """One library. New ones are listed in :data:`ENGINE_KINDS`."""

    name: str
    library: Callable[[], str]
    """Its name and exact version; ``ImportError`` with the way to install it where it is missing."""
    targets: tuple[str, ...]
    """Devices that it builds for, the default first."""
    graph_precisions: dict[DtypeName, DtypeName]
    """Precision of the engine -> that of the graphs it is built from."""
    load: Callable[[Path, PassShape, DtypeName, int], GraphBackend]
    """Folder of an engine, stages, precision, CPU threads -> the stages, ready to run."""


def _load_openvino(folder: Path, shape: PassShape, precision: DtypeName, threads: int) -> GraphBackend:
    return OpenVinoBackend(folder, shape, threads=threads, precision=precision)


ENGINE_KINDS = {
    kind.name: kind
    for kind in (
        EngineKind(
            name="openvino",
            library=openvino_library,
            targets=("cpu",),
            graph_precisions={"float32": "float32", "bfloat16": "float32"},
            load=_load_openvino,
        ),
    )
}


def engine_kind(name: str, target: str, precision: DtypeName) -> EngineKind:
    """The library of that name, which builds for this target and precision.

    Raises:
        BuildRefused: there is none, or it does not; the text says what it does.
    """
    kind = ENGINE_KINDS.get(name)
    if kind is None:
        raise BuildRefused(f"engine '{name}' is not built; those that are: {', '.join(ENGINE_KINDS)}")
    if target not in kind.targets:
        raise BuildRefused(f"engine '{name}' is built for {', '.join(kind.targets)}, not for '{target}'")
    if precision not in kind.graph_precisions:
        raise BuildRefused(
            f"engine '{name}' is built in {', '.join(kind.graph_precisions)}, not in '{precision}'"
        )
    return kind
