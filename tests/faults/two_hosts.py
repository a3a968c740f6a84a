"""Two network namespaces with a cable between them: what runs in one reaches the other by it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from types import TracebackType
from typing import Self

ADDRESSES = ("198.51.100.1/30", "198.51.100.2/30")
"""Of a block that is for examples (RFC 5737); nothing of it leaves the namespaces."""
ALL_MULTICAST = "224.0.0.0/4"
"""DDS finds participants by multicast (DDSI-RTPS 2.5, 9.6.1)."""
CABLE = "svam0"


def obstacle() -> str:
    """Why there can be no namespaces here; empty where there can."""
    if shutil.which("ip") is None:
        return "network namespaces need the command 'ip' (package iproute2)"
    return "" if os.geteuid() == 0 else "network namespaces need root"


class TwoHosts:
    """The robot's host and the policy's, while the block lasts."""

    def __init__(self) -> None:
        self.robot, self.policy = (f"svam_{name}_{os.getpid()}" for name in ("robot", "policy"))

    def __enter__(self) -> Self:
        for host in (self.robot, self.policy):
            _ip("netns", "add", host)
        _ip("link", "add", CABLE, "netns", self.robot, "type", "veth", "peer", CABLE, "netns", self.policy)
        for host, address in zip((self.robot, self.policy), ADDRESSES, strict=True):
            _ip("-n", host, "address", "add", address, "dev", CABLE)
            _ip("-n", host, "link", "set", "lo", "up")
            connect(host)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in (self.robot, self.policy):
            _ip("netns", "delete", host)


def command_in(host: str, command: list[str]) -> list[str]:
    """The command line that runs a command there."""
    return ["ip", "netns", "exec", host, *command]


def cut(host: str) -> int:
    """Pull the cable out of a host; gives the steady time at which it was out."""
    _ip("-n", host, "link", "set", CABLE, "down")
    return time.monotonic_ns()


def connect(host: str) -> int:
    """Put it in; gives the steady time at which it was."""
    _ip("-n", host, "link", "set", CABLE, "up")
    _ip("-n", host, "route", "replace", ALL_MULTICAST, "dev", CABLE)
    return time.monotonic_ns()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=10.0)
