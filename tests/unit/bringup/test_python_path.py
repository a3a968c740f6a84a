"""A library that PYTHONPATH puts before ours is named with its place."""

from svam_ros.bringup import python_path
from svam_ros.bringup.python_path import shadowed_by_python_path, shadowed_libraries


def test_only_what_has_a_copy_in_this_environment_is_shadowed(tmp_path):
    foreign, own = tmp_path / "foreign", tmp_path / "own"
    for folder in (foreign / "numpy", foreign / "rclpy", foreign / "mine", own / "numpy", own / "mine"):
        folder.mkdir(parents=True)
    path = [str(foreign), str(own)]
    # rclpy is ROS's own way to be found, mine is nobody's business.
    assert shadowed_libraries({"PYTHONPATH": str(foreign)}, path) == {"numpy": foreign / "numpy"}
    assert shadowed_libraries({}, path) == {}
    assert shadowed_libraries({"PYTHONPATH": ""}, path) == {}


def test_the_sentence_says_what_came_from_where(monkeypatch, tmp_path):
    monkeypatch.setattr(python_path, "shadowed_libraries", lambda: {"numpy": tmp_path / "numpy"})
    assert f"take numpy from {tmp_path / 'numpy'}" in shadowed_by_python_path()
    monkeypatch.setattr(python_path, "shadowed_libraries", dict)
    assert shadowed_by_python_path() == ""
