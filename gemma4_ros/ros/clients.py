# SPDX-License-Identifier: Apache-2.0
"""Calls of controllers: action and service clients by type name, made when they are needed.

A call goes through requested, sent, accepted, running, done and ends in exactly one `CallOutcome`: also when the
controller never answers, refuses, dies or answers late. Nothing here blocks; a goal that is accepted after its call has
ended is cancelled at once.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from action_msgs.msg import GoalStatus
from rclpy.action.client import ActionClient, ClientGoalHandle
from unique_identifier_msgs.msg import UUID

from gemma4_ros.core import errors
from gemma4_ros.core.controller_words import explain
from gemma4_ros.ros import convert
from gemma4_ros.ros.action_results import GoalResult
from gemma4_ros.ros.outcomes import CallOutcome, Outcome
from gemma4_ros.ros.types import message_class
from gemma4_ros.ros.workers import Cancellable, Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rclpy.client import Client
    from rclpy.node import Node
    from rclpy.task import Future

__all__ = ['CallOutcome', 'ControllerClients', 'Outcome']

_STATES = ('requested', 'sent', 'accepted', 'running', 'cancelling', 'done')
POLL_S = 0.02  # how often cancel requests are looked at
GONE_S = 1.0  # a server that the graph has not shown for so long has died
STATUS_NAMES = {
    GoalStatus.STATUS_SUCCEEDED: 'SUCCEEDED',
    GoalStatus.STATUS_ABORTED: 'ABORTED',
    GoalStatus.STATUS_CANCELED: 'CANCELED',
}


@dataclass(slots=True)
class _Call:
    """What one call was asked and what has become of it."""

    endpoint: str
    accept_timeout_s: float
    result_timeout_s: float
    cancel_acknowledge_s: float
    cancel_result_s: float
    on_feedback: Callable[[dict[str, Any]], None] | None
    on_state: Callable[[str, str], None] | None
    cancel_from: Cancellable | None
    start_s: float = field(default_factory=time.monotonic)
    seen_s: float = field(default_factory=time.monotonic)
    state: str = ''
    is_over: bool = False

    def enter(self, state: str, text: str = '') -> None:
        """Tell the next state; never one that lies behind."""
        if _STATES.index(state) > (_STATES.index(self.state) if self.state else -1):
            self.state = state
            if self.on_state is not None:
                self.on_state(state, text)

    def is_cancelled(self) -> bool:
        """Whether somebody wants the call to end."""
        return self.cancel_from is not None and self.cancel_from.is_cancel_requested

    def feed(self, message: Any) -> None:
        """Pass feedback on while the call lasts."""
        if not self.is_over:
            if self.state == 'sent':  # feedback may be seen before the answer to the goal
                self.enter('accepted')
            self.enter('running')
            if self.on_feedback is not None:
                self.on_feedback(convert.to_json(message.feedback))


class ControllerClients:
    """
    The clients of one node.

    Parameters
    ----------
    node : Node
        Owns the clients; its executor is a single-threaded one.
    workers : Workers
        For timed waits; its own by default.

    """

    def __init__(self, node: Node, workers: Workers | None = None) -> None:
        self._node = node
        self._workers = workers or Workers(node, threads=0)
        self._actions: dict[tuple[str, str], ActionClient[Any, Any, Any]] = {}
        self._services: dict[tuple[str, str], Client[Any, Any]] = {}

    async def call(
        self,
        kind: Literal['action', 'service'],
        type_name: str,
        endpoint: str,
        goal_json: Mapping[str, Any],
        accept_timeout_s: float,
        result_timeout_s: float,
        on_feedback: Callable[[dict[str, Any]], None] | None = None,
        on_state: Callable[[str, str], None] | None = None,
        cancel_from: Cancellable | None = None,
        cancel_acknowledge_s: float = 0.5,
        cancel_result_s: float = 10.0,
    ) -> CallOutcome:
        """
        Call a controller and wait for its one outcome.

        Parameters
        ----------
        kind : str
            ``action`` or ``service``.
        type_name : str
            ``nav2_msgs/action/NavigateToPose``; looked up now.
        endpoint : str
            The relative or absolute name of the action or service.
        goal_json : mapping
            Becomes the goal or request (`convert.to_message`).
        accept_timeout_s : float
            For finding the server and, once more, for its acceptance.
        result_timeout_s : float
            From the acceptance (a service: from sending) to the result; then the goal is cancelled.
        on_feedback, on_state : callable
            Get feedback as JSON, and ``(state, text)``: requested, sent, accepted, running, cancelling, done.
        cancel_from : Cancellable
            Looked at every 20 ms; a goal handle of an action server, say.
        cancel_acknowledge_s : float
            How long the server may take to acknowledge a cancel.
        cancel_result_s : float
            How long it may then take to come to a stand.

        Returns
        -------
        CallOutcome
            Nothing is raised for what a controller does or does not do.

        """
        call = _Call(
            endpoint,
            accept_timeout_s,
            result_timeout_s,
            cancel_acknowledge_s,
            cancel_result_s,
            on_feedback,
            on_state,
            cancel_from,
        )
        call.enter('requested')
        try:
            request = convert.to_message(type_name, goal_json, path='goal')
            run = self._act if kind == 'action' else self._serve
            outcome = await run(call, type_name, request)
        except errors.ConversionError as error:
            outcome = CallOutcome(Outcome.FAILED, error.code, str(error))
        call.is_over = True
        call.enter('done', outcome.text)
        return replace(outcome, duration_s=time.monotonic() - call.start_s)

    def is_ready(self, kind: Literal['action', 'service'], type_name: str, endpoint: str) -> bool:
        """Whether somebody serves the endpoint now."""
        if kind == 'action':
            return bool(self._action(type_name, endpoint).server_is_ready())
        return bool(self._service(type_name, endpoint).service_is_ready())

    def shutdown(self) -> None:
        """Destroy every client; calls that wait get no outcome any more."""
        for action in self._actions.values():
            action.destroy()
        for service in self._services.values():
            self._node.destroy_client(service)
        self._actions.clear()
        self._services.clear()

    # Clients ---------------------------------------------------------------------------------------------------------
    def _action(self, type_name: str, endpoint: str) -> ActionClient[Any, Any, Any]:
        key = (type_name, endpoint)
        if key not in self._actions:
            cls = message_class(type_name)
            self._actions[key] = ActionClient(self._node, cls, endpoint, callback_group=self._workers.group)
        return self._actions[key]

    def _service(self, type_name: str, endpoint: str) -> Client[Any, Any]:
        key = (type_name, endpoint)
        if key not in self._services:
            cls = message_class(type_name)
            self._services[key] = self._node.create_client(cls, endpoint, callback_group=self._workers.group)
        return self._services[key]

    # Waiting ---------------------------------------------------------------------------------------------------------
    async def _find(self, call: _Call, is_ready: Callable[[], bool]) -> CallOutcome | None:
        await self._workers.wait_for(lambda: is_ready() or call.is_cancelled(), call.accept_timeout_s)
        if call.is_cancelled():
            return CallOutcome.of(Outcome.CANCELLED, errors.StepCancelledError, 'cancelled before it was sent')
        if is_ready():
            return None
        text = f'nobody serves {call.endpoint} within {call.accept_timeout_s:g} s; start the controller'
        return CallOutcome.of(Outcome.LOST, errors.ControllerMissingError, text)

    async def _wait(
        self, call: _Call, future: Future[Any], timeout_s: float, is_ready: Callable[[], bool], *, heed_cancel: bool
    ) -> Literal['done', 'timeout', 'cancel', 'gone']:
        """Wait for a future until it is done, time is up, a cancel is asked for or the server has died."""
        end = time.monotonic() + timeout_s
        call.seen_s = time.monotonic()
        while not future.done():
            now = time.monotonic()
            if now >= end:
                return 'timeout'
            if heed_cancel and call.is_cancelled():
                return 'cancel'
            if is_ready():
                call.seen_s = now
            elif now - call.seen_s > GONE_S:
                return 'gone'
            await self._workers.until(future, min(POLL_S, end - now))
        return 'done'

    # Actions ---------------------------------------------------------------------------------------------------------
    async def _act(self, call: _Call, type_name: str, goal: Any) -> CallOutcome:
        client = self._action(type_name, call.endpoint)
        missing = await self._find(call, client.server_is_ready)
        if missing is not None:
            return missing
        goal_id = UUID(uuid=list(uuid.uuid4().bytes))
        accepted = client.send_goal_async(goal, feedback_callback=call.feed, goal_uuid=goal_id)
        call.enter('sent')
        ended = await self._wait(call, accepted, call.accept_timeout_s, client.server_is_ready, heed_cancel=False)
        if ended != 'done':
            self._take_back(client, goal_id, accepted)
            why = 'did not answer the goal within' if ended == 'timeout' else 'went away before it answered, after'
            text = f'{call.endpoint} {why} {time.monotonic() - call.start_s:.1f} s; a late acceptance is cancelled'
            return CallOutcome.of(Outcome.LOST, errors.ControllerLostError, text, stopped=False)
        handle = accepted.result()
        if handle is None or not handle.accepted:
            return CallOutcome.of(Outcome.FAILED, errors.ControllerRefusedError, f'{call.endpoint} refused the goal')
        call.enter('accepted')
        return await self._follow(call, type_name, client, handle)

    def _take_back(self, client: ActionClient[Any, Any, Any], goal_id: UUID, accepted: Future[Any]) -> None:
        """Cancel a goal whose acceptance never came, now and when it comes after all."""
        unanswered = client._action_type.Impl.SendGoalService.Response(accepted=False)
        ClientGoalHandle(client, goal_id, unanswered).cancel_goal_async()

        def cancel_late(future: Future[Any]) -> None:
            handle = future.result()
            if handle is not None and handle.accepted:
                self._node.get_logger().warning('a goal was accepted after its call had ended; cancelling it')
                handle.cancel_goal_async()

        accepted.add_done_callback(cancel_late)

    async def _follow(
        self, call: _Call, type_name: str, client: ActionClient[Any, Any, Any], handle: Any
    ) -> CallOutcome:
        goal = GoalResult(handle)
        result = goal.future

        def is_ready() -> bool:
            goal.look()
            return bool(client.server_is_ready())

        ended = await self._wait(call, result, call.result_timeout_s, is_ready, heed_cancel=True)
        if ended == 'done':
            return _from_result(call, type_name, result)
        if ended == 'gone':
            text = f'{call.endpoint} went away while the goal was running; whether the robot stands is unknown'
            return CallOutcome.of(Outcome.LOST, errors.ControllerLostError, text, stopped=False)
        outcome = await self._cancel(call, type_name, handle, goal, is_ready)
        if ended == 'timeout':
            text = f'{call.endpoint} took longer than {call.result_timeout_s:g} s and was cancelled: {outcome.text}'
            return replace(outcome, outcome=Outcome.TIMED_OUT, code=errors.StepTimeoutError.code, text=text)
        return outcome

    async def _cancel(
        self, call: _Call, type_name: str, handle: Any, goal: GoalResult, is_ready: Callable[[], bool]
    ) -> CallOutcome:
        result = goal.future
        call.enter('cancelling')
        answer = handle.cancel_goal_async()
        ended = await self._wait(call, answer, call.cancel_acknowledge_s, is_ready, heed_cancel=False)
        if ended != 'done' and not result.done():
            text = f'{call.endpoint} did not acknowledge the cancel within {call.cancel_acknowledge_s:g} s'
            return CallOutcome.of(Outcome.LOST, errors.ControllerLostError, text, stopped=False)
        refused = ended == 'done' and not answer.result().goals_canceling  # rclpy's servers set no return code
        if refused:
            goal.ask()  # a server that was started again refuses what it does not know
        ended = await self._wait(call, result, call.cancel_result_s, is_ready, heed_cancel=False)
        if ended == 'done':
            return _from_result(call, type_name, result)
        why = 'refused the cancel' if refused else 'acknowledged the cancel'
        text = f'{call.endpoint} {why} but did not end within {call.cancel_result_s:g} s'
        return CallOutcome.of(Outcome.LOST, errors.ControllerLostError, text, stopped=False)

    # Services --------------------------------------------------------------------------------------------------------
    async def _serve(self, call: _Call, type_name: str, request: Any) -> CallOutcome:
        client = self._service(type_name, call.endpoint)
        missing = await self._find(call, client.service_is_ready)
        if missing is not None:
            return missing
        answer = client.call_async(request)
        call.enter('sent')
        ended = await self._wait(call, answer, call.result_timeout_s, client.service_is_ready, heed_cancel=True)
        if ended == 'cancel':  # a request cannot be taken back: wait a moment for its answer
            call.enter('cancelling')
            ended = await self._wait(call, answer, call.cancel_result_s, client.service_is_ready, heed_cancel=False)
        if ended == 'done':
            return CallOutcome(Outcome.SUCCEEDED, 0, f'{call.endpoint} answered', convert.to_json(answer.result()))
        client.remove_pending_request(answer)
        if call.is_cancelled():
            text = f'{call.endpoint} has not answered; a service request cannot be taken back'
            return CallOutcome.of(Outcome.CANCELLED, errors.StepCancelledError, text, stopped=False)
        if ended == 'gone':
            text = f'{call.endpoint} went away before it answered'
            return CallOutcome.of(Outcome.LOST, errors.ControllerLostError, text, stopped=False)
        text = f'{call.endpoint} did not answer within {call.result_timeout_s:g} s'
        return CallOutcome.of(Outcome.TIMED_OUT, errors.StepTimeoutError, text, stopped=False)


def _from_result(call: _Call, type_name: str, future: Future[Any]) -> CallOutcome:
    response: Any = future.result()
    status = STATUS_NAMES.get(response.status, '')
    result = convert.to_json(response.result)
    words = explain(type_name, result)
    if status == 'SUCCEEDED':
        return CallOutcome(Outcome.SUCCEEDED, 0, f'{call.endpoint} succeeded', result, status)
    if status == 'CANCELED':
        return CallOutcome(
            Outcome.CANCELLED, errors.StepCancelledError.code, f'{call.endpoint} was cancelled', result, status
        )
    if status == 'ABORTED':
        text = f'{call.endpoint} aborted{": " + words if words else ""}'
        return CallOutcome(Outcome.FAILED, errors.ControllerError.code, text, result, status)
    text = f'{call.endpoint} was started again and does not know the goal; whether the robot stands is unknown'
    return CallOutcome(Outcome.LOST, errors.ControllerLostError.code, text, {}, status, stopped=False)
