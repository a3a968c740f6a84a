"""Networks of a preset with weights made from a seed: what a forward pass costs needs no checkpoint."""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

import torch
from torch import Tensor

from svam_ros.artifacts.manifest import Manifest, Provenance
from svam_ros.artifacts.network_loading import empty_network, give_weights, weight_shapes
from svam_ros.artifacts.tokenizer import InstructionTokenizer, build_word_tokenizer
from svam_ros.cobot import load_cobot
from svam_ros.networks.normalization import AffineNormalization, Statistics
from svam_ros.networks.presets import PRESETS
from svam_ros.networks.svam import Svam
from svam_ros.translation.preprocessing import ImagePreparation

SENTENCE = "do it"
"""What a model without training understands."""

DRAWING_THREADS = 2
DRAWN_AHEAD = 4
"""Tensors that are drawn while another is taken: enough to keep the threads busy, little memory."""


class PresetError(ValueError):
    """There is no preset of that name; the text lists those there are."""


@dataclass(frozen=True)
class RandomModel:
    """Stands where a model directory stands, with seeded weights and normalisation that changes nothing."""

    manifest: Manifest
    statistics: Statistics
    tokenizer: InstructionTokenizer

    def load_network(self, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Svam:
        """The network in evaluation mode. Its weights are the same numbers in every precision, rounded."""
        config, seed = self.manifest.config, self.manifest.provenance.seed
        return give_weights(empty_network(config), seeded_weights(weight_shapes(config), seed, dtype, device))


def random_model(preset: str, seed: int = 0) -> RandomModel:
    """A model of a preset's sizes.

    A preset with fewer actions than the robot has joints gets the first joints.

    Raises:
        PresetError: there is no such preset.
    """
    if preset not in PRESETS:
        hint = "".join(f", did you mean '{match}'?" for match in get_close_matches(preset, PRESETS, 1))
        raise PresetError(
            f"'{preset}' is no preset{hint or '.'} With random weights there are: {', '.join(PRESETS)}"
        )
    config, cobot = PRESETS[preset], load_cobot()
    joints = config.action_expert.action_dim
    unchanged = AffineNormalization((0.0,) * joints, (1.0,) * joints)
    manifest = Manifest(
        name=f"{preset} with random weights",
        preset=preset,
        config=config,
        image=ImagePreparation("squash", config.image_encoder.image_size, "linear"),
        joint_names=cobot.joint_names[:joints],
        joint_units=("rad",) * joints,
        step_s=cobot.control_period_s,
        statistics_id="",
        provenance=Provenance("", "", "none", seed, {}, {}),
        files={},
    )
    tokenizer = build_word_tokenizer([SENTENCE], config.text)
    return RandomModel(manifest, Statistics(unchanged, unchanged, (False,) * joints), tokenizer)


def seeded_weights(
    shapes: Mapping[str, tuple[int, ...]],
    seed: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[str, Tensor]]:
    """Normal numbers that depend on nothing but each tensor's name, its shape and the seed.

    They are scaled by :func:`scale_like_trained`.
    """
    scratch = threading.local()

    def draw(item: tuple[str, tuple[int, ...]]) -> tuple[str, Tensor]:
        name, shape = item
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        values = _room(scratch, math.prod(shape)).view(shape).normal_(generator=generator)
        return name, scale_like_trained(name, values).to(device=device, dtype=dtype, copy=True)

    waiting = iter(shapes.items())
    with ThreadPoolExecutor(DRAWING_THREADS) as pool:  # torch draws without holding Python's lock
        drawn = [pool.submit(draw, item) for item in islice(waiting, DRAWN_AHEAD)]
        while drawn:
            yield drawn.pop(0).result()
            drawn += [pool.submit(draw, item) for item in islice(waiting, 1)]


def scale_like_trained(name: str, values: Tensor) -> Tensor:
    """Standard normal ``values`` of a weight called ``name``, scaled in place to what a trained network has.

    Matrices and kernels have a deviation of one over the root of their inputs, so that what they make of
    unit variance has unit variance; weights of norms lie near 1, biases near 0. Activations of the
    published widths then stay within what float16 can hold.
    """
    if values.dim() > 1:
        return values.div_(math.sqrt(math.prod(values.shape[1:])))
    return values.mul_(0.1).add_(1.0) if name.endswith("weight") else values.mul_(0.05)


def _room(scratch: threading.local, elements: int) -> Tensor:
    """Memory of the calling thread's own, used again and again: freed blocks would not all be given back."""
    if getattr(scratch, "values", torch.empty(0)).numel() < elements:
        scratch.values = torch.empty(elements)
    room: Tensor = scratch.values[:elements]
    return room
