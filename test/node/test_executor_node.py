# SPDX-License-Identifier: Apache-2.0
"""The executor over real DDS, against a small gate that does what the test says."""

from __future__ import annotations

import array
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

import rclpy
import rfc8785
from gemma4_ros.action import DispatchStep, ExecutePlan
from gemma4_ros.msg import Heartbeat, TreeNode, TreeState
from gemma4_ros.srv import ClosePermit, EvaluateCondition, GetPlan
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from gemma4_ros.nodes.executor_node import ExecutorNode
from gemma4_ros.ros import qos
from gemma4_ros.ros.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.ros
SUCCEEDED, CANCELED, ABORTED = 4, 5, 6


def step(number: int, tool: str = 'navigate_to', **args: Any) -> dict[str, Any]:
    return {'id': f's{number}', 'tool': tool, 'args': args or {'place': 'storage'}}


def condition() -> dict[str, Any]:
    return {
        'ref': 's1.distance_m', 'op': '<', 'value': 4.0, 'unit': 'm', 'max_age_s': 5.0, 'on_unknown': 'hold',
    }  # fmt: skip


class FakeGate(Node):
    """A gate without rules: keeps plans, and answers each dispatch as told."""

    def __init__(self, context: Context) -> None:
        super().__init__('gate', context=context)
        self.workers = Workers(self, threads=0)
        self.plans: dict[str, bytes] = {}
        self.script: dict[str, list[tuple[int, int, str, dict[str, Any]]]] = {}
        self.values: list[tuple[int, int, str]] = []
        self.takes_s = 0.0
        self.is_beating = True
        self.boot_id = 'first'
        self.log: list[str] = []
        self.running: set[str] = set()
        self.closed: list[tuple[str, int]] = []
        group = self.workers.group
        self.create_service(GetPlan, '~/get_plan', self._get_plan, callback_group=group)
        self.create_service(EvaluateCondition, '~/evaluate', self._evaluate, callback_group=group)
        self.create_service(ClosePermit, '~/close', self._close, callback_group=group)
        self.server = ActionServer(
            self,
            DispatchStep,
            '~/dispatch',
            self._dispatch,
            callback_group=group,
            goal_callback=lambda _: GoalResponse.ACCEPT,
            cancel_callback=lambda _: CancelResponse.ACCEPT,
        )
        self.beats = self.create_publisher(Heartbeat, '~/heartbeat', qos.HEARTBEAT)
        self.create_timer(0.1, self._beat)
        self.executor_beats: list[Heartbeat] = []
        self.create_subscription(Heartbeat, 'executor/heartbeat', self.executor_beats.append, qos.HEARTBEAT)

    def admit(self, permit_id: str, root: dict[str, Any]) -> str:
        self.plans[permit_id] = rfc8785.dumps({'plan': '1', 'goal': 'test', 'root': root})
        return permit_id

    def _beat(self) -> None:
        if self.is_beating:
            self.beats.publish(Heartbeat(boot_id=self.boot_id))

    def _get_plan(self, request: Any, response: Any) -> Any:
        data = self.plans.get(request.permit_id)
        response.found = data is not None
        response.code = 0 if data else 660
        response.text = '' if data else 'there is no such permit'
        response.plan = array.array('B', data or b'')
        return response

    def _evaluate(self, request: Any, response: Any) -> Any:
        self.log.append(request.node_id)
        response.value, response.code, response.text = self.values.pop(0)
        return response

    def _close(self, request: Any, response: Any) -> Any:
        self.closed.append((request.permit_id, request.outcome))
        response.closed = True
        return response

    async def _dispatch(self, goal: Any) -> DispatchStep.Result:
        step_id = goal.request.step_id
        self.log.append(step_id)
        self.running.add(step_id)
        planned = self.script.get(step_id)
        outcome, code, text, returns = planned.pop(0) if planned else (0, 0, '', {})
        await self.workers.wait_for(lambda: goal.is_cancel_requested, self.takes_s)
        self.running.discard(step_id)
        if goal.is_cancel_requested:
            outcome, code, text = 2, 410, 'was cancelled'
            goal.canceled()
        elif outcome == 0:
            goal.succeed()
        else:
            goal.abort()
        return DispatchStep.Result(outcome=outcome, code=code, text=text, returns=json.dumps(returns))


class Stack:
    """Executor, fake gate and a client in one process, two contexts."""

    def __init__(self, with_executor: bool = True, **parameters: Any) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.gate = FakeGate(self.context)
        self.node = Node('operator', context=self.context)
        self.feedback: list[Any] = []
        self.trees: list[TreeState] = []
        self.client = ActionClient(self.node, ExecutePlan, 'executor/execute_plan')
        self.pause = self.node.create_client(Trigger, 'executor/pause')
        self.resume = self.node.create_client(Trigger, 'executor/resume')
        self.node.create_subscription(TreeState, 'executor/tree', self.trees.append, qos.STATE_LATCHED)
        self.nodes: list[Node] = [self.gate, self.node]
        if with_executor:
            overrides = [Parameter(name, value=value) for name, value in parameters.items()]
            self.nodes.append(ExecutorNode(context=self.context, parameter_overrides=overrides))
        for node in self.nodes:
            self.executor.add_node(node)
        self.until(lambda: self.client.server_is_ready() and self.pause.service_is_ready(), 20.0)
        self.until(lambda: bool(self.gate.executor_beats))

    def until(self, predicate: Callable[[], bool], deadline_s: float = 10.0) -> None:
        end = time.monotonic() + deadline_s
        while not predicate():
            assert time.monotonic() < end, f'not within {deadline_s} s; dispatched {self.gate.log}'
            self.executor.spin_once(timeout_sec=0.02)

    def finish(self, future: Any, deadline_s: float = 15.0) -> Any:
        self.until(future.done, deadline_s)
        return future.result()

    def send(self, permit_id: str) -> Any:
        goal = ExecutePlan.Goal(permit_id=permit_id)
        return self.finish(
            self.client.send_goal_async(goal, feedback_callback=lambda message: self.feedback.append(message.feedback))
        )

    def run(self, root: dict[str, Any]) -> Any:
        handle = self.send(self.gate.admit('permit', root))
        assert handle.accepted
        return self.finish(handle.get_result_async())

    def events(self) -> list[tuple[str, str]]:
        return [(message.step_id, message.state) for message in self.feedback]

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=0.0)
        self.client.destroy()
        self.gate.server.destroy()
        for node in self.nodes:
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def make_stack() -> Iterator[Callable[..., Stack]]:
    made: list[Stack] = []

    def make(**options: Any) -> Stack:
        made.append(Stack(**options))
        return made[-1]

    yield make
    for stack in made:
        stack.close()


def test_a_plan_is_carried_out_step_by_step(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.script['s1'] = [(0, 0, '', {'distance_m': 2.5})]
    stack.gate.values = [(EvaluateCondition.Request.TRUE, 0, '2.5 m < 4.0 m: true')]
    root = {'sequence': [step(1), {'if': condition(), 'then': step(2), 'else': step(3)}]}
    response = stack.run(root)
    assert response.status == SUCCEEDED
    assert response.result.outcome == ExecutePlan.Result.SUCCEEDED
    assert json.loads(response.result.results) == {'s1': {'distance_m': 2.5}, 's2': {}}
    assert stack.gate.log == ['s1', '/1', 's2']
    assert stack.gate.closed == [('permit', ClosePermit.Request.SUCCEEDED)]
    stack.until(lambda: stack.trees[-1].status == TreeState.SUCCEEDED)
    tree = stack.trees[-1]
    assert [(node.id, node.parent_id, node.kind, node.status) for node in tree.nodes] == [
        ('/', '', 'sequence', TreeNode.SUCCEEDED),
        ('s1', '/', 'step', TreeNode.SUCCEEDED),
        ('/1', '/', 'if', TreeNode.SUCCEEDED),
        ('s2', '/1', 'step', TreeNode.SUCCEEDED),
        ('s3', '/1', 'step', TreeNode.SKIPPED),
    ]
    assert len(tree.plan_sha256) == 64
    assert stack.events() == [('s1', 'started'), ('s1', 'succeeded'), ('s2', 'started'), ('s2', 'succeeded')]
    assert (stack.feedback[-1].steps_done, stack.feedback[-1].steps_total) == (2, 3)


def test_a_failed_step_is_tried_again_then_ends_the_plan_with_its_reason(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.script['s1'] = [(1, 401, 'drive_to aborted: blocked', {}), (5, 403, 'drive_to went away', {})]
    response = stack.run({'sequence': [step(1), step(2)]})
    result = response.result
    assert (response.status, result.outcome, result.code) == (ABORTED, ExecutePlan.Result.FAILED, 403)
    assert (result.failed_step, result.error_msg) == ('s1', 's1 LOST: drive_to went away')
    assert stack.gate.log == ['s1', 's1']
    assert stack.events() == [('s1', 'started'), ('s1', 'retrying'), ('s1', 'failed')]
    assert stack.gate.closed == [('permit', ClosePermit.Request.FAILED)]


def test_a_denied_step_is_not_tried_again(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.script['s1'] = [(3, 642, 'the emergency stop is pressed', {})]
    result = stack.run({'fallback': [step(1), step(2)]}).result
    assert (result.outcome, result.code, result.failed_step) == (ExecutePlan.Result.FAILED, 642, 's1')
    assert stack.gate.log == ['s1']


def test_a_held_step_is_asked_for_again(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(hold_retry_s=0.1)
    stack.gate.script['s1'] = [(4, 644, 'the pose is stale', {})] * 2
    assert stack.run(step(1)).status == SUCCEEDED
    assert stack.gate.log == ['s1'] * 3
    assert stack.events() == [('s1', 'started'), ('s1', 'held'), ('s1', 'succeeded')]


def test_steps_of_a_parallel_run_at_once(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.takes_s = 0.3
    handle = stack.send(
        stack.gate.admit('permit', {'parallel': [step(1), step(2, 'move_arm', posture='ready')], 'policy': 'all'})
    )
    result = handle.get_result_async()
    stack.until(lambda: stack.gate.running == {'s1', 's2'})
    assert stack.finish(result).status == SUCCEEDED


def test_a_cancel_is_answered_within_200_ms_and_ends_with_the_running_step(
    make_stack: Callable[..., Stack], quickest: Callable[..., float]
) -> None:
    stack = make_stack()
    stack.gate.takes_s = 30.0

    def once() -> float:
        handle = stack.send(stack.gate.admit('permit', {'sequence': [step(1), step(2)]}))
        result = handle.get_result_async()
        stack.until(lambda: stack.gate.running == {'s1'})
        start = time.monotonic()
        answer = stack.finish(handle.cancel_goal_async())
        took_s = time.monotonic() - start
        assert len(answer.goals_canceling) == 1
        response = stack.finish(result)
        assert (response.status, response.result.outcome) == (CANCELED, ExecutePlan.Result.CANCELLED)
        return took_s

    assert quickest(once, 0.2) < 0.2
    assert stack.gate.running == set()
    assert set(stack.gate.log) == {'s1'}
    assert set(stack.gate.closed) == {('permit', ClosePermit.Request.CANCELLED)}
    stack.until(lambda: stack.trees[-1].status == TreeState.CANCELLED)


def test_pause_and_resume(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    assert not stack.finish(stack.pause.call_async(Trigger.Request())).success
    stack.gate.takes_s = 0.3
    handle = stack.send(stack.gate.admit('permit', {'sequence': [step(1), step(2)]}))
    result = handle.get_result_async()
    stack.until(lambda: stack.gate.running == {'s1'})
    assert stack.finish(stack.pause.call_async(Trigger.Request())).success
    stack.until(lambda: ('s1', 'succeeded') in stack.events())
    stack.until(lambda: stack.trees[-1].status == TreeState.PAUSED)
    assert stack.gate.log == ['s1']
    assert stack.finish(stack.resume.call_async(Trigger.Request())).success
    assert stack.finish(result).status == SUCCEEDED
    assert [state for _, state in stack.events() if state in ('paused', 'resumed')] == ['paused', 'resumed']


def test_one_plan_at_a_time(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.takes_s = 0.5
    first = stack.send(stack.gate.admit('permit', step(1)))
    result = first.get_result_async()
    assert not stack.send(stack.gate.admit('other', step(1))).accepted
    assert stack.finish(result).status == SUCCEEDED
    assert stack.send('other').accepted
    assert not stack.send('').accepted


def test_an_unknown_permit_is_said(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    response = stack.finish(stack.send('nothing').get_result_async())
    assert response.status == ABORTED
    assert 'there is no such permit' in response.result.error_msg
    assert stack.run(step(1)).status == SUCCEEDED  # and it goes on to serve


def test_a_gate_that_falls_silent_ends_the_plan(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.takes_s = 30.0
    handle = stack.send(stack.gate.admit('permit', {'fallback': [step(1), step(2)]}))
    result = handle.get_result_async()
    stack.until(lambda: stack.gate.running == {'s1'})
    stack.gate.is_beating = False
    start = time.monotonic()
    response = stack.finish(result)
    assert response.result.outcome == ExecutePlan.Result.FAILED
    assert (response.result.code, response.result.failed_step) == (403, 's1')
    assert 'no signs of life' in response.result.error_msg
    assert time.monotonic() - start < 4.0
    assert stack.gate.log == ['s1']


def test_a_gate_that_restarted_ends_the_plan(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.takes_s = 30.0
    handle = stack.send(stack.gate.admit('permit', step(1)))
    result = handle.get_result_async()
    stack.until(lambda: stack.gate.running == {'s1'})
    stack.gate.boot_id = 'second'
    assert 'has restarted' in stack.finish(result).result.error_msg


def test_the_tree_is_published_only_when_it_changed(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.takes_s = 1.0
    stack.run({'sequence': [step(1), step(2)]})
    stack.until(lambda: stack.trees[-1].status == TreeState.SUCCEEDED)
    assert len(stack.trees) <= 5


def test_the_executor_beats_at_10_hz(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.gate.takes_s = 1.0
    before = len(stack.gate.executor_beats)
    stack.run(step(1))
    beats = stack.gate.executor_beats[before:]
    assert 7 <= len(beats) <= 16
    assert [beat.sequence for beat in beats] == list(range(beats[0].sequence, beats[0].sequence + len(beats)))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_running_step_before_the_process_ends(
    make_stack: Callable[..., Stack], number: signal.Signals
) -> None:
    process = subprocess.Popen(
        [sys.executable, '-m', 'gemma4_ros.nodes.run', 'executor'], stderr=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        stack = make_stack(with_executor=False)
        stack.gate.takes_s = 30.0
        stack.send(stack.gate.admit('permit', {'sequence': [step(1), step(2)]}))
        stack.until(lambda: stack.gate.running == {'s1'})
        process.send_signal(number)
        stack.until(lambda: not stack.gate.running and process.poll() is not None)
        assert process.returncode == 0
        assert stack.gate.log == ['s1']
        assert stack.gate.closed == [('permit', ClosePermit.Request.CANCELLED)]
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
