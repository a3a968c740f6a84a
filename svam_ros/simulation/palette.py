"""Colours of the simulated scene, in one place so that they stay in tune.

A light table, graphite and warm-white arms with one accent each, a deep-blue pot with brass
handles and a red cube: every thing that matters differs from its background in lightness and hue.
"""

from __future__ import annotations

Colour = tuple[float, float, float, float]


def _rgb(hexadecimal: str) -> Colour:
    red, green, blue = (int(hexadecimal[i : i + 2], 16) / 255.0 for i in (0, 2, 4))
    return (red, green, blue, 1.0)


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
