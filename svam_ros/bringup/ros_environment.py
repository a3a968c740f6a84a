"""What our ROS processes find in their environment, and a ROS domain of their own.

The variables are those of ROS 2 and Fast DDS. What the user has set stays as it is, except for the demo:
its topics are those of the real drivers, and nothing that the user has set may carry them to a robot.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

SHARED_MEMORY_PROFILE = Path(__file__).with_name("fastdds_shared_memory.xml")
"""The Fast DDS profile that carries camera frames through shared memory."""

DOMAIN_IDS = range(20, 102)
"""Domains that a demonstration may take. 0 to 19 are left to people and robots; above 101 the ports of
a domain lie in Linux's range of ephemeral ports (ROS 2 documentation, "The ROS_DOMAIN_ID")."""

_FAST_DDS_2_DISTRIBUTIONS = ("humble", "iron", "jazzy")
_HIGHEST_DOMAIN_ID = 232
_PARTICIPANTS_CHECKED = 10
_REACHING_FARTHER = ("ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER")
"""Nodes are also looked for where these say; empty means the same as not set."""


class RosEnvironmentError(ValueError):
    """The environment asks for something that ROS 2 does not allow, or no domain is left."""


def ros_environment(
    domain_id: int | None, user: Mapping[str, str] | None = None, isolated: bool = False
) -> dict[str, str]:
    """The variables to put on top of ``os.environ`` for a process that speaks ROS.

    Args:
        domain_id: the ROS domain; ``None`` leaves ``ROS_DOMAIN_ID`` to the user.
        user: what is already set, ``os.environ`` by default. Its values win, except for the domain.
        isolated: our values win, and what would reach other machines is emptied.
    """
    user = os.environ if user is None else user
    ours = {
        "RMW_IMPLEMENTATION": "rmw_fastrtps_cpp",
        "FASTDDS_DEFAULT_PROFILES_FILE": str(SHARED_MEMORY_PROFILE),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    if user.get("ROS_DISTRO") in _FAST_DDS_2_DISTRIBUTIONS:
        # Only there: Fast DDS 3 warns in every process about the old name.
        ours["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(SHARED_MEMORY_PROFILE)
    if isolated:
        variables = {**ours, **dict.fromkeys(_REACHING_FARTHER, "")}
    else:
        variables = {name: user.get(name) or value for name, value in ours.items()}
    if domain_id is not None:
        variables["ROS_DOMAIN_ID"] = str(checked_domain_id(str(domain_id), "domain_id"))
    return variables


@contextmanager
def claim_domain_id(user: Mapping[str, str] | None = None) -> Iterator[int]:
    """A ROS domain that nobody else on this machine uses, ours until the block ends.

    ``ROS_DOMAIN_ID`` is honoured where it is set. Otherwise the first domain of :data:`DOMAIN_IDS` is
    taken on which no DDS participant has its ports and which no other caller of this function holds.

    The claim is an abstract Unix socket: it belongs to the same network name space as the ports, is seen
    by every user, and the kernel takes it back when this process ends, however it ends.

    Raises:
        RosEnvironmentError: ``ROS_DOMAIN_ID`` is no domain, or every domain is taken.
    """
    chosen = (os.environ if user is None else user).get("ROS_DOMAIN_ID", "").strip()
    if chosen:
        yield checked_domain_id(chosen, "ROS_DOMAIN_ID")
        return
    for domain_id in DOMAIN_IDS:
        claim = _try_claim(domain_id)
        if claim is None:
            continue
        with claim:
            if domain_is_free(domain_id):
                yield domain_id
                return
    raise RosEnvironmentError(
        f"all ROS domains from {DOMAIN_IDS.start} to {DOMAIN_IDS.stop - 1} are in use on this machine: "
        f"end other ROS processes, or choose one yourself with --domain-id"
    )


def domain_is_free(domain_id: int) -> bool:
    """Whether no DDS participant of this machine listens on ``domain_id``.

    Port numbers: DDSI-RTPS 2.5, 9.6.2.3, with its default parameters; participants take the lowest free
    pair of ports, so the first few tell.
    """
    first = 7400 + 250 * domain_id + 10
    return all(_port_is_free(first + 2 * participant) for participant in range(_PARTICIPANTS_CHECKED))


def _port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError:
            return False
        return True


def _try_claim(domain_id: int) -> socket.socket | None:
    claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        claim.bind(f"\0svam_ros/ros_domain/{domain_id}")
    except OSError:
        claim.close()
        return None
    return claim


def checked_domain_id(text: str, source: str) -> int:
    """The ROS domain that ``text`` names.

    Raises:
        RosEnvironmentError: it names none; ``source`` is where it stands.
    """
    if not text.isascii() or not text.isdigit() or int(text) > _HIGHEST_DOMAIN_ID:
        raise RosEnvironmentError(
            f"{source} is '{text}', allowed is a whole number from 0 to {_HIGHEST_DOMAIN_ID}"
        )
    return int(text)
