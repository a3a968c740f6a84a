from __future__ import annotations

import json

import pytest
from support.networks import CONFIG, statistics

from svam_ros.artifacts.manifest import (
    Manifest,
    ManifestError,
    Provenance,
    manifest_from_json,
    manifest_to_json,
)
from svam_ros.artifacts.statistics_file import statistics_from_json, statistics_id, statistics_to_json
from svam_ros.cobot import load_cobot
from svam_ros.translation.preprocessing import ImagePreparation

MANIFEST = Manifest(
    name="small",
    preset="tiny",
    config=CONFIG,
    image=ImagePreparation("squash", 32, "linear"),
    joint_names=load_cobot().joint_names,
    joint_units=(("rad",) * 6 + ("m",)) * 2,
    step_s=0.04,
    statistics_id="0123456789abcdef",
    provenance=Provenance(
        "2026-01-01T00:00:00Z", "svam-train", "demos", 3, {"torch": "2.13"}, {"success_of_50": 1.0}
    ),
    files={"weights.safetensors": "ab" * 32},
)


def test_a_manifest_survives_its_json():
    assert manifest_from_json(manifest_to_json(MANIFEST)) == MANIFEST


def test_numbers_without_a_point_are_read_as_floats():
    raw = json.loads(manifest_to_json(MANIFEST))
    raw["config"]["backbone"]["motion_bucket_id"] = 127
    raw["provenance"]["results"]["success_of_50"] = 1
    assert manifest_from_json(json.dumps(raw)) == MANIFEST


def test_a_wrong_type_is_refused_with_its_name():
    raw = json.loads(manifest_to_json(MANIFEST))
    raw["config"]["backbone"]["block_widths"] = ["wide"]
    with pytest.raises(ManifestError, match="block_widths"):
        manifest_from_json(json.dumps(raw))


def test_equal_statistics_have_equal_identities_and_survive_their_json():
    again = statistics_from_json(statistics_to_json(statistics()))
    assert again == statistics()
    assert statistics_id(again) == statistics_id(statistics())
