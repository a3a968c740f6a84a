"""What must hold before `svam demo` starts a process: said in a sentence, with what to do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from svam_ros.bringup.system_checks import CheckResult, check_rendering, check_shared_memory
from svam_ros.cli.demo_options import DemoOptions
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.parameters import ParameterError


class CannotRunHere(ValueError):
    """The machine lacks something that the demo needs."""


def check_before_start(options: DemoOptions) -> str:
    """Profile, model, rendering and shared memory, as ``svam doctor`` looks at them.

    Returns:
        The name under which the model's figures are reported.

    Raises:
        CalibrationError: the robot profile or the limits cannot be used.
        ModelDirectoryError: the model is not there, or broken.
        ParameterError: the scripted engine does not know such a motion.
        CannotRunHere: nothing can be rendered, or there is no room in shared memory.
    """
    load_robot_profile(options.profile)
    load_cobot(options.limits)
    with ThreadPoolExecutor(max_workers=1) as pool:
        rendering = pool.submit(check_rendering)  # In a process of its own, while the model is read here.
        model_name = _check_model(options)
        for result in (rendering.result(), check_shared_memory()):
            _require(result)
    return model_name


def _require(result: CheckResult) -> None:
    if result.status == "fail":
        raise CannotRunHere(f"{result.name}: {result.text}. What to do: {result.fix}")


def _check_model(options: DemoOptions) -> str:
    if options.engine == "scripted":
        from svam_ros.engines import create_engine

        try:
            return create_engine(options.engine, options.model).model_name
        except ValueError as error:
            raise ParameterError(f"--model, which the scripted engine reads as a motion: {error}") from error
    from svam_ros.artifacts.model_directory import open_model, resolve_model

    return open_model(resolve_model(options.model)).manifest.name
