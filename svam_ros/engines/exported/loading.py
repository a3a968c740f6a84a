"""An engine of a model directory, ready to run: every hash first, then one pass whose result is known."""

from __future__ import annotations

from typing import Literal

from svam_ros.artifacts.engine_files import engine_identity, engines_locked, find_engine
from svam_ros.artifacts.model_directory import ModelDirectory
from svam_ros.artifacts.network_loading import empty_network
from svam_ros.engines.exported.engine_kinds import BuildRefused, chosen_precision, engine_kind
from svam_ros.engines.exported.graph_engine import GraphEngine
from svam_ros.engines.exported.reference_case import (
    REFERENCE_FILE,
    EngineInaccurate,
    load_reference_case,
    measure_deviations,
    refuse_inaccurate,
)
from svam_ros.engines.exported.stage_graphs import pass_shape
from svam_ros.engines.network_engine import EngineModel
from svam_ros.engines.run_plan import DeviceError, RunPlan


def load_graph_engine(
    name: str,
    model: EngineModel,
    plan: RunPlan,
    *,
    seed: int = 0,
    noise: Literal["fixed", "fresh"] = "fixed",
) -> GraphEngine:
    """Find the engine for what is here, verify it, load it, and compare it with the network once more.

    Raises:
        EngineMissing: the model has none; the text says how to build it.
        EngineMismatch: those it has are for another library version, device, precision or network.
        EngineFilesError: a file is damaged, or others may change it.
        EngineInaccurate: it does not compute here what the network computes.
        BuildRefused: no engine of this kind is built in the plan's precision, or of random weights.
        DeviceError: its device is another, not here, or short of memory.
        GraphLoadError, TensorRtError: the library cannot load or run a stage; the text has its own words.
        ImportError: the library is not installed.
    """
    kind = engine_kind(name)
    if not isinstance(model, ModelDirectory):
        raise BuildRefused(f"engine '{name}' is built into a model directory, and random weights have none")
    if plan.device.type != kind.device:
        raise DeviceError(f"engine '{name}' runs on device '{kind.device}', not on '{plan.device.type}'")
    target, precision = kind.here(), chosen_precision(kind, plan.dtype_name)
    if target is None:
        raise DeviceError(f"engine '{name}' runs on a GPU, and there is none here")
    here = engine_identity(model, name, kind.library(), target, precision)
    config = model.manifest.config
    with engines_locked(model.path, exclusive=False):
        files = find_engine(model, here)
        backend = kind.load(files.folder, pass_shape(empty_network(config)), plan)
        try:
            case = load_reference_case(files.folder / REFERENCE_FILE)
            refuse_inaccurate(
                str(files.folder), config, precision, measure_deviations(backend, case, model.statistics)
            )
        except EngineInaccurate as error:
            backend.close()
            command = here.build_command(model.path)
            raise EngineInaccurate(f"{error}. Build it again: {command}; or use engine 'eager'") from None
        except BaseException:
            backend.close()
            raise
    return GraphEngine(name, model, backend, seed=seed, noise=noise)
