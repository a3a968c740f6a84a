"""A stand-in for the part of ROS's ``launch`` that our launch files use.

``launch`` is not on PyPI. The classes take the same arguments as the real ones (Humble to Kilted) and
keep them; nothing is started.
"""

from dataclasses import dataclass
from typing import Any


@dataclass
class LaunchDescription:
    entities: list[Any]


@dataclass
class LaunchContext:
    launch_configurations: dict[str, str]
    is_shutdown: bool = False
