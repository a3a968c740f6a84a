"""How well the decouplers foresee, on clips that they were not trained on.

Foreseen tokens are compared with what the teachers see, and foreseen depth, read off the geometric tokens
by a linear probe, with rendered depth. Beside both stands the answer of somebody who foresees nothing:
everything stays as it is in the first frame.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from svam_train.episodes.episodes import DataError
from svam_train.recipes.decouplers import DecouplersRecipe
from svam_train.stages.depth_probe import DepthProbe, DepthProbeFit
from svam_train.stages.distillation import Batch, ClipBatches, FrozenPass, placed
from svam_train.stages.feature_pictures import ColourBasis, depth_colours, frame_colours, table
from svam_train.stages.foresight_module import ForesightModule
from svam_train.stages.step_draws import spread_rows
from svam_train.stages.teacher_read_outs import by_place, by_token
from svam_train.teachers.teacher import Kind
from svam_train.training.objective import ImageArray

_COLOURED_TOKENS = 20_000
"""From how many tokens colours are fitted."""

Series = tuple[float, ...]
"""A number for each frame."""


@dataclass(frozen=True)
class ForesightQuality:
    """What is known of the decouplers; each series has a number for each frame, the first one included."""

    cosine: dict[str, Series] = field(default_factory=dict)
    """To what the teacher sees, by ``<kind>``: in the video that the decoupler learns to foresee;
    ``<kind>_future``: in what really happened; ``..._repeated``: of the first frame's tokens to the same."""
    squared_error: dict[str, Series] = field(default_factory=dict)
    """By ``<kind>``, against its target, mean over channels."""
    depth_error_m: dict[str, Series] = field(default_factory=dict)
    """Mean absolute error of the probe's depth against rendered depth: ``foreseen`` tokens, the first
    frame's tokens ``repeated``, and the ``teacher``'s tokens of what really happened: the probe's own error.
    Empty where the data has no depth or no geometric decoupler is trained."""

    def metrics(self) -> dict[str, float]:
        """Means over the frames behind the first one, in which there is something to foresee."""
        return {
            f"{group}_{name}": float(np.mean(series[1:]))
            for group, entries in vars(self).items()
            for name, series in entries.items()
        }


@dataclass(frozen=True)
class _Survey:
    """What was fitted on training clips."""

    colours: dict[Kind, ColourBasis]
    probe: DepthProbe | None


@dataclass(frozen=True)
class _Looked:
    """Some held-out clips with all that the decouplers have no influence on, on the CPU."""

    clips: Tensor
    generated: Tensor
    examples: Batch
    future: Batch
    depth: Tensor | None
    """``(batch, frames, tokens, patches)`` rendered, m."""


class ForesightJudge:
    """Looks at decouplers: always at the same clips, with the same noise.

    What does not depend on them is computed at the first look and kept.

    Args:
        recipe: the numbers.
        frozen: the frozen half of the stage.
        training: clips from which colours and the probe are fitted.
        held_out: clips that are looked at.
        truth_grid: patches along a side at which depth is compared; ``None`` where the data has no depth.
    """

    def __init__(
        self,
        recipe: DecouplersRecipe,
        frozen: FrozenPass,
        training: ClipBatches,
        held_out: ClipBatches,
        truth_grid: int | None,
    ) -> None:
        self._recipe, self._frozen = recipe, frozen
        self._training, self._held_out = training, held_out
        self._truth_grid = truth_grid if "geometric" in frozen.teachers else None
        self._device = torch.device("cpu")
        if self._truth_grid is not None and self._truth_grid % self._grid:
            raise DataError(
                f"depth is known for {truth_grid} patches a side, the geometric teacher has {self._grid} "
                f"tokens: record with a multiple of that"
            )

    @torch.no_grad()
    def quality(self, module: ForesightModule) -> ForesightQuality:
        """Look at all held-out clips."""
        self._device = module.device
        sums: dict[tuple[str, str], Tensor] = {}
        clips = 0
        for looked in self._looked:
            foresight = self._foresight(module, looked)
            found = {**self._token_scores(looked, foresight), **self._depth_errors(looked, foresight)}
            clips += len(looked.clips)
            for name, values in found.items():  # (batch, frames)
                sums[name] = sums.get(name, torch.zeros(())) + values.double().sum(dim=0)
        groups: dict[str, dict[str, Series]] = {"cosine": {}, "squared_error": {}, "depth_error_m": {}}
        for (group, entry), total in sums.items():
            groups[group][entry] = tuple((total / clips).tolist())
        return ForesightQuality(**groups)

    @torch.no_grad()
    def pictures(self, module: ForesightModule) -> dict[str, ImageArray]:
        """Held-out clips: frames, tokens as colours of a fixed basis, and depth, each seen and foreseen."""
        self._device = module.device
        looked = self._looked[0]
        foresight = self._foresight(module, looked)
        count = min(self._recipe.pictured_clips, len(looked.clips))
        return {f"clip_{index}": self._picture(looked, foresight, index) for index in range(count)}

    def _picture(self, looked: _Looked, foresight: Batch, index: int) -> ImageArray:
        clip = (looked.clips[index] + 1.0) / 2.0
        rows = [
            ("what happened", [frame_colours(frame) for frame in clip]),
            (self._frozen.source.name, [frame_colours(frame) for frame in looked.generated[index]]),
        ]
        for kind, basis in self._survey.colours.items():
            seen, foreseen = looked.examples[f"{kind}_target"][index], foresight[kind][index]
            rows.append((f"{kind}\nseen", [basis.colours(tokens) for tokens in seen]))
            rows.append((f"{kind}\nforeseen", [basis.colours(tokens) for tokens in foreseen]))
        probe = self._survey.probe
        if probe is not None and looked.depth is not None:
            true = by_place(looked.depth[index], self._grid)
            foreseen = by_place(probe.depth(foresight["geometric"][index]), self._grid)
            nearest, farthest = float(true.min()), float(true.max())
            for name, frames in (("rendered", true), ("foreseen", foreseen)):
                pictures = [depth_colours(frame.numpy(), nearest, farthest) for frame in frames]
                rows.append((f"depth\n{name}", pictures))
        return table(rows)

    def _foresight(self, module: ForesightModule, looked: _Looked) -> Batch:
        tokens = module.foresee(placed(looked.examples, module.device))
        return {kind: value.cpu() for kind, value in tokens.items()}

    def _token_scores(self, looked: _Looked, foresight: Batch) -> dict[tuple[str, str], Tensor]:
        scores = {}
        for kind, tokens in foresight.items():
            target, future = looked.examples[f"{kind}_target"], looked.future[kind]
            first = looked.examples[f"{kind}_reference"][:, None].expand_as(target)
            scores["squared_error", kind] = (tokens - target).square().mean(dim=(2, 3))
            for name, seen in ((kind, target), (f"{kind}_future", future)):
                scores["cosine", name] = functional.cosine_similarity(tokens, seen, dim=-1).mean(dim=2)
                repeated = functional.cosine_similarity(first, seen, dim=-1).mean(dim=2)
                scores["cosine", f"{name}_repeated"] = repeated
        return scores

    def _depth_errors(self, looked: _Looked, foresight: Batch) -> dict[tuple[str, str], Tensor]:
        probe, depth = self._survey.probe, looked.depth
        if probe is None or depth is None:
            return {}
        first = looked.examples["geometric_reference"][:, None].expand_as(foresight["geometric"])
        answers = {
            "foreseen": foresight["geometric"],
            "repeated": first,
            "teacher": looked.future["geometric"],
        }
        return {
            ("depth_error_m", name): (probe.depth(tokens) - depth).abs().mean(dim=(2, 3))
            for name, tokens in answers.items()
        }

    @property
    def _grid(self) -> int:
        return self._frozen.teachers["geometric"].grid

    @cached_property
    def _looked(self) -> list[_Looked]:
        """The held-out clips in parts."""
        parts = []
        for number, (batch, depth) in enumerate(self._parts(self._held_out, self._recipe.held_out_clips)):
            foreseen = self._frozen.foresee(batch)
            examples = placed(self._frozen.examples(batch, foreseen), torch.device("cpu"))
            future = placed(self._frozen.future(batch), torch.device("cpu"))
            shown = foreseen.frames.cpu() if number == 0 else torch.empty(0)
            whole = {name: value.float() for name, value in examples.items()}
            parts.append(_Looked(batch["clips"].cpu(), shown, whole, future, depth))
        return parts

    @cached_property
    def _survey(self) -> _Survey:
        """Fitted on what the teachers see in recorded training clips."""
        seen: dict[Kind, list[Tensor]] = {kind: [] for kind in self._frozen.teachers}
        fit = DepthProbeFit()
        clips = self._recipe.surveyed_clips
        for batch, depth in self._parts(self._training, clips):
            future = self._frozen.future(batch)
            for kind, tokens in seen.items():
                rows = future[kind].flatten(0, 2)
                share = max(1, len(rows) * clips // (len(batch["clips"]) * _COLOURED_TOKENS))
                tokens.append(rows[::share].cpu())
            if depth is not None:
                fit.add(future["geometric"], depth)
        colours = {kind: ColourBasis.fit(torch.cat(tokens)) for kind, tokens in seen.items()}
        return _Survey(colours, fit.fit() if self._truth_grid is not None else None)

    def _parts(self, data: ClipBatches, most: int) -> list[tuple[Batch, Tensor | None]]:
        """Clips spread over a data set, on the device, with their rendered depth by token."""
        rows = spread_rows(len(data.rows), most)
        random = np.random.default_rng(0)
        parts: list[tuple[Batch, Tensor | None]] = []
        size = self._recipe.training.batch_size
        for part in (rows[first : first + size] for first in range(0, len(rows), size)):
            batch = placed(data.of(part, random), self._device)
            depth = None
            if self._truth_grid is not None:
                known = data.rows.scene_truth(part, data.offsets, self._truth_grid)["depth"]
                depth = by_token(known.flatten(0, 1), self._grid).unflatten(0, known.shape[:2])
            parts.append((batch, depth))
        return parts
