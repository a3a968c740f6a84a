"""Real installs with pip and with colcon: commands, nodes and shipped files are where they belong."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NODES = ("policy_node", "guard_node", "cobot_sim_node")
COLCON = ("colcon-core==0.21.3", "colcon-ros==0.5.0")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Output of a command that must succeed, without this checkout on its path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | variables
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def empty_venv(folder: Path) -> Path:
    """A virtual environment; returns its interpreter."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    return folder / "bin" / "python"


def lend_libraries(python: Path) -> None:
    """Make the libraries of this interpreter importable there too; building them anew takes minutes."""
    purelib = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=python.parent
    ).strip()
    Path(purelib, "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows or would add, so that builds leave nothing in the checkout."""
    copy = tmp_path_factory.mktemp("source")
    listed = run("git", "ls-files", "-co", "--exclude-standard", "-z", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            target = copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, source, cwd=folder)
    return next(folder.glob("svam_ros-*.whl"))


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else_importable(source, wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name and ".data/" not in name}
    expected = {
        path.relative_to(source).as_posix()
        for package in ("svam_ros", "svam_train")
        for path in (source / package).rglob("*")
        if path.is_file()
    }
    assert packed == expected


def test_a_pip_install_gives_the_command_the_nodes_and_the_shipped_files(source, wheel, tmp_path):
    python = empty_venv(tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=tmp_path)
    lend_libraries(python)
    prefix = python.parent.parent
    assert "usage: svam COMMAND" in run(prefix / "bin" / "svam", "--help", cwd=tmp_path)
    for node in NODES:
        assert os.access(prefix / "bin" / node, os.X_OK)
        assert os.access(prefix / "lib" / "svam_ros" / node, os.X_OK), "ros2 run looks there"
    check_shipped_files(python, prefix, source)


@pytest.mark.parametrize("options", [(), ("--symlink-install",)])
def test_a_colcon_build_gives_the_command_the_nodes_and_the_shipped_files(source, tmp_path, options):
    python = empty_venv(tmp_path / "venv")
    run(python, "-m", "pip", "install", "-q", *COLCON, cwd=tmp_path)
    colcon = python.with_name("colcon")
    log = run(colcon, "build", "--base-paths", source, *options, cwd=tmp_path)
    assert "Finished <<< svam_ros" in log
    prefix = tmp_path / "install" / "svam_ros"
    for node in NODES:
        assert os.access(prefix / "lib" / "svam_ros" / node, os.X_OK)
    lend_libraries(python)
    in_workspace = ("sh", "-c", '. install/local_setup.sh; echo "$AMENT_PREFIX_PATH"; exec svam --help')
    answer = run(*in_workspace, cwd=tmp_path, AMENT_PREFIX_PATH="")
    assert answer.splitlines()[0].rstrip(":") == str(prefix)
    assert "usage: svam COMMAND" in answer
    if not options:
        packages = next(prefix.glob("lib/python*/site-packages"))
        check_shipped_files(python, prefix, source, PYTHONPATH=str(packages))


def check_shipped_files(python: Path, prefix: Path, source: Path, **variables: str) -> None:
    share = prefix / "share"
    assert (share / "ament_index/resource_index/packages/svam_ros").is_file()
    assert (share / "svam_ros/package.xml").is_file()
    for folder in ("calibration", "launch", "models"):
        for path in (source / folder).rglob("*"):
            if path.is_file():
                assert (share / "svam_ros" / path.relative_to(source)).read_bytes() == path.read_bytes()
    script = (
        "from svam_ros.cobot import load_cobot, profile_names\n"
        "from svam_ros.shipped_files import shipped_directory\n"
        "print(shipped_directory('calibration'), len(load_cobot().joint_names), *profile_names())"
    )
    answer = run(python, "-c", script, cwd=prefix, **variables).split()
    assert answer[:2] == [str(share / "svam_ros" / "calibration"), "14"]
    assert "cobot_magic" in answer
