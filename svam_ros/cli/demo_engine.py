"""What a demo runs the network with when no engine is named: OpenVINO where it can be had, or eager."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from svam_ros.cli.build_steps import BuildSteps
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.parameters import EngineName
from svam_ros.user_cache import user_cache

if TYPE_CHECKING:  # torch is loaded only when there is a network to run
    from svam_ros.artifacts.model_directory import ModelDirectory

FASTEST_ON_A_CPU: EngineName = "openvino"
"""Its figures beside those of eager: docs/performance.md."""
WITHOUT_BUILDING: EngineName = "eager"


@dataclass(frozen=True)
class ChosenEngine:
    """An engine, and where its model is."""

    name: EngineName
    model: str
    """As the option: a path, a name, or what the scripted engine reads as a motion."""


def choose_engine(options: DemoOptions, console: Console) -> ChosenEngine:
    """The engine that is named, or else the fastest that this machine's CPU can have.

    For a model that ships with the package it is built once, in a copy below the user's cache; a model of the
    user's own is left as it is.

    Raises:
        ModelDirectoryError: the model is not there, or broken.
        KeyboardInterrupt: while it is built; the next run goes on there.
    """
    if options.engine != "auto":
        return ChosenEngine(options.engine, options.model)
    from svam_ros.artifacts.model_directory import open_model, ships_with_package

    model = open_model(options.model)
    without = ChosenEngine(WITHOUT_BUILDING, options.model)
    try:
        if not is_built(model):
            if not ships_with_package(model.path):
                command = shlex.join(["svam", "build-engine", "--model", options.model])
                _say(console, f"engine {WITHOUT_BUILDING}; a faster one is made by: {command}")
                return without
            model = _built_in_the_cache(model, console)
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        _say(console, f"engine {WITHOUT_BUILDING}, for {FASTEST_ON_A_CPU} cannot be had: {error}")
        return without
    return ChosenEngine(FASTEST_ON_A_CPU, str(model.path))


def is_built(model: ModelDirectory) -> bool:
    """Whether the model holds an engine for exactly what is here.

    Raises:
        ImportError: the library is not installed.
        EngineFilesError: the engine is damaged, or others may change it.
    """
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
    with _alone_in_the_cache(console) as cache:
        copy = copy_model(model, cache / name)
        if not is_built(copy):
            _say(
                console,
                f"building engine {FASTEST_ON_A_CPU} for this machine, once: a minute or two. It is kept in "
                f"{copy.path}; --engine {WITHOUT_BUILDING} does without",
            )
            request = BuildRequest(FASTEST_ON_A_CPU, threads=len(os.sched_getaffinity(0)))
            # An export keeps standard output to itself.
            with BuildSteps(Console(stderr=True)) as steps:
                build_engine(copy, request, steps.begin)
    return copy


@contextmanager
def _alone_in_the_cache(console: Console) -> Iterator[Path]:
    """The user's cache; a second demo waits for what the first one makes."""
    cache = user_cache()
    with (cache / "lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            _say(console, "another demo is building the engine: waiting for it")
            flock(lock, LOCK_EX)
        yield cache


def _say(console: Console, sentence: str) -> None:
    console.print(escape(sentence), soft_wrap=True)
