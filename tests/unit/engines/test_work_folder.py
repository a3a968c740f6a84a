"""What a cut-off build leaves is gone on with; what nobody can go on with is removed, and nothing else."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from svam_ros.artifacts.engine_files import EngineIdentity
from svam_ros.engines.exported.eight_bits import calibration_digest
from svam_ros.engines.exported.engine_kinds import BuildRefused
from svam_ros.engines.exported.work_folder import work_folder
from svam_ros.networks.presets import TINY

IDENTITY = EngineIdentity("tensorrt", "TensorRT 10", "sm86", "float16", "net", "weights")


@pytest.fixture
def model(tmp_path):
    return SimpleNamespace(path=tmp_path)


EIGHT_BITS = replace(IDENTITY, precision="int8")
NOTHING = calibration_digest([], TINY)


def cut_off(model, identity=IDENTITY, calibration=NOTHING):
    """Where a build worked that was killed."""
    folder = work_folder(model, identity, "float16", calibration)
    work = folder.__enter__()
    (work / "graph.onnx").touch()
    assert not folder.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    return work


def test_the_same_build_finds_what_it_left_and_leaves_nothing_when_it_ends(model):
    left = cut_off(model)
    with work_folder(model, IDENTITY, "float16", NOTHING) as work:
        assert work == left
        assert (work / "graph.onnx").exists()
    assert not left.exists()


def test_another_precision_of_the_same_network_does_not_outdate_a_search(model):
    search = cut_off(model, EIGHT_BITS, "of these observations")
    cut_off(model)
    assert (search / "graph.onnx").exists()


@pytest.mark.parametrize(
    "earlier",
    [
        {"identity": replace(IDENTITY, weights_sha256="older weights")},
        {"identity": replace(EIGHT_BITS, network_sha256="another network"), "calibration": "observations"},
        {"identity": EIGHT_BITS, "calibration": "other observations"},
    ],
)
def test_what_nobody_can_go_on_with_is_removed(model, earlier):
    outdated = cut_off(model, **earlier)
    with work_folder(model, EIGHT_BITS, "float16", "of these observations"):
        assert not outdated.exists()


def test_a_second_build_of_the_same_engine_is_refused(model):
    with (
        work_folder(model, IDENTITY, "float16", NOTHING),
        pytest.raises(BuildRefused, match="another process is building"),
        work_folder(model, IDENTITY, "float16", NOTHING),
    ):
        pass
