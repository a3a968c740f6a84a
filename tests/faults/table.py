"""All rows, in the order of the table."""

from __future__ import annotations

import faults.camera_rows
import faults.chunk_rows
import faults.clock_rows
import faults.engine_rows
import faults.guard_rows
import faults.joint_state_rows
import faults.network_rows
import faults.policy_rows
import faults.recording_rows
import faults.refusal_rows  # noqa: F401 - each enters its trials
from faults.row import ROWS

TABLE = tuple(sorted(ROWS, key=lambda row: row.number))
"""Trials that need no policy's restart lie together as far as their numbers allow."""
