"""One demonstration as one ``.npz`` file: what was seen, what was measured, what was commanded.

:mod:`svam_train.episodes.episode_files` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svam_ros.types import ImageArray
from svam_ros.whole_files import whole_file
from svam_train.episodes.scene_seeds import STILL_SEEDS_FROM


@dataclass(frozen=True)
class Demonstration:
    """A successful episode of the scripted expert.

    ``targets`` has one row per control step: row ``k`` is the expert's joint target for the end of that
    step, ``k + 1`` control periods after the beginning. Pictures and joints were taken every ``stride``
    control steps: row ``f`` at ``f * stride`` periods. Action ``i`` of a chunk that starts at picture
    ``f`` is therefore ``targets[f * stride + i]``.
    """

    task: str
    seed: int
    instruction: str
    stride: int
    """Control steps from one picture to the next."""
    images: ImageArray
    """``(n, size, size, 3)`` RGB, prepared as for the network."""
    joints: NDArray[np.float32]
    """``(n, 14)`` measured, rad and m."""
    targets: NDArray[np.float32]
    """``(steps, 14)`` commanded, rad and m, without the noise that was executed on top."""
    depth: NDArray[np.float32]
    """``(n, grid, grid)`` mean distance from the camera over each patch, m."""
    segments: NDArray[np.float32]
    """``(n, grid, grid, classes)`` share of each patch that a class of things covers."""
    points: NDArray[np.float32] | None = None
    """``(n, grid, grid, 3)`` mean place of each patch in the robot's frame, m; older files have none."""
    centres: NDArray[np.float32] | None = None
    """``(n, movable, 5)`` as of :func:`svam_train.episodes.scene_truth.centres_of`; older files have none."""

    def __len__(self) -> int:
        """Pictures."""
        return len(self.joints)


def demonstration_path(folder: Path, task: str, seed: int) -> Path:
    """Where the demonstration of ``task`` and ``seed`` lies."""
    return folder / f"{task}_{seed:06d}.npz"


def recorded_seeds(folder: Path, task: str) -> set[int]:
    """Seeds of the demonstrations of ``task`` in a folder; other tasks' names may begin alike."""
    seeds = (path.stem.removeprefix(f"{task}_") for path in folder.glob(f"{task}_*.npz"))
    return {int(seed) for seed in seeds if seed.isascii() and seed.isdigit()}


def check_stills_apart(folder: Path, *, stills: bool) -> None:
    """Refuse to mix: arms that stand still are to be learnt from as pictures, never as actions.

    Args:
        folder: that is to be filled, or filled further.
        stills: with stills; otherwise with demonstrations.

    Raises:
        ValueError: it holds the other.
    """
    seeds = (path.stem.rpartition("_")[2] for path in folder.glob("*_*.npz"))
    if any((int(seed) >= STILL_SEEDS_FROM) is not stills for seed in seeds if seed.isdecimal()):
        raise ValueError(
            f"{folder} holds {'demonstrations' if stills else 'stills'}: name another folder (--folder) for "
            f"{'stills' if stills else 'demonstrations'}"
        )


def save_demonstration(folder: Path, demonstration: Demonstration) -> Path:
    """Write one file; it appears whole or not at all."""
    path = demonstration_path(folder, demonstration.task, demonstration.seed)
    points, centres = demonstration.points, demonstration.centres
    places = {} if points is None else {"points": points.astype(np.float16)}
    places |= {} if centres is None else {"centres": centres.astype(np.float32)}
    with whole_file(path) as part, part.open("wb") as file:
        np.savez(
            file,
            allow_pickle=False,
            task=np.array(demonstration.task),
            seed=np.array(demonstration.seed),
            instruction=np.array(demonstration.instruction),
            stride=np.array(demonstration.stride),
            images=demonstration.images,
            joints=demonstration.joints,
            targets=demonstration.targets,
            depth=demonstration.depth.astype(np.float16),
            segments=np.rint(demonstration.segments * 255).astype(np.uint8),
            **places,
        )
    return path
