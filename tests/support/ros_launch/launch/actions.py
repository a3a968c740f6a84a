from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class DeclareLaunchArgument:
    name: str
    default_value: str
    description: str


@dataclass
class SetEnvironmentVariable:
    name: str
    value: str


@dataclass
class OpaqueFunction:
    function: Callable[..., Any]


@dataclass
class EmitEvent:
    event: Any


@dataclass
class RegisterEventHandler:
    event_handler: Any


@dataclass
class Shutdown:
    reason: str


@dataclass
class UnregisterEventHandler:
    event_handler: Any


@dataclass(kw_only=True)
class LogInfo:
    msg: str
