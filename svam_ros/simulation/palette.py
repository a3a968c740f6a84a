"""Colours of the simulated scene, in one place so that they stay in tune.

A light table, graphite and warm-white arms with one accent each, a deep-blue pot with brass
handles, a red cube, a green cup, a violet bowl and yellow beads: every thing that matters differs from
its background in lightness and hue. The glass cube alone does not, on purpose.
"""

from __future__ import annotations

Colour = tuple[float, float, float, float]


def _rgb(hexadecimal: str, alpha: float = 1.0) -> Colour:
    red, green, blue = (int(hexadecimal[i : i + 2], 16) / 255.0 for i in (0, 2, 4))
    return (red, green, blue, alpha)


FLOOR_LIGHT = _rgb("59616C")
FLOOR_DARK = _rgb("4B525C")
SKY_HIGH = _rgb("A9B7C6")
SKY_LOW = _rgb("DCE3EA")
TABLE_LIGHT = _rgb("DFCDB1")
TABLE_DARK = _rgb("CDB793")
TABLE_EDGE = _rgb("A98F6A")
SHELL = _rgb("F1EEE8")
GRAPHITE = _rgb("343A43")
ACCENTS: dict[str, Colour] = {"left": _rgb("2EC4B6"), "right": _rgb("FF9A2E")}
FINGER = _rgb("23272E")
POT_OUTSIDE = _rgb("1F4E79")
POT_INSIDE = _rgb("9DB7CE")
POT_HANDLE = _rgb("E3B04B")
CUBE = _rgb("D7263D")
GLASS = _rgb("5E8FA6", alpha=0.28)
CUP = _rgb("3C9A5F")
CUP_INSIDE = _rgb("A8D5B5")
BOWL = _rgb("6A4C93")
BOWL_INSIDE = _rgb("C9B8DE")
BEAD = _rgb("FFC93C")
