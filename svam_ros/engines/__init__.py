"""Ways to run one forward pass, chosen by name."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from svam_ros.engines.policy_engine import PolicyEngine
from svam_ros.parameters import EngineName

ENGINE_NAMES: tuple[str, ...] = get_args(EngineName)


def create_engine(
    name: str,
    model: str | Path,
    *,
    seed: int = 0,
    noise: Literal["fixed", "fresh"] = "fixed",
    threads: int = 1,
) -> PolicyEngine:
    """Make an engine, load its model and warm it up.

    Args:
        name: one of :data:`ENGINE_NAMES`.
        model: a model directory, or the name of one that ships with the package. ``scripted`` has no
            network: there it is the description of a motion (:func:`svam_ros.engines.scripted.parse_motion`).
        seed: of the network's noise.
        noise: drawn once, so that equal observations give equal actions, or anew for every pass.
        threads: CPU threads for the network; they are the whole process's.

    Raises:
        ValueError: unknown engine, model or motion, a broken model directory.
    """
    # Engines are imported when chosen, so that 'scripted' runs where torch is not installed.
    if name == "scripted":
        from svam_ros.engines.scripted import ScriptedEngine, parse_motion

        return ScriptedEngine(parse_motion(str(model)))
    if name == "eager":
        from svam_ros.artifacts.model_directory import open_model
        from svam_ros.engines.eager import EagerEngine

        engine = EagerEngine(open_model(model), seed=seed, noise=noise, threads=threads)
        engine.warm_up()
        return engine
    raise ValueError(f"unknown engine '{name}', known: {', '.join(ENGINE_NAMES)}")
