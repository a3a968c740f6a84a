"""An engine of a model directory, ready to run: every hash first, then one pass whose result is known."""

from __future__ import annotations

from typing import Literal

from svam_ros.artifacts.engine_files import engine_identity, find_engine
from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.engines.exported.engine_kinds import engine_kind
from svam_ros.engines.exported.graph_engine import GraphEngine
from svam_ros.engines.exported.reference_case import (
    REFERENCE_FILE,
    load_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import pass_shape
from svam_ros.engines.run_plan import DeviceError, RunPlan


def load_graph_engine(
    name: str,
    model: ModelDirectory,
    plan: RunPlan,
    *,
    seed: int = 0,
    noise: Literal["fixed", "fresh"] = "fixed",
) -> GraphEngine:
    """Find the engine for what is here, verify it, load it, and compare it with the network once more.

    Raises:
        EngineMissing: the model has none; the text says how to build it.
        EngineMismatch: those it has are for another library version, device, precision or other weights.
        EngineFilesError: a file is damaged.
        EngineInaccurate: it does not compute here what the network computes.
        DeviceError: its device is another, or not here.
        ImportError: the library is not installed.
    """
    kind = engine_kind(name)
    if plan.device.type != kind.device:
        raise DeviceError(f"engine '{name}' runs on device '{kind.device}', not on '{plan.device.type}'")
    target = kind.here()
    if target is None:
        raise DeviceError(f"engine '{name}' runs on a GPU, and there is none here")
    files = find_engine(model, engine_identity(model, name, kind.library(), target, plan.dtype_name))
    config = model.manifest.config
    shape = pass_shape(empty_network(config))
    backend = kind.load(files.folder, shape, plan.dtype_name, plan.threads)
    try:
        case = load_reference_case(files.folder / REFERENCE_FILE)
        deviations = measure_deviations(backend, case, model.statistics)
        refuse_inaccurate(str(files.folder), config, plan.dtype_name, deviations)
    except BaseException:
        backend.close()
        raise
    return GraphEngine(name, model, backend, seed=seed, noise=noise)
