# SPDX-License-Identifier: Apache-2.0
"""The robot's signals as the gate takes them: from the publishers that the policy names, with value, stamp and life."""

from __future__ import annotations

import functools
import math
import time
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node

from gemma4_ros.core.gate.moment import Moment
from gemma4_ros.core.gate.policy import Policy, SignalRule
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.ros import qos
from gemma4_ros.ros.convert import message_class

__all__ = ['GateSignals', 'value_of']


class GateSignals:
    """
    Subscribes every signal of the policy and hands it to the moment.

    Parameters
    ----------
    node : Node
        Subscribes.
    policy, moment : Policy, Moment
        What is wanted, and who gets it.

    """

    def __init__(self, node: Node, policy: Policy, moment: Moment) -> None:
        self._node, self._moment = node, moment
        self._names: dict[bytes, str] = {}  # of nodes, by the identity of their publisher
        self._alive: set[str] = set()
        self._ignored: set[tuple[str, str]] = set()
        for rule in policy.signals.values():
            self._subscribe(rule)

    def _subscribe(self, rule: SignalRule) -> None:
        profile, events = qos.SIGNAL, None
        if rule.fresh_by == 'liveliness':
            profile = qos.signal_alive(rule.max_age_s)
            events = SubscriptionEventCallbacks(liveliness=functools.partial(self._on_liveliness, rule.name))
        callback = functools.partial(self._on_message, rule)
        # rclpy tells by the signature whether it hands over the publisher's identity, and a partial hides it
        self._node.create_subscription(
            message_class(rule.type),
            rule.topic,
            lambda message, info: callback(message, info),
            profile,
            event_callbacks=events,
        )

    def tick(self, now: float) -> None:
        """Keep fresh what is fresh by its publisher's life; to be called at 20 Hz."""
        for name in self._alive:
            self._moment.alive(name, now)

    def _on_liveliness(self, name: str, event: Any) -> None:
        if event.alive_count > 0:
            self._alive.add(name)
        else:
            self._alive.discard(name)

    def _on_message(self, rule: SignalRule, message: Any, info: Any) -> None:
        value = value_of(message, rule.field)
        if rule.publishers and not (rule.name == 'estop' and value is not False):  # anybody may stop
            name = self._publisher(rule.topic, info)
            if name not in rule.publishers and name.removeprefix(self._space()) not in rule.publishers:
                self._ignore(rule, name)
                return
        stamp = getattr(getattr(message, 'header', None), 'stamp', None)
        stamp_s = None if stamp is None or not math.isfinite(rule.frozen_after_s) else stamp.sec + stamp.nanosec * 1e-9
        self._moment.signal(rule.name, value, time.monotonic(), stamp_s)

    def _space(self) -> str:
        return str(self._node.get_namespace()).rstrip('/') + '/'

    def _publisher(self, topic: str, info: Any) -> str:
        """Return the absolute name of the node that sent a message; empty while the graph does not know it."""
        gid = bytes((info.get('publisher_gid') or {}).get('data', b''))
        if gid not in self._names:
            found = self._node.get_publishers_info_by_topic(self._node.resolve_topic_name(topic))
            named = [end for end in found if not end.node_name.startswith('_NODE_NAME_UNKNOWN')]
            self._names |= {
                bytes(end.endpoint_gid): f'{end.node_namespace.rstrip("/")}/{end.node_name}' for end in named
            }
        return self._names.get(gid, '')

    def _ignore(self, rule: SignalRule, name: str) -> None:
        if name and (rule.name, name) not in self._ignored and len(self._ignored) < 256:
            self._ignored.add((rule.name, name))
            self._node.get_logger().error(
                f'{name!a} publishes {rule.topic!a}; the policy takes it from others: ignored'
            )


def value_of(message: Any, path: str) -> str | bool | float | Point | None:
    """
    Return the value at a path: a text, a truth value, a finite number, or a place in the frame of the header.

    A place is anything with numbers ``x`` and ``y``, or with a ``position`` of that form (geometry_msgs Point, Pose).
    None where there is no such value: for the gate that is a signal that says nothing.
    """
    try:
        value = functools.reduce(getattr, path.split('.'), message) if path else None
    except AttributeError:
        return None
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    place = getattr(value, 'position', value)
    x, y = getattr(place, 'x', None), getattr(place, 'y', None)
    if isinstance(x, float) and isinstance(y, float) and math.isfinite(x) and math.isfinite(y):
        frame = getattr(getattr(message, 'header', None), 'frame_id', '')
        return Point(x, y, frame)
    return None
