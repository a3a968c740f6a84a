"""Stage 1: the video model learns how scenes go on, from a first frame and an instruction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from svam_ros.artifacts.tokenizer import InstructionTokenizer
from svam_ros.networks.config import SvamConfig
from svam_train.recipes.video import VideoNoise, VideoRecipe
from svam_train.stages.drawn_rows import balanced_rows
from svam_train.stages.latent_cache import EncodedRows
from svam_train.stages.step_draws import draw_normal, spread_rows, step_generator
from svam_train.stages.video_decoder import VideoDecoder, as_picture
from svam_train.stages.video_model import VideoModel, build_video_model, network_tensors
from svam_train.stages.video_sampling import sample_videos
from svam_train.training.objective import ImageArray

SIGMA_BANDS = ((0.02, 0.5), (0.5, 4.0), (4.0, 80.0), (80.0, 700.0))
"""Noise levels by which the held-out loss is told apart; the last is where the policy is."""

HANDED_ON = ("image_encoder.", "video_decoder.")
"""What the stage takes over and hands on as it was, beside what it trains."""

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class VideoData:
    """What stage 1 sees."""

    training: EncodedRows
    held_out: EncodedRows
    tokenizer: InstructionTokenizer


class VideoObjective:
    """What the training loop needs to train the video model.

    Args:
        recipe: the numbers.
        config: of the network.
        data: encoded with the image encoder of ``start``.
        start: weights by the network's names: ``image_encoder.*``, and ``video_decoder.*`` as of
            :class:`svam_train.stages.video_decoder.VideoDecoder`; ``video_backbone.*`` and ``text_encoder.*``
            where they do not start from nothing.

    Raises:
        RunError: ``start`` has a part of another network.
        ValueError: the network's video has a single frame, or ``start`` has no autoencoder.
    """

    def __init__(
        self, recipe: VideoRecipe, config: SvamConfig, data: VideoData, start: Mapping[str, Tensor]
    ) -> None:
        frames = config.backbone.frames
        if frames < 2:
            raise ValueError(f"a video needs at least 2 frames, this network has {frames}")
        self.recipe = recipe
        self._config = config
        self._data = data
        self._offsets = tuple(range(0, frames * recipe.frame_spacing, recipe.frame_spacing))
        self._kept = {name: tensor for name, tensor in start.items() if name.startswith(HANDED_ON)}
        self._decoder = _load_decoder(config, self._kept)
        self._texts = {id(rows): _Texts(rows, data.tokenizer) for rows in (data.training, data.held_out)}
        self.module = build_video_model(config, recipe, start)

    def batch(self, step: int, size: int) -> Batch:
        """See :class:`svam_train.training.objective.Objective`."""
        random = step_generator(self.recipe.training.seed, step)
        rows = balanced_rows(random, self._data.training.rows, size, step)
        sigma = draw_noise_levels(self.recipe.noise, random, size)
        kept = random.random(size) >= self.recipe.text_dropout
        batch = self._rows_as_batch(self._data.training, rows)
        return {
            **batch,
            "noise": draw_normal(random, *batch["latents"].shape),
            "sigma": torch.from_numpy(sigma),
            "text_kept": torch.from_numpy(kept.astype(np.float32)),
        }

    def held_out(self, module: nn.Module) -> dict[str, float]:
        """The denoising loss in each of :data:`SIGMA_BANDS`, and the error of the policy's one pass.

        ``one_pass_error`` is the squared error of the foreseen frames behind the first one, over that of a
        video in which nothing moves: below 1 the model foresees something.
        """
        assert isinstance(module, VideoModel)
        random = np.random.default_rng(0)
        rows = spread_rows(len(self._data.held_out), self.recipe.held_out_clips)
        sums: dict[str, float] = {}
        most = self.recipe.training.batch_size
        for part in (rows[start : start + most] for start in range(0, len(rows), most)):
            batch = self._held_out_batch(part, random, module)
            share = len(part) / len(rows)
            for name, value in {**_band_losses(module, batch, random), **_one_pass(module, batch)}.items():
                sums[name] = sums.get(name, 0.0) + share * value
        return {
            **{name: value for name, value in sums.items() if name.startswith("loss")},
            "one_pass_error": sums["foreseen"] / max(sums["copied"], 1e-12),
        }

    def pictures(self, module: nn.Module) -> dict[str, ImageArray]:
        """Of some held-out clips: the true frames, those of one pass, and those drawn in several steps."""
        assert isinstance(module, VideoModel)
        rows = spread_rows(len(self._data.held_out), self.recipe.pictured_clips)
        batch = self._held_out_batch(rows, np.random.default_rng(0), module)
        text = module.encode_text(batch["token_ids"], batch["attention_mask"])
        first, noise = batch["latents"][:, 0], batch["noise"]
        drawn = sample_videos(module.video_backbone, first, text, noise, self.recipe.sampling)
        decoder = self._decoder.to(noise.device)
        videos = [
            self._data.held_out.rows.clips(rows, self._offsets)["clips"],
            decoder.decode_video(module.foresee(first, text, noise)),
            decoder.decode_video(drawn.latents),
        ]
        return {f"clip_{i}": as_picture([video[i] for video in videos]) for i in range(len(rows))}

    def network_tensors(self, module: nn.Module) -> dict[str, Tensor]:
        """Everything of the network so far: both encoders, the backbone with its head, and the decoder."""
        assert isinstance(module, VideoModel)
        return {**self._kept, **network_tensors(module)}

    def _rows_as_batch(self, data: EncodedRows, rows: NDArray[np.int64]) -> Batch:
        latents = data.clips(rows, self._offsets)
        token_ids, attention_mask = self._texts[id(data)].of(rows)
        return {"latents": latents, "token_ids": token_ids, "attention_mask": attention_mask}

    def _held_out_batch(
        self, rows: NDArray[np.int64], random: np.random.Generator, module: nn.Module
    ) -> Batch:
        batch = self._rows_as_batch(self._data.held_out, rows)
        batch["noise"] = draw_normal(random, *batch["latents"].shape)
        batch["text_kept"] = torch.ones(len(rows))
        device = next(module.parameters()).device
        return {name: tensor.to(device) for name, tensor in batch.items()}


class _Texts:
    """The instructions of a data set's rows as token ids."""

    def __init__(self, data: EncodedRows, tokenizer: InstructionTokenizer) -> None:
        encoded = {text: tokenizer.encode(text) for text in data.rows.instructions}
        self._data = data
        self._ids = {text: torch.from_numpy(one.token_ids[0]) for text, one in encoded.items()}
        self._masks = {text: torch.from_numpy(one.attention_mask[0]) for text, one in encoded.items()}

    def of(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Ids and mask, each ``(rows, length)`` int64."""
        texts = [self._data.rows.where(int(row))[0].instruction for row in rows]
        return torch.stack([self._ids[text] for text in texts]), torch.stack([self._masks[t] for t in texts])


def draw_noise_levels(noise: VideoNoise, random: np.random.Generator, size: int) -> NDArray[np.float32]:
    """``(size,)`` noise levels."""
    ordinary = np.exp(random.normal(noise.log_mean, noise.log_deviation, size))
    high = np.exp(random.uniform(np.log(noise.deployment_lowest), np.log(noise.deployment_highest), size))
    chosen = random.random(size) < noise.deployment_share
    return np.where(chosen, high, ordinary).astype(np.float32)


def _band_losses(module: VideoModel, batch: Batch, random: np.random.Generator) -> dict[str, float]:
    losses = {}
    for low, high in SIGMA_BANDS:
        levels = np.exp(random.uniform(np.log(low), np.log(high), len(batch["noise"])))
        sigma = torch.from_numpy(levels.astype(np.float32)).to(batch["noise"].device)
        losses[f"loss_sigma_{low:g}_to_{high:g}"] = float(module.errors({**batch, "sigma": sigma}).mean())
    return losses


def _one_pass(module: VideoModel, batch: Batch) -> dict[str, float]:
    text = module.encode_text(batch["token_ids"], batch["attention_mask"])
    foreseen = module.foresee(batch["latents"][:, 0], text, batch["noise"])
    video = batch["latents"] * module.latent_scale
    return {
        "foreseen": float((foreseen - video)[:, 1:].square().mean()),
        "copied": float((video[:, 1:] - video[:, :1]).square().mean()),
    }


def _load_decoder(config: SvamConfig, tensors: Mapping[str, Tensor]) -> VideoDecoder:
    prefix = HANDED_ON[1]
    given = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    if not given:
        raise ValueError("there is no video decoder to start with; train the autoencoder first")
    decoder = VideoDecoder(config.image_encoder)
    decoder.load_state_dict(given)
    return decoder.eval().requires_grad_(requires_grad=False)
