"""Examples of stage 2 that were computed once, in files.

::

    identity.json              what decides the examples: they are of no use to a run where that differs
    shard_00000.safetensors    so many examples, half precision
    shard_00000.json           the first file's sha256, written after it

A shard without its hash is not finished and is made again, so that filling can be stopped at any time.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from svam_ros.whole_files import whole_file
from svam_train.episodes.episodes import CorruptShard, DataError
from svam_train.training.checkpoints import write_tensors
from svam_train.training.run_folder import RunError, differences, plain, read_json, write_json

_IDENTITY_FILE = "identity.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShardPlan:
    """Which examples a folder of shards holds."""

    folder: Path
    identity: Mapping[str, Any]
    """Plain values; folders with others are refused."""
    examples: int
    """Rounded up to whole shards."""
    per_shard: int

    @property
    def shards(self) -> int:
        """Files."""
        return -(-self.examples // self.per_shard)

    def path(self, number: int) -> Path:
        """Of a shard."""
        return self.folder / f"shard_{number:05d}.safetensors"


def fill_shards(
    plan: ShardPlan, make: Callable[[int], Mapping[str, Tensor]], process: int = 0, processes: int = 1
) -> Iterator[int]:
    """Make the shards that are missing; yields the number of each one that is there.

    Args:
        plan: which ones.
        make: the ``per_shard`` examples of a shard by its number: a function of it alone.
        process: this one makes every ``processes``-th shard from here on.
        processes: that fill the folder together.

    Raises:
        DataError: the folder holds examples of something else, or the disk is too small.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    identity = plain({**plan.identity, "per_shard": plan.per_shard})
    path = plan.folder / _IDENTITY_FILE
    if path.exists():
        _check_identity(plan.folder, identity)
    elif process == 0:
        write_json(path, identity)
    for number in range(process, plan.shards, processes):
        if not _hash_file(plan.path(number)).exists():
            _write(plan, number, make(number))
        yield number


class FeatureShards:
    """Finished shards, checked against their hashes.

    Args:
        plan: which ones.
        skip_corrupt: go without damaged shards, with a warning for each.

    Raises:
        CorruptShard: one is damaged or not there.
        DataError: the folder holds examples of something else, or none that is whole.
    """

    def __init__(self, plan: ShardPlan, *, skip_corrupt: bool = False) -> None:
        self._plan = plan
        _check_identity(plan.folder, plain({**plan.identity, "per_shard": plan.per_shard}))
        self._whole: list[int] = []
        for number in range(plan.shards):
            damage = _damage(plan.path(number))
            if damage is None:
                self._whole.append(number)
            elif skip_corrupt:
                logger.warning("%s is left out: %s", plan.path(number), damage)
            else:
                raise CorruptShard(
                    f"{plan.path(number)}: {damage}; delete the file and its .json to have it made again, or "
                    f"leave it out with --skip-corrupt"
                )
        if not self._whole:
            raise DataError(f"{plan.folder}: no shard is whole; delete the folder to have all made again")

    def __len__(self) -> int:
        """Examples."""
        return len(self._whole) * self._plan.per_shard

    def rows(self, numbers: NDArray[np.int64]) -> dict[str, Tensor]:
        """The examples ``numbers`` ``(n,)`` of all, half precision, on the CPU."""
        parts: dict[str, list[Tensor]] = {}
        for number in numbers.tolist():
            shard, row = divmod(number, self._plan.per_shard)
            with safe_open(self._plan.path(self._whole[shard]), framework="pt") as file:
                for name in file.keys():  # noqa: SIM118 - a file of tensors is no mapping
                    parts.setdefault(name, []).append(file.get_slice(name)[row : row + 1])
        return {name: torch.cat(values) for name, values in parts.items()}


def _write(plan: ShardPlan, number: int, examples: Mapping[str, Tensor]) -> None:
    path = plan.path(number)
    halves = {name: value.half() for name, value in examples.items()}
    needed = sum(value.nbytes for value in halves.values()) * (
        plan.shards - len(list(plan.folder.glob("shard_*.json")))
    )
    free = shutil.disk_usage(plan.folder).free
    if needed > free:
        raise DataError(
            f"{plan.folder}: the examples that are missing take {needed >> 20} MiB, {free >> 20} MiB are "
            f"free; make room, or ask for fewer cached_examples (0 computes them in every step)"
        )
    try:
        with whole_file(path) as part:
            digest = write_tensors(part, halves)
    except OSError as error:
        raise DataError(f"{path}: could not be written ({error}); make room, then go on") from error
    write_json(_hash_file(path), {"sha256": digest})


def _check_identity(folder: Path, ours: dict[str, Any]) -> None:
    try:
        theirs = read_json(folder / _IDENTITY_FILE)
    except RunError as error:
        raise DataError(f"{folder}: no folder of cached examples ({error})") from error
    differing = [name for name, _, _ in differences(theirs, ours)]
    if differing:
        raise DataError(
            f"{folder}: its examples were made with other {', '.join(differing)}; use another folder, or "
            f"delete this one"
        )


def _damage(path: Path) -> str | None:
    """What is wrong with a shard, or None."""
    try:
        said = read_json(_hash_file(path)).get("sha256")
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
    except (RunError, OSError) as error:
        return f"it cannot be read ({error})"
    return None if found == said else "it is not what was written"


def _hash_file(path: Path) -> Path:
    return path.with_suffix(".json")
