"""The frames of a Piper arm's bus that we send or look at.

After AgileX's piper_sdk, interface V2 (https://github.com/agilexrobotics/piper_sdk).
"""

from __future__ import annotations

STATUS_ID, GRIPPER_ID, FIRMWARE_ID = 0x2A1, 0x2A8, 0x4AF
JOINT_IDS = (0x2A5, 0x2A6, 0x2A7)
"""Two angles each."""
SPEED_IDS = tuple(range(0x251, 0x257))
"""One motor driver each, the faster of its two reports: speed first, in 0.001 rad/s."""
DRIVER_IDS = tuple(range(0x261, 0x267))
"""One motor driver each, the slower: whether it has power, and what ails it."""
FEEDBACK_IDS = (STATUS_ID, *JOINT_IDS, GRIPPER_ID, *DRIVER_IDS)
LEADER_IDS = tuple(range(0x3A1, 0x3A9))
"""Where an arm in leader mode reports instead of 0x2A1 to 0x2A8; the SDK does not know them."""
COMMAND_IDS = (*range(0x150, 0x160), 0x470, 0x471)
"""Everything that moves an arm, powers it or changes its role."""

STANDBY, CAN_CONTROL = 0, 1
"""Control modes in which nobody else leads the arm."""
MOVE_J, POSITION_VELOCITY_MODE, GRIPPER_ENABLE, ALL_MOTORS = 1, 0, 1, 7
