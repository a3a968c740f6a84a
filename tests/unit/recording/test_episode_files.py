"""Writing and reading episodes: with real CDR bytes from rclpy, with other people's readers, with a kill."""

import array
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import String

from svam_ros.recording.episode_file import RecordingError
from svam_ros.recording.episode_reader import (
    EpisodeReadError,
    is_finished,
    read_episode,
    read_metadata,
    recover_episode,
)
from svam_ros.recording.episode_writer import EpisodeWriter
from svam_ros.recording.message_schemas import message_schema
from svam_ros.translation.images import decode_colour_image
from svam_ros.whole_files import PART_SUFFIX

START_NS = 1_900_000_000_000_000_000
TYPES = {
    "/camera": "sensor_msgs/msg/Image",
    "/left": "sensor_msgs/msg/JointState",
    "/say": "std_msgs/msg/String",
}


def picture(n: int) -> Image:
    pixels = np.full((6, 8, 3), n, dtype=np.uint8)
    pixels[0, 0] = (255, 0, 7)
    message = Image(height=6, width=8, encoding="rgb8", step=24, data=array.array("B", pixels.tobytes()))
    message.header.stamp.sec, message.header.stamp.nanosec = 1_900_000_000, n
    return message


def joints(n: int) -> JointState:
    values = [n + 0.1 * joint for joint in range(7)]
    return JointState(name=[f"joint{j}" for j in range(7)], position=values, velocity=values, effort=values)


def record(path: Path, count: int = 5) -> list[tuple[str, bytes]]:
    """An episode of ``count`` of each message; returns what was written, in order."""
    written = []
    with EpisodeWriter(path, {"task": "lift_pot", "seed": "3"}) as writer:
        for topic, type_name in TYPES.items():
            writer.add_topic(topic, type_name, message_schema(type_name))
        for n in range(count):
            for topic, message in (
                ("/camera", picture(n)),
                ("/left", joints(n)),
                ("/say", String(data=f"step {n}")),
            ):
                stamp = START_NS + len(written) * 1_000_000
                assert writer.write(topic, serialize_message(message), stamp, stamp - 500)
                written.append((topic, serialize_message(message)))
    return written


def test_what_rclpy_serialised_comes_back_with_both_times_and_rclpys_attributes(tmp_path):
    written = record(tmp_path / "e.mcap")
    read = list(read_episode(tmp_path / "e.mcap"))
    assert [(m.topic, m.data) for m in read] == written
    assert [m.log_time_ns - m.publish_time_ns for m in read] == [500] * len(written)
    assert read[0].log_time_ns == START_NS
    assert read[4].message.position == [1 + 0.1 * joint for joint in range(7)]
    assert read[3].message.header.stamp.nanosec == 1
    live = decode_colour_image(deserialize_message(read[3].data, Image))
    np.testing.assert_array_equal(decode_colour_image(read[3].message), live)
    assert live[0, 0].tolist() == [255, 0, 7]


def test_only_wanted_topics_are_read(tmp_path):
    record(tmp_path / "e.mcap")
    assert {m.topic for m in read_episode(tmp_path / "e.mcap", ["/say"])} == {"/say"}


def test_the_public_mcap_tools_read_it(tmp_path):
    written = record(tmp_path / "e.mcap")
    with (tmp_path / "e.mcap").open("rb") as stream:
        reader = make_reader(stream, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        summary = reader.get_summary()
        assert [(c.topic, bytes(m.data)) for _, c, m in reader.iter_messages()] == written
    assert summary is not None
    assert summary.statistics.message_count == len(written)
    assert {index.compression for index in summary.chunk_indexes} == {"zstd"}
    assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}


def test_rosbags_reads_it(tmp_path):
    record(tmp_path / "e.mcap")
    with AnyReader([tmp_path / "e.mcap"]) as reader:
        decoded = [(c.topic, reader.deserialize(raw, c.msgtype)) for c, _, raw in reader.messages()]
    assert len(decoded) == 15
    np.testing.assert_allclose(decoded[1][1].position, [0.1 * joint for joint in range(7)])
    assert decoded[2][1].data == "step 0"


def test_metadata_and_outcome_stand_in_the_file(tmp_path):
    path = tmp_path / "e.mcap"
    writer = EpisodeWriter(path, {"task": "lift_pot"})
    assert read_metadata(writer.part_path) == {"svam_episode": {"task": "lift_pot"}}
    assert writer.close({"success": "yes"}) == path
    assert read_metadata(path)["svam_outcome"] == {"success": "yes", "dropped": "0"}


def test_the_real_name_appears_only_when_the_episode_is_whole(tmp_path):
    path = tmp_path / "e.mcap"
    writer = EpisodeWriter(path, {})
    assert not path.exists()
    assert writer.part_path.exists()
    writer.close()
    assert path.exists()
    assert not writer.part_path.exists()


def test_an_exception_leaves_a_recoverable_part(tmp_path):
    path = tmp_path / "e.mcap"
    writer = EpisodeWriter(path, {"seed": "1"})
    writer.add_topic("/say", TYPES["/say"], message_schema(TYPES["/say"]))
    writer.write("/say", serialize_message(String(data="last words")), START_NS, START_NS)
    with pytest.raises(ZeroDivisionError), writer:
        raise ZeroDivisionError
    assert not path.exists()
    assert [m.message.data for m in read_episode(writer.part_path)] == ["last words"]


def test_what_does_not_fit_is_dropped_and_counted_and_shows_as_a_gap(tmp_path):
    path = tmp_path / "e.mcap"
    writer = EpisodeWriter(path, {}, queue_bytes=1_000_000)
    for topic in ("/camera", "/say"):
        writer.add_topic(topic, TYPES[topic], message_schema(TYPES[topic]))
    start = time.perf_counter()
    # A picture may take no more than seven eighths of the queue: the last eighth is for small messages.
    kept = [writer.write("/camera", bytes(size), n, n) for n, size in enumerate([400_000, 900_000, 400_000])]
    assert writer.write("/say", serialize_message(String(data="small")), 5, 5)
    assert time.perf_counter() - start < 0.05
    writer.close()
    assert kept == [True, False, True]
    assert writer.dropped == 1
    assert writer.dropped_by_topic == {"/camera": 1}
    assert read_metadata(path)["svam_outcome"] == {"dropped": "1", "dropped /camera": "1"}
    assert [m.sequence for m in read_episode(path, ["/camera"])] == [0, 2]


def test_recordings_are_never_overwritten(tmp_path):
    path = tmp_path / "e.mcap"
    record(path)
    with pytest.raises(RecordingError, match="exists already"):
        EpisodeWriter(path, {})
    path.rename(tmp_path / f"f.mcap{PART_SUFFIX}")
    with pytest.raises(RecordingError, match="killed run"):
        EpisodeWriter(tmp_path / "f.mcap", {})


def test_wrong_uses_are_told(tmp_path):
    with pytest.raises(RecordingError, match="No such file"):
        EpisodeWriter(tmp_path / "missing" / "e.mcap", {})
    writer = EpisodeWriter(tmp_path / "e.mcap", {})
    with pytest.raises(KeyError, match="/unknown"):
        writer.write("/unknown", b"", 0, 0)
    writer.close()
    with pytest.raises(RecordingError, match="closed"):
        writer.write("/unknown", b"", 0, 0)
    (tmp_path / "text.mcap").write_text("no episode")
    with pytest.raises(EpisodeReadError, match="not an MCAP file"):
        list(read_episode(tmp_path / "text.mcap"))


def test_a_failing_disk_reaches_the_caller(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    code = (
        "import sys, time; from pathlib import Path\n"
        "from svam_ros.recording.episode_writer import EpisodeWriter\n"
        "w = EpisodeWriter(Path(sys.argv[1]), {})\n"
        "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), w._file._stream.fileno())\n"
        "w.add_topic('/t', 'std_msgs/msg/String', 'string data')\n"
        "for n in range(200):\n"
        "    w.write('/t', bytes(100_000), n, n); time.sleep(0.01)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "e.mcap")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "RecordingError" in done.stderr
    assert "No space left" in done.stderr


ENDLESS = """
import sys, time
from pathlib import Path
from svam_ros.recording.episode_writer import EpisodeWriter
writer = EpisodeWriter(Path(sys.argv[1]), {"task": "lift_pot"})
writer.add_topic("/say", "std_msgs/msg/String", "string data\\n")
n = 0
while True:
    text = b"%08d" % n + bytes(range(97, 123)) * 40 + b"\\0"
    cdr = b"\\0\\1\\0\\0" + len(text).to_bytes(4, "little") + text
    writer.write("/say", cdr, time.time_ns(), n)
    n += 1
    time.sleep(0.001)
"""


@pytest.fixture
def killed(tmp_path):
    """What a recording process leaves that was killed by force in full swing, and when it was."""
    path = tmp_path / "episode_0000.mcap"
    process = subprocess.Popen([sys.executable, "-c", ENDLESS, str(path)])
    part = path.with_name(path.name + PART_SUFFIX)
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 2_000 and len(list(read_episode(part))) > 1000):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return part, time.time_ns()


def test_a_killed_run_is_readable_up_to_its_last_chunk(killed):
    part, killed_ns = killed
    assert not is_finished(part)
    messages = list(read_episode(part))
    assert [m.sequence for m in messages] == list(range(len(messages)))
    assert messages[-1].message.data.startswith(f"{len(messages) - 1:08d}abc")
    assert killed_ns - messages[-1].log_time_ns < 2.5e9, "lost more than the last chunk"
    assert read_metadata(part) == {"svam_episode": {"task": "lift_pot"}}


def test_a_killed_run_is_made_whole_again(killed):
    part, _ = killed
    with part.open("ab") as stream:
        stream.write(b"\x06" + (10_000_000).to_bytes(8, "little") + b"half a chunk")
    messages = list(read_episode(part))
    path, count = recover_episode(part)
    assert path.name == "episode_0000.mcap"
    assert count == len(messages)
    assert is_finished(path)
    assert [(m.data, m.sequence, m.publish_time_ns) for m in read_episode(path)] == [
        (m.data, m.sequence, m.publish_time_ns) for m in messages
    ]
    assert read_metadata(path)["svam_episode"] == {"task": "lift_pot"}
    assert read_metadata(path)["svam_recovered"]["messages"] == str(count)
    assert part.exists()


def test_damage_in_the_middle_is_told(tmp_path):
    path = tmp_path / "e.mcap"
    record(path)
    content = bytearray(path.read_bytes())
    middle = content.index(b"zstd") + 40
    content[middle : middle + 60] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(EpisodeReadError, match="damaged"):
        list(read_episode(path))
