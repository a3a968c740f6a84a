"""What a process loads: the guard and the simulation no torch, `svam --help` next to nothing.

Also: everything that the packages import is declared in setup.py.
"""

import ast
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "diffusers", "transformers", "tensorrt")

ROS_PACKAGES = {
    "builtin_interfaces",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "trajectory_msgs",
}
FROM_AN_APT_INSTALL = {"cv_bridge", "launch", "launch_ros"}


def modules_after(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after ``statement``."""
    script = (
        f"import sys\n{statement}\nimport json\nprint(json.dumps([n.split('.')[0] for n in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("node", ["guard_node", "cobot_sim_node"])
def test_the_nodes_that_move_arms_load_no_torch(node):
    loaded = modules_after(f"import svam_ros.nodes.{node}")
    assert "rclpy" in loaded
    assert not loaded & set(HEAVY)


def test_the_guard_starts_without_the_sdk_of_arms_that_it_does_not_have():
    loaded = modules_after("import svam_ros.nodes.guard_node, svam_ros.cli.main")
    assert "svam_ros" in loaded
    assert not loaded & {"piper_sdk", "can"}


@pytest.mark.parametrize("arguments", ["[]", "['demo', '--help']", "['doctor', '--help']"])
def test_help_loads_neither_torch_nor_ros_nor_mujoco(arguments):
    statement = (
        f"from svam_ros.cli.main import main\ntry:\n    main({arguments})\nexcept SystemExit as end:\n"
        "    assert not end.code"
    )
    assert not modules_after(statement) & {*HEAVY, "rclpy", "mujoco", "cv2"}


def imported_packages(folder: str) -> dict[str, str]:
    """Every top-level module that the code imports, with one place where it does."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def declared_distributions() -> set[str]:
    """Names of the requirements in setup.py, in the spelling that registries use."""
    texts = [
        node.value
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    names = (re.match(r"[A-Za-z][A-Za-z0-9_.-]*", text) for text in texts)
    return {re.sub(r"[-_.]+", "-", name.group()).lower() for name in names if name}


@pytest.mark.parametrize("folder", ["svam_ros", "svam_train"])
def test_every_library_that_is_imported_is_declared(folder):
    ours = {"svam_ros", "svam_train"}
    libraries = {
        name: place
        for name, place in imported_packages(folder).items()
        if name not in sys.stdlib_module_names | ours | ROS_PACKAGES | FROM_AN_APT_INSTALL
    }
    declared = declared_distributions()
    provided_by = metadata.packages_distributions()
    missing = {}
    for name, place in libraries.items():
        distributions = {re.sub(r"[-_.]+", "-", d).lower() for d in provided_by.get(name, [name])}
        if not distributions & declared:
            missing[name] = place
    assert not missing


def test_every_ros_package_that_is_imported_is_in_setup_py_and_package_xml():
    imported = {*imported_packages("svam_ros")} & ROS_PACKAGES
    manifest = (ROOT / "package.xml").read_text(encoding="utf-8")
    declared = declared_distributions()
    for package in imported:
        assert f"<exec_depend>{package}</exec_depend>" in manifest
        wheel = "ros-kilted-rclpy" if package == "rclpy" else f"ros-{package.replace('_', '-')}"
        assert wheel in declared
