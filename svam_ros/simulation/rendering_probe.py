"""``python -m svam_ros.simulation.rendering_probe``: draws one picture and says, as JSON, with what.

A process of its own: a broken graphics driver ends the process that asks it, not its parent.
"""

from __future__ import annotations

import json
import os
import time

from svam_ros.simulation.mujoco_loading import mujoco

_SCENE = """
<mujoco>
  <worldbody>
    <light pos="0 0 3"/>
    <geom type="sphere" size="0.5" rgba="1 0.2 0.2 1"/>
    <camera name="front" pos="0 -3 0" xyaxes="1 0 0 0 0 1"/>
  </worldbody>
</mujoco>
"""


def main() -> int:
    """Print the answer; an exception ends the process with its own text."""
    model = mujoco.MjModel.from_xml_string(_SCENE)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    with mujoco.Renderer(model, 240, 320) as renderer:
        renderer.update_scene(data, camera="front")
        started = time.perf_counter()
        picture = renderer.render()
        elapsed_ms = (time.perf_counter() - started) * 1e3
        answer = {
            "mujoco": mujoco.__version__,
            "backend": os.environ["MUJOCO_GL"],
            "driver": _driver(),
            "drew_something": bool(picture.max() > picture.min()),
            "picture_ms": round(elapsed_ms, 1),
        }
    print(json.dumps(answer))
    return 0


def _driver() -> str:
    """Name of the renderer that OpenGL reports: "llvmpipe ..." is Mesa on the CPU."""
    from OpenGL import GL

    return str(GL.glGetString(GL.GL_RENDERER).decode())


if __name__ == "__main__":
    raise SystemExit(main())
