# SPDX-License-Identifier: Apache-2.0
"""One step from the permit to its end: authorise, make durable, look once more, send, record."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from rclpy.action.server import ServerGoalHandle

from gemma4_ros.action import DispatchStep
from gemma4_ros.core.controller_words import explain
from gemma4_ros.core.errors import SuccessConditionError
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.monitor import STARVED_S, Monitor
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.verdict import Hold, Refused, Verdict
from gemma4_ros.core.plan import Scalar
from gemma4_ros.core.tool import Tool
from gemma4_ros.ros.clients import CallOutcome, ControllerClients, Outcome
from gemma4_ros.ros.gate_views import bounded

__all__ = ['Dispatcher', 'Watch', 'returned_values', 'unmet_condition']

ACCEPT_TIMEOUT_S = 2.0
_TYPES: dict[str, tuple[type, ...]] = {'number': (int, float), 'integer': (int,), 'boolean': (bool,), 'string': (str,)}


class Watch:
    """Asked every 20 ms while a step runs, and just before its goal is sent, whether it must end."""

    def __init__(self, goal: ServerGoalHandle, monitor: Monitor, ticket: Ticket) -> None:
        self._goal, self._monitor, self._ticket = goal, monitor, ticket
        self.verdict: Verdict | None = None
        self.is_accepted = False
        self._asked_s = time.monotonic()

    @property
    def is_cancel_requested(self) -> bool:
        """Whether the caller or the gate wants the step to end."""
        now, asked_s = time.monotonic(), self._asked_s
        if self.verdict is None:
            verdict, self._asked_s = self._monitor.must_end(self._ticket, now), now
            # a process that itself got no time reads what has arrived before it calls anything stale
            self.verdict = None if isinstance(verdict, Hold) and now - asked_s > STARVED_S else verdict
        return self.verdict is not None or bool(self._goal.is_cancel_requested)


class Dispatcher:
    """
    Serves ``~/dispatch``.

    Parameters
    ----------
    monitor : Monitor
        Decides.
    clients : ControllerClients
        The only clients to controllers that there are.
    make_durable : callable
        Awaited before a goal is sent.
    publish : callable
        Shows a verdict: ``(verdict, permit_id, step_id)``.
    abandon : callable
        Called with a reason where a controller may still be moving: the deadman takes over.
    wait_for : callable
        Awaits a predicate for so many seconds.

    """

    def __init__(
        self,
        monitor: Monitor,
        clients: ControllerClients,
        make_durable: Callable[[], Awaitable[None]],
        publish: Callable[[Verdict, str, str], None],
        abandon: Callable[[str], None],
        wait_for: Callable[[Callable[[], bool], float], Awaitable[bool]],
    ) -> None:
        self._wait_for = wait_for
        self._monitor, self._clients = monitor, clients
        self._make_durable, self._publish, self._abandon = make_durable, publish, abandon

    async def execute(self, goal: ServerGoalHandle) -> DispatchStep.Result:
        """Carry one request out; it ends exactly once."""
        permit_id, step_id, start = goal.request.permit_id, goal.request.step_id, time.monotonic()
        try:
            ticket = self._monitor.authorise(permit_id, step_id, start)
            await self._make_durable()
            self._monitor.confirm(ticket, time.monotonic())
        except Refused as refused:
            self._publish(refused.verdict, permit_id, step_id)
            outcome = Outcome.HELD if isinstance(refused.verdict, Hold) else Outcome.DENIED
            return _result(goal, outcome, refused.verdict.code, refused.verdict.rule, refused.verdict.text, {}, start)
        tell(goal, 'admitted', '')
        return await self._send(goal, ticket, start)

    async def _send(self, goal: ServerGoalHandle, ticket: Ticket, start: float) -> DispatchStep.Result:
        watch = Watch(goal, self._monitor, ticket)
        tool = self._monitor.catalogue.toolset.tools[ticket.step.tool]
        try:
            end = await self._call(goal, ticket, tool, watch)
        except BaseException as error:  # whatever happens, the step ends and nothing goes on unwatched
            self._monitor.moment.stop(Code.INTERNAL, f'{type(error).__name__} while a step ran', time.monotonic())
            self._monitor.finish(ticket, False, {}, time.monotonic(), 'the gate failed')
            self._abandon('the gate failed while a step ran')
            raise
        values, end = await self._shown(goal, ticket, *_judged(tool, end))
        self._monitor.finish(ticket, end.outcome is Outcome.SUCCEEDED, values, time.monotonic(), end.text)
        if not end.stopped and watch.is_accepted:
            self._abandon(f'{ticket.step.id}: {end.text}')
        await self._make_durable()
        if end.outcome is not Outcome.SUCCEEDED and watch.verdict is not None:
            verdict = watch.verdict
            self._publish(verdict, ticket.permit_id, ticket.step.id)
            outcome = end.outcome if end.outcome is Outcome.LOST else Outcome.CANCELLED
            return _result(goal, outcome, verdict.code, verdict.rule, f'{verdict.text}; {end.text}', {}, start)
        rule = f'policy.tools.{tool.name}.post' if end.code == Code.POSTCONDITION else ''
        return _result(goal, end.outcome, end.code, rule, end.text, values, start)

    async def _shown(
        self, goal: ServerGoalHandle, ticket: Ticket, values: dict[str, Scalar], end: CallOutcome
    ) -> tuple[dict[str, Scalar], CallOutcome]:
        """Hold a success against an independent signal, as long as the policy gives it time."""
        post = self._monitor.policy.tools[ticket.step.tool].post
        if end.outcome is not Outcome.SUCCEEDED or post is None:
            return values, end
        ended_s = time.monotonic()
        tell(goal, 'running', f'looking whether {post.test.signal} shows it')
        await self._wait_for(lambda: not self._monitor.post_problem(ticket, ended_s), post.within_s)
        problem = self._monitor.post_problem(ticket, ended_s)
        if not problem:
            return values, end
        text = f'{ticket.step.id}: the controller says that it succeeded, but {problem}'
        return {}, CallOutcome(Outcome.FAILED, Code.POSTCONDITION, text)

    async def _call(self, goal: ServerGoalHandle, ticket: Ticket, tool: Tool, watch: Watch) -> CallOutcome:
        def on_state(state: str, text: str) -> None:
            watch.is_accepted = watch.is_accepted or state in ('accepted', 'running')
            if state in ('sent', 'accepted', 'running', 'cancelling'):
                tell(goal, state, text)

        face, times = tool.interface, (ACCEPT_TIMEOUT_S, tool.timeout_s)
        names, acknowledge_s = (face.kind, face.type, face.name), tool.cancel_acknowledge_s
        return await self._clients.call(
            *names, ticket.goal, *times, on_state=on_state, cancel_from=watch, cancel_acknowledge_s=acknowledge_s
        )


def _judged(tool: Tool, end: CallOutcome) -> tuple[dict[str, Scalar], CallOutcome]:
    """Hold a controller's success against the tool's condition; take the values that it returns."""
    if end.outcome is not Outcome.SUCCEEDED:
        return {}, end
    problem = unmet_condition(tool, end.result, end.status)
    if problem:
        return {}, CallOutcome.of(Outcome.FAILED, SuccessConditionError, problem)
    return returned_values(tool, end.result), end


def unmet_condition(tool: Tool, result: Mapping[str, Any], status: str) -> str:
    """Say which part of the success condition does not hold, or nothing."""
    for path, wanted in tool.success.items():
        found = status if path == 'status' else _at(result, path)
        if type(found) is not type(wanted) or found != wanted:
            words = explain(tool.interface.type, result)[:200]
            return f'{tool.name}: {path} is {found!a}, not {wanted!a}{": " + ascii(words)[1:-1] if words else ""}'
    return ''


def returned_values(tool: Tool, result: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return what later steps may refer to; a value of the wrong type or a number that is none is left out: unknown."""
    values: dict[str, Scalar] = {}
    for name, returned in tool.returns.items():
        value: Any = _at(result, returned.field)
        is_bool = isinstance(value, bool)
        is_finite = not isinstance(value, float) or math.isfinite(value)
        if isinstance(value, _TYPES[returned.type]) and is_bool == (returned.type == 'boolean') and is_finite:
            values[name] = value[:1024] if isinstance(value, str) else cast('Scalar', value)
    return values


def _at(value: Any, path: str) -> Any:
    """Follow a path; a text on the way is read as JSON (what a skill returns)."""
    for part in path.split('.'):
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return None
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def tell(goal: ServerGoalHandle, state: str, text: str) -> None:
    """Send feedback."""
    goal.publish_feedback(DispatchStep.Feedback(state=state, text=bounded(text, 512)))


def _result(
    goal: ServerGoalHandle,
    outcome: Outcome,
    code: int,
    rule: str,
    text: str,
    values: Mapping[str, Scalar],
    start: float,
) -> DispatchStep.Result:
    if outcome is Outcome.SUCCEEDED:
        goal.succeed()
    elif outcome is Outcome.CANCELLED and goal.is_cancel_requested:
        goal.canceled()
    else:
        goal.abort()
    return DispatchStep.Result(
        outcome=int(outcome),
        code=int(code),
        rule=bounded(rule, 64),
        text=bounded(text, 512),
        returns=json.dumps(values),
        duration_s=time.monotonic() - start,
    )
