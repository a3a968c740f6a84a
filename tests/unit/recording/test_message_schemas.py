from pathlib import Path

import pytest
from mcap_ros2._dynamic import generate_dynamic

from svam_ros.recording.message_schemas import (
    SEPARATOR,
    SchemaNotFoundError,
    message_schema,
    schema_search_path,
)

RECORDED_TYPES = [
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
    "sensor_msgs/msg/JointState",
    "trajectory_msgs/msg/JointTrajectory",
    "diagnostic_msgs/msg/DiagnosticArray",
    "std_msgs/msg/String",
]


@pytest.mark.parametrize("type_name", RECORDED_TYPES)
def test_the_text_defines_every_type_inside_a_type(type_name):
    assert type_name in generate_dynamic(type_name, message_schema(type_name))


def test_dependencies_follow_in_the_form_mcap_asks_for():
    sections = message_schema("sensor_msgs/msg/JointState").split(SEPARATOR + "\n")
    assert [section.splitlines()[0] for section in sections[1:]] == [
        "MSG: std_msgs/Header",
        "MSG: builtin_interfaces/Time",
    ]
    assert "float64[] position" in sections[0]


def test_constants_bounds_and_plain_header_are_understood(tmp_path):
    write(tmp_path, "std_msgs", "Header", "uint32 seq\n")
    write(tmp_path, "own", "Part", "float32[<=4] row\n")
    write(
        tmp_path,
        "own",
        "Whole",
        "uint8 MODE=3  # other/Thing\nHeader header\nstring<=10 name\nown/msg/Part[2] a\nPart[] b\n",
    )
    text = message_schema("own/msg/Whole", [tmp_path])
    assert text.count("MSG: own/Part") == 1
    assert text.count("MSG: std_msgs/Header") == 1
    assert text.count("MSG:") == 2


def test_a_missing_part_is_named_with_what_asked_for_it_and_where_it_was_looked_for(tmp_path):
    write(tmp_path, "own", "Whole", "lost_msgs/Part part\n")
    with pytest.raises(SchemaNotFoundError) as caught:
        message_schema("own/msg/Whole", [tmp_path])
    for word in ("lost_msgs/msg/Part.msg", "own/msg/Whole", str(tmp_path), "ros-lost-msgs"):
        assert word in str(caught.value)


@pytest.mark.parametrize("type_name", ["Image", "a/srv/B", "../x/msg/Y", ""])
def test_what_is_no_message_type_is_refused(type_name):
    with pytest.raises(ValueError, match="package/msg/Type"):
        message_schema(type_name)


def test_an_overlay_comes_before_the_python_environment(monkeypatch):
    monkeypatch.setenv("AMENT_PREFIX_PATH", "/overlay:/opt/ros/kilted")
    assert schema_search_path()[:2] == [Path("/overlay/share"), Path("/opt/ros/kilted/share")]


def write(share: Path, package: str, name: str, text: str) -> None:
    folder = share / package / "msg"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.msg").write_text(text)
