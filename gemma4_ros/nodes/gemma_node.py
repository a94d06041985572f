# SPDX-License-Identifier: Apache-2.0
"""The node `gemma`: the one door to the model; its engine is a child process that may die alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from gemma4_ros.action import Generate
from gemma4_ros.backends.engine import EngineClient, EngineOptions, EngineState, EngineStatus
from gemma4_ros.backends.local import prefix_folder, start_engine
from gemma4_ros.backends.turns import Turns
from gemma4_ros.core.errors import Gemma4Error, ModelCancelledError, ModelDeadlineError, ModelError
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, Message
from gemma4_ros.msg import ModelStatus
from gemma4_ros.ros import params, qos
from gemma4_ros.ros.lifecycle import LifecycleBase
from gemma4_ros.ros.params import param
from gemma4_ros.ros.workers import Workers

__all__ = ['GemmaNode', 'GemmaParameters']

_STATES = {
    EngineState.ABSENT: ModelStatus.ABSENT,
    EngineState.LOADING: ModelStatus.LOADING,
    EngineState.READY: ModelStatus.READY,
    EngineState.CRASHED: ModelStatus.CRASHED,
}
_FINISHES: dict[type[Gemma4Error], str] = {ModelCancelledError: 'cancelled', ModelDeadlineError: 'deadline'}
_POLL_S = 0.02
MAX_TEXT = 1 << 20
StartEngine = Callable[['GemmaParameters', Callable[[EngineStatus], None]], EngineClient]


@dataclass(frozen=True)
class GemmaParameters:
    """Parameters of the node gemma."""

    config: str = param('', doc='folder with models.yaml; empty: the one of the package')
    model: str = param('', doc='entry of models.yaml; empty: its default')
    models_dir: str = param('', doc='folder of the model files; empty: the user cache folder')
    threads: int = param(0, doc='of the engine; 0: the cores it may use, less one', low=0, high=256)
    context_tokens: int = param(
        0, doc='of the engine, over all warm prompts; 0: the entry of the model', low=0, high=1048576
    )
    nice: int = param(
        10, doc='added to the niceness of the engine; 20: only when nobody else wants the core', low=0, high=20
    )
    keep_prefixes: bool = param(True, doc='keep evaluated prompts on disk across restarts')
    deadline_s: float = param(60.0, doc='of a request that names none', unit='s', low=0.1, high=3600.0)
    max_tokens: int = param(512, doc='of an answer whose request names none', low=1, high=65536)
    queue: int = param(8, doc='requests that may wait beside the one being answered', low=0, high=64)


def _start(config: GemmaParameters, on_status: Callable[[EngineStatus], None]) -> EngineClient:
    options = EngineOptions(
        threads=config.threads,
        context_tokens=config.context_tokens,
        nice=config.nice,
        prefix_folder=prefix_folder() if config.keep_prefixes else None,
        models_file=Path(config.config).expanduser() / 'models.yaml' if config.config else None,
    )
    folder = Path(config.models_dir).expanduser() if config.models_dir else None
    return start_engine(config.model, options, on_status, folder)


class GemmaNode(LifecycleBase):
    """Wire ROS to the engine; one request at a time, operators first."""

    def __init__(self, make_engine: StartEngine = _start, **kwargs: Any) -> None:
        super().__init__('gemma', **kwargs)
        params.declare(self, GemmaParameters)
        self._make_engine = make_engine
        self._engine: EngineClient | None = None
        self._workers = Workers(self, threads=2)
        self._requests = self._open = 0
        self._is_active = False
        self._ending = threading.Event()

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Start the engine; a missing model is a status, not a failure."""
        self._config = params.read(self, GemmaParameters)
        self._ending.clear()
        self._turns = Turns()
        self._status_topic = self.create_publisher(ModelStatus, '~/status', qos.STATE_LATCHED)
        self._engine = self._make_engine(self._config, lambda _: self._workers.call_soon(self._show))
        self._server = ActionServer(
            self, Generate, '~/generate', self._execute, callback_group=self._workers.group,
            goal_callback=self._goal, cancel_callback=lambda _: CancelResponse.ACCEPT,
        )  # fmt: skip
        self._show()
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take requests."""
        self._is_active = True
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Take none."""
        self._is_active = False
        return super().on_deactivate(state)

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """End the engine."""
        self._close_engine()
        self._server.destroy()
        self.destroy_publisher(self._status_topic)
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _: LifecycleState) -> TransitionCallbackReturn:
        """End the engine."""
        self._close_engine()
        return TransitionCallbackReturn.SUCCESS

    async def shutdown(self) -> None:
        """Cancel what runs and end the engine; called before the process ends."""
        self._is_active = False
        self._ending.set()
        if self._engine is not None:
            await self._workers.wait_for(lambda: not self._turns.is_busy, 1.0)
        self._close_engine()
        self._workers.shutdown()

    def destroy_node(self) -> None:
        """Leave no process behind."""
        self._close_engine()
        super().destroy_node()

    def _close_engine(self) -> None:
        self._ending.set()
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    # Requests --------------------------------------------------------------------------------------------------------
    def _goal(self, _: Generate.Goal) -> GoalResponse:
        if not self._is_active or self._open > self._config.queue:
            return GoalResponse.REJECT
        self._open += 1
        return GoalResponse.ACCEPT

    async def _execute(self, handle: Any) -> Generate.Result:
        started_s = time.monotonic()
        try:
            request = self._request(handle.request)
            answer = await self._answer(handle, request, started_s)
        except Gemma4Error as error:
            return self._fail(handle, error, started_s)
        finally:
            self._open -= 1
        handle.succeed()
        waited_s = time.monotonic() - started_s - answer.total_s
        return _result(answer, waited_s)

    async def _answer(self, handle: Any, request: GenerateRequest, started_s: float) -> GenerateAnswer:
        ticket = self._turns.enter(handle.request.priority)
        try:
            while not self._turns.start(ticket):
                self._check_wait(handle, request, started_s)
                await self._workers.sleep(_POLL_S)
            self._requests += 1
            self._show()
            left_s = max(request.deadline_s - (time.monotonic() - started_s), 0.001)
            return await self._generate(handle, replace(request, deadline_s=left_s))
        finally:
            self._turns.leave(ticket)
            self._show()

    async def _generate(self, handle: Any, request: GenerateRequest) -> GenerateAnswer:
        engine, cancel = self._engine, threading.Event()
        if engine is None:
            raise ModelError('the node is being shut down')
        count = 0

        def tell(text: str) -> None:
            nonlocal count
            count += 1
            self._workers.call_soon(handle.publish_feedback, Generate.Feedback(text=text, output_tokens=count))

        def cancelled() -> bool:
            return cancel.is_set() or self._ending.is_set()

        answer: GenerateAnswer = await self._workers.run(
            engine.generate, request, cancelled=cancelled, on_text=tell, cancel_from=handle, on_cancel=cancel.set
        )
        await self._workers.run(engine.refresh)  # how much of the prompt is warm now: for the status
        return answer

    def _check_wait(self, handle: Any, request: GenerateRequest, started_s: float) -> None:
        if handle.is_cancel_requested or self._ending.is_set():
            raise ModelCancelledError('cancelled while it waited for another request')
        if time.monotonic() - started_s > request.deadline_s:
            raise ModelDeadlineError(
                f'other requests took all of {request.deadline_s:g} s: raise deadline_s or priority'
            )

    def _request(self, goal: Generate.Goal) -> GenerateRequest:
        if len(goal.audio):
            raise ModelError('this engine reads no audio: send text (the node speech hears)')
        texts = (goal.json_schema, goal.grammar, *(message.text for message in goal.messages))
        if not goal.messages or sum(map(len, texts)) > MAX_TEXT:
            raise ModelError(f'a request needs messages, at most {MAX_TEXT} characters with schema and grammar')
        return GenerateRequest(
            messages=tuple(Message(message.role, message.text) for message in goal.messages),
            grammar=goal.grammar,
            json_schema=goal.json_schema,
            max_tokens=min(goal.max_tokens or self._config.max_tokens, 65536),
            temperature=goal.temperature,
            deadline_s=goal.deadline_s if goal.deadline_s > 0 else self._config.deadline_s,
            images=tuple(bytes(image.data) for image in goal.images),
            visual_budget_tokens=goal.visual_budget_tokens,
            thinking=goal.thinking,
        )

    def _fail(self, handle: Any, error: Gemma4Error, started_s: float) -> Generate.Result:
        if isinstance(error, ModelCancelledError) and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
            self.get_logger().error(f'no answer: code={error.code} {error}', throttle_duration_sec=1.0)
        finish = _FINISHES.get(type(error), 'error')
        total_s = time.monotonic() - started_s
        return Generate.Result(code=error.code, error_msg=str(error)[:512], finish=finish, total_s=total_s)

    # Status ----------------------------------------------------------------------------------------------------------
    def _show(self) -> None:
        engine = self._engine
        if engine is None:
            return
        status = engine.status
        state = _STATES[status.state]
        is_busy = state == ModelStatus.READY and self._turns.is_busy
        message = ModelStatus(
            stamp=self.get_clock().now().to_msg(),
            state=ModelStatus.BUSY if is_busy else state,
            model=engine.model_id,
            backend='llama_cpp',
            context_tokens=status.context_tokens,
            prefix_tokens=status.prefix_tokens,
            restarts=status.restarts,
            requests=self._requests,
            text=status.text[:512],
        )
        self._status_topic.publish(message)
        self._log(status)

    def _log(self, status: EngineStatus) -> None:
        if status == getattr(self, '_logged', None):
            return
        self._logged = status
        line = (
            f'engine state={status.state.value} model={self._config.model or "default"} pid={status.pid} {status.text}'
        )
        if status.state in (EngineState.ABSENT, EngineState.CRASHED):
            self.get_logger().warning(line)
        else:
            self.get_logger().info(line)


def _result(answer: GenerateAnswer, waited_s: float) -> Generate.Result:
    return Generate.Result(
        text=answer.text,
        finish=answer.finish[:16],
        model=answer.model[:128],
        route=answer.route[:256],
        prompt_tokens=answer.prompt_tokens,
        cached_tokens=answer.cached_tokens,
        output_tokens=answer.output_tokens,
        forced_tokens=answer.forced_tokens,
        passes=answer.passes,
        first_token_s=answer.first_token_s + waited_s,
        total_s=answer.total_s + waited_s,
    )
