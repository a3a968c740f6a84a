"""Records an episode onto a disk that is nearly full: ``python -m faults.recorder_process FILE BYTES``.

No file may grow beyond that many bytes; 0 is no bound. Any line on standard input is answered by how the
recording goes.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from svam_ros.cobot import load_robot_profile
from svam_ros.nodes.episode_recorder import EpisodeRecorder
from svam_ros.nodes.polled_subscriptions import PolledSubscriptions, PollingThread
from svam_ros.parameters import SimulationParameters


def main(path: Path, most_bytes: int) -> int:
    """Record until standard input ends."""
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node("recorder")
    streams = PolledSubscriptions(node)
    recorder = EpisodeRecorder(node, streams, load_robot_profile(SimulationParameters().profile))
    recorder.begin(path, {"task": "none"})
    if most_bytes:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # Writing then fails as on a full disk: OSError.
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    thread = PollingThread(streams)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps({"failure": recorder.failure, "messages": recorder.counts.total()}), flush=True)
    thread.close()
    recorder.abandon()
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2])))
