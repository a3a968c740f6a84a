"""Who may find our nodes, and so send them commands, as the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping

THIS_MACHINE = ("LOCALHOST", "OFF")


def discovery_range(user: Mapping[str, str] | None = None) -> str:
    """``ROS_AUTOMATIC_DISCOVERY_RANGE`` in capitals; empty where it is not set, which ROS takes as SUBNET."""
    return (os.environ if user is None else user).get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").strip().upper()


def strangers_warning(user: Mapping[str, str] | None = None) -> str:
    """One sentence where machines of the same network can command the arms; empty where they cannot.

    SROS2 keeps them out when it is switched on and enforced (ROS 2 documentation, "ROS 2 Security").
    """
    user = os.environ if user is None else user
    secured = user.get("ROS_SECURITY_ENABLE", "") == "true" and user.get("ROS_SECURITY_STRATEGY") == "Enforce"
    if secured or discovery_range(user) in THIS_MACHINE:
        return ""
    return (
        f"every machine on this network can command the arms (discovery range "
        f"{discovery_range(user) or 'SUBNET'}): set ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST, or switch on "
        f"SROS2 with the policy of 'svam access-policy'"
    )
