"""Many attempts at many tasks, in this process or in several, told one by one in the order asked for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from svam_ros.cobot import load_robot_profile
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.types import ImageArray
from svam_train.episodes.scene_seeds import EVALUATION_SEEDS_FROM
from svam_train.evaluation.closed_loop import Attempt, attempt, execution_mode, front_camera
from svam_train.evaluation.films import write_film
from svam_train.evaluation.loop_settings import LoopSettings
from svam_train.evaluation.policies import Policy, PolicyChoice
from svam_train.worker_pool import worker_pool

FILM_SPEED = 2.0
"""Films run so many times as fast as the arms did."""


@dataclass(frozen=True)
class Films:
    """What of the failures is kept to look at."""

    folder: Path
    failures: int = 3
    """Films of each task at most: those of the first failures."""


@dataclass(frozen=True)
class AttemptPlan:
    """Which scenes of which tasks."""

    tasks: tuple[str, ...]
    episodes: int
    """Of each task."""
    seed: int = 0
    """The first scene; scenes of other numbers than those that demonstrations are made of."""
    loop: LoopSettings = field(default_factory=LoopSettings)
    films: Films | None = None

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.seed < 0 or not self.tasks:
            raise ValueError(
                f"{self.episodes} episodes of {len(self.tasks)} tasks from seed {self.seed} on cannot be: "
                f"at least one of one, from 0 on"
            )

    def scenes(self) -> Iterator[tuple[str, int]]:
        """Tasks and seeds of the simulation, in order."""
        first = EVALUATION_SEEDS_FROM + self.seed
        for task in self.tasks:
            for seed in range(first, first + self.episodes):
                yield task, seed


def run_attempts(choice: PolicyChoice, plan: AttemptPlan, workers: int) -> Iterator[Attempt]:
    """Let a policy try; each attempt is told once those before it are.

    The outcome is the same for any number of workers. Closing the iterator early ends the workers.

    Raises:
        ValueError: the policy cannot be made.
        RenderingUnavailableError: no OpenGL context can be made.
    """
    if plan.films is not None:
        plan.films.folder.mkdir(parents=True, exist_ok=True)
    kept = _KeptFilms(plan.films)
    attempts = _in_processes(choice, plan, workers) if workers > 1 else _in_this_process(choice, plan)
    for made in attempts:
        kept.sort_out(made)
        yield made


class _KeptFilms:
    """Takes away the films of later failures."""

    def __init__(self, films: Films | None) -> None:
        self._films = films
        self._failures: dict[str, int] = {}

    def sort_out(self, made: Attempt) -> None:
        if self._films is None or made.success:
            return
        count = self._failures[made.task] = self._failures.get(made.task, 0) + 1
        if count > self._films.failures:
            _film_path(self._films, made).unlink(missing_ok=True)


class _Tryer:
    """A policy and a camera, for one attempt after the other."""

    def __init__(self, policy: Policy, camera: FrontCamera, plan: AttemptPlan) -> None:
        self._policy, self._camera, self._plan = policy, camera, plan

    def attempt(self, task: str, seed: int) -> Attempt:
        films = self._plan.films
        frames: list[ImageArray] | None = None if films is None else []
        made = attempt(self._policy, self._camera, task, seed, self._plan.loop, frames)
        if films is not None and frames and not made.success:
            spacing_s = self._plan.loop.episode_s / len(frames)  # What fails takes all the time there is.
            caption = f"{task} seed {seed}, {FILM_SPEED:g} x"
            write_film(_film_path(films, made), frames, FILM_SPEED / spacing_s, caption)
        return made


def _film_path(films: Films, made: Attempt) -> Path:
    return films.folder / f"{made.task}_{made.seed}.mp4"


def _in_this_process(choice: PolicyChoice, plan: AttemptPlan) -> Iterator[Attempt]:
    policy = _make_policy(choice, plan)
    with front_camera(load_robot_profile(plan.loop.profile)) as camera:
        tryer = _Tryer(policy, camera, plan)
        for task, seed in plan.scenes():
            yield tryer.attempt(task, seed)


def _make_policy(choice: PolicyChoice, plan: AttemptPlan) -> Policy:
    """The policy, after a look whether its horizon carries the loop's mode."""
    policy = choice.make()
    execution_mode(policy.horizon, plan.loop)
    return policy


def _in_processes(choice: PolicyChoice, plan: AttemptPlan, workers: int) -> Iterator[Attempt]:
    _make_policy(choice, plan)  # what is wrong with it is said here, not by a worker that broke
    with worker_pool(workers, _start_worker, choice, plan) as pool:
        futures: list[Future[Attempt]] = [pool.submit(_attempt, *scene) for scene in plan.scenes()]
        for future in futures:
            yield future.result()


_tryers: list[_Tryer] = []
"""Of this worker process: one."""


def _start_worker(choice: PolicyChoice, plan: AttemptPlan) -> None:
    """Make the policy and the camera."""
    camera = front_camera(load_robot_profile(plan.loop.profile))
    _tryers.append(_Tryer(choice.make(), camera, plan))


def _attempt(task: str, seed: int) -> Attempt:
    return _tryers[0].attempt(task, seed)
