# SPDX-License-Identifier: Apache-2.0
"""What the gate shows: state, verdicts and requests for people, bounded as the interfaces want it."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node

from gemma4_ros.core.gate.approvals import Request
from gemma4_ros.core.gate.monitor import Monitor, View
from gemma4_ros.core.gate.verdict import Verdict
from gemma4_ros.msg import ApprovalRequest, GateState
from gemma4_ros.msg import Verdict as VerdictMessage
from gemma4_ros.ros import qos

__all__ = ['GateViews', 'bounded', 'verdict_message']

_MODES = {'AUTO': GateState.MODE_AUTO, 'MANUAL': GateState.MODE_MANUAL, 'MAINTENANCE': GateState.MODE_MAINTENANCE}


def bounded(text: str, limit: int) -> str:
    """Cut a text to a number of UTF-8 bytes."""
    return text.encode('utf-8', 'replace')[:limit].decode('utf-8', 'ignore')


def verdict_message(
    verdict: Verdict, stamp: Any, sha256: str = '', permit_id: str = '', step_id: str = ''
) -> VerdictMessage:
    """Build a Verdict."""
    return VerdictMessage(
        stamp=stamp,
        decision=verdict.decision,
        code=int(verdict.code),
        rule=bounded(verdict.rule, 64),
        hazard=bounded(verdict.hazard, 64),
        step_id=bounded(step_id, 64),
        plan_sha256=sha256,
        permit_id=bounded(permit_id, 64),
        text=bounded(verdict.text, 512),
    )


def _state_message(view: View, stamp: Any, boot_id: str, policy_sha256: str) -> GateState:
    """Build a GateState."""
    return GateState(
        stamp=stamp,
        boot_id=boot_id,
        epoch=view.epoch,
        state=view.state,
        mode=_MODES.get(view.mode, GateState.MODE_UNKNOWN),
        code=int(view.verdict.code),
        rule=bounded(view.verdict.rule, 64),
        text=bounded(view.verdict.text, 512),
        permit_id=view.permit_id,
        plan_sha256=view.plan_sha256,
        policy_sha256=policy_sha256,
        locked_by=[bounded(person, 64) for person in view.locked_by],
    )


def _request_message(
    request: Request, stamp: Any, left_s: float, changed: tuple[int, ...], *, is_open: bool
) -> ApprovalRequest:
    """Build an ApprovalRequest; a decided one is sent once more with ``open`` false."""
    return ApprovalRequest(
        stamp=stamp,
        approval_id=request.id,
        kind=ApprovalRequest.KIND_CONFIRM if request.wants_confirmation else ApprovalRequest.KIND_APPROVE,
        people=max(0, request.people_needed),
        open=is_open,
        plan_sha256=request.candidate.sha256,
        **{f'{name}_sha256': request.asked.get(name, '') for name in ('policy', 'goals', 'tools', 'world')},
        boot_id=request.asked.get('boot', ''),
        changed_lines=changed[:1024],
        roles=sorted(request.roles)[:8],
        time_to_live_s=max(0.0, left_s),
        proposer=request.candidate.case.proposer,
        rendering=bounded(request.candidate.rendering, 8192),
    )


class GateViews:
    """Publishes ``~/state``, ``~/verdicts`` and ``~/approval_request``."""

    def __init__(self, node: Node, monitor: Monitor) -> None:
        self._node, self._monitor = node, monitor
        self._shown: tuple[object, ...] = ()
        self._state_topic = node.create_publisher(GateState, '~/state', qos.STATE_LATCHED)
        self._verdict_topic = node.create_publisher(VerdictMessage, '~/verdicts', qos.LATCHED_HISTORY)
        self._request_topic = node.create_publisher(ApprovalRequest, '~/approval_request', qos.STATE_LATCHED)

    def show_state(self) -> None:
        """Publish the state where something other than the age in its text has changed."""
        for request in self._monitor.take_closed_requests():
            self.show_request(request, is_open=False)
        view = self._monitor.view(time.monotonic())
        locked = view.locked_by
        shown = (view.state, view.epoch, view.mode, view.verdict.code, view.verdict.rule, view.permit_id, locked)
        if shown != self._shown:
            self._shown = shown
            message = _state_message(view, self._now(), self._monitor.boot_id, self._monitor.policy.sha256)
            self._state_topic.publish(message)

    def show_verdict(self, verdict: Verdict, permit_id: str, step_id: str, sha256: str = '') -> None:
        """Publish a verdict, and the state if that has changed."""
        self._verdict_topic.publish(verdict_message(verdict, self._now(), sha256, permit_id, step_id))
        self.show_state()

    def show_request(self, request: Request, *, is_open: bool) -> None:
        """Publish what people are asked."""
        left_s = request.expires_s - time.monotonic()
        changed = self._monitor.changed_lines(request.candidate.rendering) if is_open else ()
        self._request_topic.publish(_request_message(request, self._now(), left_s, changed, is_open=is_open))

    def _now(self) -> Any:
        return self._node.get_clock().now().to_msg()
