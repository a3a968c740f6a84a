"""Which engine a demo takes when none is named: the fastest one that this machine can have."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from svam_ros.cli.build_steps import BuildSteps
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.parameters import EngineName

if TYPE_CHECKING:  # torch is loaded only when there is a network to run
    from svam_ros.artifacts.model_directory import ModelDirectory

FASTEST_ON_A_CPU: EngineName = "openvino"
"""docs/performance.md has the figures: it beats eager by two to three."""
WITHOUT_BUILDING: EngineName = "eager"


def with_engine(options: DemoOptions, console: Console) -> DemoOptions:
    """The options with an engine that can run, and the model directory that holds it.

    For a model that ships with the package the engine is built once, in a copy below the user's cache; a
    model of the user's own is left as it is.

    Raises:
        KeyboardInterrupt: while it is built; the next run goes on there.
    """
    if options.engine != "auto":
        return options
    from svam_ros.artifacts.model_directory import open_model, ships_with_package
    from svam_ros.engines.exported.onnx_export import ExportError

    model = open_model(options.model)
    try:
        if not _is_built(model) and ships_with_package(model.path):
            model = _built_in_the_cache(model, console)
        elif not _is_built(model):
            hint = f"'svam build-engine --model {options.model}' makes a faster one"
            console.print(f"engine [bold]{WITHOUT_BUILDING}[/]; {hint}", soft_wrap=True)
            return replace(options, engine=WITHOUT_BUILDING)
    except (ImportError, OSError, ValueError, ExportError) as error:
        why = escape(f"{FASTEST_ON_A_CPU} cannot be had: {error}")
        console.print(f"engine [bold]{WITHOUT_BUILDING}[/]: {why}", soft_wrap=True)
        return replace(options, engine=WITHOUT_BUILDING)
    return replace(options, engine=FASTEST_ON_A_CPU, model=str(model.path))


def _is_built(model: ModelDirectory) -> bool:
    """Whether the model holds an engine for exactly what is here."""
    from svam_ros.artifacts.engine_files import EngineMismatch, EngineMissing, engine_identity, find_engine
    from svam_ros.engines.exported.engine_kinds import chosen_precision, engine_kind

    kind = engine_kind(FASTEST_ON_A_CPU)
    here = engine_identity(model, kind.name, kind.library(), "cpu", chosen_precision(kind, "auto"))
    try:
        find_engine(model, here)
    except (EngineMissing, EngineMismatch):
        return False
    return True


def _built_in_the_cache(model: ModelDirectory, console: Console) -> ModelDirectory:
    from svam_ros.artifacts.model_directory import WEIGHTS_FILE
    from svam_ros.artifacts.model_saving import copy_model
    from svam_ros.engines.exported.building import BuildRequest, build_engine

    name = f"{model.manifest.name}-{model.manifest.files[WEIGHTS_FILE][:12]}"
    copy = copy_model(model, _cache() / name)
    if not _is_built(copy):
        console.print(
            f"building engine [bold]{FASTEST_ON_A_CPU}[/] for this machine, once: about a minute. It is kept "
            f"in {copy.path}; --engine {WITHOUT_BUILDING} does without",
            soft_wrap=True,
        )
        request = BuildRequest(FASTEST_ON_A_CPU, threads=len(os.sched_getaffinity(0)))
        with BuildSteps(console) as steps:
            build_engine(copy, request, steps.begin)
    return copy


def _cache() -> Path:
    """Where a user's programs keep what can be made again (XDG Base Directory Specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "svam_ros"
