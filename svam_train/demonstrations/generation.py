"""A folder of demonstrations, filled by several processes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path

from svam_ros.simulation.tasks import find_task
from svam_train.demonstrations.recorded_scene import Cameras
from svam_train.demonstrations.recording_recipe import RecordingRecipe, keep_recipe
from svam_train.demonstrations.scripted import record_demonstration
from svam_train.episodes.demonstration_files import check_stills_apart, recorded_seeds, save_demonstration
from svam_train.episodes.scene_seeds import RELABELLING_SEEDS_FROM
from svam_train.worker_pool import worker_pool

_FAILED_FILE = "failed.jsonl"


def generate_demonstrations(
    folder: Path, counts: Mapping[str, int], recipe: RecordingRecipe, workers: int, first_seed: int = 0
) -> Iterator[tuple[str, int, bool]]:
    """Record until the folder holds ``counts[task]`` demonstrations of every task.

    What is there already is kept, and seeds at which the expert failed are not tried again. Yields
    task, seed and success of every attempt.

    Args:
        folder: for the demonstrations.
        counts: by task.
        recipe: how they are recorded.
        workers: processes.
        first_seed: the lowest seed that is tried.

    Raises:
        ValueError: the folder was recorded with another recipe or holds stills, a task is not known, or
            there are not so many scenes.
    """
    for task in counts:
        find_task(task)
    if not 0 <= first_seed < RELABELLING_SEEDS_FROM:
        raise ValueError(
            f"first_seed is {first_seed}: demonstrations have the scenes 0 to {RELABELLING_SEEDS_FROM - 1}"
        )
    check_stills_apart(folder, stills=False)
    keep_recipe(folder, recipe)
    with worker_pool(workers, _open_cameras, recipe) as pool:
        for task, count in counts.items():
            seeds = _untried_seeds(folder, task, first_seed)
            missing = count - len(recorded_seeds(folder, task))
            while missing > 0:
                batch = list(islice(seeds, min(missing, 2 * workers)))
                if not batch:
                    raise ValueError(f"{folder}: {missing} of {task} are missing, but all scenes were tried")
                for seed, success in _record_batch(pool, folder, task, batch, recipe):
                    missing -= success
                    yield task, seed, success


def missing_demonstrations(folder: Path, counts: Mapping[str, int]) -> int:
    """How many :func:`generate_demonstrations` would record."""
    return sum(max(0, count - len(recorded_seeds(folder, task))) for task, count in counts.items())


def _untried_seeds(folder: Path, task: str, first_seed: int) -> Iterator[int]:
    tried = recorded_seeds(folder, task) | _failed_seeds(folder, task)
    return (seed for seed in range(first_seed, RELABELLING_SEEDS_FROM) if seed not in tried)


def _record_batch(
    pool: ProcessPoolExecutor, folder: Path, task: str, seeds: Sequence[int], recipe: RecordingRecipe
) -> Iterator[tuple[int, bool]]:
    futures = [pool.submit(_record_to_folder, folder, task, seed, recipe) for seed in seeds]
    for seed, future in zip(seeds, futures, strict=True):
        yield seed, future.result()


_cameras: list[Cameras] = []
"""Of this worker process: one pair."""


def _open_cameras(recipe: RecordingRecipe) -> None:
    _cameras.append(Cameras.open(recipe))


def _record_to_folder(folder: Path, task: str, seed: int, recipe: RecordingRecipe) -> bool:
    demonstration = record_demonstration(task, seed, recipe, _cameras[0])
    if demonstration is not None:
        save_demonstration(folder, demonstration)
        return True
    with (folder / _FAILED_FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"task": task, "seed": seed}) + "\n")
    return False


def _failed_seeds(folder: Path, task: str) -> set[int]:
    path = folder / _FAILED_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    entries = [json.loads(line) for line in lines]
    return {int(entry["seed"]) for entry in entries if entry["task"] == task}
