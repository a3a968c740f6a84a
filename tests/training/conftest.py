"""Two real demonstrations, recorded once for all tests of this folder."""

import pytest
import torch

from svam_ros.translation.preprocessing import ImagePreparation
from svam_train.demonstrations.generation import generate_demonstrations
from svam_train.demonstrations.recording_recipe import RecordingRecipe


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def coarse_recipe():
    """A picture at every eighth control step only: drawing is what costs. Plain scenes, as calibrated."""
    image = ImagePreparation("centre_square", 128, "area")
    return RecordingRecipe(image, grid=16, stride=8, shared_scenes=0.0, varied_looks=0.0)


@pytest.fixture(scope="session")
def recorded(tmp_path_factory, coarse_recipe):
    """The folder, and what recording said about every attempt."""
    folder = tmp_path_factory.mktemp("demonstrations")
    counts = {"lift_pot": 1, "place_to_pot": 1}
    return folder, list(generate_demonstrations(folder, counts, coarse_recipe, workers=1))
