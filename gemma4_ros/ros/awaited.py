# SPDX-License-Identifier: Apache-2.0
"""Services and actions of our own nodes, awaited with a deadline from ``async def`` callbacks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient

from gemma4_ros.core.errors import BusyError, NotRunningError
from gemma4_ros.ros.action_results import GoalResult

if TYPE_CHECKING:
    from rclpy.client import Client
    from rclpy.node import Node

    from gemma4_ros.ros.workers import Cancellable, Workers

__all__ = ['Awaited']

READY_S = 6.0  # DDS announces a participant anew every 3 s
CALL_S = 5.0
CANCEL_POLL_S = 0.05
CANCEL_GRACE_S = 20.0


class Awaited:
    """
    Clients of one node.

    Parameters
    ----------
    node : Node
        Owns the clients.
    workers : Workers
        For timed waits.

    """

    def __init__(self, node: Node, workers: Workers) -> None:
        self._node, self._workers = node, workers

    def service(self, kind: Any, name: str) -> Client[Any, Any]:
        """Make the client of a service."""
        client: Client[Any, Any] = self._node.create_client(kind, name, callback_group=self._workers.group)
        return client

    def action(self, kind: Any, name: str) -> ActionClient[Any, Any, Any]:
        """Make the client of an action."""
        return ActionClient(self._node, kind, name, callback_group=self._workers.group)

    async def call(self, client: Client[Any, Any], request: Any, timeout_s: float = CALL_S) -> Any:
        """Call a service; NotRunningError where nobody serves it or no answer comes in time."""
        if not await self._workers.wait_for(client.service_is_ready, READY_S):
            raise NotRunningError(f'nobody serves {client.srv_name}; start the stack: gemma4 up')
        future = client.call_async(request)
        if not await self._workers.until(future, timeout_s):
            client.remove_pending_request(future)
            raise NotRunningError(f'{client.srv_name} does not answer within {timeout_s:g} s')
        return future.result()

    async def run(
        self,
        client: ActionClient[Any, Any, Any],
        goal: Any,
        timeout_s: float,
        on_feedback: Callable[[Any], None] | None = None,
        cancel: Cancellable | None = None,
    ) -> Any:
        """
        Send a goal and return its result message, whatever its status.

        NotRunningError where nobody serves it, it is not accepted within 5 s or has no result in time (it is cancelled
        then), or its server was started again meanwhile; BusyError where it is rejected.
        """
        name = client._action_name
        if not await self._workers.wait_for(client.server_is_ready, READY_S):
            raise NotRunningError(f'nobody serves {name}; start the stack: gemma4 up')
        feed = None if on_feedback is None else lambda message: on_feedback(message.feedback)
        sent = client.send_goal_async(goal, feedback_callback=feed)
        if not await self._workers.until(sent, CALL_S):
            raise NotRunningError(f'{name} does not answer within {CALL_S:g} s')
        handle = sent.result()
        if handle is None or not handle.accepted:
            raise BusyError(f'{name} is busy or not ready; try again in a moment')
        return await self._result(name, handle, timeout_s, cancel)

    async def _result(self, name: str, handle: Any, timeout_s: float, cancel: Cancellable | None) -> Any:
        goal = GoalResult(handle)
        future = goal.future
        end = time.monotonic() + timeout_s
        is_cancelled = False
        while not await self._workers.until(future, CANCEL_POLL_S):
            goal.look()
            if cancel is not None and cancel.is_cancel_requested and not is_cancelled:
                is_cancelled = True
                handle.cancel_goal_async()
                end = min(end, time.monotonic() + CANCEL_GRACE_S)
            if time.monotonic() > end:
                handle.cancel_goal_async()
                raise NotRunningError(f'{name} gave no result in time')
        if future.result().status == GoalStatus.STATUS_UNKNOWN:
            raise NotRunningError(f'{name} was started again and knows nothing of it; ask again')
        return future.result().result
