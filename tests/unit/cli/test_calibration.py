"""What ``svam build-engine --calibration`` reads, and what it refuses before anything is built."""

from itertools import pairwise

import pytest
from support.robot_recordings import Recording

from svam_ros.cli.main import main
from svam_ros.engines.exported import building

INT8 = ("build-engine", "--engine", "tensorrt", "--target", "sm86", "--precision", "int8")


@pytest.fixture
def requests(monkeypatch):
    """What would have been built."""
    asked = []

    def stop(_model, request, _report):
        asked.append(request)
        raise building.BuildRefused("far enough")

    monkeypatch.setattr(building, "build_engine", stop)
    return asked


def test_observations_are_spread_evenly_over_all_episodes(tmp_path, requests, capsys):
    for name in ("monday", "tuesday"):
        Recording().write(tmp_path / "seen" / f"{name}.mcap")
    out = ("--out", str(tmp_path / "model"))
    seen = ("--calibration", str(tmp_path / "seen"), "--calibration-observations", "10")
    assert main([*INT8, *seen, *out]) == 2
    assert "far enough" in capsys.readouterr().err
    (request,) = requests
    stamps = [observation.stamp_ns for observation in request.observations]
    assert len(stamps) == 10
    for of_one in (stamps[:5], stamps[5:]):
        gaps = [later - earlier for earlier, later in pairwise(of_one)]
        assert max(gaps) - min(gaps) < 40e6
        assert of_one[4] - of_one[0] > 1.5e9
    assert request.observations[0].instruction == "lift the pot with both hands"


def test_of_many_episodes_the_middles_and_ends_are_seen_too(tmp_path, requests):
    for number in range(12):
        Recording().write(tmp_path / "seen" / f"{number}.mcap")
    seen = ("--calibration", str(tmp_path / "seen"), "--calibration-observations", "9")
    assert main([*INT8, *seen, "--out", str(tmp_path / "model")]) == 2
    stamps = [observation.stamp_ns for observation in requests[0].observations]
    assert len(stamps) == 9
    assert max(stamps) - min(stamps) > 1.5e9, "all recordings begin at the same time"
    assert len(set(stamps)) > 2


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "give recorded episodes with --calibration"),
        (("--calibration", "nowhere"), "there is no nowhere"),
        (("--calibration", "empty"), "empty holds no episode"),
        (("--calibration", "broken.mcap"), "broken.mcap is not an MCAP file"),
        (("--calibration", "empty", "--precision", "float16"), "is for --precision int8"),
        (("--calibration-observations", "3"), "calibration_observations"),
    ],
)
def test_what_cannot_be_calibrated_on_is_refused(options, sentence, tmp_path, requests, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.mcap").write_bytes(b"nothing of that kind")
    assert main([*INT8, *options, "--out", str(tmp_path / "model")]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())
    assert requests == []
    assert not (tmp_path / "model").exists()
