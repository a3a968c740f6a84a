"""cobot_sim_node: the simulated Cobot behind the topics of the real one.

A thin adapter around :class:`svam_ros.simulation.cobot_simulation.CobotSimulation`: physics and joint
states run in the node's cycle at the profile's rate, pictures in a thread with a renderer of its own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

import cv2
import yaml
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from svam_ros import graph
from svam_ros.bringup.exit_codes import ENDED_IN_ORDER, HEARS_NOBODY
from svam_ros.cobot import ARM_NAMES, RobotProfile, load_robot_profile
from svam_ros.nodes import quality_of_service as qos
from svam_ros.nodes.message_conversion import (
    camera_info_message,
    image_message,
    joint_state_message,
    status_message,
    time_message,
)
from svam_ros.nodes.node_main import hearing_lost, run_node
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions
from svam_ros.nodes.ros_parameters import declare_parameters, read_parameters
from svam_ros.parameters import ParameterError, SimulationParameters, describe
from svam_ros.shipped_files import shipped_directory
from svam_ros.simulation.arm_driver import JointCommand
from svam_ros.simulation.cobot_simulation import CobotSimulation, SceneSnapshot
from svam_ros.simulation.front_camera import FrontCamera
from svam_ros.simulation.simulated_robot import driver_settings, report_period_s
from svam_ros.types import ImageArray

MAX_CATCH_UP_SLICES = 10
"""A machine that falls further behind (50 ms at 200 Hz) lets simulated time run slow instead of racing."""
JPEG_QUALITY = 90
"""As the compressing nodes of the Cobot's own recording tools use."""


class CobotSimNode(Node):
    """The node; see the module's docstring."""

    def __init__(self) -> None:
        super().__init__(graph.SIMULATION_NODE)
        declare_parameters(self, SimulationParameters, _fixed_parameters)
        self._options = read_parameters(self, SimulationParameters)
        self._profile = load_robot_profile(self._options.profile)
        if self._profile.output != "joint_state":
            raise ParameterError(
                f"profile {self._profile.name} has output {self._profile.output}; the simulated Cobot's "
                f"drivers take set-points: use one of the profiles with output joint_state"
            )
        self.cycle_period_s = report_period_s(self._profile)
        self._lock = threading.Lock()
        self._simulation = CobotSimulation(
            self._options.task,
            self._options.seed,
            drivers=driver_settings(self._profile, self._options.driver_quirks),
        )
        self._stamp_ns = self._now_ns()
        self._success_s: float | None = None
        self._next_slice = time.monotonic()
        self._exit_code: int | None = None
        self._open_interfaces()
        self._camera = CameraPublisher(self, self._profile, self._scene, self._options.publish_compressed)
        self._camera.start()

    def _open_interfaces(self) -> None:
        self._states = {}
        self._commands = PolledSubscriptions(self)
        for arm in ARM_NAMES:
            topics = self._profile.arms[arm]
            self._states[arm] = self.create_publisher(JointState, topics.state_topic, qos.JOINT_OUTPUT)
            self._commands.subscribe(
                JointState, topics.command_topic, partial(self._on_command, arm), qos.NEWEST_SAMPLE
            )
        enable = self._profile.enable
        for name in sorted(set(enable.names.values())):
            arms = [arm for arm in ARM_NAMES if enable.names[arm] == name]
            if enable.kind == "topic":
                self.create_subscription(Bool, name, partial(self._on_enable, arms), qos.STATUS)
            else:
                self.create_service(SetBool, name, partial(self._on_enable_service, arms))
        self._episode = self.create_publisher(DiagnosticArray, graph.EPISODE_TOPIC, qos.STATUS)
        self.create_service(Trigger, graph.RESET_SERVICE, self._on_reset)
        self.create_timer(0.1, self._publish_episode)

    # -- process --------------------------------------------------------------------------------

    def request_shutdown(self) -> None:
        """SIGINT or SIGTERM: nothing here has to come to rest."""
        self._exit_code = ENDED_IN_ORDER

    def on_hearing_lost(self) -> None:
        """The arms' drivers hear no command any more."""
        self.get_logger().fatal(str(hearing_lost()))
        self._exit_code = HEARS_NOBODY

    def on_internal_error(self, error: Exception) -> None:
        """A service or timer failed: the process ends by it."""
        raise error

    def finished(self) -> int | None:
        """Exit code when the process may end."""
        if self._camera.failure is not None:
            self.get_logger().fatal(f"the camera failed: {self._camera.failure}")
            return 1
        return self._exit_code

    def release(self) -> None:
        """End the camera's thread."""
        self._camera.stop()
        self._commands.close()

    def cycle(self) -> None:
        """Obey the newest commands, let the physics catch up with the clock."""
        self._commands.poll()
        self._advance()

    # -- physics --------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Run the physics up to now and publish the joint states of every slice."""
        now = time.monotonic()
        behind = int((now - self._next_slice) / self.cycle_period_s) + 1
        if behind > MAX_CATCH_UP_SLICES:
            self._next_slice = now
            behind = 1
        for missed in reversed(range(max(0, behind))):
            stamp_ns = self._now_ns() - missed * round(self.cycle_period_s * 1e9)
            with self._lock:
                self._simulation.step(self.cycle_period_s)
                self._stamp_ns = max(stamp_ns, self._stamp_ns + 1)
                if self._success_s is None and self._simulation.success():
                    self._success_s = self._simulation.time_s
            self._next_slice += self.cycle_period_s
            self._publish_states()

    def _publish_states(self) -> None:
        for arm in ARM_NAMES:
            report = self._simulation.driver_report(arm)
            names = self._profile.arms[arm].state_joint_names
            self._states[arm].publish(
                joint_state_message(
                    names, report.positions, report.velocities, report.efforts, self._stamp_ns
                )
            )

    def _scene(self) -> tuple[SceneSnapshot, int]:
        """What the camera sees now, and when."""
        with self._lock:
            return self._simulation.snapshot(), self._stamp_ns

    # -- inputs ---------------------------------------------------------------------------------

    def _on_command(self, arm: str, message: JointState) -> None:
        driver = self._simulation.drivers[arm]
        command = JointCommand(message.name, message.position, message.velocity, message.effort)
        if not driver.receive(command):
            self.get_logger().warning(
                f"the {arm} arm's driver refused a command: {dict(driver.refused)}", throttle_duration_sec=1.0
            )

    def _on_enable(self, arms: list[str], message: Bool) -> None:
        self._enable(arms, message.data)

    def _on_enable_service(
        self, arms: list[str], request: SetBool.Request, response: SetBool.Response
    ) -> SetBool.Response:
        self._enable(arms, request.data)
        response.success = True
        return response

    def _enable(self, arms: list[str], enabled: bool) -> None:
        for arm in arms:
            self._simulation.drivers[arm].enable(enabled)

    def _on_reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._options = read_parameters(self, SimulationParameters)
        with self._lock:
            self._simulation.reset(self._options.task, self._options.seed)
            self._success_s = None
            self._stamp_ns = max(self._now_ns(), self._stamp_ns + 1)
        # The arms are elsewhere now: this is on its way before whoever waits for the scene can engage.
        self._publish_states()
        self._publish_episode()
        response.success, response.message = True, f"{self._options.task}, seed {self._options.seed}"
        return response

    # -- outputs --------------------------------------------------------------------------------

    def _publish_episode(self) -> None:
        simulation = self._simulation
        values: dict[str, object] = {
            "task": simulation.task.name,
            "seed": simulation.seed,
            "instruction": simulation.instruction,
            "time_s": f"{simulation.time_s:.3f}",
            "success": str(self._success_s is not None).lower(),
            "success_or_now_s": f"{self._success_s or simulation.time_s:.3f}",
            "fraction": f"{simulation.fraction():.3f}",
        }
        for arm in ARM_NAMES:
            values[f"refused {arm}"] = sum(simulation.drivers[arm].refused.values())
        self._episode.publish(
            status_message(graph.EPISODE_STATUS, "", values, self._now_ns(), DiagnosticStatus.OK)
        )

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)


class CameraPublisher:
    """Renders and publishes the front camera at its rate, off the executor's thread.

    Args:
        node: publishes.
        profile: topics, size and rate.
        scene: gives the newest scene and its stamp.
        compressed: publish JPEG pictures too.
    """

    def __init__(
        self,
        node: Node,
        profile: RobotProfile,
        scene: Callable[[], tuple[SceneSnapshot, int]],
        compressed: bool,
    ) -> None:
        camera = profile.camera
        self._camera, self._scene = camera, scene
        calibration = (shipped_directory("calibration") / "front_camera.yaml").read_text(encoding="utf-8")
        self._calibration = yaml.safe_load(calibration)
        self._images = node.create_publisher(Image, camera.image_topic, qos.CAMERA_OUTPUT)
        self._infos = node.create_publisher(CameraInfo, camera.camera_info_topic, qos.CAMERA_OUTPUT)
        self._compressed = (
            node.create_publisher(
                CompressedImage, graph.compressed_sibling(camera.image_topic), qos.CAMERA_OUTPUT
            )
            if compressed
            else None
        )
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """End after the picture that is being made."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with FrontCamera(self._camera.width, self._camera.height) as renderer:
                self._publish_pictures(renderer)
        except Exception as error:  # the node reports it and ends the process
            self.failure = error

    def _publish_pictures(self, renderer: FrontCamera) -> None:
        period_s = 1.0 / self._camera.rate_hz
        due = time.monotonic()
        while not self._ending.wait(max(0.0, due - time.monotonic())):
            due = max(due + period_s, time.monotonic() - period_s)
            snapshot, stamp_ns = self._scene()
            rgb = renderer.render(snapshot)
            self._images.publish(image_message(rgb, stamp_ns, self._camera.frame_id, self._camera.encoding))
            self._infos.publish(camera_info_message(self._calibration, stamp_ns, self._camera.frame_id))
            if self._compressed is not None:
                self._compressed.publish(_jpeg_message(rgb, stamp_ns, self._camera.frame_id))


def _jpeg_message(rgb: ImageArray, stamp_ns: int, frame_id: str) -> CompressedImage:
    bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    message = CompressedImage(format="rgb8; jpeg compressed bgr8", data=data)
    message.header.stamp = time_message(stamp_ns)
    message.header.frame_id = frame_id
    return message


def _fixed_parameters() -> frozenset[str]:
    """Task and seed may change: they take effect at the next reset."""
    return frozenset(d.name for d in describe(SimulationParameters)) - {"task", "seed"}


def main() -> int:
    """Entry point of the executable ``cobot_sim_node``."""
    return run_node(CobotSimNode)


if __name__ == "__main__":
    raise SystemExit(main())
