"""One rig for many trials, and a new one after each that failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from faults.rig import FaultRig
from faults.row import NotHere

T = TypeVar("T")


class ReplacedRig:
    """Runs trials; after a failed one everything begins anew: the processes, and the operator in this one.

    Any of them may have become deaf (``svam_ros/bringup/shared_memory_health.py``), and then no later trial
    could pass.

    Args:
        folder: each rig has a folder in it for its logs and records.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._rig: FaultRig | None = None

    def trial(self, run: Callable[[FaultRig], T]) -> T:
        """What ``run`` makes of the rig; whatever it raises but :class:`NotHere` ends the rig."""
        if self._rig is None:
            self._made += 1
            folder = self._folder / f"rig_{self._made}"
            folder.mkdir()
            self._rig = FaultRig(folder, dict(os.environ))
        try:
            return run(self._rig)
        except NotHere:
            raise
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """End the rig, if there is one."""
        rig, self._rig = self._rig, None
        if rig is not None:
            rig.close()
