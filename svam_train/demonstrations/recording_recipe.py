"""How demonstrations are recorded, as data that lies beside them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import dacite
import numpy as np

from svam_ros.networks.presets import PRESETS as NETWORKS
from svam_ros.parameters import PolicyParameters
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.whole_files import write_whole_text
from svam_train.episodes.open_settings import USUAL_STRIDE, OpenSettings
from svam_train.episodes.sources import RECIPE_FILE
from svam_train.recipes.video import PRESETS as VIDEO_RECIPES


class SceneKind(NamedTuple):
    """What the seed of a scene decides beside the objects' poses."""

    shared: bool
    """Other tasks are possible in the scene too."""
    varied: bool
    """Light, colours and the camera's mount are drawn."""


@dataclass(frozen=True)
class RecordingRecipe:
    """How demonstrations are recorded.

    Raises:
        ValueError: a number is out of its range.
    """

    image: ImagePreparation
    grid: int
    """Patches along each side of the depth, place and class targets: a multiple of the network's feature
    grid."""
    stride: int = USUAL_STRIDE
    """Control steps from one picture to the next."""
    noise_rad: float = 0.012
    """Standard deviation of the smooth noise on executed joint targets; the recorded targets are
    clean, so that the network learns to return (Laskey et al., "DART", 2017)."""
    noise_correlation: float = 0.9
    """Of the noise, from one control step to the next."""
    noise_shares: tuple[float, ...] = (1.0, 0.4, 0.0)
    """Of the noise, tried one after the other until the expert succeeds."""
    hold_steps: int = 4
    """Control steps recorded after the end of the plan, holding still."""
    profile: str = PolicyParameters.profile
    """Robot profile whose messages joint states and set-points pass through."""
    max_joint_age_ms: float = PolicyParameters.max_joint_age_ms
    """As of policy_node."""
    shared_scenes: float = 0.7
    """Share of scenes in which other tasks are possible too, so that the instruction matters; the others
    hold nothing but what the task needs."""
    varied_looks: float = 0.8
    """Share of scenes whose light, colours and camera mount are drawn; the others look as calibrated."""

    def __post_init__(self) -> None:
        for name in ("shared_scenes", "varied_looks"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} is {getattr(self, name)}, but is a share from 0 to 1")
        for name in ("grid", "stride"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be at least 1")

    def scene_kind(self, seed: int) -> SceneKind:
        """The same for every task, so that tasks share scenes that differ in the instruction alone."""
        shared, varied = np.random.default_rng((seed, 5)).random(2)
        return SceneKind(bool(shared < self.shared_scenes), bool(varied < self.varied_looks))


RECORDING = RecordingRecipe(ImagePreparation("centre_square", 128, "area"), grid=32)
"""How demonstrations for the network ``tiny`` are recorded: with its pictures, and with truths that can be
averaged to its feature grid and to the finer one of its teachers."""


def recording_for(config: str) -> RecordingRecipe:
    """How demonstrations for the recipes of this name are recorded: :data:`RECORDING`, but for the pictures.

    Raises:
        KeyError: there are no such recipes.
    """
    video = VIDEO_RECIPES[config]
    size = NETWORKS[video.network].image_encoder.image_size
    stride = OpenSettings().stride_for(video.frame_spacing)
    return replace(RECORDING, image=replace(RECORDING.image, size=size), stride=stride)


def keep_recipe(folder: Path, recipe: RecordingRecipe) -> None:
    """Write down how the folder's demonstrations are recorded; make the folder where there is none.

    Raises:
        ValueError: it holds some that were recorded with another recipe, or nobody knows how.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, text = folder / RECIPE_FILE, json.dumps(asdict(recipe), indent=2)
    if not path.exists():
        write_whole_text(path, text + "\n")
        return
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read ({error}): use another folder") from error
    if recorded != json.loads(text):
        raise ValueError(f"{path} says {recorded}, asked for is {text}: use another folder")


def recipe_of(folder: Path) -> RecordingRecipe:
    """How the folder's demonstrations were recorded.

    Raises:
        ValueError: it does not say, or another version of this package recorded them.
    """
    path = folder / RECIPE_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        config = dacite.Config(strict=True, cast=[tuple], type_hooks={float: float})
        recipe = dacite.from_dict(RecordingRecipe, stored, config)
        if missing := asdict(recipe).keys() - stored.keys():
            raise ValueError(f"an older version wrote it: {', '.join(sorted(missing))} missing")
    except (OSError, ValueError, TypeError, AttributeError, dacite.DaciteError) as error:
        raise ValueError(
            f"{path}: does not say how the demonstrations beside it were recorded ({error}); record some "
            f"there with 'svam-train demonstrations' first; if it is of an older version, in an empty folder"
        ) from error
    return recipe
