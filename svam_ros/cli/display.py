"""Whether a person sits in front of this machine's screen."""

from __future__ import annotations

import os


def has_display() -> bool:
    """A graphical session is there (X11 or Wayland)."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
