"""Ways to run one forward pass, chosen by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import DeviceMemoryName, DeviceName, DtypeName, EngineName

if TYPE_CHECKING:
    from svam_ros.engines.network_engine import EngineModel, NetworkEngine
    from svam_ros.engines.run_plan import RunPlan

ENGINE_NAMES: tuple[str, ...] = get_args(EngineName)


def create_engine(
    name: str,
    model: str | Path | EngineModel,
    *,
    seed: int = 0,
    noise: Literal["fixed", "fresh"] = "fixed",
    threads: int = 1,
    device: DeviceName = "cpu",
    dtype: DtypeName = "float32",
    device_memory: DeviceMemoryName = "torch",
) -> PolicyEngine:
    """Make an engine, load its model and warm it up.

    Args:
        name: one of :data:`ENGINE_NAMES`.
        model: a model directory, the name of one that ships with the package, or a model that is open
            already. ``scripted`` has no network: there it is the description of a motion
            (:func:`svam_ros.engines.scripted.parse_motion`).
        seed: of the network's noise.
        noise: drawn once, so that equal observations give equal actions, or anew for every pass.
        threads: CPU threads for the network; they are the whole process's. 0: one for a small network,
            every core for a large one.
        device: where the network runs.
        dtype: in which precision it runs; ``auto`` is the fastest here that is exact enough.
        device_memory: whose memory and streams ``tensorrt`` uses.

    Raises:
        ValueError: unknown engine, model or motion, a broken model directory, a device that is not there
            or has too little memory.
    """
    # Engines are imported when chosen, so that 'scripted' runs where torch is not installed.
    if name == "scripted":
        from svam_ros.engines.scripted import ScriptedEngine, parse_motion

        return ScriptedEngine(parse_motion(str(model)))
    if name not in ENGINE_NAMES:
        raise ValueError(f"unknown engine '{name}', known: {', '.join(ENGINE_NAMES)}")
    from svam_ros.artifacts.model_directory import open_model

    opened = open_model(model) if isinstance(model, (str, Path)) else model
    plan = _plan(name, opened, device, dtype, threads, device_memory)
    engine = _load(name, opened, plan, seed=seed, noise=noise)
    try:
        engine.warm_up()
    except BaseException:
        engine.close()
        raise
    return engine


def _plan(
    name: str,
    model: EngineModel,
    device: DeviceName,
    dtype: DtypeName,
    threads: int,
    device_memory: DeviceMemoryName,
) -> RunPlan:
    """Where and how it runs; a precision that was left open is the one that the engine is built in."""
    from svam_ros.engines.exported.engine_kinds import ENGINE_KINDS, chosen_precision
    from svam_ros.engines.run_plan import DeviceError, plan_run

    if name in ENGINE_KINDS:
        dtype = chosen_precision(ENGINE_KINDS[name], dtype)
    elif dtype == "int8":
        raise DeviceError(f"engine '{name}' does not run in int8; 'tensorrt' does, once it is built so")
    if device_memory != "torch" and name != "tensorrt":
        raise DeviceError(
            f"engine '{name}' runs in torch's memory: leave device memory at 'torch',"
            " or take engine 'tensorrt'"
        )
    return plan_run(model.manifest, device, dtype, threads, device_memory)


def _load(
    name: str, model: EngineModel, plan: RunPlan, *, seed: int, noise: Literal["fixed", "fresh"]
) -> NetworkEngine:
    if name == "eager":
        from svam_ros.engines.eager import EagerEngine

        return EagerEngine(
            model, seed=seed, noise=noise, threads=plan.threads, device=plan.device, dtype=plan.dtype
        )
    if name == "compiled":
        from svam_ros.engines.compiled import create_compiled_engine

        return create_compiled_engine(model, plan, seed=seed, noise=noise)
    from svam_ros.engines.exported.loading import load_graph_engine

    return load_graph_engine(name, model, plan, seed=seed, noise=noise)
