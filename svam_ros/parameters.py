"""Parameters are data: one frozen dataclass per process.

The dataclass feeds the command line (tyro reads the docstrings), the ROS parameters (descriptor,
range, validation) and the tables in ``docs/reference.md``. Ranges and choices stand in the type:
``Annotated[float, Range(25.0, 200.0)]``, ``Literal["raw", "compressed"]``.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import docstring_parser

from svam_ros.types import FASTEST_COMMAND_RATE_HZ

T = TypeVar("T")

EngineName = Literal["eager", "compiled", "openvino", "tensorrt", "scripted"]
"""The ways to run the network; :func:`svam_ros.engines.create_engine` makes them."""

DeviceName = Literal["cpu", "cuda"]
"""Where a network can run."""

DtypeName = Literal["auto", "float32", "bfloat16", "float16", "int8"]
"""In which precision a network can run; ``auto`` leaves it to the device and the network's size. ``int8`` is
for engine ``tensorrt``: layers that can bear it in eight bits."""

DeviceMemoryName = Literal["torch", "pycuda"]
"""Whose the memory and the streams on a GPU are."""

ExecutionModeName = Literal["auto", "sync", "append", "aligned", "prefix"]
"""The ways of :mod:`svam_ros.control.execution_mode`; ``auto`` is the best that horizon and latency carry."""

ImageTransport = Literal["raw", "compressed"]

ImageDecoder = Literal["numpy", "cv_bridge"]

TaskName = Literal["lift_pot", "place_to_pot", "place_to_pot_hard", "pour"]
"""The tasks of :mod:`svam_ros.simulation.tasks`."""


class ParameterError(ValueError):
    """A parameter has a value that is not allowed; the text gives the value got and those allowed."""


@dataclass(frozen=True)
class Range:
    """Closed interval that a number must lie in."""

    minimum: float
    maximum: float


@dataclass(frozen=True)
class ParameterDescription:
    """All that is known of one parameter."""

    name: str
    kind: type
    """``bool``, ``int``, ``float`` or ``str``."""
    default: bool | int | float | str
    text: str
    limits: Range | None
    choices: tuple[str, ...]

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.limits:
            return f"{self.limits.minimum:.10g} to {self.limits.maximum:.10g}"
        return ", ".join(self.choices) if self.choices else f"any {self.kind.__name__}"

    def check(self, value: object) -> None:
        """Raise :class:`ParameterError` unless ``value`` is allowed."""
        numbers = (int, float) if self.kind is float else (self.kind,)
        right_type = isinstance(value, numbers) and (self.kind is bool or not isinstance(value, bool))
        inside = right_type
        if right_type and self.limits and isinstance(value, (int, float)):
            inside = math.isfinite(value) and self.limits.minimum <= value <= self.limits.maximum
        if right_type and self.choices:
            inside = value in self.choices
        if not inside:
            hint = "".join(f" Did you mean '{m}'?" for m in get_close_matches(str(value), self.choices, 1))
            raise ParameterError(f"parameter '{self.name}' is {value!r}, allowed is {self.allowed()}.{hint}")


_DESCRIBED: dict[type, tuple[ParameterDescription, ...]] = {}


def describe(parameters: type) -> tuple[ParameterDescription, ...]:
    """The parameters of a dataclass, in order, with ranges and docstrings."""
    if parameters not in _DESCRIBED:
        _DESCRIBED[parameters] = _read_descriptions(parameters)
    return _DESCRIBED[parameters]


def _read_descriptions(parameters: type) -> tuple[ParameterDescription, ...]:
    hints = get_type_hints(parameters, include_extras=True)
    texts = {
        parameter.arg_name: parameter.description or ""
        for ancestor in reversed(parameters.__mro__)
        if dataclasses.is_dataclass(ancestor)
        for parameter in docstring_parser.parse_from_object(ancestor).params
    }
    descriptions = []
    for field in dataclasses.fields(parameters):
        hint, limits, choices = hints[field.name], None, ()
        if get_origin(hint) is Annotated:
            limits = next((extra for extra in get_args(hint)[1:] if isinstance(extra, Range)), None)
            hint = get_args(hint)[0]
        if get_origin(hint) is Literal:
            choices, hint = get_args(hint), str
        text = " ".join(texts.get(field.name, "").split())
        default: Any = field.default
        descriptions.append(ParameterDescription(field.name, hint, default, text, limits, choices))
    return tuple(descriptions)


def build(parameters: type[T], values: dict[str, Any]) -> T:
    """Make the dataclass from ``values`` after checking every one.

    Raises:
        ParameterError: an unknown name, or a value outside its range or choices.
    """
    known = {description.name: description for description in describe(parameters)}
    for name, value in values.items():
        if name not in known:
            hint = "".join(f", did you mean '{m}'?" for m in get_close_matches(name, known, 1))
            raise ParameterError(f"unknown parameter '{name}'{hint} Known: {', '.join(known)}")
        known[name].check(value)
    return parameters(**values)


def check_options(options: Any) -> None:
    """Look at every field of an options dataclass that something else has filled: a command line, say.

    Raises:
        ParameterError: a value is outside its range or choices.
    """
    for description in describe(type(options)):
        description.check(getattr(options, description.name))


@dataclass(frozen=True)
class PolicyParameters:
    """policy_node: turns the newest frame and an instruction into chunks."""

    model: str = "tiny"
    """Model directory: a path, or the name of one that ships with the package."""
    engine: EngineName = "eager"
    """The way to run the network."""
    profile: str = "cobot_magic"
    """Robot profile: the name of one that ships with the package, or a YAML file of the same form."""
    instruction: str = ""
    """What to do, in words. Empty: wait for one on the instruction topic."""
    image_transport: ImageTransport = "raw"
    """Subscribe to the camera's raw image topic or to its /compressed sibling."""
    image_decoder: ImageDecoder = "numpy"
    """Decode raw images with the checked numpy function, or with cv_bridge from an apt install."""
    max_image_age_ms: Annotated[float, Range(20.0, 2000.0)] = 150.0
    """A frame older than this at the start of inference is not used."""
    max_joint_age_ms: Annotated[float, Range(5.0, 500.0)] = 60.0
    """Joint states may be older than their frame by at most this much."""
    mode: ExecutionModeName = "auto"
    """How chunks that come late are executed: play one and wait (sync), one after the other (append), each
    step at its time (aligned), or that with a network that is told what is committed (prefix). A mode that
    horizon and latency cannot carry is refused; auto takes the best that they can."""
    replan_steps: Annotated[int, Range(1, 64)] = 4
    """In aligned and prefix: observations that chunks are made from lie at least this many steps apart."""
    older_weight: Annotated[float, Range(0.0, 0.95)] = 0.0
    """Weight of the mean of older predictions in the steps of a chunk that they reach; 0 takes the newest
    alone. More makes arms calmer that a network shakes, and slower to follow what is new."""
    publish_lead_ms: Annotated[float, Range(0.0, 100.0)] = 10.0
    """Time a published chunk takes to reach the guard: steps due earlier are left out."""
    noise: Literal["fixed", "fresh"] = "fixed"
    """Draw the network's noise once (bit-repeatable) or anew for every chunk."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the network's noise."""
    device: DeviceName = "cpu"
    """Where the network runs."""
    dtype: DtypeName = "float32"
    """In which precision; ``auto`` is the fastest here that is exact enough."""
    threads: Annotated[int, Range(0, 64)] = 1
    """CPU threads for the network; 0: one for a small network, every core for a large one."""
    device_memory: DeviceMemoryName = "torch"
    """Whose memory and streams engine tensorrt uses on a GPU; with pycuda nothing is captured."""
    allow_other_robot: bool = False
    """Also run a model of another robot. Its chunks bear its own joint names, which the guard refuses."""


@dataclass(frozen=True)
class TunableGuardSettings:
    """What an operator may set about the guard's judgement; the rest is in ``svam_ros.control.settings``.

    Raises:
        ParameterError: the arms would be stopped before they are held.
    """

    max_observation_age_ms: Annotated[float, Range(50.0, 5000.0)] = 800.0
    """A chunk whose observation is older than this on arrival is rejected."""
    ramp_speed_fraction: Annotated[float, Range(0.01, 1.0)] = 0.2
    """Speed of the ramp to the first set-point, as a fraction of the limits."""
    joint_state_hold_ms: Annotated[float, Range(20.0, 2000.0)] = 150.0
    """Joint states measured longer ago than this, by their stamp, make the arms hold."""
    joint_state_stop_ms: Annotated[float, Range(50.0, 5000.0)] = 500.0
    """Joint states measured longer ago than this stop the arms until they are engaged again."""

    def __post_init__(self) -> None:
        if self.joint_state_stop_ms < self.joint_state_hold_ms:
            raise ParameterError(
                f"parameter 'joint_state_stop_ms' is {self.joint_state_stop_ms:g}, "
                f"it must not be below joint_state_hold_ms ({self.joint_state_hold_ms:g})"
            )


@dataclass(frozen=True)
class RealTimeParameters:
    """What the guard may ask of Linux, to be run in time; it works without, and says what was granted."""

    lock_memory: bool = False
    """Keep the guard's memory from being paged out."""
    fifo_priority: Annotated[int, Range(0, 99)] = 0
    """Run the guard under SCHED_FIFO with this priority, before everything that has none; 0: as usual."""
    cpu_core: Annotated[int, Range(-1, 1023)] = -1
    """Run the guard on this core alone; -1: on any."""


@dataclass(frozen=True)
class GuardParameters(RealTimeParameters, TunableGuardSettings):
    """guard_node: the only process that commands the arms."""

    profile: str = "cobot_magic"
    """Robot profile: the name of one that ships with the package, or a YAML file of the same form."""
    limits: str = ""
    """YAML file with the arms' limits, in the form of calibration/cobot.yaml. Empty: that file."""
    command_rate_hz: Annotated[float, Range(0.0, FASTEST_COMMAND_RATE_HZ)] = 0.0
    """Rate of set-points to the drivers, 25 to 200 Hz; 0 takes the profile's rate."""
    black_box: str = ""
    """Folder for the last ten seconds before every hold and stop; empty: svam_black_box beside ROS's logs."""
    autostart: bool = True
    """Configure and activate at start; False: an operator or a launch file leads the node."""


@dataclass(frozen=True)
class SimulationParameters:
    """cobot_sim_node: the simulated Cobot, with the topics of the real one."""

    profile: str = "cobot_magic"
    """Robot profile: the name of one that ships with the package, or a YAML file of the same form."""
    task: TaskName = "lift_pot"
    """What there is to do: which objects stand on the table."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed of the scene: positions of the objects."""
    driver_quirks: bool = False
    """Behave as badly as the real drivers can: missing joint names mean 0 rad, six velocities."""
    publish_compressed: bool = False
    """Publish JPEG pictures on the camera's /compressed sibling too."""
