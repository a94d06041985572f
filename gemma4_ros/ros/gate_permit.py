# SPDX-License-Identifier: Apache-2.0
"""What the executor needs of the gate besides steps: the plan of a permit, the permit's end, and signs of life."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from gemma4_ros.core.errors import ControllerError, PlanError
from gemma4_ros.core.plan import Plan, plan_from_json, plan_sha256
from gemma4_ros.msg import Heartbeat
from gemma4_ros.ros import qos
from gemma4_ros.ros.outcomes import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from gemma4_ros.ros.clients import ControllerClients

__all__ = ['GateWatch', 'close_permit', 'fetch_plan']

FIND_S, ANSWER_S = 5.0, 5.0
MISSED_BEATS = 15


async def fetch_plan(clients: ControllerClients, permit_id: str) -> tuple[Plan, str]:
    """
    Fetch the plan of a permit and its name.

    Raises
    ------
    ControllerError, PlanError
        The gate does not answer; it has no such permit.

    """
    request = {'permit_id': permit_id}
    end = await clients.call('service', 'gemma4_ros/srv/GetPlan', 'gate/get_plan', request, FIND_S, ANSWER_S)
    if end.outcome is not Outcome.SUCCEEDED:
        raise ControllerError(f'no plan: {end.text}')
    if not end.result['found']:
        raise PlanError(f'no plan: the gate says {end.result["code"]} {end.result["text"]}')
    data = base64.b64decode(end.result['plan'])
    try:
        return plan_from_json(json.loads(data)), plan_sha256(data)
    except ValueError as error:
        raise PlanError(f'the gate sent no plan: {error}') from error


async def close_permit(clients: ControllerClients, permit_id: str, outcome: int, text: str) -> str:
    """Tell the gate that a plan has ended; return what speaks against it, or nothing."""
    request = {'permit_id': permit_id, 'outcome': outcome, 'text': text}
    end = await clients.call('service', 'gemma4_ros/srv/ClosePermit', 'gate/close', request, FIND_S, ANSWER_S)
    if end.outcome is Outcome.SUCCEEDED and end.result['closed']:
        return ''
    return str(end.result.get('text') or end.text)


class GateWatch:
    """
    Says when the gate is lost: silent for 1.5 s, or started again.

    Misses are counted by the caller's own ticks, so that a process that got no time itself does not blame the gate.

    Parameters
    ----------
    node : Node
        Subscribes ``gate/heartbeat``.
    on_lost : callable
        Gets the reason, once each time.

    """

    def __init__(self, node: Node, on_lost: Callable[[str], None]) -> None:
        self._on_lost = on_lost
        self._boot_id, self._missed = '', 0
        node.create_subscription(Heartbeat, 'gate/heartbeat', self._on_beat, qos.HEARTBEAT)

    def tick(self) -> None:
        """Count; to be called at 10 Hz."""
        self._missed += 1
        if self._missed == MISSED_BEATS and self._boot_id:
            self._on_lost('the gate sends no signs of life; the deadman has to stop the robot')

    def _on_beat(self, message: Heartbeat) -> None:
        self._missed = 0
        restarted = self._boot_id not in ('', message.boot_id)
        self._boot_id = message.boot_id
        if restarted:
            self._on_lost('the gate has restarted; its permits are dead')
