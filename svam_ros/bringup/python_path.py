"""Finds libraries that ``PYTHONPATH`` puts before those of this environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

LIBRARIES = ("numpy", "rclpy", "rpyutils", "torch", "mujoco", "cv2", "yaml", "rich", "tyro")
"""Those whose being another version than ours has been met: from another Python, or another ROS."""


def shadowed_libraries(
    user: Mapping[str, str] | None = None, search_path: Sequence[str] | None = None
) -> dict[str, Path]:
    """Libraries found in a folder of ``PYTHONPATH`` that this environment has a copy of its own of.

    Args:
        user: what is set, ``os.environ`` by default.
        search_path: ``sys.path`` by default.

    Returns:
        Each library's folder that Python takes.
    """
    named = (os.environ if user is None else user).get("PYTHONPATH", "").split(os.pathsep)
    folders = [Path(folder) for folder in named if folder]
    own = [Path(folder) for folder in (sys.path if search_path is None else search_path)]
    own = [folder for folder in own if folder not in folders]
    found: dict[str, Path] = {}
    for library in LIBRARIES:
        foreign = next((folder / library for folder in folders if (folder / library).is_dir()), None)
        if foreign is not None and any((folder / library).is_dir() for folder in own):
            found[library] = foreign
    return found


def shadowed_by_python_path() -> str:
    """One sentence about :func:`shadowed_libraries`; empty where there are none."""
    shadowed = shadowed_libraries()
    if not shadowed:
        return ""
    taken = ", ".join(f"{library} from {folder}" for library, folder in shadowed.items())
    return f"PYTHONPATH makes Python take {taken} instead of this environment's own"
