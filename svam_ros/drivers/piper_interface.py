"""Whether there is a way to a Piper arm: the SDK, and the CAN interface."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from svam_ros.drivers.piper_bus import PiperBus

INSTALL = 'pip install "svam_ros[piper]"'
NETWORK_INTERFACES = Path("/sys/class/net")


class PiperError(OSError):
    """An arm cannot be reached; the text says why, and what to do."""


def open_bus(interface: str, bus_type: str) -> PiperBus:
    """The bus of one arm.

    Raises:
        PiperError: piper_sdk is not installed, or there is no such interface, or it is down.
    """
    if problem := sdk_problem() or interface_problem(interface, bus_type):
        raise PiperError(problem)
    # Only now: nothing else of the package needs the SDK.
    from svam_ros.drivers.piper_bus import PiperBus

    return PiperBus(interface, bus_type)


def sdk_problem() -> str:
    """Why AgileX's SDK cannot be used, and what to do; empty where it can."""
    try:
        import svam_ros.drivers.piper_bus  # noqa: F401
    except ImportError as error:
        return f"output piper_can needs AgileX's SDK ({error}): {INSTALL}"
    return ""


def interface_problem(interface: str, bus_type: str) -> str:
    """Why a CAN interface cannot be used, and what to do; empty where it can, and for virtual ones."""
    if bus_type != "socketcan":
        return ""
    try:
        state = (NETWORK_INTERFACES / interface / "operstate").read_text(encoding="ascii").strip()
    except OSError:
        return (
            f"there is no CAN interface '{interface}': is the adapter plugged in, and its interface renamed? "
            f"'ip link show type can' lists them"
        )
    if state not in ("up", "unknown"):
        up = f"sudo ip link set {interface} up type can bitrate 1000000"
        return f"CAN interface '{interface}' is {state}: {up}"
    return ""
