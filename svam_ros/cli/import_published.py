"""``svam import-published``: published S-VAM checkpoints to a model directory that ``policy_node`` runs."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from svam_ros.parameters import Range

if TYPE_CHECKING:  # torch is loaded only when there is something to import
    from svam_ros.networks.config import SvamConfig
    from svam_ros.networks.normalization import Statistics


@dataclass(frozen=True)
class ImportOptions:
    """What ``svam import-published`` can be told."""

    unet: Path
    """Folder of the fine-tuned video diffusion model (with unet/ and vae/ inside), or of its UNet alone."""
    action: Path
    """Action checkpoint of stage 3: Uni-Perceiver, action expert, and copies of most other parts."""
    out: Path
    """Model directory to write; a model that stands there is replaced."""
    preset: Literal["calvin", "cobot"]
    """Sizes and settings that the files must fit."""
    clip: Path | None = None
    """Folder of CLIP ViT-B/32: its tokenizer, and its text model where it has weights. Not given: the
    tokenizer in the video model's folder, or that of openai/clip-vit-base-patch32 in this machine's
    Hugging Face cache (nothing is fetched), and the action checkpoint's text model."""
    vae: Path | None = None
    """Folder of the video autoencoder, if it is not beside the UNet."""
    semantic: Path | None = None
    """Checkpoint of the semantic decoupler (hidden2dino). Not given: the action checkpoint's."""
    geometric: Path | None = None
    """Checkpoint of the geometric decoupler (hidden2dpa). Not given: the action checkpoint's."""
    dinov2: Path | None = None
    """DINOv2 ViT-B/14 with registers. Not given: the action checkpoint's."""
    da3: Path | None = None
    """Depth Anything 3 Large. Not given: the action checkpoint's."""
    statistics: Path | None = None
    """statistics.json of the data that the action expert was trained on; calvin needs none."""
    dtype: Literal["as-stored", "float32", "float16"] = "as-stored"
    """Precision of the weights in the model directory."""
    pred_horizon: Annotated[int | None, Range(1, 512)] = None
    """Actions that the expert was trained to predict at once. Not given: as many as the action checkpoint's
    position table says."""
    exec_horizon: Annotated[int | None, Range(1, 512)] = None
    """Actions of a prediction that are executed. Not given: the preset's, or all where there are fewer."""
    reference_normalization: Literal["as-trained", "minus_one_to_one", "imagenet"] = "as-trained"
    """How the first frame is normalised for DINOv2 and Depth Anything 3. As the published trainer did for the
    action expert: minus_one_to_one."""
    reference_resize: Literal["as-trained", "bilinear", "bicubic_antialias"] = "as-trained"
    """How the first frame is resized for them. As the published trainer did: bilinear."""
    text_positions: Literal["as-preset", "on", "off"] = "as-preset"
    """Whether sine positions are added to the text that the video backbone sees."""
    sigma_min: Annotated[float | None, Range(1e-4, 10.0)] = None
    """Last noise level above zero of the action sampler. Not given: the preset's."""
    frames_per_second_id: Annotated[float | None, Range(1.0, 60.0)] = None
    """Frame rate that the video backbone is told. Not given: 4, as the published trainer said."""


def run_import(options: ImportOptions) -> int:
    """Import, say where the model is, and warn of what was noticed."""
    from svam_ros.artifacts.published.importing import PublishedFiles, PublishedImport, import_published
    from svam_ros.artifacts.published.trained_settings import Horizons

    wanted = PublishedImport(
        files=PublishedFiles(
            unet=options.unet,
            vae=options.vae,
            action=options.action,
            clip=options.clip,
            semantic=options.semantic,
            geometric=options.geometric,
            dinov2=options.dinov2,
            da3=options.da3,
        ),
        preset=options.preset,
        config=chosen_config(options),
        out=options.out.absolute(),
        precision="as_stored" if options.dtype == "as-stored" else options.dtype,
        statistics=None if options.statistics is None else read_statistics(options.statistics),
        command=shlex.join(["svam", *sys.argv[1:]]),
        horizons=Horizons(options.pred_horizon, options.exec_horizon),
    )
    console = Console(stderr=True)
    with _bar(console) as progress:
        model, warnings = import_published(wanted, progress)
    for warning in warnings:
        console.print(f"[yellow]note:[/yellow] {warning}", highlight=False)
    print(f"{model.path}: {len(model.manifest.provenance.sources)} source files, preset {options.preset}")
    return 0


def read_statistics(path: Path) -> Statistics:
    """The normalisation constants in a ``statistics.json``.

    Raises:
        PublishedCheckpointError: it cannot be read or holds something else.
    """
    from svam_ros.artifacts.published.conversion import PublishedCheckpointError
    from svam_ros.artifacts.statistics_file import statistics_from_json

    try:
        return statistics_from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = textwrap.shorten(str(error), 200, placeholder=" ...")
        raise PublishedCheckpointError(
            f"--statistics {path}: no statistics.json of a model directory: {reason}"
        ) from error


def chosen_config(options: ImportOptions) -> SvamConfig:
    """What weights of the published trainer want to be shown, with the fidelity switches that were set."""
    from svam_ros.artifacts.published.trained_settings import trained_config

    config = trained_config(options.preset)
    references, text, backbone, expert = (
        config.references,
        config.text,
        config.backbone,
        config.action_expert,
    )
    if options.reference_normalization != "as-trained":
        references = replace(references, normalization=options.reference_normalization)
    if options.reference_resize != "as-trained":
        references = replace(references, resize=options.reference_resize)
    if options.text_positions != "as-preset":
        text = replace(text, add_positions=options.text_positions == "on")
    if options.sigma_min is not None:
        expert = replace(expert, sigma_min=options.sigma_min)
    if options.frames_per_second_id is not None:
        backbone = replace(backbone, frames_per_second_id=options.frames_per_second_id)
    return replace(config, references=references, text=text, backbone=backbone, action_expert=expert)


class _Bar:
    """One line a stage: bytes done, time left."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._stage: TaskID | None = None

    def begin(self, what: str, total_bytes: int) -> None:
        """A new line; without a total it only moves."""
        self._finish()
        self._stage = self._progress.add_task(what, total=total_bytes or None)

    def advance(self, done_bytes: int) -> None:
        """Move the line on."""
        if self._stage is not None:
            self._progress.advance(self._stage, done_bytes)

    def _finish(self) -> None:
        if self._stage is not None:
            self._progress.update(self._stage, total=1, completed=1, visible=False)


@contextmanager
def _bar(console: Console) -> Iterator[_Bar]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield _Bar(progress)
