"""setup.py, package.xml and constraints.txt agree, and the launch arguments reach a user's shell."""

import ast
import importlib
import os
import re
import runpy
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    """The arguments of ``setup()``."""
    import setuptools

    captured: dict[str, Any] = {}
    original = setuptools.setup
    setuptools.setup = lambda **arguments: captured.update(arguments)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(ROOT)
            runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = original
    return captured


@pytest.fixture(scope="module")
def manifest() -> ElementTree.Element:
    return ElementTree.parse(ROOT / "package.xml").getroot()


def test_both_manifests_say_the_same(metadata, manifest):
    assert manifest.findtext("name") == metadata["name"]
    assert manifest.findtext("version") == metadata["version"]
    assert manifest.findtext("license") == metadata["license"] == "Apache-2.0"


def test_the_maintainer_s_address_is_one_that_colcon_accepts(manifest):
    # With an address that catkin_pkg refuses, colcon takes the package for plain Python and ROS does
    # not find it.
    maintainer = manifest.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(
        r"[-a-zA-Z0-9_%+]+(\.[-a-zA-Z0-9_%+]+)*@[-a-zA-Z0-9%]+(\.[-a-zA-Z0-9%]+)*\.[a-zA-Z]{2,}",
        maintainer.get("email", ""),
    )


def test_every_entry_point_exists(metadata):
    for entry in metadata["entry_points"]["console_scripts"]:
        name, _, reference = entry.partition(" = ")
        module, _, function = reference.partition(":")
        source = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        if not source.exists():
            source = source.with_suffix("") / "__init__.py"
        defined = {n.name for n in ast.parse(source.read_text()).body if isinstance(n, ast.FunctionDef)}
        assert function in defined, f"{name}: {reference}"


def test_every_shipped_file_goes_below_share(metadata):
    shipped = {name: target for target, names in metadata["data_files"] for name in names}
    for folder in ("calibration", "launch", "models"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT).as_posix()
                assert shipped[name] == f"share/svam_ros/{path.relative_to(ROOT).parent.as_posix()}"
    assert shipped["resource/svam_ros"] == "share/ament_index/resource_index/packages"
    assert shipped["package.xml"] == "share/svam_ros"


def test_ros2_run_finds_the_nodes_of_a_pip_install(metadata):
    launchers = dict(metadata["data_files"])["lib/svam_ros"]
    assert [Path(name).name for name in launchers] == ["policy_node", "guard_node", "cobot_sim_node"]
    assert all(os.access(ROOT / name, os.X_OK) for name in launchers)


def test_every_requirement_has_a_tried_version(metadata):
    tried = {
        re.sub(r"[-_.]+", "-", line.partition("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }
    installed = ("ros", "piper", "openvino", "tensorrt", "sim", "train", "dev")
    extras = [metadata["extras_require"][name] for name in installed]
    for requirement in sum(extras, start=list(metadata["install_requires"])):
        match = re.match(r"[A-Za-z0-9_.-]+", requirement)
        assert match is not None
        assert re.sub(r"[-_.]+", "-", match.group()).lower() in tried, requirement


def test_tried_versions_are_exact_and_name_no_registry():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    assert lines == sorted(lines, key=str.lower)


def test_torch_and_lerobot_s_traps_stay_out(metadata):
    requirements = sum(metadata["extras_require"].values(), start=list(metadata["install_requires"]))
    assert not [r for r in requirements if r.startswith(("torchvision", "lerobot", "xformers"))]


def test_the_packages_are_all_found(metadata):
    folders = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("svam_ros", "svam_train")
        for path in (ROOT / package).rglob("__init__.py")
    }
    assert set(metadata["packages"]) == folders
    assert importlib.import_module("svam_ros")
