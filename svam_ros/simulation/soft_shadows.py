"""Soft spots on the table below objects and grippers: depth cues at almost no cost.

Real shadow maps make a software renderer several times slower. One translucent picture of a blurred
disc for each caster tells the eye, and the policy, how high it hangs: it widens and fades on the way up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from svam_ros.simulation.mujoco_loading import mujoco

_MATERIAL = "soft_shadow"
_CASTERS_M = {
    "pot": 0.086,
    "cube": 0.027,
    "cup": 0.03,
    "bowl": 0.062,
    "left_link6": 0.05,
    "right_link6": 0.05,
}
"""Bodies that darken the table, with the radius of their spot when they touch it. Glass does not, and beads
are too small."""
_DARKNESS = 0.34
_FADE_HEIGHT_M = 0.24
_SPREAD = 0.35
"""By how much of its height a caster's spot grows."""
_TEXTURE_SIZE = 128


def add_shadow_material(spec: Any) -> None:
    """A black disc whose opacity falls off towards its rim, for :func:`add_soft_shadows`."""
    axis = (np.arange(_TEXTURE_SIZE) + 0.5) / _TEXTURE_SIZE * 2.0 - 1.0
    radius = np.hypot(axis[:, None], axis[None, :])
    ramp = np.clip((1.0 - radius) / 0.55, 0.0, 1.0)
    picture = np.zeros((_TEXTURE_SIZE, _TEXTURE_SIZE, 4), dtype=np.uint8)
    picture[..., 3] = np.round(255.0 * ramp**2 * (3.0 - 2.0 * ramp))
    texture = spec.add_texture(
        name=_MATERIAL,
        type=mujoco.mjtTexture.mjTEXTURE_2D,
        width=_TEXTURE_SIZE,
        height=_TEXTURE_SIZE,
        nchannel=4,
    )
    texture.data = picture.tobytes()
    material = spec.add_material(name=_MATERIAL, specular=0.0, shininess=0.0)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = _MATERIAL


def add_soft_shadows(scene: Any, model: Any, data: Any) -> None:
    """Append the spots to an ``MjvScene`` that was updated from ``data``."""
    material = model.material(_MATERIAL).id
    casters = [body for body in _CASTERS_M if mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, body) >= 0]
    for layer, body in enumerate(casters, start=1):
        grasp = body.replace("link6", "grasp")
        position = data.site(grasp).xpos if grasp != body else data.body(body).xpos
        height = max(0.0, float(position[2]))
        radius = 1.32 * _CASTERS_M[body] + _SPREAD * height
        centre = np.array([position[0], position[1], 0.0002 * layer])
        _add_spot(scene, centre, radius, _DARKNESS * np.exp(-height / _FADE_HEIGHT_M), material)


def _add_spot(scene: Any, centre: Any, radius: float, alpha: float, material: int) -> None:
    geom = scene.geoms[scene.ngeom]
    mujoco.mjv_initGeom(
        geom,
        mujoco.mjtGeom.mjGEOM_PLANE,
        np.array([radius, radius, 0.0]),
        centre,
        np.eye(3).flatten(),
        np.array([1.0, 1.0, 1.0, alpha], dtype=np.float32),
    )
    geom.matid = material
    geom.category = mujoco.mjtCatBit.mjCAT_DECOR
    scene.ngeom += 1
