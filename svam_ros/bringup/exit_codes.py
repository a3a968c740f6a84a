"""How the process of a node says why it has ended, to whoever started it."""

from __future__ import annotations

ENDED_IN_ORDER = 0
"""After SIGINT or SIGTERM."""
FAILED = 1
"""While it ran."""
REFUSED_TO_START = 2
"""Something that it was given is wrong; one sentence on stderr says what."""
NO_DEVICE_MEMORY = 3
"""The same would happen to a new process, until somebody frees the device's memory."""
DEVICE_LOST = 4
"""A device that failed is lost to the process that used it; a new one may do better."""
HEARS_NOBODY = 5
"""Its port in shared memory was deleted while it ran; a new process makes another."""
