"""What turns gradients into steps: AdamW for everything, or Muon for matrices and AdamW for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from svam_train.recipes.training_settings import TrainingSettings
from svam_train.training.muon import BatchedMuon
from svam_train.training.run_folder import RunError


class MatricesByMuon(Optimizer):
    """Muon (Jordan et al. 2024) and AdamW as one optimizer, with one list of groups and one state.

    Muon's steps are scaled to be as long as AdamW's would be (Liu et al. 2025, arXiv 2502.16982), so that
    one learning rate is right for both.

    Args:
        matrices: ``(out, in)`` weights of layers.
        others: groups for AdamW.
        settings: the numbers.
    """

    def __init__(
        self, matrices: Iterable[Tensor], others: list[dict[str, Any]], settings: TrainingSettings
    ) -> None:
        self._muon = _muon(matrices, settings)
        self._adamw = _adamw(others, settings)
        super().__init__([*self._muon.param_groups, *self._adamw.param_groups], {})
        self._share()

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch has two overloads
        """One step of both.

        Raises:
            ValueError: a closure was given, and only one of the two could evaluate it.
        """
        if closure is not None:
            raise ValueError("two optimizers cannot share a closure; compute the gradients first")
        self._muon.step()
        self._adamw.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch; both optimizers go on from it."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Let both see the groups and the state that everybody else sees."""
        self._muon.param_groups, self._adamw.param_groups = self.param_groups[:1], self.param_groups[1:]
        self._muon.state = self._adamw.state = self.state


def make_optimizer(module: nn.Module, settings: TrainingSettings, *, sharded: bool) -> Optimizer:
    """The optimizer of what is trained in a module; biases and gains are not drawn to zero.

    Args:
        module: parameters that want no gradient are left alone.
        settings: the numbers.
        sharded: each process will hold only its part of the parameters.

    Raises:
        RunError: nothing is trained, or Muon is wanted for matrices of which nobody holds the whole.
    """
    trained = [value for value in module.parameters() if value.requires_grad]
    if not trained:
        raise RunError("the objective's module has no parameter to train")
    matrices: list[nn.Parameter] = []
    if settings.optimizer == "muon":
        if sharded:
            raise RunError("optimizer muon needs whole matrices, and FSDP divides them; train with adamw")
        matrices = _matrices(module, trained)
    taken = {id(value) for value in matrices}
    used = _groups([value for value in trained if id(value) not in taken], settings)
    if not matrices:
        return _adamw(used, settings)
    return MatricesByMuon(matrices, used, settings) if used else _muon(matrices, settings)


def _groups(trained: Sequence[nn.Parameter], settings: TrainingSettings) -> list[dict[str, Any]]:
    groups = [
        {"params": [value for value in trained if value.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _matrices(module: nn.Module, trained: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Weights of layers; tables of embeddings are none, their rows are looked up one by one."""
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    return [value for value in trained if value.ndim == 2 and id(value) not in tables]


def _muon(matrices: Iterable[Tensor], settings: TrainingSettings) -> BatchedMuon:
    decay = settings.weight_decay
    return BatchedMuon(matrices, settings.learning_rate, decay, adjust_lr_fn="match_rms_adamw")


def _adamw(groups: list[dict[str, Any]], settings: TrainingSettings) -> AdamW:
    return AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)
