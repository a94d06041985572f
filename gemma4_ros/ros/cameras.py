# SPDX-License-Identifier: Apache-2.0
"""Fresh frames of a camera topic: subscribed only while somebody asks, decoded only by the one who asked."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from gemma4_ros.core.errors import NoFrameError
from gemma4_ros.ros import qos
from gemma4_ros.ros.types import message_class
from gemma4_ros.ros.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rclpy.node import Node

__all__ = ['CLOCK_SLACK_NS', 'RELIABILITIES', 'CameraFeed', 'Frame', 'choose_qos']

CLOCK_SLACK_NS = 20_000_000
"""The camera's clock may be so far behind ours."""
FUTURE_NS = 1_000_000_000
POLL_S = 0.01
LOOK_S = 0.25  # so often it is looked, while frames are waited for, what the camera offers
MAX_WAITING = 8
RELIABILITIES = ('auto', 'reliable', 'best_effort')
"""How a camera may be subscribed; see `choose_qos`."""


def choose_qos(reliability: str, offered: Iterable[ReliabilityPolicy]) -> QoSProfile:
    """
    Say how to subscribe to a camera.

    Parameters
    ----------
    reliability : str
        One of `RELIABILITIES`. ``auto``: reliable where every publisher offers it, for then large frames arrive whole;
        else best effort, for a reliable subscriber gets nothing from a best-effort camera.
    offered : iterable of ReliabilityPolicy
        What the publishers that are there offer.

    """
    if reliability == 'auto':
        kinds = set(offered)
        return qos.SIGNAL if kinds == {ReliabilityPolicy.RELIABLE} else qos.SENSOR
    return qos.SIGNAL if reliability == 'reliable' else qos.SENSOR


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it came: CDR bytes, when they came and the stamp that they carry."""

    data: bytes
    kind: Any
    received_s: float
    stamp_ns: int

    def message(self) -> Any:
        """Return the message; costs the deserialisation."""
        return deserialize_message(self.data, self.kind)


class CameraFeed:
    """
    A camera topic.

    While nobody asks there is no subscription and no cost. A request subscribes, and a frame counts only if it was
    received and stamped after the request: a picture from before the robot arrived is never used. The subscription
    stays for ``linger_s``, so that a second request is quick. ``reliability`` is one of `RELIABILITIES`.
    """

    def __init__(
        self,
        node: Node,
        workers: Workers,
        topic: str,
        type_name: str,
        linger_s: float = 5.0,
        reliability: str = 'auto',
    ) -> None:
        self.topic = topic
        self._node, self._workers = node, workers
        self._kind = message_class(type_name)
        self._linger_s, self._reliability = linger_s, reliability
        self._group = MutuallyExclusiveCallbackGroup()
        self._subscription: Any = None
        self._profile = qos.SENSOR
        self._looked_s = 0.0
        self._waiting: list[deque[Frame]] = []
        self._used_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it is subscribed now."""
        return self._subscription is not None

    async def fresh(self, count: int, deadline_s: float, max_age_s: float) -> list[Frame]:
        """
        Return ``count`` frames that were taken after this call.

        Raises
        ------
        NoFrameError
            They did not come within ``deadline_s``, or were too old; says which.

        """
        asked_s, asked_ns = time.monotonic(), self._node.get_clock().now().nanoseconds
        seen: deque[Frame] = deque(maxlen=MAX_WAITING)
        kept: list[Frame] = []
        old = [0]

        def is_enough() -> bool:
            if time.monotonic() - self._looked_s > LOOK_S:
                self._open()  # the camera may have come, or come back otherwise, in the meantime
            return self._sort(seen, kept, old, asked_ns, max_age_s) >= count

        self._open()
        self._waiting.append(seen)
        try:
            await self._workers.wait_for(is_enough, deadline_s, POLL_S)
        finally:
            self._waiting = [queue for queue in self._waiting if queue is not seen]  # deques are equal by content
            self._used_s = time.monotonic()
        if len(kept) < count:
            raise NoFrameError(self._missing(len(kept), count, old[0], time.monotonic() - asked_s))
        return kept[:count]

    def _sort(self, seen: deque[Frame], kept: list[Frame], old: list[int], asked_ns: int, max_age_s: float) -> int:
        """Move what came since the last look to ``kept``, or count it as old."""
        now_ns = self._node.get_clock().now().nanoseconds
        while seen:
            frame = seen.popleft()
            is_new = frame.stamp_ns >= asked_ns - CLOCK_SLACK_NS and frame.stamp_ns <= now_ns + FUTURE_NS
            is_young = now_ns - frame.stamp_ns <= max_age_s * 1e9
            is_other = not kept or frame.stamp_ns > kept[-1].stamp_ns  # a stamp that stands still is one picture
            if is_new and is_young and is_other:
                kept.append(frame)
            else:
                old[0] += 1
        return len(kept)

    def _missing(self, got: int, count: int, old: int, waited_s: float) -> str:
        offered = self._offered()
        if not offered:
            why = 'nobody publishes it'
        elif old:
            why = f'{old} frames were stamped before the request or wrongly'
        elif self._profile is qos.SIGNAL and ReliabilityPolicy.RELIABLE not in offered:
            why = 'its camera offers best effort only: set image_reliability to auto or best_effort'
        else:
            why = 'it is silent'
        return f'{self.topic}: {got} of {count} fresh frames within {waited_s:.1f} s: {why}'

    def close_if_idle(self) -> None:
        """Let the subscription go when nobody has asked for a while."""
        if self._subscription is not None and not self._waiting and time.monotonic() - self._used_s > self._linger_s:
            self.close()

    def close(self) -> None:
        """Let the subscription go."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _offered(self) -> list[ReliabilityPolicy]:
        return [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)]

    def _open(self) -> None:
        """Subscribe, anew where the cameras that are there want another reliability."""
        self._looked_s = time.monotonic()
        profile = choose_qos(self._reliability, self._offered())
        if self._subscription is not None and profile is not self._profile:
            self.close()
        if self._subscription is None:
            # raw: bytes, nothing is deserialised until somebody needs the pixels
            self._subscription = self._node.create_subscription(
                self._kind, self.topic, self._on_frame, profile, raw=True, callback_group=self._group
            )
            self._profile = profile

    def _on_frame(self, data: bytes) -> None:
        if self._waiting:
            frame = Frame(data, self._kind, time.monotonic(), stamp_of(data))
            for queue in self._waiting:
                queue.append(frame)


def stamp_of(data: bytes) -> int:
    """Return the stamp, ns, of a CDR message that begins with a header: it follows four bytes of encapsulation."""
    order: Literal['little', 'big'] = 'little' if data[1] & 1 else 'big'
    seconds = int.from_bytes(data[4:8], order, signed=True)
    return max(seconds, 0) * 1_000_000_000 + int.from_bytes(data[8:12], order)
