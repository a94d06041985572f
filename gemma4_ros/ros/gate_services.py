# SPDX-License-Identifier: Apache-2.0
"""The gate's services: a request goes to the monitor, the record becomes durable, the answer goes back."""

from __future__ import annotations

import functools
import time
from collections.abc import Awaitable, Callable
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from gemma4_ros.core.gate.approvals import Answer
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.monitor import Admission, Monitor
from gemma4_ros.core.gate.verdict import Allow, NeedsApproval, Refused, refuse
from gemma4_ros.ros.gate_locks import LockFile, LockFileError
from gemma4_ros.ros.gate_views import GateViews, bounded, verdict_message
from gemma4_ros.srv import AdmitPlan, Approve, ClosePermit, EvaluateCondition, GetPlan, SetArmed, SetLockout

__all__ = ['GateServices']


class GateServices:
    """
    Serves ``~/admit``, ``~/approve``, ``~/get_plan``, ``~/evaluate``, ``~/close``, ``~/set_armed``, ``~/set_lockout``.

    Parameters
    ----------
    node : Node
        Owns the services.
    monitor, views : Monitor, GateViews
        Decide and show.
    make_durable : callable
        Awaited before anything is answered that others may act on.
    locks : LockFile
        Keeps lock-outs over a restart.

    """

    def __init__(
        self,
        node: Node,
        monitor: Monitor,
        views: GateViews,
        make_durable: Callable[[], Awaitable[None]],
        locks: LockFile,
    ) -> None:
        self._locks = locks
        self._node, self._monitor, self._views, self._make_durable = node, monitor, views, make_durable
        group = ReentrantCallbackGroup()
        served = (
            (AdmitPlan, 'admit', self._admit),
            (Approve, 'approve', self._approve),
            (GetPlan, 'get_plan', self._get_plan),
            (EvaluateCondition, 'evaluate', self._evaluate),
            (ClosePermit, 'close', self._close),
            (SetArmed, 'set_armed', self._set_armed),
            (SetLockout, 'set_lockout', self._set_lockout),
        )
        for kind, name, handler in served:
            node.create_service(kind, f'~/{name}', functools.partial(self._answer, handler), callback_group=group)

    async def _answer(self, handler: Callable[[Any, Any], Awaitable[None]], request: Any, response: Any) -> Any:
        """Fill the response; a refusal becomes its code and text."""
        try:
            await handler(request, response)
        except Refused as refused:
            response.code, response.text = int(refused.verdict.code), bounded(refused.verdict.text, 512)
        self._views.show_state()
        await self._make_durable()
        return response

    async def _admit(self, request: AdmitPlan.Request, response: AdmitPlan.Response) -> None:
        admission = self._monitor.admit(bytes(request.plan), request.proposer, request.channel, time.monotonic())
        await self._make_durable()
        verdict = admission.verdict
        try:
            self._follow(admission, response)
        except Refused as refused:
            verdict = refused.verdict
        self._views.show_verdict(verdict, response.permit_id, '', admission.sha256)
        stamp = self._node.get_clock().now().to_msg()
        names = (admission.sha256, response.permit_id)
        response.verdict = verdict_message(verdict, stamp, *names)
        response.steps = [verdict_message(each, stamp, *names, step_id) for step_id, each in admission.steps]
        response.plan_sha256, response.rendering = admission.sha256, bounded(admission.rendering, 8192)

    def _follow(self, admission: Admission, response: AdmitPlan.Response) -> None:
        now = time.monotonic()
        if admission.candidate is not None and isinstance(admission.verdict, Allow):
            response.permit_id = self._monitor.issue(admission.candidate, now).id
        elif admission.candidate is not None and isinstance(admission.verdict, NeedsApproval):
            opened, closed = self._monitor.ask(admission.candidate, admission.verdict, now)
            for old in closed:
                self._views.show_request(old, is_open=False)
            self._views.show_request(opened, is_open=True)
            response.approval_id = opened.id

    async def _approve(self, request: Approve.Request, response: Approve.Response) -> None:
        names = (request.approval_id, request.person, request.approve, request.plan_sha256)
        asked = self._monitor.answer(Answer(*names, bytes(request.signature)), time.monotonic())
        await self._make_durable()
        if request.approve and asked.is_complete:
            response.permit_id = self._monitor.grant(asked, time.monotonic()).id
        self._views.show_request(asked, is_open=request.approve and not asked.is_complete)
        response.accepted, response.text = True, 'approved' if request.approve else 'refused'

    async def _get_plan(self, request: GetPlan.Request, response: GetPlan.Response) -> None:
        response.plan, response.found = self._monitor.plan_bytes(request.permit_id), True

    async def _evaluate(self, request: EvaluateCondition.Request, response: EvaluateCondition.Response) -> None:
        response.value = EvaluateCondition.Request.HOLD
        value, text = self._monitor.evaluate(request.permit_id, request.node_id, time.monotonic())
        response.text = bounded(text, 512)
        if value is None:
            response.code = int(Code.CONDITION_UNKNOWN)
        else:
            response.value = int(value)

    async def _close(self, request: ClosePermit.Request, response: ClosePermit.Response) -> None:
        self._monitor.close(request.permit_id, request.outcome, request.text, time.monotonic())
        response.closed = True

    async def _set_armed(self, request: SetArmed.Request, response: SetArmed.Response) -> None:
        moment = self._monitor.moment
        asked = SetArmed.Request
        command = {asked.ARM: moment.arm, asked.DISARM: moment.disarm, asked.RESET: moment.reset}.get(request.command)
        if command is None:
            raise refuse(Code.ARM_REFUSED, 'state.latch', f'unknown command {request.command}')
        command(request.person, time.monotonic())
        response.accepted, response.text = True, f'the gate is {moment.state.latch.name}'

    async def _set_lockout(self, request: SetLockout.Request, response: SetLockout.Response) -> None:
        moment, now = self._monitor.moment, time.monotonic()
        if request.command == SetLockout.Request.ADD and request.reason.strip():
            moment.lock(request.person, request.reason, now)
        elif request.command == SetLockout.Request.CLEAR:
            moment.unlock(request.person, now)
        else:
            raise refuse(Code.ARM_REFUSED, 'state.lockout', 'a lock-out is ADD with a reason, or CLEAR')
        held = ', '.join(lock.person for lock in moment.state.locks) or 'nobody'
        response.accepted, response.text = True, f'locked by {held}'
        try:
            self._locks.write(moment.state.locks)
        except LockFileError as error:
            response.accepted, response.text = False, bounded(f'{response.text}, but not after a restart: {error}', 512)
