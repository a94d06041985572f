# SPDX-License-Identifier: Apache-2.0
"""The node ``recorder``: writes the stack's topics into an MCAP file, undecoded."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from gemma4_ros.core.errors import ConversionError
from gemma4_ros.ros import params, qos
from gemma4_ros.ros.recording import Recording
from gemma4_ros.ros.types import message_class

__all__ = ['RecorderConfig', 'RecorderNode', 'recordings_folder']

TOPICS = (
    'gate/*', 'deadman/state', 'executor/tree', 'planner/*', 'gemma/status', 'speech/utterance',
    'copilot/reply', 'copilot/events',
    'perception/readings', 'odom', 'battery_state', 'mode', 'estop', 'diagnostics', '*/_action/status',
    'camera/overview/image_raw/compressed',
)  # fmt: skip
PICTURES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
TICK_S = 1.0


@dataclass(frozen=True)
class RecorderConfig:
    """Parameters of the node."""

    file: str = params.param(
        '',
        doc="the recording; NAME_2 if it is there; empty: one named after the time in the user's state folder",
    )
    topics: tuple[str, ...] = params.param(TOPICS, doc='names or shell patterns, relative to the namespace or absolute')
    exclude: tuple[str, ...] = params.param(('gate/debug/*',), doc='names or shell patterns that are left out')
    picture_period_s: float = params.param(
        0.5, doc='least time between two pictures of one topic', unit='s', low=0.0, high=600.0
    )
    max_message_bytes: int = params.param(4_000_000, doc='larger messages are left out', unit='byte', low=1000)
    max_file_bytes: int = params.param(2_000_000_000, doc='the recording ends at this size', unit='byte', low=100_000)


def recordings_folder() -> Path:
    """Return the folder of recordings whose file nobody named."""
    state = os.environ.get('XDG_STATE_HOME') or '~/.local/state'
    return Path(state).expanduser() / 'gemma4_ros' / 'recordings'


def _free(path: Path) -> Path:
    """Return a name that nobody has: a recorder that was started again goes on beside what it had written before."""
    others = (path.with_stem(f'{path.stem}_{number}') for number in range(2, 1000))
    return next((each for each in (path, *others) if not each.exists()), path)


class RecorderNode(Node):
    """Subscribe to what is there, write what comes."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('recorder', **kwargs)
        params.declare(self, RecorderConfig)
        config = self._config = params.read(self, RecorderConfig)
        name = f'{datetime.now(tz=timezone.utc):%Y%m%dT%H%M%SZ}_{os.getpid()}.mcap'
        self._recording: Recording | None = Recording(
            _free(Path(config.file).expanduser()) if config.file else recordings_folder() / name
        )
        self._subscriptions_by_topic: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._left_out = 0
        self._wanted = [self._absolute(pattern) for pattern in config.topics]
        self._unwanted = [self._absolute(pattern) for pattern in config.exclude]
        self.create_timer(TICK_S, self._on_tick, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._discover()
        self.get_logger().info(f'recording file={self._recording.path}')

    @property
    def recorded_topics(self) -> tuple[str, ...]:
        """Names of the topics that are subscribed."""
        return tuple(self._subscriptions_by_topic)

    @property
    def counts(self) -> dict[str, int]:
        """Messages written, by topic."""
        return self._recording.counts if self._recording is not None else {}

    def shutdown(self) -> None:
        """Finish the file."""
        recording, self._recording = self._recording, None
        if recording is None:
            return
        try:
            recording.close()
        except OSError as error:
            self.get_logger().error(f'the recording {recording.path} has no index: {error}; `mcap recover` mends it')
            return
        self.get_logger().info(
            f'recorded messages={recording.messages} left_out={self._left_out} file={recording.path}'
        )

    def _absolute(self, pattern: str) -> str:
        return pattern if pattern.startswith('/') else f'{self.get_namespace().rstrip("/")}/{pattern}'

    def _on_tick(self) -> None:
        if self._recording is None:
            return
        self._discover()
        try:
            self._recording.flush()
        except OSError as error:
            self._give_up(f'the disk does not take it: {error.strerror}')
            return
        if self._recording.size_bytes > self._config.max_file_bytes:
            self._give_up(f'the file has reached max_file_bytes={self._config.max_file_bytes}')

    def _give_up(self, why: str) -> None:
        self.get_logger().error(f'recording ends: {why}')
        for subscription in self._subscriptions_by_topic.values():
            self.destroy_subscription(subscription)
        self._subscriptions_by_topic.clear()
        self.shutdown()

    def _discover(self) -> None:
        for topic, types in self.get_topic_names_and_types():
            if topic in self._subscriptions_by_topic or topic in self._refused or not self._is_wanted(topic):
                continue
            if len(types) != 1:
                self._refuse(topic, f'it has {len(types)} types')
            elif self.count_publishers(topic) > 0:
                self._subscribe(topic, types[0])

    def _is_wanted(self, topic: str) -> bool:
        def named(patterns: list[str]) -> bool:
            return any(fnmatchcase(topic, pattern) for pattern in patterns)

        return named(self._wanted) and not named(self._unwanted)

    def _refuse(self, topic: str, why: str) -> None:
        self._refused.add(topic)
        self.get_logger().warning(f'{topic} is not recorded: {why}')

    def _subscribe(self, topic: str, type_name: str) -> None:
        if self._recording is None:
            return
        try:
            kind = message_class(type_name)
            self._recording.add_topic(topic, type_name)
        except ConversionError as error:
            self._refuse(topic, str(error))
            return
        period_s = self._config.picture_period_s if type_name in PICTURES else 0.0
        self._subscriptions_by_topic[topic] = self.create_subscription(
            kind, topic, self._writer(topic, period_s), self._profile(topic), raw=True
        )

    def _profile(self, topic: str) -> QoSProfile:
        """Ask for what all publishers offer, so that latched messages come and none is refused."""
        offers = [info.qos_profile for info in self.get_publishers_info_by_topic(topic)]
        profile = QoSProfile(depth=qos.AUDIO.depth)
        if not all(offer.reliability == ReliabilityPolicy.RELIABLE for offer in offers):
            profile.reliability = ReliabilityPolicy.BEST_EFFORT
        if offers and all(offer.durability == DurabilityPolicy.TRANSIENT_LOCAL for offer in offers):
            profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
        return profile

    def _writer(self, topic: str, period_s: float) -> Any:
        last_s = -1e9

        def write(data: bytes, info: Any) -> None:
            nonlocal last_s
            now_s = time.monotonic()
            if self._recording is None or now_s - last_s < period_s:
                return
            if len(data) > self._config.max_message_bytes:
                self._left_out += 1
                return
            last_s = now_s
            now_ns = time.time_ns()
            published_ns = int(info.get('source_timestamp', 0)) or now_ns
            try:
                self._recording.write(topic, data, now_ns, published_ns)
            except OSError as error:
                self._give_up(f'the disk does not take it: {error.strerror}')

        return write
