"""The two tiny teachers: reference encoders that learn what only simulation knows of a picture.

The semantic one tells the shares of things in every patch, and where in the picture the centre of each
thing is. The geometric one tells how far away every patch is, how far the arms' joints are turned and, where
the data has it, where in the robot's frame patches and centres are. Linear read-outs sit on every token, so
that what was learnt lies in the tokens themselves, where decouplers and the Uni-Perceiver find it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from svam_ros.networks.config import ReferenceConfig, SvamConfig
from svam_ros.networks.reference_encoders import GeometricReference, ReferenceImage, SemanticReference
from svam_train.episodes.batches import EpisodeRows
from svam_train.episodes.episodes import DataError
from svam_train.episodes.scene_truth import pooled
from svam_train.recipes.teachers import TeachersRecipe
from svam_train.stages.cpu_attention import attention_for_training
from svam_train.stages.drawn_rows import balanced_rows
from svam_train.stages.feature_pictures import depth_colours, frame_colours, table
from svam_train.stages.position_sines import position_sines
from svam_train.stages.step_draws import spread_rows, step_generator
from svam_train.stages.teacher_read_outs import QUANTITIES, VISIBLE, Regression, by_place, by_token
from svam_train.training.objective import TOTAL, ImageArray
from svam_train.training.run_folder import RunError

_ROWS_FOR_MOMENTS = 512
"""Pictures from which the units of depth and places are computed."""
_ADDED_LATER = ("points", "centres")
"""What recordings of older versions lack."""
_ROWS_AT_ONCE = 64
_PICTURES = 4
_HEADS = "teacher_heads."


class TeacherNetworks(nn.Module):
    """Both encoders under their names in the network, and the read-outs.

    Args:
        references: sizes.
        sample: a batch, for the shapes and units of what is read out; quantities that it lacks are left out.
        weights: of the losses of the quantities; the classes' loss counts 1.
    """

    def __init__(
        self, references: ReferenceConfig, sample: Mapping[str, Tensor], weights: Mapping[str, float]
    ) -> None:
        super().__init__()
        self.grid = references.grid
        self.reference_image = ReferenceImage(references)
        self.semantic_reference = SemanticReference(references)
        self.geometric_reference = GeometricReference(references)
        _, patches, classes = by_token(sample["segments"], self.grid).shape[1:]
        widths = {"semantic": references.semantic.width, "geometric": references.geometric_width}
        self._class_shape = (patches, classes)
        self.segments = nn.Linear(widths["semantic"], patches * classes)
        self.regressions = nn.ModuleDict(
            {
                q.name: Regression(q, widths[q.encoder], self.grid, sample)
                for q in QUANTITIES
                if q.name in sample
            }
        )
        self._weights = {"segments": 1.0, **weights}

    @torch.no_grad()
    def start_positions(self, scale: float) -> None:
        """Write sines of amplitude ``scale`` into both position tables."""
        tables = (
            self.semantic_reference.dino.embeddings.position_embeddings,
            self.geometric_reference.positions,
        )
        for positions in tables:
            positions[0, 1:] = scale * position_sines(self.grid, positions.shape[-1])

    def read_out(self, images: Tensor) -> dict[str, Tensor]:
        """What the encoders see in ``(n, 3, size, size)`` in [-1, 1].

        Returns:
            ``segments`` ``(n, tokens, patches, classes)`` logits; the other quantities as
            :class:`Regression` tells them.
        """
        shown = self.reference_image(images)
        tokens = {"semantic": self.semantic_reference(shown), "geometric": self.geometric_reference(shown)}
        outputs = {"segments": self.segments(tokens["semantic"]).float().unflatten(-1, self._class_shape)}
        for head in self.told:
            outputs[head.quantity.name] = head(tokens[head.quantity.encoder])
        return outputs

    @property
    def told(self) -> list[Regression]:
        """The read-outs of distances."""
        return [head for head in self.regressions.values() if isinstance(head, Regression)]

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Losses: cross-entropy of the classes above its floor, and mean distances in units."""
        with attention_for_training(batch["images"].device):
            outputs = self.read_out(batch["images"])
        shares = by_token(batch["segments"], self.grid)
        logarithms = torch.log_softmax(outputs["segments"], dim=-1)
        divergence = torch.xlogy(shares, shares) - shares * logarithms
        losses = {"segments": divergence.sum(dim=-1).mean()}
        losses |= {head.quantity.name: head.loss(outputs[head.quantity.name], batch) for head in self.told}
        total = torch.stack([self._weights[name] * loss for name, loss in losses.items()]).sum()
        return {TOTAL: total, **losses}


class TeachersObjective:
    """Both encoders at once; they share nothing but the pictures.

    Args:
        recipe: the numbers.
        config: of the network.
        training: rows that are trained on, recorded in simulation.
        held_out: rows that are looked at only.
        start: what an earlier run of this stage handed on; ``None`` begins from nothing.

    Raises:
        DataError: an episode was not recorded in simulation, or by an older version than others; or patches
            do not fit.
        RunError: ``start`` is of other networks.
    """

    def __init__(
        self,
        recipe: TeachersRecipe,
        config: SvamConfig,
        training: EpisodeRows,
        held_out: EpisodeRows,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._recipe = recipe
        references = config.references
        self._training, self._held_out = training, held_out
        self._known = _known_to_all(training, held_out)
        if recipe.truth_grid % references.grid:
            raise DataError(
                f"truth_grid {recipe.truth_grid} is no multiple of the {references.grid} patches a side of "
                f"network '{recipe.network}'"
            )
        sample = self._truth(training, spread_rows(len(training), _ROWS_FOR_MOMENTS))
        weights = {
            "depth": recipe.depth_weight,
            "points": recipe.points_weight,
            "centres": recipe.centres_weight,
            "centre_points": recipe.centres_weight,
            "joints": recipe.joints_weight,
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.training.seed)
            self.module = TeacherNetworks(references, sample, weights)
        self.module.start_positions(recipe.position_scale)
        if start is not None:
            self._go_on_from(start)
        self._looked_at = spread_rows(len(held_out), recipe.held_out_rows)

    def batch(self, step: int, size: int) -> dict[str, Tensor]:
        """See :class:`svam_train.training.objective.Objective`."""
        random = step_generator(self._recipe.training.seed, step)
        return self._batch(self._training, balanced_rows(random, self._training, size, step))

    def held_out(self, module: nn.Module) -> dict[str, float]:
        """Losses; share of patches whose main class is right; errors of the other quantities."""
        assert isinstance(module, TeacherNetworks)
        sums: dict[str, float] = {}
        for first in range(0, len(self._looked_at), _ROWS_AT_ONCE):
            batch = self._placed(self._looked_at[first : first + _ROWS_AT_ONCE], module)
            metrics = {name: float(value) for name, value in (module(batch) | _errors(module, batch)).items()}
            for name, value in metrics.items():
                sums[name] = sums.get(name, 0.0) + value * len(batch["images"]) / len(self._looked_at)
        return sums

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        """Held-out pictures with what is there and what was seen."""
        assert isinstance(module, TeacherNetworks)
        shown = spread_rows(len(self._looked_at), _PICTURES)
        batch = self._placed(self._looked_at[shown], module)
        outputs = module.read_out(batch["images"])
        classes = by_place(outputs["segments"].softmax(dim=-1), module.grid)
        depth = by_place(outputs["depth"], module.grid)
        nearest, farthest = float(batch["depth"].min()), float(batch["depth"].max())
        colours = np.random.default_rng(3).uniform(0.15, 1.0, (classes.shape[-1], 3)).astype(np.float32)

        def things(shares: Tensor) -> list[ImageArray]:
            coloured = shares.float().cpu() @ torch.from_numpy(colours)
            return [frame_colours(picture) for picture in coloured.permute(0, 3, 1, 2)]

        def distances(metres: Tensor) -> list[ImageArray]:
            return [depth_colours(m, nearest, farthest) for m in metres[..., 0].float().cpu().numpy()]

        rows: Sequence[tuple[str, Sequence[ImageArray]]] = (
            ("picture", [frame_colours((image + 1.0) / 2.0) for image in batch["images"]]),
            ("classes, true", things(batch["segments"])),
            ("classes, seen", things(classes)),
            ("depth, true", distances(batch["depth"])),
            ("depth, seen", distances(depth)),
        )
        return {"teachers": table(rows)}

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Encoders under their names in the network, and the read-outs under ``teacher_heads.``."""
        encoders = ("semantic_reference.", "geometric_reference.")
        return {
            name if name.startswith(encoders) else f"{_HEADS}{name}": value
            for name, value in module.state_dict().items()
        }

    def _go_on_from(self, start: Mapping[str, Tensor]) -> None:
        given = {name.removeprefix(_HEADS): value for name, value in start.items()}
        wanted = self.module.state_dict()
        other = [n for n in wanted if n not in given or given[n].shape != wanted[n].shape]
        if other:
            raise RunError(
                f"the parent run is none of these teachers: {', '.join(other[:3])} it lacks or has in "
                f"another shape; name a finished run of 'svam-train teachers' with the same network, and "
                f"data that tells as much"
            )
        self.module.load_state_dict({name: given[name] for name in wanted})

    def _placed(self, rows: NDArray[np.int64], module: nn.Module) -> dict[str, Tensor]:
        device = next(module.parameters()).device
        return {name: value.to(device) for name, value in self._batch(self._held_out, rows).items()}

    def _batch(self, data: EpisodeRows, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        images = data.clips(rows, (0,))["clips"][:, 0].contiguous()
        return {"images": images, **self._truth(data, rows)}

    def _truth(self, data: EpisodeRows, rows: NDArray[np.int64]) -> dict[str, Tensor]:
        grid = self._recipe.truth_grid
        known = data.scene_truth(rows, (0,), grid)
        truth = {
            "segments": known["segments"][:, 0],
            "depth": known["depth"][:, 0].unsqueeze(-1),
            "joints": torch.from_numpy(data.joints(rows)).float().unsqueeze(1),
        }
        if "points" in self._known:
            truth["points"] = torch.from_numpy(pooled(_rows_of(data, rows, "points"), grid))
        if "centres" in self._known:
            centres = _rows_of(data, rows, "centres")
            truth[VISIBLE] = torch.from_numpy(np.isfinite(centres[..., 0]).astype(np.float32))
            seen = torch.from_numpy(np.nan_to_num(centres))
            truth["centres"], truth["centre_points"] = seen[..., :2], seen[..., 2:]
        return truth


def _known_to_all(*sides: EpisodeRows) -> frozenset[str]:
    """Which of :data:`_ADDED_LATER` the recordings have.

    Raises:
        DataError: some have what others lack.
    """
    known = set()
    for name in _ADDED_LATER:
        episodes = [episode for side in sides for episode in side.episodes]
        without = [episode.identity for episode in episodes if getattr(episode, name) is None]
        if not without:
            known.add(name)
        elif len(without) < len(episodes):
            raise DataError(
                f"{len(without)} of {len(episodes)} episodes were recorded without {name}, the first is "
                f"'{without[0]}': record them anew with 'svam-train demonstrations', in an empty folder"
            )
    return frozenset(known)


def _rows_of(data: EpisodeRows, rows: NDArray[np.int64], name: str) -> NDArray[np.float32]:
    """``(n, ...)`` of one of :data:`_ADDED_LATER`."""
    places = [data.where(row) for row in rows.tolist()]
    parts = [getattr(episode, name)[np.array([picture])] for episode, picture in places]
    return np.concatenate(parts).astype(np.float32)


def _errors(module: TeacherNetworks, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    outputs = module.read_out(batch["images"])
    main = by_token(batch["segments"], module.grid).argmax(dim=-1)
    errors = {"right_class": (outputs["segments"].argmax(dim=-1) == main).float().mean()}
    for head in module.told:
        errors[head.quantity.error] = head.error(outputs[head.quantity.name], batch)
    return errors
