"""A golden set: a folder with the values that the published modules give for weights and inputs from a seed.

``manifest.json`` has the sizes, the seed and the shapes of the published state dicts; ``goldens.safetensors``
the values. There are two kinds: ``modules`` feeds every module by itself, ``end_to_end`` runs image and
sentence to actions. Large entries are stored as every n-th element.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.golden_sets.seeded_weights import fill, seeded_input
from svam_ros.engines.accuracy import relative_rms

MANIFEST_FILE = "manifest.json"
GOLDENS_FILE = "goldens.safetensors"

END_TO_END_LIMIT = 20000
MODULES_LIMIT = 4000
"""A sampled entry keeps every n-th element, n being its number of elements over this, rounded down."""


class GoldenSetError(ValueError):
    """A folder is no golden set, or a value does not fit the set's; the text says which and why."""


@dataclass(frozen=True)
class GoldenSet:
    """One folder."""

    path: Path
    manifest: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> GoldenSet:
        """Read the manifest.

        Raises:
            GoldenSetError: a file is missing.
        """
        for name in (MANIFEST_FILE, GOLDENS_FILE):
            if not (path / name).is_file():
                raise GoldenSetError(f"{path} is no golden set: it has no {name}")
        return cls(path, json.loads((path / MANIFEST_FILE).read_text(encoding="utf-8")))

    @property
    def is_end_to_end(self) -> bool:
        """Image and sentence to actions, rather than every module by itself."""
        return self.manifest.get("kind") == "end_to_end"

    @property
    def config(self) -> Mapping[str, Any]:
        """Sizes, as the published code names them."""
        return self.manifest["config"]

    @property
    def seed(self) -> int:
        """Seed of weights and inputs."""
        return int(self.manifest["seed"])

    @property
    def shapes(self) -> Mapping[str, Mapping[str, list[int]]]:
        """Published group to name to shape."""
        return self.manifest["state_dict_shapes"]

    @property
    def names(self) -> list[str]:
        """Of the stored values, sorted."""
        with safe_open(self.path / GOLDENS_FILE, framework="pt") as file:
            return sorted(file.keys())

    @cached_property
    def goldens(self) -> dict[str, Tensor]:
        """Stored values by name."""
        return load_file(self.path / GOLDENS_FILE)

    def weights(self, group: str) -> dict[str, Tensor]:
        """The published state dict of one group, fp32."""
        return fill(self.shapes[group], self.seed)

    def input(self, name: str, *shape: int) -> Tensor:
        """A standard normal input, fp32."""
        return seeded_input(name, shape, self.seed)

    def deviation(self, name: str, value: Tensor) -> float:
        """Root mean square of the difference to a golden, relative to the golden's.

        Args:
            name: of the golden.
            value: whole, in any precision, with the published order of elements.

        Raises:
            GoldenSetError: ``value`` has another number of elements than the golden.
        """
        golden = self.goldens[name]
        full_shape = self.manifest.get("full_shapes", {}).get(name)
        expected = torch.Size(full_shape).numel() if full_shape else None
        flat = value.detach().flatten().double().cpu()
        if expected is not None and flat.numel() != expected:
            raise GoldenSetError(f"{name}: {flat.numel()} elements, the golden set has {full_shape}")
        sampled = flat if flat.numel() == golden.numel() else self._sampled(flat)
        if sampled.numel() != golden.numel():
            raise GoldenSetError(
                f"{name}: {flat.numel()} elements, or {sampled.numel()} of them sampled, "
                f"but the golden set has {golden.numel()}"
            )
        return relative_rms(sampled, golden.flatten())

    def _sampled(self, flat: Tensor) -> Tensor:
        return sample_elements(flat, end_to_end=self.is_end_to_end)


def golden_folders(path: Path) -> list[Path]:
    """``path`` itself if it is a golden set, else the sets in it, sorted.

    Raises:
        GoldenSetError: there is none.
    """
    candidates = [path, *sorted(path.glob("*"))] if path.is_dir() else []
    folders = [candidate for candidate in candidates if (candidate / MANIFEST_FILE).is_file()]
    if not folders:
        raise GoldenSetError(f"no golden set in {path}: looked for {MANIFEST_FILE} there and one level below")
    return folders[:1] if folders[0] == path else folders


def sample_elements(flat: Tensor, *, end_to_end: bool) -> Tensor:
    """``(n,)`` -> what a sampled entry keeps of it: all, if there are few."""
    limit = END_TO_END_LIMIT if end_to_end else MODULES_LIMIT
    return flat[:: max(1, flat.numel() // limit)]


def write_golden_set(
    path: Path, manifest: Mapping[str, Any], values: Mapping[str, Tensor], *, sampled: bool = False
) -> None:
    """Store fp32 copies of ``values`` and the manifest with their shapes.

    Args:
        path: the set's folder; it is made.
        manifest: as the functions of :mod:`benchmarks.golden_sets.golden_manifest` make it.
        values: by name.
        sampled: keep of large values what :func:`sample_elements` does, instead of all.
    """
    path.mkdir(parents=True, exist_ok=True)
    shapes = {name: list(value.shape) for name, value in values.items()}
    stored = {name: value.float().contiguous() for name, value in values.items()}
    if sampled:
        end_to_end = manifest["kind"] == "end_to_end"
        for name, value in stored.items():
            kept = sample_elements(value.flatten(), end_to_end=end_to_end)
            stored[name] = value if kept.numel() == value.numel() else kept.clone()
        manifest = {**manifest, "subsampled": True}
    save_file(stored, path / GOLDENS_FILE)
    text = json.dumps({**manifest, "full_shapes": shapes}, separators=(",", ":"))
    (path / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")
