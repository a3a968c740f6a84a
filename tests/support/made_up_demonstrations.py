"""Small made-up demonstrations: no simulation, no rendering."""

from __future__ import annotations

import numpy as np

from svam_ros.simulation.front_camera import SceneClass
from svam_train.episodes.demonstration_files import Demonstration
from svam_train.episodes.scene_truth import MOVABLE

INSTRUCTIONS = {"lift_pot": "lift the pot with both hands", "place_to_pot": "put the red cube into the pot"}


def made_up_demonstration(task="lift_pot", seed=0, pictures=12, stride=2, size=128, grid=16):
    """Joints that follow the targets, a bright square that moves with them."""
    random = np.random.default_rng((seed, len(task)))
    steps = pictures * stride
    goal = random.uniform(-0.5, 0.5, 14)
    targets = np.linspace(0.0, 1.0, steps)[:, None] * goal
    images = random.integers(0, 40, (pictures, size, size, 3), dtype=np.uint8)
    segments = np.zeros((pictures, grid, grid, len(SceneClass)), np.float32)
    segments[..., 1] = 1.0
    row, column = (int(v) for v in random.integers(2, grid - 2, 2))
    centres = np.full((len(MOVABLE), 5), np.nan, np.float32)
    place = np.array([row, column]) + 0.5
    centres[MOVABLE.index(SceneClass.POT)] = [*(2.0 * place / grid - 1.0), 0.4, 0.0, 0.02]
    for picture in range(pictures):
        patch = size // grid
        images[picture, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = 230
        segments[picture, row, column] = np.eye(len(SceneClass))[SceneClass.POT]
    return Demonstration(
        task=task,
        seed=seed,
        instruction=INSTRUCTIONS[task],
        stride=stride,
        images=images,
        joints=targets[::stride].astype(np.float32),
        targets=targets.astype(np.float32),
        depth=random.uniform(0.5, 1.5, (pictures, grid, grid)).astype(np.float32),
        segments=segments,
        centres=np.tile(centres, (pictures, 1, 1)),
    )
