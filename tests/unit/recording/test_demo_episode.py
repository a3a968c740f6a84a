"""From an episode file of real ROS messages to the data of the report and of the audit."""

import array
from dataclasses import dataclass, replace

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image, JointState
from support.demo_records import demo_record
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from svam_ros import graph
from svam_ros.cobot import load_cobot, load_robot_profile
from svam_ros.profiling.html_report import render_html_report
from svam_ros.recording.demo_episode import MAX_STILLS, demo_record_from_episode, load_episode
from svam_ros.recording.episode_reader import EpisodeReadError
from svam_ros.recording.episode_writer import EpisodeWriter
from svam_ros.recording.message_schemas import message_schema

COBOT = load_cobot()
START_NS = 1_900_000_000_000_000_000
SECONDS = 4.0
SPEED = 0.25
"""rad/s of every joint, m/s of every gripper (times 0.04)."""


def stamped(message, ns: int, frame_id: str = ""):
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(ns, 1_000_000_000)
    message.header.frame_id = frame_id
    return message


def position_at(time_s: float) -> np.ndarray:
    return COBOT.home + time_s * SPEED * np.tile([1, 1, 1, 1, 1, 1, -0.04], 2)


def joint_state(profile, arm: str, names: tuple[str, ...], time_s: float, ns: int) -> JointState:
    own = position_at(time_s)[COBOT.arm_slice(arm)]
    own[-1] /= profile.gripper.metres_per_unit
    zeros = [0.0] * 7
    return stamped(JointState(name=list(names), position=own.tolist(), velocity=zeros, effort=zeros), ns)


def image(ns: int) -> Image:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, :, 0] = 200
    message = Image(height=48, width=64, encoding="rgb8", step=192, data=array.array("B", pixels.tobytes()))
    return stamped(message, ns)


def chunk(sequence: int, ns: int) -> JointTrajectory:
    message = JointTrajectory(joint_names=list(COBOT.joint_names))
    for step in range(2, 10):
        point = JointTrajectoryPoint(positions=position_at((ns - START_NS) / 1e9 + step * 0.04).tolist())
        point.time_from_start.nanosec = step * 40_000_000
        message.points.append(point)
    return stamped(message, ns, f"beef/{sequence}")


def timing(sequence: int, ns: int, name: str = graph.TIMING_STATUS) -> DiagnosticArray:
    values = {"run_id": "beef", "sequence": sequence, "observation_age_ms": 61.5, "input_digest": "00ff"}
    values |= {"backbone": 26.0, "total": 45.0 + sequence}
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return stamped(DiagnosticArray(status=[DiagnosticStatus(name=name, values=pairs)]), ns)


@dataclass(frozen=True)
class Sent:
    topic: str
    message: object
    ns: int


def everything(profile) -> list[Sent]:
    """Four seconds of a robot: camera 30 Hz, states 200 Hz, commands 100 Hz, chunks 5 Hz."""
    sent = [Sent(profile.camera.image_topic, image(ns), ns) for ns in clock(30)]
    for arm, own in profile.arms.items():
        for ns in clock(200):
            time_s = (ns - START_NS) / 1e9
            sent.append(
                Sent(own.state_topic, joint_state(profile, arm, own.state_joint_names, time_s - 0.05, ns), ns)
            )
        for ns in clock(100):
            command = joint_state(profile, arm, own.command_joint_names, (ns - START_NS) / 1e9, ns)
            sent.append(Sent(own.command_topic, command, ns - 3_000_000))
    for sequence, ns in enumerate(clock(5)):
        sent.append(Sent(f"/{graph.CHUNK_TOPIC}", chunk(sequence, ns), ns + 61_500_000))
        sent.append(
            Sent(f"/{graph.TIMING_TOPIC}", timing(sequence, ns + 61_500_000), ns + 61_500_000),
        )
    return sorted(sent, key=lambda one: one.ns)


def clock(rate_hz: int) -> list[int]:
    return [START_NS + round(n * 1e9 / rate_hz) for n in range(round(SECONDS * rate_hz))]


def record(path, sent: list[Sent], metadata: dict[str, str]):
    with EpisodeWriter(path, metadata) as writer:
        for topic in {one.topic for one in sent}:
            kind = next(type(one.message) for one in sent if one.topic == topic)
            type_name = f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"
            writer.add_topic(topic, type_name, message_schema(type_name))
        for one in sent:
            stamp = one.message.header.stamp
            publish_ns = stamp.sec * 1_000_000_000 + stamp.nanosec
            assert writer.write(one.topic, serialize_message(one.message), one.ns, publish_ns)
    return path


@pytest.fixture(scope="module", params=["cobot_magic", "aloha_agilex"])
def profile(request):
    return load_robot_profile(request.param)


@pytest.fixture(scope="module")
def path(profile, tmp_path_factory):
    name = tmp_path_factory.mktemp("episode") / "episode_0000.mcap"
    return record(name, everything(profile), {"task": "lift_pot", "instruction": "lift the pot"})


@pytest.fixture(scope="module")
def demo(path, profile):
    return demo_record_from_episode(path, profile, demo_record().report, episode=1)


def test_measured_and_commanded_joints_are_in_our_order_units_and_time(demo):
    for number, arm in enumerate(("left", "right")):
        for trace, lag in ((demo.arms[arm].measured, 0.05), (demo.arms[arm].commanded, 0.0)):
            at = len(trace.times_s) // 2
            expected = position_at(trace.times_s[at] - lag)[7 * number : 7 * number + 7]
            np.testing.assert_allclose(trace.positions[at], expected, atol=1e-9)
    assert len(demo.arms["left"].commanded.times_s) == 400
    assert 150 <= len(demo.arms["left"].measured.times_s) <= 220, "states are thinned to about 50 Hz"


def test_chunks_lie_where_their_steps_are_due(demo):
    assert [chunk.sequence for chunk in demo.chunks] == list(range(20))
    third = demo.chunks[3]
    assert third.observation_time_s == pytest.approx(0.6)
    np.testing.assert_allclose(third.target_times_s, 0.6 + 0.04 * np.arange(2, 10), atol=1e-9)
    np.testing.assert_allclose(third.targets[0], position_at(0.68), atol=1e-9)


def test_stage_times_belong_to_the_observation_of_their_chunk(demo):
    row = demo.timings[5]
    assert row.observation_time_s == pytest.approx(1.0)
    assert row.stages_ms == {"backbone": 26.0, "total": 50.0}
    assert row.observation_age_ms == 61.5


def test_pictures_are_thinned_and_keep_their_colours(demo):
    assert MAX_STILLS // 2 <= len(demo.stills) <= MAX_STILLS
    gaps = np.diff([still.time_s for still in demo.stills])
    assert gaps.max() == pytest.approx(gaps.min(), abs=1e-6)
    bgr = cv2.imdecode(np.frombuffer(demo.stills[0].jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert bgr[20, 20, 2] > 190
    assert bgr[20, 20, 0] < 10


def test_the_frame_of_the_record(demo):
    assert demo.instruction == "lift the pot"
    assert demo.duration_s == pytest.approx(SECONDS, abs=0.05)
    assert demo.recorded_utc == "2030-03-17 17:46 UTC"
    assert demo.episode == 1


def test_the_report_can_be_made_of_it(demo):
    assert "Planned against measured" in render_html_report(demo)


def test_the_audit_sees_every_set_point(path, profile):
    audit = load_episode(path, profile, COBOT).audit(COBOT)
    assert audit.set_points == 800
    assert audit.max_velocity_ratio == pytest.approx(SPEED / COBOT.limits.velocity[0], rel=1e-3)
    assert (audit.non_finite, audit.breaks) == (0, 0)


def test_a_set_point_that_no_driver_could_obey_is_counted(tmp_path, profile):
    sent = everything(profile)
    topic = profile.arms["left"].command_topic
    at = [n for n, one in enumerate(sent) if one.topic == topic][100]
    sent[at].message.position[3] = float("nan")
    path = record(tmp_path / "e.mcap", sent, {})
    assert load_episode(path, profile, COBOT).audit(COBOT).non_finite == 7


def test_compressed_pictures_are_shown_too(tmp_path, profile):
    jpeg = cv2.imencode(".jpg", np.full((48, 64, 3), (0, 0, 200), np.uint8))[1].tobytes()
    message = stamped(CompressedImage(format="jpeg", data=array.array("B", jpeg)), START_NS)
    topic = f"{profile.camera.image_topic}/compressed"
    path = record(tmp_path / "e.mcap", [Sent(topic, message, START_NS)], {"task": "lift_pot"})
    episode = load_episode(path, profile, COBOT)
    assert len(episode.stills) == 1
    assert episode.instruction == "lift_pot"


def test_an_episode_of_another_profile_is_named_as_such(path, profile):
    other = replace(
        profile,
        name="other",
        camera=replace(profile.camera, image_topic="/elsewhere"),
        arms={arm: replace(own, state_topic=f"/x/{arm}") for arm, own in profile.arms.items()},
    )
    with pytest.raises(EpisodeReadError, match="robot profile other"):
        load_episode(path, other, COBOT)


def test_broken_stage_times_are_told(tmp_path, profile):
    broken = timing(0, START_NS)
    broken.status[0].values[0].key = "unknown"
    sent = [Sent(f"/{graph.TIMING_TOPIC}", broken, START_NS)]
    with pytest.raises(EpisodeReadError, match="run_id"):
        load_episode(record(tmp_path / "e.mcap", sent, {}), profile, COBOT)
