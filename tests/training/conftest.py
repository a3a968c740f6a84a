"""Two real demonstrations, recorded once for all tests of this folder."""

import pytest
import torch

from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.demonstrations import RecordingRecipe, generate_demonstrations


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def coarse_recipe():
    """A picture at every eighth control step only: drawing is what costs."""
    return RecordingRecipe(ImagePreparation("centre_square", 128, "area"), grid=16, stride=8)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory, coarse_recipe):
    """The folder, and what recording said about every attempt."""
    folder = tmp_path_factory.mktemp("demonstrations")
    counts = {"lift_pot": 1, "place_to_pot": 1}
    return folder, list(generate_demonstrations(folder, counts, coarse_recipe, workers=1))
