# SPDX-License-Identifier: Apache-2.0
"""Quality of service by name; a node never writes a depth."""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSLivelinessPolicy, QoSProfile, ReliabilityPolicy

__all__ = [
    'AUDIO',
    'EVENTS',
    'HEARTBEAT',
    'LATCHED_HISTORY',
    'SENSOR',
    'SIGNAL',
    'STATE_LATCHED',
    'STOP',
]


def _keep_last(depth: int, *, reliable: bool = True, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


STATE_LATCHED = _keep_last(1, latched=True)
"""The newest state, also for those who come late: gate, deadman, tree, model."""

LATCHED_HISTORY = _keep_last(50, latched=True)
"""The last 50 decisions, also for those who come late: verdicts."""

EVENTS = _keep_last(50)
"""Things that happened: utterances, replies, readings."""

HEARTBEAT = _keep_last(1)
"""Signs of life at 10 Hz; only the newest counts."""

STOP = _keep_last(10)
"""Stop requests; none may be lost in a burst."""

SENSOR = _keep_last(1, reliable=False)
"""Frames and scans of those who offer no more: the newest one, never a queue."""

SIGNAL = _keep_last(1)
"""Signals of the robot, battery, mode, e-stop, odometry, and frames where their camera offers it."""

AUDIO = _keep_last(100)
"""Audio chunks, in order and without holes."""


def signal_alive(lease_s: float) -> QoSProfile:
    """Return the profile of a latched signal whose publisher must offer liveliness AUTOMATIC within a lease, s."""
    profile = _keep_last(1, latched=True)
    profile.liveliness = QoSLivelinessPolicy.AUTOMATIC
    profile.liveliness_lease_duration = Duration(seconds=lease_s)
    return profile
