# SPDX-License-Identifier: Apache-2.0
"""The node `gemma` over DDS with its real engine child, on a tiny file of random weights."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from action_msgs.msg import GoalStatus
from gemma4_ros.action import Generate
from gemma4_ros.msg import ChatMessage, ModelStatus
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from gemma4_ros.backends.tiny_gguf import write_tiny_gguf
from gemma4_ros.core.ports import GenerateAnswer, GenerateRequest, Message
from gemma4_ros.nodes.gemma_node import GemmaNode
from gemma4_ros.nodes.run import bring_up
from gemma4_ros.ros import qos
from gemma4_ros.ros.generate_client import RosLanguageModel
from gemma4_ros.ros.workers import Workers

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
SCHEMA = json.dumps(
    {'type': 'object', 'properties': {'n': {'type': 'integer', 'minimum': 0, 'maximum': 9}}, 'required': ['n']}
)
LONG = 'start: /[a-z]{3000}/'
MODELS = """
models: "1"
default: tiny
profiles:
  tiny:
    name: tiny
    doc: random weights
    licence: none
    file: tiny.gguf
    size_bytes: {size}
    sha256: null
    source: {{hub: {{repository: nobody/nothing, revision: main}}}}
    modalities: [text]
    context_tokens: 4096
    trained_context_tokens: null
    kv_bytes_per_token: null
"""


class Asker:
    """The node and somebody who asks it, in one process and on one executor."""

    def __init__(self, folder: Path, **parameters: Any) -> None:
        self.folder = folder
        self.context = Context()
        rclpy.init(context=self.context)
        given = {'config': str(folder), 'models_dir': str(folder), 'keep_prefixes': False, 'nice': 0, **parameters}
        overrides = [Parameter(name, value=value) for name, value in given.items()]
        self.gemma = GemmaNode(context=self.context, parameter_overrides=overrides)
        self.node = Node('asker', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.gemma)
        self.executor.add_node(self.node)
        self.client = ActionClient(self.node, Generate, 'gemma/generate')
        self.statuses: list[ModelStatus] = []
        self.node.create_subscription(ModelStatus, 'gemma/status', self.statuses.append, qos.STATE_LATCHED)
        self.told: list[str] = []

    def until(self, predicate: Callable[[], bool], what: str, deadline_s: float = 40.0) -> float:
        start = time.monotonic()
        while not predicate():
            assert time.monotonic() - start < deadline_s, f'{what} did not happen within {deadline_s} s'
            self.executor.spin_once(timeout_sec=0.02)
        return time.monotonic() - start

    def until_state(self, state: int) -> ModelStatus:
        self.until(lambda: bool(self.statuses) and self.statuses[-1].state == state, f'state {state}')
        return self.statuses[-1]

    def send(self, **fields: Any) -> Any:
        self.until(self.client.server_is_ready, 'the action')
        goal = Generate.Goal(messages=[ChatMessage(role='user', text='go')], **fields)
        future = self.client.send_goal_async(goal, feedback_callback=lambda m: self.told.append(m.feedback.text))
        self.until(future.done, 'the goal')
        return future.result()

    def result(self, handle: Any) -> Any:
        future = handle.get_result_async()
        self.until(future.done, 'the result')
        return future.result()

    def ask(self, **fields: Any) -> Any:
        return self.result(self.send(**fields)).result

    @property
    def engine_pid(self) -> int:
        return self.gemma._engine.status.pid

    def close(self) -> None:
        self.client.destroy()
        self.executor.shutdown()
        self.gemma.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


def write_models(folder: Path) -> Path:
    path = write_tiny_gguf(folder / 'tiny.gguf', 'gemma4')
    (folder / 'models.yaml').write_text(MODELS.format(size=path.stat().st_size), encoding='utf-8')
    return path


@pytest.fixture
def asker(tmp_path) -> Iterator[Asker]:
    write_models(tmp_path)
    asker = Asker(tmp_path)
    assert bring_up(asker.gemma)
    yield asker
    asker.close()


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_answer_comes_with_its_figures_and_piece_by_piece(asker):
    result = asker.ask(json_schema=SCHEMA, max_tokens=60)
    assert result.code == 0, result.error_msg
    assert 0 <= json.loads(result.text)['n'] <= 9
    assert (result.model, result.route, result.finish) == ('tiny', 'engine tiny', 'stop')
    assert result.forced_tokens > 0
    assert result.prompt_tokens > 0
    asker.until(lambda: ''.join(asker.told) == result.text, 'the feedback')
    status = asker.until_state(ModelStatus.READY)
    assert (status.model, status.requests, status.context_tokens) == ('tiny', 1, 4096)


def test_cancel_is_answered_within_200_ms_and_the_next_goal_works(asker, quickest):
    def once() -> float:
        told = len(asker.told)
        handle = asker.send(grammar=LONG, max_tokens=3000)
        asker.until(lambda: len(asker.told) > told + 2, 'the first words')
        handle.cancel_goal_async()
        future = handle.get_result_async()
        took_s = asker.until(future.done, 'the cancel')
        assert future.result().status == GoalStatus.STATUS_CANCELED
        assert (future.result().result.code, future.result().result.finish) == (205, 'cancelled')
        return took_s

    assert quickest(once, 0.2) < 0.2
    assert asker.ask(json_schema=SCHEMA, max_tokens=60).code == 0


def test_a_killed_engine_costs_one_goal(asker):
    handle = asker.send(grammar=LONG, max_tokens=3000)
    asker.until(lambda: len(asker.told) > 2, 'the first words')
    first = asker.engine_pid
    os.kill(first, signal.SIGKILL)
    ended = asker.result(handle)
    assert (ended.status, ended.result.code) == (GoalStatus.STATUS_ABORTED, 206)
    assert 'restarted' in ended.result.error_msg
    assert asker.ask(json_schema=SCHEMA, max_tokens=60).code == 0
    assert asker.engine_pid != first
    assert asker.statuses[-1].restarts == 1
    assert any(status.state == ModelStatus.CRASHED for status in asker.statuses)


def test_the_deadline_is_a_code(asker):
    asker.until_state(ModelStatus.READY)
    result = asker.ask(grammar=LONG, max_tokens=3000, deadline_s=0.1)
    assert (result.code, result.finish) == (204, 'deadline')


def test_an_answer_that_fills_its_tokens_says_so_to_the_client_too(asker):
    asker.until_state(ModelStatus.READY)
    assert asker.ask(grammar=LONG, max_tokens=8).finish == 'length'
    model = RosLanguageModel(asker.node, Workers(asker.node, threads=1))
    answers: list[GenerateAnswer] = []
    requests = [
        GenerateRequest(messages=(Message('user', 'go'),), **fields, max_tokens=60, deadline_s=30.0)
        for fields in ({'grammar': LONG}, {'json_schema': SCHEMA})
    ]
    thread = threading.Thread(target=lambda: answers.extend(map(model.generate, requests)), daemon=True)
    thread.start()
    asker.until(lambda: len(answers) == 2, 'both answers')
    thread.join(5.0)
    model.close()
    assert [answer.finish for answer in answers] == ['length', 'stop']


@pytest.mark.parametrize(
    ('fields', 'code'),
    [
        ({'grammar': 'start: ('}, 208),
        ({'json_schema': SCHEMA, 'grammar': LONG}, 208),
        ({'max_tokens': 60000}, 207),
        ({'audio': [0.0] * 16}, 201),
    ],
)
def test_bad_requests_are_refused_by_code(asker, fields, code):
    result = asker.ask(**fields)
    assert (result.code, result.finish) == (code, 'error'), result.error_msg
    assert result.error_msg


def test_an_operator_goes_before_the_background(asker):
    asker.until_state(ModelStatus.READY)
    running = asker.send(grammar=LONG, max_tokens=3000)
    asker.until(lambda: bool(asker.told), 'the first words')
    low = asker.send(json_schema=SCHEMA, max_tokens=60, priority=Generate.Goal.PRIORITY_BACKGROUND)
    high = asker.send(json_schema=SCHEMA, max_tokens=60, priority=Generate.Goal.PRIORITY_OPERATOR)
    ended: list[str] = []
    for name, handle in (('low', low), ('high', high)):
        handle.get_result_async().add_done_callback(lambda _, name=name: ended.append(name))
    running.cancel_goal_async()
    asker.until(lambda: len(ended) == 2, 'both answers')
    assert ended == ['high', 'low']


def test_a_waiting_goal_can_be_cancelled(asker):
    asker.until_state(ModelStatus.READY)
    running = asker.send(grammar=LONG, max_tokens=3000)
    waiting = asker.send(json_schema=SCHEMA)
    waiting.cancel_goal_async()
    assert asker.result(waiting).status == GoalStatus.STATUS_CANCELED
    running.cancel_goal_async()
    asker.result(running)


def test_a_full_queue_refuses(tmp_path):
    write_models(tmp_path)
    asker = Asker(tmp_path, queue=1)
    try:
        assert bring_up(asker.gemma)
        asker.until_state(ModelStatus.READY)
        handles = [asker.send(grammar=LONG, max_tokens=3000) for _ in range(3)]
        assert [handle.accepted for handle in handles] == [True, True, False]
        for handle in handles[:2]:
            handle.cancel_goal_async()
            asker.result(handle)
    finally:
        asker.close()


def test_without_a_model_the_node_lives_and_says_how_to_get_it(tmp_path):
    model = write_models(tmp_path)
    data = model.read_bytes()
    model.unlink()
    asker = Asker(tmp_path)
    try:
        assert bring_up(asker.gemma)
        status = asker.until_state(ModelStatus.ABSENT)
        assert 'gemma4 model get tiny' in status.text
        assert asker.ask(json_schema=SCHEMA).code == 202
        model.write_bytes(data)
        asker.until_state(ModelStatus.READY)
        assert asker.ask(json_schema=SCHEMA, max_tokens=60).code == 0
    finally:
        asker.close()


def test_an_unknown_model_is_a_failed_configuration(tmp_path):
    write_models(tmp_path)
    asker = Asker(tmp_path, model='gemma5')
    try:
        assert not bring_up(asker.gemma)
    finally:
        asker.close()


def test_the_engine_ends_with_the_node(asker):
    asker.until_state(ModelStatus.READY)
    pid = asker.engine_pid
    assert alive(pid)
    asker.gemma.destroy_node()
    asker.until(lambda: not alive(pid), 'the end of the engine')
