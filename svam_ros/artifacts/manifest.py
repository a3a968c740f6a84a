"""What a model directory says about itself: ``manifest.json`` as a frozen dataclass, read strictly."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from dacite import Config, DaciteError, from_dict

from svam_ros.networks.config import SvamConfig
from svam_ros.translation.preprocessing import ImagePreparation
from svam_ros.types import Horizon

FORMAT_VERSION = 1
"""Counts up whenever an older reader would misread a newer directory."""


class ManifestError(ValueError):
    """The text is no manifest that this version can read."""


@dataclass(frozen=True)
class Provenance:
    """How the weights came to be."""

    created: str
    """ISO 8601, UTC."""
    command: str
    """The command that made them."""
    data: str
    """What they were trained on."""
    seed: int
    versions: dict[str, str]
    """Versions of the libraries used."""
    results: dict[str, float]
    """What was measured, such as a success rate; the key says what and how often."""
    sources: dict[str, str] = field(default_factory=dict)
    """Published files that the weights were taken from -> sha256, in hexadecimal."""


JOINT_UNITS = frozenset({"rad", "m", "1"})
"""Radians, metres, and numbers without a unit, such as CALVIN's scaled end-effector steps."""


@dataclass(frozen=True)
class Embodiment:
    """What the numbers of an action are."""

    joint_names: tuple[str, ...]
    joint_units: tuple[str, ...]
    """One of :data:`JOINT_UNITS`, for every joint."""
    step_s: float
    """Time between two actions, seconds."""


@dataclass(frozen=True)
class Manifest:
    """Everything a node must know to run the network that lies beside it.

    Raises:
        ManifestError: the image, the joints or the time step cannot belong to the network.
    """

    name: str
    preset: str
    """The preset that the configuration started from."""
    config: SvamConfig
    image: ImagePreparation
    joint_names: tuple[str, ...]
    joint_units: tuple[str, ...]
    """One of :data:`JOINT_UNITS`, for every joint. No robot of ours has joints without a unit."""
    step_s: float
    """Time between two actions, seconds."""
    statistics_id: str
    """Identity of the statistics that the weights were trained with."""
    provenance: Provenance
    files: dict[str, str]
    """Path inside the directory -> sha256 of the file, in hexadecimal. Everything but this file and
    engines."""
    engines: dict[str, str] = field(default_factory=dict)
    """Folder below ``engines/`` -> sha256 of the record in it, which holds those of its files."""

    def __post_init__(self) -> None:
        size = self.config.image_encoder.image_size
        if self.image.size != size:
            raise ManifestError(f"image.size is {self.image.size}, but the network takes {size}")
        action_dim = self.config.action_expert.action_dim
        if len(self.joint_names) != action_dim or len(self.joint_units) != action_dim:
            raise ManifestError(
                f"{len(self.joint_names)} joint_names and {len(self.joint_units)} joint_units "
                f"for {action_dim} actions"
            )
        if not set(self.joint_units) <= JOINT_UNITS:
            raise ManifestError(f"joint_units must be 'rad', 'm' or '1', got {sorted(set(self.joint_units))}")
        if strange := sorted(name for name in self.engines if "/" in name or name.startswith(".")):
            raise ManifestError(f"engines lists '{strange[0]}', which is no folder's name")
        if not 0.005 <= self.step_s <= 0.2:
            raise ManifestError(f"step_s is {self.step_s}, allowed is 0.005 to 0.2")

    @property
    def horizon(self) -> Horizon:
        """What one prediction covers."""
        expert = self.config.action_expert
        return Horizon(expert.pred_horizon, self.config.exec_horizon, expert.longest_prefix)


def manifest_to_json(manifest: Manifest) -> str:
    """The text of ``manifest.json``."""
    return json.dumps({"format_version": FORMAT_VERSION, **asdict(manifest)}, indent=2) + "\n"


def manifest_from_json(text: str) -> Manifest:
    """Read the text of ``manifest.json``.

    Raises:
        ManifestError: no JSON, another format version, an unknown, missing or wrong entry.
    """
    raw = parse_json_object(text)
    version = raw.pop("format_version", None)
    if version != FORMAT_VERSION:
        raise ManifestError(
            f"format_version is {version!r}, this version of svam_ros reads {FORMAT_VERSION}: "
            f"update svam_ros or export the model again"
        )
    try:
        return from_dict(Manifest, raw, Config(strict=True, cast=[tuple]))
    except (DaciteError, TypeError, ValueError) as error:
        raise ManifestError(str(error)) from error


def parse_json_object(text: str) -> dict[str, Any]:
    """A JSON text that must be an object.

    Raises:
        ManifestError: it is not.
    """
    try:
        raw = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"no valid JSON: {error}") from error
    if not isinstance(raw, dict):
        raise ManifestError(f"expected keys and values, got {type(raw).__name__}")
    return raw
