# SPDX-License-Identifier: Apache-2.0
"""See on the ROS graph whether the nodes of the stack are ready."""

from __future__ import annotations

import time
from typing import Any

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState

from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.msg import ModelStatus
from gemma4_ros.ros import qos

__all__ = ['LIFECYCLE', 'GraphWatch']

ASK_AGAIN_S = 2.0
LIFECYCLE = frozenset({'gemma', 'perception', 'planner', 'speech'})
"""Nodes that are ready when they say that they are active."""


class GraphWatch:
    """A small node that looks; who waits spins it."""

    def __init__(self, namespace: str = '', domain_id: int | None = None) -> None:
        self._space = '/' + namespace.strip('/')
        self._session = RosSession(namespace, domain_id).__enter__()
        self._clients: dict[str, Any] = {}
        self._asked: dict[str, Any] = {}
        self._asked_at_s: dict[str, float] = {}
        self._ended: dict[str, set[bytes]] = {}
        self._model: ModelStatus | None = None
        self._session.node.create_subscription(ModelStatus, 'gemma/status', self._on_model, qos.STATE_LATCHED)

    def _on_model(self, message: ModelStatus) -> None:
        self._model = message

    def ended(self, name: str) -> None:
        """Count what the graph shows of a node now as gone: killed, it stays there until its lease runs out."""
        self._ended[name] = self._logs_of(name)

    def _logs_of(self, name: str) -> set[bytes]:
        """Return the identities of the log publishers of a node: another one for each of its processes."""
        publishers = self._session.node.get_publishers_info_by_topic('/rosout')
        return {bytes(p.endpoint_gid) for p in publishers if (p.node_name, p.node_namespace) == (name, self._space)}

    def spin(self, seconds: float) -> None:
        """Serve callbacks for a moment."""
        self._session.spin(seconds)

    def is_ready(self, name: str) -> bool:
        """Say whether a node is on the graph, active if it has a lifecycle, and its model no longer loading."""
        if (name, self._space) not in self._session.node.get_node_names_and_namespaces():
            return False
        if name in self._ended and self._logs_of(name) <= self._ended[name]:
            return False
        if name in LIFECYCLE and not self._is_active(name):
            return False
        return name != 'gemma' or (self._model is not None and self._model.state != ModelStatus.LOADING)

    def remark(self, name: str) -> str:
        """Return what is worth saying of a node that is ready."""
        if name != 'gemma' or self._model is None:
            return ''
        return f': {self._model.model} {self._model.text}'.rstrip()

    def _is_active(self, name: str) -> bool:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self._session.node.create_client(GetState, f'{name}/get_state')
        asked = self._asked.get(name)
        if asked is not None and asked.done():
            del self._asked[name]
            return bool(asked.result().current_state.id == State.PRIMARY_STATE_ACTIVE)
        if asked is not None and time.monotonic() - self._asked_at_s[name] > ASK_AGAIN_S:
            client.remove_pending_request(asked)  # lost on the way: the service was only half discovered
            asked = None
        if asked is None and client.service_is_ready():
            self._asked[name], self._asked_at_s[name] = client.call_async(GetState.Request()), time.monotonic()
        return False

    def close(self) -> None:
        """Leave the graph."""
        self._session.__exit__(None, None, None)
