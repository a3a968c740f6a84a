"""Quality of service of every topic, with the reason for each."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

NEWEST_FRAME = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Camera input: only the newest frame, from reliable and best-effort cameras alike."""

CAMERA_OUTPUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=2, reliability=ReliabilityPolicy.RELIABLE)
"""As the Orbbec and RealSense drivers publish by default."""

EVERY_STATE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Joint states where each one counts, because a frame is matched with the one before it: a quarter of a
second at 200 Hz."""

NEWEST_SAMPLE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
)
"""Joint states and set-points where only the newest counts. A deeper queue that fills once under load
stays full, and everything read from it is then late by its length (50 set-points at 100 Hz: 0.5 s)."""

JOINT_OUTPUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""Joint states and set-points out; the drivers use reliable, volatile."""

CHUNKS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=4, reliability=ReliabilityPolicy.RELIABLE)
"""Chunks are few and none may be lost."""

SIGN_OF_LIFE_PERIOD_S = 0.025
"""Two in a row may be late without a fault."""

SIGN_OF_LIFE = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    deadline=Duration(seconds=0.08),
    liveliness=LivelinessPolicy.MANUAL_BY_TOPIC,
    liveliness_lease_duration=Duration(seconds=0.1),
)
"""Noticed within a tenth of a second when they stay away. Automatic liveliness would not do: threads
of DDS vouch for it, and go on while Python hangs."""

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""Instructions: a node that starts later still gets the last one."""

STATUS = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=20, reliability=ReliabilityPolicy.RELIABLE)
"""Timing, motion and episode status, and /diagnostics."""

RECORDING = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=200, reliability=ReliabilityPolicy.BEST_EFFORT)
"""What the recorder listens with: a deep queue, and never a wish that slows a publisher down."""
