"""What collides with what: an arm meets the other arm, objects and the table, but never itself.

A cup is two things in one place: its wall, a ring of boxes that keeps beads in and that no gripper feels,
and its grip, a plain cylinder that only grippers feel. So fingers close on a round surface wherever they
come from, and the beads still have their room inside.
"""

from __future__ import annotations

COLLISION_BITS: dict[str, tuple[int, int]] = {
    "left": (1, 6),
    "right": (2, 5),
    "object": (4, 7),
    "cup_wall": (8, 4),
    "cup_grip": (0, 3),
}
"""``(contype, conaffinity)`` of a geom; two collide if the type of one is in the affinity of the other."""
