"""``statistics.json``: normalisation constants with an identity of their own.

The manifest repeats the identity, so that weights never run with the statistics of another data set.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from dacite import Config, DaciteError, from_dict

from svam_ros.artifacts.manifest import ManifestError, parse_json_object
from svam_ros.networks.normalization import Statistics


def statistics_id(statistics: Statistics) -> str:
    """Hash of the numbers; equal numbers have equal identities wherever they are stored."""
    canonical = json.dumps(asdict(statistics), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def statistics_to_json(statistics: Statistics) -> str:
    """The text of ``statistics.json``."""
    return json.dumps({"id": statistics_id(statistics), **asdict(statistics)}, indent=2) + "\n"


def statistics_from_json(text: str) -> Statistics:
    """Read the text of ``statistics.json``.

    Raises:
        ManifestError: an entry is unknown, missing or wrong, or the identity is not that of the numbers.
    """
    raw = parse_json_object(text)
    said = raw.pop("id", None)
    try:
        statistics = from_dict(Statistics, raw, Config(strict=True, cast=[tuple], type_hooks={float: float}))
    except (DaciteError, TypeError, ValueError) as error:
        raise ManifestError(str(error)) from error
    if said != statistics_id(statistics):
        raise ManifestError(f"id is {said!r}, but the numbers are those of {statistics_id(statistics)}")
    return statistics
