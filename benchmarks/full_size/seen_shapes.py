"""Shapes of what passes between the parts of the network while a step runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from svam_ros.networks.decoupler import Decoupler
from svam_ros.networks.svd_backbone import VideoBackbone, VideoHead
from svam_ros.networks.uni_perceiver import UniPerceiver

Shapes = dict[str, tuple[int, ...]]
"""By what it is."""

_GIVEN: dict[type[nn.Module], str] = {VideoHead: "velocity of all frames", UniPerceiver: "context"}
"""What a part gives, where its name does not say."""


def shapes_of(batch: Mapping[str, Tensor]) -> Shapes:
    """Of a batch."""
    return {name: tuple(tensor.shape) for name, tensor in batch.items()}


@contextmanager
def seen_shapes(modules: Iterable[nn.Module]) -> Iterator[Shapes]:
    """Within the block, fills with what the parts of ``modules`` give; the last one of a name counts."""
    found: Shapes = {}

    def look(name: str, part: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(part, VideoBackbone):
            found["features"] = tuple(output.features.shape)
            return
        if isinstance(part, Decoupler):
            # The sampler's passes have two rows a clip, with text and without: this is what is learnt from.
            found["features"] = tuple(inputs[0].shape)
        found[_GIVEN.get(type(part), name.rpartition(".")[2])] = tuple(output.shape)

    handles = [
        part.register_forward_hook(partial(look, name))
        for module in modules
        for name, part in module.named_modules()
        if isinstance(part, (VideoBackbone, VideoHead, Decoupler, UniPerceiver))
    ]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
