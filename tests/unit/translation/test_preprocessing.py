"""Pictures on their way to the network, against the libraries that published networks were shown them by."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from svam_ros.translation.preprocessing import ImagePreparation, prepare_image


def picture(height: int, width: int) -> np.ndarray:
    """Noise over a gradient: the hardest case for a method that skips pixels, and edges to get wrong."""
    noise = np.random.default_rng(0).integers(0, 128, (height, width, 3))
    return (noise + np.linspace(0, 127, width)[None, :, None]).astype(np.uint8)


def levels_off(rgb: np.ndarray, interpolation: str, size: int = 256) -> np.ndarray:
    prepared = prepare_image(rgb, ImagePreparation("squash", size, interpolation))  # type: ignore[arg-type]
    assert prepared.shape == (size, size, 3)
    assert prepared.dtype == np.uint8
    shown = torch.from_numpy(rgb).permute(2, 0, 1)[None]
    published = functional.interpolate(
        shown, size=(size, size), mode="bilinear", align_corners=False, antialias=True
    )
    return np.abs(prepared.astype(int) - published[0].permute(1, 2, 0).numpy().astype(int))


@pytest.mark.parametrize("shape", [(480, 480), (480, 640), (200, 200), (256, 256), (97, 300)])
def test_antialiased_bilinear_is_torch_s_for_pictures_of_whole_numbers(shape):
    off = levels_off(picture(*shape), "linear_antialias")
    assert off.max() <= 1  # torch multiplies with weights rounded to 16 bits
    assert off.mean() < 0.02


def test_plain_bilinear_is_another_method_where_a_picture_shrinks():
    assert levels_off(picture(480, 480), "linear").max() > 8
