"""Whether data is of the robot that is to be trained for."""

from __future__ import annotations

from collections.abc import Sequence

from svam_train.episodes.episodes import DataError, RobotFacts

RATE_TOLERANCE = 0.2
"""25 Hz data of a 30 Hz camera will do: the moment of every picture is known. 15 or 50 Hz will not."""


def check_joint_names(names: Sequence[str], robot: RobotFacts, where: str) -> None:
    """Raise ``DataError`` where the joints are others, or in another number; their order may differ."""
    if sorted(names) != sorted(robot.joint_names):
        missing = sorted(set(robot.joint_names) - set(names))
        unknown = sorted(set(names) - set(robot.joint_names))
        raise DataError(
            f"'{where}' has {len(names)} joints, the robot has {len(robot.joint_names)}; missing are "
            f"{missing}, unknown are {unknown}: was it recorded on another robot?"
        )


def check_camera(size: tuple[int, int], rate_hz: float, robot: RobotFacts, where: str) -> None:
    """Raise ``DataError`` where pictures have another size (width, height) or come at another rate."""
    expected = (robot.camera_width, robot.camera_height)
    if size != expected:
        raise DataError(
            f"'{where}' has pictures of {size[0]}x{size[1]} pixels, the robot's camera gives "
            f"{expected[0]}x{expected[1]}: was it recorded with another camera?"
        )
    if abs(rate_hz - robot.camera_rate_hz) > RATE_TOLERANCE * robot.camera_rate_hz:
        raise DataError(
            f"'{where}' has {rate_hz:g} pictures a second, the robot's camera gives "
            f"{robot.camera_rate_hz:g}: was it recorded with another camera?"
        )
