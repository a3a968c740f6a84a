"""Settings that no tensor shows but a file beside the weights does: numbers of attention heads.

With the wrong number of heads every tensor fits and every result is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from svam_ros.artifacts.published.conversion import PublishedCheckpointError
from svam_ros.networks.config import SvamConfig


@dataclass(frozen=True)
class WrittenSetting:
    """One entry of a settings file."""

    option: str
    file: str
    """Looked for beside the weights; not having it is fine."""
    key: str
    expected: Callable[[SvamConfig], int | tuple[int, ...]]


WRITTEN_SETTINGS = (
    WrittenSetting("unet", "config.json", "num_attention_heads", lambda c: c.backbone.heads),
    WrittenSetting("clip", "config.json", "num_attention_heads", lambda c: c.text.heads),
    WrittenSetting(
        "semantic", "model_config_resolved.yaml", "num_heads", lambda c: c.semantic_decoupler.heads
    ),
    WrittenSetting(
        "geometric", "model_config_resolved.yaml", "num_heads", lambda c: c.geometric_decoupler.heads
    ),
)

SECTIONS = ("text_config", "model")
"""Where files keep the settings of the part that is used, if not at the top."""


def check_written_settings(files: Mapping[str, tuple[Path, ...]], config: SvamConfig) -> list[str]:
    """For every setting that differs from the preset, a sentence with both numbers.

    Args:
        files: option -> its weight files.
        config: the preset.

    Raises:
        PublishedCheckpointError: a settings file is there but cannot be read.
    """
    differing = []
    for setting in WRITTEN_SETTINGS:
        for path in {file.parent / setting.file for file in files.get(setting.option, ())}:
            found = _setting(path, setting.key)
            wanted = setting.expected(config)
            found = tuple(found) if isinstance(found, list) else found
            if found is not None and found != wanted:
                differing.append(
                    f"--{setting.option}: {setting.key} is {found} in {path}, {wanted} in the preset"
                )
    return differing


def _setting(path: Path, key: str) -> Any:
    if not path.is_file():
        return None
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PublishedCheckpointError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        return None
    places = [content[name] for name in SECTIONS if isinstance(content.get(name), dict)]
    return next((place[key] for place in [*places, content] if key in place), None)
