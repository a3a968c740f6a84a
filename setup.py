"""All of the package's metadata. A [project] table in pyproject.toml would break colcon."""

import os
from pathlib import Path

from setuptools import find_packages, setup

# `colcon build --symlink-install` runs a link to this file in another folder.
ROOT = Path(__file__).resolve().parent

NAME = "svam_ros"
SHARE = f"share/{NAME}"
NODES = ("policy_node", "guard_node", "cobot_sim_node")
SHIPPED_FOLDERS = ("calibration", "launch", "models")

# The guard, the translation and the recording run on Python 3.10 (ROS 2 Humble); the libraries of the
# networks and of the simulation need 3.11.
MODERN = '; python_version >= "3.11"'

CORE = [
    "dacite>=1.8",
    "docstring-parser>=0.16",
    "jinja2>=3.1",
    "markupsafe>=2.1",
    "mcap>=1.5",
    "mcap-ros2-support>=0.5",
    "numpy>=1.23",
    "opencv-python-headless>=4.8",
    "pyyaml>=6.0",
    "rich>=13.7",
    "ruckig>=0.14",
    "typing-extensions>=4.10",
    "tyro>=0.9",
    "zstandard>=0.22",
]
NETWORKS = [
    "diffusers>=0.42,<0.43" + MODERN,
    "huggingface-hub>=1.0" + MODERN,
    "safetensors>=0.6" + MODERN,
    "tokenizers>=0.22" + MODERN,
    "torch>=2.10" + MODERN,
    "transformers>=5.0" + MODERN,
]
ROS_WHEELS = [
    "ros-builtin-interfaces",
    "ros-diagnostic-msgs",
    "ros-kilted-rclpy>=9.1.2,<10",
    "ros-lifecycle-msgs",
    "ros-rcl-interfaces",
    "ros-rmw-fastrtps-cpp",
    "ros-sensor-msgs",
    "ros-std-msgs",
    "ros-std-srvs",
    "ros-trajectory-msgs",
]
# The network as graphs for other libraries: OpenVINO runs them on a CPU, TensorRT on an NVIDIA GPU. TensorRT
# for RTX is the one that PyPI has whole; where TensorRT itself is installed, it is taken instead.
EXPORT = ["onnx>=1.20" + MODERN, "onnxruntime>=1.27" + MODERN, "onnxscript>=0.6" + MODERN]
OPENVINO = [*EXPORT, "openvino>=2026.2" + MODERN]
TENSORRT = [*EXPORT, "tensorrt-rtx>=1.7" + MODERN]
# Another owner of the GPU's memory than torch; compiled against the CUDA toolkit of the machine.
PYCUDA = [*TENSORRT, "pycuda>=2025.1" + MODERN]
# The arms directly on CAN. AgileX's SDK names the bus as python-can 5 will not take it any more.
PIPER = ["piper_sdk>=0.6.2,<0.7", "python-can>=4.2,<5"]
SIMULATION = ["mujoco>=4.0,<5" + MODERN, "pyopengl>=3.1" + MODERN]
# LeRobot's data sets are Parquet and video files.
TRAINING = [
    "accelerate>=1.10" + MODERN,
    "av>=15.0" + MODERN,
    "psutil>=6.0" + MODERN,
    "pyarrow>=21.0" + MODERN,
    "tensorboard>=2.20" + MODERN,
]
DEVELOPMENT = [
    "hypothesis>=6.100",
    "import-linter>=2.5",
    "mypy>=1.18",
    "psutil>=6.0",
    "pytest>=9.0",
    "pytest-rerunfailures>=16.7",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.8",
    "rosbags>=0.11",
    "ruff>=0.14",
    "types-PyYAML",
]


def shipped_files() -> list[tuple[str, list[str]]]:
    """Every file below the shipped folders, with the folder under <prefix>/share that it goes to."""
    files: dict[str, list[str]] = {}
    for folder in SHIPPED_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                name = path.relative_to(ROOT)
                files.setdefault(f"{SHARE}/{name.parent.as_posix()}", []).append(name.as_posix())
    return sorted(files.items())


def launchers() -> tuple[str, list[str]]:
    """Where pip and colcon each do not put the executables, a launcher points to where they do.

    ``ros2 run`` wants nodes in lib/svam_ros, a shell wants ``svam`` in bin. colcon sets COLCON.
    """
    if "COLCON" in os.environ:
        return "bin", ["executables/svam"]
    return f"lib/{NAME}", [f"executables/{node}" for node in NODES]


setup(
    name=NAME,
    version="0.1.0",
    description="Video foresight moves a dual-arm robot: S-VAM as a real-time ROS 2 control node",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The svam_ros authors",
    author_email="maintainers@svam-ros.org",
    license="Apache-2.0",
    license_files=["LICENSE"],
    packages=find_packages(include=["svam_ros", "svam_ros.*", "svam_train", "svam_train.*"]),
    package_data={"": ["*.xml", "py.typed", "templates/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (SHARE, ["package.xml"]),
        launchers(),
        *shipped_files(),
    ],
    python_requires=">=3.10",
    install_requires=CORE + NETWORKS,
    extras_require={
        "ros": ROS_WHEELS,
        "openvino": OPENVINO,
        "tensorrt": TENSORRT,
        "pycuda": PYCUDA,
        "piper": PIPER,
        "sim": SIMULATION,
        "train": TRAINING,
        "viz": ["rerun-sdk>=0.30" + MODERN],
        "dev": DEVELOPMENT,
    },
    entry_points={
        "console_scripts": [
            "svam = svam_ros.cli.main:main",
            "svam-train = svam_train.cli:main",
            *(f"{node} = svam_ros.nodes.{node}:main" for node in NODES),
        ]
    },
    zip_safe=False,
)
