"""What collides with what: an arm meets the other arm, objects and the table, but never itself."""

from __future__ import annotations

COLLISION_BITS: dict[str, tuple[int, int]] = {"left": (1, 6), "right": (2, 5), "object": (4, 7)}
"""``(contype, conaffinity)`` of a geom; two collide if the type of one is in the affinity of the other."""
