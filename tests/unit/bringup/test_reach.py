"""Nodes that a whole network can command say so."""

import pytest

from svam_ros.bringup.reach import strangers_warning

SECURED = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_STRATEGY": "Enforce"}


@pytest.mark.parametrize(
    "user",
    [
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost "},
        {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
        SECURED,
    ],
)
def test_who_is_alone_or_secured_is_not_warned(user):
    assert strangers_warning(user) == ""


@pytest.mark.parametrize(
    ("user", "named"),
    [
        ({}, "SUBNET"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": ""}, "SUBNET"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}, "SYSTEM_DEFAULT"),
        ({**SECURED, "ROS_SECURITY_STRATEGY": "Permissive"}, "SUBNET"),
    ],
)
def test_a_network_that_can_command_is_named(user, named):
    warning = strangers_warning(user)
    assert warning.startswith(f"every machine on this network can command the arms (discovery range {named})")
    assert "svam access-policy" in warning
