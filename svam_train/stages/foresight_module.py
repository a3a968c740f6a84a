"""The part of the network that stage 2 trains, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from svam_ros.networks.config import SvamConfig
from svam_ros.networks.decoupler import Decoupler
from svam_train.stages.cpu_attention import attention_for_training
from svam_train.stages.distillation import Batch, FrozenPass
from svam_train.teachers.teacher import KINDS, Kind
from svam_train.training.objective import TOTAL

_DECOUPLER = "{}_decoupler"
"""Name of a decoupler in the network, by its kind."""


class ForesightModule(nn.Module):
    """The decouplers under their names in the network, one or both.

    Args:
        config: of the network.
        kinds: which ones.
        frozen: makes the examples of batches that have none; not a part of the module.
        cosine_weight: of the cosine beside the squared error.
    """

    def __init__(
        self, config: SvamConfig, kinds: Sequence[Kind], frozen: FrozenPass, cosine_weight: float
    ) -> None:
        super().__init__()
        self.kinds = tuple(kinds)
        self.cosine_weight = cosine_weight
        self._frozen = frozen
        references, feature_width = config.references, config.backbone.feature_width
        made: dict[Kind, Callable[[], Decoupler]] = {
            "semantic": lambda: Decoupler(
                feature_width, references.semantic.width, config.semantic_decoupler
            ),
            "geometric": lambda: Decoupler(
                feature_width, references.geometric_width, config.geometric_decoupler
            ),
        }
        # Both are always made, so that one trained alone starts as it does beside the other.
        decouplers = {kind: made[kind]() for kind in KINDS}
        for kind in self.kinds:
            self.add_module(_DECOUPLER.format(kind), decouplers[kind])
        self._units: dict[Kind, Tensor] = {}
        self._recompute = False

    @property
    def device(self) -> torch.device:
        """Where the decouplers are."""
        return next(self.parameters()).device

    def count_in_units(self, deviations: Mapping[Kind, Tensor]) -> None:
        """Count each channel's error in deviations ``(width,)`` of its kind."""
        self._units = dict(deviations)

    def recompute_activations(self) -> None:
        """Trade memory of training for a second forward of every block."""
        self._recompute = True
        for kind in self.kinds:
            for block in self._decoupler(kind).blocks:
                block.forward = partial(_recomputed, block.forward)

    def foresee(self, examples: Batch) -> Batch:
        """Foreseen tokens ``(batch, frames, tokens, width)`` float32 by kind.

        ``examples`` are those of :meth:`svam_train.stages.distillation.FrozenPass.examples`.
        """
        features = examples["features"].float()
        tokens: Batch = {}
        for kind in self.kinds:
            decoupler = self._decoupler(kind)
            foresight = decoupler(features, examples[f"{kind}_reference"].float())
            tokens[kind] = decoupler.project(foresight).float()
        return tokens

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Losses of a batch of clips, or of examples that were computed before."""
        examples = batch if "features" in batch else self._frozen.examples(batch)
        # Activations that are computed a second time are so outside of this block: the same kernel then.
        with nullcontext() if self._recompute else attention_for_training(examples["features"].device):
            foresight = self.foresee(examples)
        losses: dict[str, Tensor] = {}
        total = torch.zeros((), device=examples["features"].device)
        for kind in self.kinds:
            tokens, target = foresight[kind], examples[f"{kind}_target"].float()
            error = tokens - target
            if kind in self._units:
                error = error / self._units[kind].to(error.device)
            losses[f"{kind}_square"] = error.square().mean()
            total = total + losses[f"{kind}_square"]
            if self.cosine_weight:
                cosine = functional.cosine_similarity(tokens, target, dim=-1)
                losses[f"{kind}_cosine_loss"] = 1.0 - cosine.mean()
                total = total + self.cosine_weight * losses[f"{kind}_cosine_loss"]
        return {TOTAL: total, **losses}

    def _decoupler(self, kind: Kind) -> Decoupler:
        decoupler = self.get_submodule(_DECOUPLER.format(kind))
        assert isinstance(decoupler, Decoupler)
        return decoupler


def _recomputed(forward: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return forward(x)
    output: Tensor = checkpoint(forward, x, use_reentrant=False)
    return output
