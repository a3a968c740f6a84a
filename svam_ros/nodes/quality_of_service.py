"""Quality of service of every topic, with the reason for each."""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

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
