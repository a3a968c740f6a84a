"""One rig for many trials, and a new one after each that failed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from faults.rig import FaultRig
from faults.row import NotHere
from svam_ros.bringup.ros_environment import claim_domain_id, ros_environment

T = TypeVar("T")


class ReplacedRig:
    """Runs trials; after a failed one everything begins anew: the processes, the operator in this one, and on
    another ROS domain, which is set in ``os.environ``.

    Any of them may have become deaf (``svam_ros/bringup/shared_memory_health.py``), and then no later trial
    could pass.

    Args:
        folder: each rig has a folder in it for its logs and records.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0
        self._user = dict(os.environ)
        self._domains = ExitStack()
        """Held to the end: no rig gets the domain of one before."""
        self._rig: FaultRig | None = None

    def trial(self, run: Callable[[FaultRig], T]) -> T:
        """What ``run`` makes of the rig; whatever it raises but :class:`NotHere` ends the rig."""
        if self._rig is None:
            self._rig = self._new()
        try:
            return run(self._rig)
        except NotHere:
            raise
        except Exception:
            self._end()
            raise

    def close(self) -> None:
        """End the rig, if there is one, and give the domains back."""
        self._end()
        self._domains.close()

    def _new(self) -> FaultRig:
        self._made += 1
        folder = self._folder / f"rig_{self._made}"
        folder.mkdir()
        domain_id = self._domains.enter_context(claim_domain_id(self._user))
        os.environ.update(ros_environment(domain_id, self._user))
        return FaultRig(folder, dict(os.environ))

    def _end(self) -> None:
        rig, self._rig = self._rig, None
        if rig is not None:
            rig.close()
