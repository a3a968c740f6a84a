"""The rows of this process, made one step ahead while the module computes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from torch import Tensor

from svam_train.recipes.training_settings import TrainingSettings
from svam_train.training.objective import Objective
from svam_train.training.run_folder import RunError

Rows = dict[str, Tensor]


class PreparedBatches:
    """Cuts every batch of an objective into the parts that one of several processes computes.

    Process ``p`` of ``n`` gets the ``p``-th run of rows, cut into ``accumulate`` parts of equal size: the
    mean over all parts of all processes is the mean over the batch.

    Raises:
        ValueError: the batch cannot be divided evenly.
    """

    def __init__(
        self, objective: Objective, settings: TrainingSettings, process: int, processes: int
    ) -> None:
        self._objective = objective
        self._settings = settings
        self._rows = settings.rows_per_part(processes)
        self._first = process * settings.accumulate * self._rows
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._ahead: dict[int, Future[list[Rows]]] = {}

    def __enter__(self) -> PreparedBatches:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def parts(self, step: int) -> list[Rows]:
        """The parts of step ``step``, on the CPU.

        Raises:
            RunError: the objective gave a tensor with another number of rows.
            Exception: whatever the objective raised while it made the batch.
        """
        prepared = self._ahead.pop(step, None) or self._thread.submit(self._make, step)
        if step + 1 < self._settings.steps:
            self._ahead[step + 1] = self._thread.submit(self._make, step + 1)
        return prepared.result()

    def _make(self, step: int) -> list[Rows]:
        size = self._settings.batch_size
        batch = self._objective.batch(step, size)
        for name, tensor in batch.items():
            if tensor.shape[:1] != (size,):
                raise RunError(
                    f"step {step}: '{name}' of the batch has shape {tuple(tensor.shape)}; its first "
                    f"dimension must be the {size} rows of the batch"
                )
        starts = range(self._first, self._first + self._settings.accumulate * self._rows, self._rows)
        return [{name: tensor[k : k + self._rows] for name, tensor in batch.items()} for k in starts]
