"""The libraries that run exported stages: what each builds, for which device, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from svam_ros.engines.exported import tensorrt_build
from svam_ros.engines.exported.device_memory import DeviceMemory, TorchDeviceMemory
from svam_ros.engines.exported.graph_backend import GraphBackend
from svam_ros.engines.exported.openvino_backend import OpenVinoBackend, openvino_library
from svam_ros.engines.exported.pycuda_memory import PycudaDeviceMemory
from svam_ros.engines.exported.stage_graphs import PassShape, StageShape
from svam_ros.engines.exported.tensorrt_stages import load_tensorrt_stages
from svam_ros.engines.run_plan import RunPlan
from svam_ros.parameters import DeviceMemoryName, DeviceName, DtypeName

COMPILED_SUFFIX = ".engine"
"""Of a stage that the library compiled when it was built."""


class BuildRefused(ValueError):
    """What was asked for cannot be built; the text says what can."""


Compile = Callable[[StageShape, Path, Path, str, Path], None]
"""Stage, its ONNX file, where the compiled stage goes, target, the library's timing cache."""


@dataclass(frozen=True)
class EngineKind:
    """One library. New ones are listed in :data:`ENGINE_KINDS`."""

    name: str
    device: DeviceName
    """Where its engines run."""
    library: Callable[[], str]
    """Its name and exact version; ``ImportError`` with the way to install it where it is missing."""
    targets: Callable[[], tuple[str, ...]]
    """Devices that it builds for here."""
    here: Callable[[], str | None]
    """The target that this machine is; ``None`` where its engines cannot run here."""
    graph_precisions: dict[DtypeName, DtypeName]
    """Precision of the engine -> that of the graphs it is built from."""
    load: Callable[[Path, PassShape, RunPlan], GraphBackend]
    """Folder of an engine, stages, how it is going to run -> the stages, ready to run."""
    compile: Compile | None = None
    """``None``: the library compiles the graphs whenever it loads them."""


DEVICE_MEMORIES: dict[DeviceMemoryName, Callable[[], DeviceMemory]] = {
    "torch": TorchDeviceMemory,
    "pycuda": PycudaDeviceMemory,
}
"""Who can own a GPU's memory and streams."""


def _load_openvino(folder: Path, shape: PassShape, plan: RunPlan) -> GraphBackend:
    return OpenVinoBackend(folder, shape, threads=plan.threads, precision=plan.dtype_name)


def _load_tensorrt(folder: Path, shape: PassShape, plan: RunPlan) -> GraphBackend:
    memory = DEVICE_MEMORIES[plan.device_memory]()
    try:
        return load_tensorrt_stages(folder, shape, memory, plan.device)
    except Exception:
        memory.close()
        raise


ENGINE_KINDS = {
    kind.name: kind
    for kind in (
        EngineKind(
            name="openvino",
            device="cpu",
            library=openvino_library,
            targets=lambda: ("cpu",),
            here=lambda: "cpu",
            graph_precisions={"float32": "float32", "bfloat16": "float32"},
            load=_load_openvino,
        ),
        EngineKind(
            name="tensorrt",
            device="cuda",
            library=tensorrt_build.tensorrt_library,
            targets=tensorrt_build.buildable_targets,
            here=tensorrt_build.current_target,
            graph_precisions={"float16": "float16", "int8": "float16"},
            load=_load_tensorrt,
            compile=tensorrt_build.compile_stage_killable,
        ),
    )
}


def engine_kind(name: str) -> EngineKind:
    """The library of that name.

    Raises:
        BuildRefused: there is none; the text lists those there are.
    """
    if name not in ENGINE_KINDS:
        raise BuildRefused(f"engine '{name}' is not built; those that are: {', '.join(ENGINE_KINDS)}")
    return ENGINE_KINDS[name]


def chosen_target(kind: EngineKind, target: str) -> str:
    """The device to build for; ``current`` is the one that is here.

    Raises:
        BuildRefused: the library does not build for it; the text says for what it does.
        ImportError: the library is not installed.
    """
    targets = kind.targets()
    chosen = kind.here() if target == tensorrt_build.CURRENT else target
    if chosen is None:
        choice = f"--target {' or '.join(targets)}" if targets else "build it on the machine that has one"
        raise BuildRefused(f"engine '{kind.name}' is for a GPU, and there is none here: {choice}")
    if chosen not in targets:
        raise BuildRefused(
            f"{kind.library()} builds for {', '.join(targets) or 'a GPU that is here'}, not for '{chosen}'"
        )
    return chosen


def chosen_precision(kind: EngineKind, precision: DtypeName) -> DtypeName:
    """The precision to build in; ``auto`` is the library's first.

    Raises:
        BuildRefused: the library's engines are not built in it.
    """
    if precision == "auto":
        return next(iter(kind.graph_precisions))
    if precision not in kind.graph_precisions:
        known = ", ".join(kind.graph_precisions)
        raise BuildRefused(f"engine '{kind.name}' is built in {known}, not in '{precision}'; 'auto' chooses")
    return precision
