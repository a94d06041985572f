# SPDX-License-Identifier: Apache-2.0
"""The model behind the node `gemma`, as the LanguageModel that the planner wants."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from action_msgs.msg import GoalStatus
from rclpy.action import ActionClient

from gemma4_ros.action import Generate
from gemma4_ros.core.errors import (
    EngineDiedError,
    GrammarError,
    ModelCancelledError,
    ModelDeadlineError,
    ModelError,
    ModelFileError,
    ModelMissingError,
    NotRunningError,
    PromptTooLongError,
)
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, never
from gemma4_ros.msg import ChatMessage

if TYPE_CHECKING:
    from rclpy.node import Node

    from gemma4_ros.ros.workers import Workers

__all__ = ['RosLanguageModel']

POLL_S = 0.02
ACCEPT_TIMEOUT_S = 5.0
GRACE_S = 5.0
_ERRORS: dict[int, type[ModelError]] = {
    error.code: error
    for error in (
        ModelMissingError, ModelFileError, ModelDeadlineError, ModelCancelledError, EngineDiedError,
        PromptTooLongError, GrammarError,
    )
}  # fmt: skip


class RosLanguageModel:
    """
    Ask `gemma/generate` from a worker thread.

    Parameters
    ----------
    node : Node
        Its executor must spin in another thread than the one that calls `generate`.
    workers : Workers
        Of the node.
    name : str
        The action.

    """

    def __init__(self, node: Node, workers: Workers, name: str = 'gemma/generate') -> None:
        self._client: ActionClient[Any, Any, Any] = ActionClient(node, Generate, name, callback_group=workers.group)
        self._workers = workers
        self._name = name

    @property
    def model_id(self) -> str:
        """Return the action's name: the node knows which model answers."""
        return self._name

    def close(self) -> None:
        """Drop the client."""
        self._client.destroy()

    def generate(
        self,
        request: GenerateRequest,
        *,
        cancelled: Callable[[], bool] = never,
        on_text: Callable[[str], None] | None = None,
    ) -> GenerateAnswer:
        """Ask and wait; errors as the LanguageModel port says, NotRunningError where nobody serves the action."""
        if not self._client.server_is_ready():
            raise NotRunningError(f'the action {self._name} is not there; start the node gemma (gemma4 up)')
        call = _Call(self._client, _goal(request), on_text)
        self._workers.call_soon(call.send)
        end = time.monotonic() + request.deadline_s + GRACE_S
        while not call.done.wait(POLL_S):
            if cancelled() and not call.is_cancelled:
                call.is_cancelled = True
                self._workers.call_soon(call.cancel)
            if time.monotonic() > end or (call.is_waiting() and time.monotonic() > call.sent_at + ACCEPT_TIMEOUT_S):
                self._workers.call_soon(call.cancel)
                raise ModelDeadlineError(
                    f'{self._name} did not answer within {request.deadline_s:g} s; is the node gemma alive?'
                )
        return call.answer()


class _Call:
    """One goal on its way; everything but `done` and `answer` runs on the executor's thread."""

    def __init__(self, client: ActionClient[Any, Any, Any], goal: Any, on_text: Callable[[str], None] | None) -> None:
        self.done = threading.Event()
        self.is_cancelled = False
        self.sent_at = time.monotonic()
        self._client, self._goal, self._on_text = client, goal, on_text
        self._handle: Any = None
        self._result: Any = None
        self._problem: ModelError | None = None

    def is_waiting(self) -> bool:
        """Say whether the goal is not accepted yet."""
        return self._handle is None

    def send(self) -> None:
        future = self._client.send_goal_async(self._goal, feedback_callback=self._feedback)
        future.add_done_callback(self._accepted)

    def cancel(self) -> None:
        self.is_cancelled = True
        if self._handle is not None:
            self._handle.cancel_goal_async()

    def _feedback(self, message: Any) -> None:
        if self._on_text is not None and message.feedback.text:
            self._on_text(message.feedback.text)

    def _accepted(self, future: Any) -> None:
        handle = future.result()
        if handle is None or not handle.accepted:
            self._problem = ModelError(
                'the node gemma refused the request: its queue is full, or it is not active; try again'
            )
            self.done.set()
            return
        self._handle = handle
        if self.is_cancelled:
            handle.cancel_goal_async()
        handle.get_result_async().add_done_callback(self._finished)

    def _finished(self, future: Any) -> None:
        self._result = future.result()
        self.done.set()

    def answer(self) -> GenerateAnswer:
        """Return the answer or raise what went wrong."""
        if self._problem is not None:
            raise self._problem
        result = self._result.result
        if self._result.status == GoalStatus.STATUS_CANCELED:
            raise ModelCancelledError('the request was cancelled')
        if result.code or self._result.status != GoalStatus.STATUS_SUCCEEDED:
            raise _ERRORS.get(result.code, ModelError)(result.error_msg or 'the node gemma gave no reason')
        return GenerateAnswer(
            text=result.text,
            model=result.model,
            route=result.route,
            prompt_tokens=result.prompt_tokens,
            cached_tokens=result.cached_tokens,
            output_tokens=result.output_tokens,
            forced_tokens=result.forced_tokens,
            passes=result.passes,
            first_token_s=result.first_token_s,
            total_s=result.total_s,
            finish=result.finish,
        )


def _goal(request: GenerateRequest) -> Any:
    return Generate.Goal(
        messages=[ChatMessage(role=message.role, text=message.text) for message in request.messages],
        grammar=request.grammar,
        json_schema=request.json_schema,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        deadline_s=request.deadline_s,
        thinking=request.thinking,
        visual_budget_tokens=request.visual_budget_tokens,
        priority=Generate.Goal.PRIORITY_OPERATOR,
    )
