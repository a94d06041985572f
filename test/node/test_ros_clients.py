# SPDX-License-Identifier: Apache-2.0
"""Controllers that answer, refuse, stay silent, die or come late: one outcome each, and the executor never blocks."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.action import Dock
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from std_srvs.srv import SetBool

from gemma4_ros.core.errors import NotRunningError
from gemma4_ros.ros.action_results import AGAIN_S
from gemma4_ros.ros.awaited import Awaited
from gemma4_ros.ros.clients import CallOutcome, ControllerClients, Outcome
from gemma4_ros.ros.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.ros

DOCK = 'gemma4_ros/action/Dock'
SET_BOOL = 'std_srvs/srv/SetBool'


class Controller:
    """A controller in a thread of its own whose manners are set by attributes."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node('controller', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.workers = Workers(self.node, threads=0)
        self.is_served = True
        self.accepts = True
        self.answer_gate = threading.Event()
        self.answer_gate.set()
        self.works_s = 0.1
        self.heeds_cancel = True
        self.end = 'succeed'
        self.running = 0
        self.ended: list[str] = []
        group = ReentrantCallbackGroup()
        self.action = ActionServer(
            self.node, Dock, 'dock', self._execute, goal_callback=self._goal, cancel_callback=self._cancel
        )
        self.service = self.node.create_service(SetBool, 'set_bool', self._serve, callback_group=group)
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.stop = threading.Event()
        self.thread.start()

    def _spin(self) -> None:
        while not self.stop.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def _goal(self, _: Any) -> GoalResponse:
        self.answer_gate.wait(10.0)
        return GoalResponse.ACCEPT if self.accepts else GoalResponse.REJECT

    def _cancel(self, _: Any) -> CancelResponse:
        return CancelResponse.ACCEPT if self.heeds_cancel else CancelResponse.REJECT

    async def _execute(self, goal: Any) -> Dock.Result:
        self.running += 1
        goal.publish_feedback(Dock.Feedback(phase='driving'))
        await self.workers.wait_for(lambda: goal.is_cancel_requested, self.works_s)
        self.running -= 1
        if goal.is_cancel_requested:
            goal.canceled()
            self.ended.append('canceled')
            return Dock.Result(error_msg='stopped')
        getattr(goal, self.end)()
        self.ended.append(self.end)
        return Dock.Result(error_code=0 if self.end == 'succeed' else 2, error_msg='no contact', battery_percent=80.0)

    async def _serve(self, request: Any, response: Any) -> Any:
        await self.workers.sleep(self.works_s)
        response.success = request.data
        return response

    def start_again(self) -> None:
        """Die and be back at once, as a controller does that somebody supervises."""

        def again() -> None:
            self.action.destroy()
            self.action = ActionServer(
                self.node, Dock, 'dock', self._execute, goal_callback=self._goal, cancel_callback=self._cancel
            )

        self.executor.create_task(again)

    def destroy_servers(self) -> None:
        """End as a controller does that is stopped in order."""
        self.is_served = False
        self.executor.create_task(self.action.destroy)
        self.executor.create_task(self.node.destroy_service, self.service)

    def close(self) -> None:
        self.answer_gate.set()
        self.stop.set()
        self.thread.join(5.0)
        self.executor.shutdown(timeout_sec=0.0)
        if self.is_served:
            self.action.destroy()  # destroy_node leaves action servers alive
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


class Caller:
    """A node with clients on a single-threaded executor."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node('caller', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.clients = ControllerClients(self.node)
        self.states: list[str] = []
        self.feedback: list[dict[str, Any]] = []
        self.is_cancel_requested = False
        self.beats: list[float] = []
        self.node.create_timer(0.01, lambda: self.beats.append(time.monotonic()))

    def start(self, kind: str = 'action', **changes: Any) -> Any:
        action = kind == 'action'
        arguments: dict[str, Any] = {
            'kind': kind,
            'type_name': DOCK if action else SET_BOOL,
            'endpoint': 'dock' if action else 'set_bool',
            'goal_json': {'undock': True} if action else {'data': True},
            'accept_timeout_s': 5.0,
            'result_timeout_s': 5.0,
            'on_feedback': self.feedback.append,
            'on_state': lambda state, _: self.states.append(state),
            'cancel_from': self,
            **changes,
        }

        async def run() -> CallOutcome:
            return await self.clients.call(**arguments)

        return self.executor.create_task(run)

    def found(self) -> None:
        """Wait until the controller's action is on the graph."""
        self.until(lambda: self.clients.is_ready('action', DOCK, 'dock'))

    def until(self, predicate: Callable[[], bool], deadline_s: float = 10.0) -> None:
        end = time.monotonic() + deadline_s
        while not predicate():
            assert time.monotonic() < end, f'not within {deadline_s} s; states {self.states}'
            self.executor.spin_once(timeout_sec=0.01)

    def outcome(self, task: Any, deadline_s: float = 10.0) -> CallOutcome:
        self.until(task.done, deadline_s)
        result: CallOutcome = task.result()
        return result

    def close(self) -> None:
        self.clients.shutdown()
        self.executor.shutdown(timeout_sec=0.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def controller() -> Iterator[Controller]:
    controller = Controller()
    yield controller
    controller.close()


@pytest.fixture
def caller() -> Iterator[Caller]:
    caller = Caller()
    yield caller
    caller.close()
    gaps = [after - before for before, after in zip(caller.beats, caller.beats[1:], strict=False)]
    assert max(gaps, default=0.0) < 1.0, 'the executor was blocked'


def test_an_action_goes_through_its_states_to_its_result(controller: Controller, caller: Caller) -> None:
    outcome = caller.outcome(caller.start())
    assert (outcome.outcome, outcome.code, outcome.status) == (Outcome.SUCCEEDED, 0, 'SUCCEEDED')
    assert outcome.result['battery_percent'] == 80.0
    assert caller.states == ['requested', 'sent', 'accepted', 'running', 'done']
    assert caller.feedback == [{'phase': 'driving'}]
    assert outcome.duration_s >= 0.1
    assert outcome.stopped


def test_an_abort_is_failed_with_the_controllers_words(controller: Controller, caller: Caller) -> None:
    controller.end = 'abort'
    outcome = caller.outcome(caller.start())
    assert (outcome.outcome, outcome.code, outcome.text) == (Outcome.FAILED, 401, 'dock aborted: no contact')
    assert outcome.result['error_code'] == 2


def test_a_refused_goal_is_failed(controller: Controller, caller: Caller) -> None:
    controller.accepts = False
    outcome = caller.outcome(caller.start())
    assert (outcome.outcome, outcome.code) == (Outcome.FAILED, 405)
    assert caller.states == ['requested', 'sent', 'done']


def test_nobody_serving_is_lost_within_the_deadline(caller: Caller) -> None:
    start = time.monotonic()
    outcome = caller.outcome(caller.start(accept_timeout_s=0.3))
    assert (outcome.outcome, outcome.code) == (Outcome.LOST, 402)
    assert 'nobody serves dock within 0.3 s' in outcome.text
    assert time.monotonic() - start < 1.0
    assert caller.states == ['requested', 'done']


def test_silence_is_lost_and_a_late_acceptance_is_cancelled(controller: Controller, caller: Caller) -> None:
    controller.answer_gate.clear()
    controller.works_s = 30.0
    caller.found()
    outcome = caller.outcome(caller.start(accept_timeout_s=1.0))
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.LOST, 403, False)
    states = list(caller.states)
    controller.answer_gate.set()
    caller.until(lambda: controller.ended == ['canceled'])
    assert caller.states == states  # still one outcome
    assert caller.feedback == []


def test_a_result_that_does_not_come_is_cancelled_and_timed_out(controller: Controller, caller: Caller) -> None:
    controller.works_s = 30.0
    outcome = caller.outcome(caller.start(result_timeout_s=0.3))
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.TIMED_OUT, 404, True)
    assert controller.ended == ['canceled']
    assert caller.states == ['requested', 'sent', 'accepted', 'running', 'cancelling', 'done']


def test_a_cancel_reaches_the_controller_at_once(controller: Controller, caller: Caller) -> None:
    controller.works_s = 30.0
    task = caller.start()
    caller.until(lambda: controller.running == 1)
    start = time.monotonic()
    caller.is_cancel_requested = True
    outcome = caller.outcome(task)
    assert (outcome.outcome, outcome.code, outcome.status) == (Outcome.CANCELLED, 410, 'CANCELED')
    assert outcome.result['error_msg'] == 'stopped'
    assert time.monotonic() - start < 0.4
    assert controller.running == 0


def test_a_cancel_before_sending_sends_nothing(controller: Controller, caller: Caller) -> None:
    caller.is_cancel_requested = True
    outcome = caller.outcome(caller.start())
    assert (outcome.outcome, outcome.code) == (Outcome.CANCELLED, 410)
    assert caller.states == ['requested', 'done']
    assert (controller.running, controller.ended) == (0, [])


def test_a_cancel_while_the_goal_is_unanswered_is_sent_after_the_answer(controller: Controller, caller: Caller) -> None:
    controller.answer_gate.clear()
    controller.works_s = 30.0
    task = caller.start()
    caller.until(lambda: 'sent' in caller.states)
    caller.is_cancel_requested = True
    controller.answer_gate.set()
    assert caller.outcome(task).outcome is Outcome.CANCELLED
    assert controller.ended == ['canceled']


def test_a_refused_cancel_waits_for_the_end(controller: Controller, caller: Caller) -> None:
    controller.heeds_cancel = False
    controller.works_s = 0.5
    task = caller.start()
    caller.until(lambda: controller.running == 1)
    caller.is_cancel_requested = True
    assert caller.outcome(task).outcome is Outcome.SUCCEEDED


def test_a_controller_that_does_not_end_after_a_cancel_is_lost(controller: Controller, caller: Caller) -> None:
    controller.heeds_cancel = False
    controller.works_s = 4.0
    task = caller.start(cancel_result_s=0.3)
    caller.until(lambda: controller.running == 1)
    caller.is_cancel_requested = True
    outcome = caller.outcome(task)
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.LOST, 403, False)
    assert 'refused the cancel but did not end within 0.3 s' in outcome.text


def test_a_cancel_that_nobody_acknowledges_is_lost(controller: Controller, caller: Caller) -> None:
    controller.works_s = 30.0
    task = caller.start(cancel_acknowledge_s=0.2)
    caller.until(lambda: controller.running == 1)
    controller.stop.set()  # the process hangs: nothing is called any more, the graph still shows it
    controller.thread.join()
    caller.is_cancel_requested = True
    outcome = caller.outcome(task)
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.LOST, 403, False)
    assert 'did not acknowledge the cancel within 0.2 s' in outcome.text


def test_a_controller_that_goes_away_is_lost(controller: Controller, caller: Caller) -> None:
    controller.works_s = 30.0
    task = caller.start(result_timeout_s=20.0)
    caller.until(lambda: controller.running == 1)
    start = time.monotonic()
    controller.destroy_servers()
    outcome = caller.outcome(task)
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.LOST, 403, False)
    assert 'went away' in outcome.text
    assert time.monotonic() - start < 3.0


def test_a_controller_that_is_back_at_once_has_lost_the_goal(controller: Controller, caller: Caller) -> None:
    """The graph shows no gap; rclcpp#2241: nobody else tells the client."""
    controller.works_s = 20.0
    caller.found()
    task = caller.start(result_timeout_s=15.0)
    caller.until(lambda: 'running' in caller.states)
    begin = time.monotonic()
    controller.start_again()
    outcome = caller.outcome(task, 10.0)
    assert (outcome.outcome, outcome.stopped) == (Outcome.LOST, False)
    assert time.monotonic() - begin < AGAIN_S + 2.0


def test_our_own_nodes_that_are_back_at_once_are_asked_no_longer(controller: Controller, caller: Caller) -> None:
    controller.works_s = 20.0
    caller.found()
    awaited = Awaited(caller.node, Workers(caller.node, threads=0))
    client = awaited.action(Dock, 'dock')

    async def ask() -> str:
        try:
            return str(await awaited.run(client, Dock.Goal(undock=True), 15.0))
        except NotRunningError as error:
            return str(error)

    task = caller.executor.create_task(ask)
    caller.until(lambda: controller.running > 0)
    controller.start_again()
    caller.until(task.done)
    client.destroy()
    assert 'was started again' in task.result()


@pytest.mark.parametrize(
    ('changes', 'says'),
    [
        ({'goal_json': {'undock': 'yes'}}, "goal.undock: wants bool, got 'yes'"),
        ({'type_name': 'nowhere_msgs/action/Go'}, 'nowhere_msgs/action/Go: no package nowhere_msgs'),
    ],
)
def test_what_cannot_be_built_is_failed_and_never_sent(caller: Caller, changes: dict[str, Any], says: str) -> None:
    outcome = caller.outcome(caller.start(**changes))
    assert (outcome.outcome, outcome.code) == (Outcome.FAILED, 407)
    assert outcome.text.startswith(says)
    assert caller.states == ['requested', 'done']


def test_a_service_answers(controller: Controller, caller: Caller) -> None:
    outcome = caller.outcome(caller.start('service'))
    assert (outcome.outcome, outcome.result) == (Outcome.SUCCEEDED, {'success': True, 'message': ''})
    assert caller.states == ['requested', 'sent', 'done']


def test_a_silent_service_is_timed_out(controller: Controller, caller: Caller) -> None:
    controller.works_s = 30.0
    outcome = caller.outcome(caller.start('service', result_timeout_s=0.3))
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.TIMED_OUT, 404, False)


def test_a_cancelled_service_call_waits_a_moment_for_its_answer(controller: Controller, caller: Caller) -> None:
    controller.works_s = 0.3
    task = caller.start('service')
    caller.until(lambda: 'sent' in caller.states)
    caller.is_cancel_requested = True
    assert caller.outcome(task).outcome is Outcome.SUCCEEDED
    caller.is_cancel_requested = False
    controller.works_s = 30.0
    task = caller.start('service', cancel_result_s=0.2)
    caller.until(lambda: caller.states[-1] == 'sent')
    caller.is_cancel_requested = True
    outcome = caller.outcome(task)
    assert (outcome.outcome, outcome.code, outcome.stopped) == (Outcome.CANCELLED, 410, False)


def test_a_service_that_goes_away_is_lost(controller: Controller, caller: Caller) -> None:
    controller.works_s = 30.0
    task = caller.start('service', result_timeout_s=20.0)
    caller.until(lambda: 'sent' in caller.states)
    controller.destroy_servers()
    assert caller.outcome(task).outcome is Outcome.LOST


def test_many_calls_at_once_end_each_for_itself(controller: Controller, caller: Caller) -> None:
    tasks = [caller.start() for _ in range(10)]
    outcomes = [caller.outcome(task) for task in tasks]
    assert [outcome.outcome for outcome in outcomes] == [Outcome.SUCCEEDED] * 10
    assert caller.states.count('done') == 10
