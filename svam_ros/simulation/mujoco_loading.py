"""The one place that imports MuJoCo, after choosing how it renders.

MuJoCo reads ``MUJOCO_GL`` once, when it is first imported. Unset, it would look for a desktop; here
EGL is the default, which needs no display. Where the EGL library itself is missing MuJoCo could
not even be imported, so rendering is switched off instead: physics then works, and
:class:`svam_ros.simulation.front_camera.FrontCamera` says which packages are missing.
"""

from __future__ import annotations

import ctypes
import os

MISSING_LIBRARIES_ADVICE = "sudo apt-get install libegl1 libegl-mesa0 libgl1-mesa-dri"
"""What makes rendering work on Debian and Ubuntu."""


def _default_backend() -> str:
    try:
        ctypes.CDLL("libEGL.so.1")
    except OSError:
        return "disable"
    return "egl"


# A software renderer takes every core for each picture; pictures are made beside a network, 30 a second.
os.environ.setdefault("LP_NUM_THREADS", "1")
if not os.environ.get("MUJOCO_GL"):
    os.environ["MUJOCO_GL"] = _default_backend()

try:
    import mujoco
except (AttributeError, OSError, RuntimeError) as error:  # what PyOpenGL makes of a missing library
    raise ImportError(
        f"MuJoCo cannot render with MUJOCO_GL={os.environ['MUJOCO_GL']} here ({error}). "
        f"Unset MUJOCO_GL, and on Debian or Ubuntu: {MISSING_LIBRARIES_ADVICE}"
    ) from error

__all__ = ["MISSING_LIBRARIES_ADVICE", "mujoco"]
