# SPDX-License-Identifier: Apache-2.0
"""The gate over real DDS: what reaches a controller is counted there, never taken from the gate's answer."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.action import DispatchStep, DriveTo, OperateValve
from gemma4_ros.msg import ApprovalRequest, DeadmanState, GateState, Heartbeat, StopRequest, Verdict
from gemma4_ros.srv import AdmitPlan, Approve, ClosePermit, EvaluateCondition, GetPlan, ReadGauge, SetArmed
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient, ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, String

from gemma4_ros.core.gate.audit_verify import verify
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import (
    Condition,
    Fallback,
    If,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Sequence,
    Step,
    plan_sha256,
    plan_to_bytes,
)
from gemma4_ros.core.plan import Node as PlanNode
from gemma4_ros.nodes.gate_node import GateNode
from gemma4_ros.ros import qos
from gemma4_ros.ros.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]
CONFIG = str(Path(__file__).resolve().parents[2] / 'config')
TYPED, SPEECH = 0, 1
DEADLINE_S = 10.0


def wait(predicate: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> float:
    """Wait for a predicate; return how long it took, s."""
    start = time.monotonic()
    while not predicate():
        assert time.monotonic() - start < deadline_s, f'{what} did not happen within {deadline_s} s'
        time.sleep(0.005)
    return time.monotonic() - start


class Spinner:
    """A node on its own context and thread."""

    def __init__(self, make: Callable[[Context], Node]) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = make(self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        while not self.is_over.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        self.is_over.set()
        self.thread.join(5.0)
        self.executor.shutdown(timeout_sec=0.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


class Robot:
    """Signals, signs of life and controllers that count what reaches them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.workers = Workers(node, threads=0)
        self.mode, self.estop = 'AUTO', False
        self.silent: set[str] = set()
        self.works_s, self.fails, self.pressure = 0.05, 0, 3.7
        self.goals: list[str] = []
        self.running: list[str] = []
        self.cancelled = 0
        self.beats = 0
        signals = [('mode', String, 'mode'), ('estop', Bool, 'estop'), ('pose', Odometry, 'odom')]
        beats = [('executor', Heartbeat, 'executor/heartbeat'), ('deadman', Heartbeat, 'deadman/heartbeat')]
        self.topics = {name: node.create_publisher(cls, topic, qos.SIGNAL) for name, cls, topic in signals + beats}
        self.deadman_state = node.create_publisher(DeadmanState, 'deadman/state', qos.STATE_LATCHED)
        self.stop = node.create_publisher(StopRequest, 'gate/stop', qos.STOP)
        self.abandoned: list[StopRequest] = []
        node.create_subscription(StopRequest, 'deadman/stop', self.abandoned.append, qos.STOP)
        group = ReentrantCallbackGroup()
        self.servers = [
            ActionServer(node, DriveTo, 'drive_to', self._drive, cancel_callback=lambda _: CancelResponse.ACCEPT),
            ActionServer(
                node, OperateValve, 'operate_valve', self._operate, cancel_callback=lambda _: CancelResponse.ACCEPT
            ),
        ]
        node.create_service(ReadGauge, 'perception/read_gauge', self._read, callback_group=group)
        node.create_timer(0.05, self._publish)

    def _publish(self) -> None:
        self.beats += 1
        messages = {
            'mode': String(data=self.mode),
            'estop': Bool(data=self.estop),
            'pose': Odometry(),
            'executor': Heartbeat(boot_id='e', sequence=self.beats),
            'deadman': Heartbeat(boot_id='d', sequence=self.beats),
        }
        for name, message in messages.items():
            if name not in self.silent:
                self.topics[name].publish(message)

    async def _drive(self, goal: Any) -> DriveTo.Result:
        position = goal.request.pose.pose.position
        done = await self._work(goal, f'drive {position.x:g} {position.y:g}')
        return DriveTo.Result(error_code=0 if done else 3, error_msg='' if done else 'blocked', distance_m=4.5)

    async def _operate(self, goal: Any) -> OperateValve.Result:
        await self._work(goal, f'valve {goal.request.valve_id} {goal.request.command}')
        return OperateValve.Result()

    async def _work(self, goal: Any, what: str) -> bool:
        self.goals.append(what)
        self.running.append(what)
        await self.workers.wait_for(lambda: goal.is_cancel_requested, self.works_s)
        self.running.remove(what)
        if goal.is_cancel_requested:
            self.cancelled += 1
            goal.canceled()
            return False
        if self.fails:
            self.fails -= 1
            goal.abort()
            return False
        goal.succeed()
        return True

    def _read(self, request: Any, response: Any) -> Any:
        self.goals.append(f'read {request.gauge}')
        response.success = True
        response.reading.value = self.pressure
        return response


class Operator:
    """Calls the gate as planner, executor and people do."""

    def __init__(self, node: Node) -> None:
        self.node = node
        group = ReentrantCallbackGroup()
        types = {
            'admit': AdmitPlan,
            'approve': Approve,
            'get_plan': GetPlan,
            'evaluate': EvaluateCondition,
            'close': ClosePermit,
        }
        types['set_armed'] = SetArmed
        self.clients = {
            name: node.create_client(cls, f'gate/{name}', callback_group=group) for name, cls in types.items()
        }
        self.dispatcher = ActionClient(node, DispatchStep, 'gate/dispatch')
        self.states: list[GateState] = []
        self.requests: list[ApprovalRequest] = []
        self.verdicts: list[Verdict] = []
        node.create_subscription(GateState, 'gate/state', self.states.append, qos.STATE_LATCHED)
        node.create_subscription(ApprovalRequest, 'gate/approval_request', self.requests.append, qos.STATE_LATCHED)
        node.create_subscription(Verdict, 'gate/verdicts', self.verdicts.append, qos.LATCHED_HISTORY)

    def call(self, name: str, **fields: Any) -> Any:
        client = self.clients[name]
        assert client.wait_for_service(DEADLINE_S)
        future = client.call_async(client.srv_type.Request(**fields))
        wait(future.done, f'the answer of {name}')
        return future.result()

    def admit(self, plan: Plan | bytes, channel: int = TYPED, proposer: str = 'operator') -> AdmitPlan.Response:
        raw = plan if isinstance(plan, bytes) else plan_to_bytes(plan)
        return self.call('admit', plan=raw, proposer=proposer, channel=channel)

    def send(self, permit_id: str, step_id: str) -> Any:
        assert self.dispatcher.wait_for_server(DEADLINE_S)
        future = self.dispatcher.send_goal_async(DispatchStep.Goal(permit_id=permit_id, step_id=step_id))
        wait(future.done, 'acceptance')
        return future.result().get_result_async()

    def dispatch(self, permit_id: str, step_id: str) -> DispatchStep.Result:
        future = self.send(permit_id, step_id)
        wait(future.done, f'the end of {step_id}')
        return future.result().result

    def arm(self, command: int = SetArmed.Request.ARM) -> SetArmed.Response:
        client = self.clients['set_armed']
        assert client.wait_for_service(DEADLINE_S)
        end = time.monotonic() + DEADLINE_S
        while True:  # the answer to a client that the gate has not discovered is lost; arming twice is arming
            future = client.call_async(SetArmed.Request(command=command, person='operator'))
            again = time.monotonic() + 1.0
            while not future.done() and time.monotonic() < again:
                time.sleep(0.005)
            if future.done():
                return future.result()
            assert time.monotonic() < end, f'no answer of set_armed within {DEADLINE_S} s'

    @property
    def state(self) -> int:
        return self.states[-1].state if self.states else -1


class Cell:
    """Everything of one test."""

    def __init__(self, audit_dir: Path) -> None:
        overrides = [Parameter('config', value=CONFIG), Parameter('audit_dir', value=str(audit_dir))]
        self.audit_dir = audit_dir
        self.gate = Spinner(lambda context: GateNode(context=context, parameter_overrides=overrides))
        parts: list[Any] = []

        def world(context: Context) -> Node:
            node = Node('world', context=context)
            parts.extend((Robot(node), Operator(node)))
            return node

        self.world = Spinner(world)
        self.robot: Robot = parts[0]
        self.operator: Operator = parts[1]

    def armed(self) -> Cell:
        wait(lambda: self.operator.arm().accepted, 'arming')
        return self

    def close(self) -> None:
        task = self.gate.executor.create_task(self.gate.node.shutdown)
        wait(task.done, 'the end of the gate')
        for server in self.robot.servers:
            server.destroy()
        self.world.close()
        self.gate.close()
        for log in self.audit_dir.glob('*.jsonl'):
            assert verify(log.read_bytes().splitlines(keepends=True)).problem == ''


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    made = Cell(tmp_path)
    yield made
    made.close()


def drive(step_id: str, place: str) -> Step:
    return Step(step_id, 'navigate_to', {'place': place})


def plan_of(*steps: PlanNode) -> Plan:
    return Plan('test', Sequence(steps))


TWO = plan_of(drive('s1', 'pump'), drive('s2', 'storage'))


def test_plan_runs_step_by_step_and_the_goal_is_the_gates_own(cell: Cell) -> None:
    cell.armed()
    admission = cell.operator.admit(TWO)
    assert admission.verdict.decision == Verdict.ALLOW and admission.permit_id
    assert admission.plan_sha256 == plan_sha256(plan_to_bytes(TWO))
    assert '1. drive to a place: place = pump' in admission.rendering
    assert bytes(cell.operator.call('get_plan', permit_id=admission.permit_id).plan) == plan_to_bytes(TWO)
    first = cell.operator.dispatch(admission.permit_id, 's1')
    assert first.outcome == DispatchStep.Result.SUCCEEDED and json.loads(first.returns) == {'distance_m': 4.5}
    assert cell.operator.state == GateState.ACTIVE
    assert cell.operator.dispatch(admission.permit_id, 's2').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.robot.goals == ['drive 3 2', 'drive -3 2']
    assert cell.operator.call('close', permit_id=admission.permit_id, outcome=0).closed
    wait(lambda: cell.operator.state == GateState.ARMED, 'ARMED')
    assert cell.operator.dispatch(admission.permit_id, 's1').code == Code.PERMIT_CLOSED
    assert len(cell.robot.goals) == 2


def test_nothing_moves_before_a_person_arms(cell: Cell) -> None:
    wait(lambda: cell.operator.state == GateState.DISARMED, 'DISARMED')
    admission = cell.operator.admit(TWO)
    assert (admission.verdict.decision, admission.verdict.code) == (Verdict.HOLD, Code.DISARMED)
    assert cell.operator.dispatch(admission.permit_id, 's1').code == Code.PERMIT_UNKNOWN
    assert cell.robot.goals == []


def test_wrong_order_repeated_step_and_second_permit_reach_no_controller(cell: Cell) -> None:
    cell.armed()
    permit = cell.operator.admit(TWO).permit_id
    assert cell.operator.dispatch(permit, 's2').code == Code.STEP_NOT_ENABLED
    assert cell.operator.dispatch(permit, 's9').code == Code.STEP_UNKNOWN
    assert cell.operator.dispatch('0' * 32, 's1').code == Code.PERMIT_UNKNOWN
    assert cell.robot.goals == []
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.operator.dispatch(permit, 's1').code == Code.STEP_NOT_ENABLED
    busy = cell.operator.admit(TWO)
    assert (busy.verdict.decision, busy.verdict.code) == (Verdict.HOLD, Code.BUSY)
    assert cell.robot.goals == ['drive 3 2']


def test_same_step_twice_at_once_sends_one_goal(cell: Cell) -> None:
    cell.armed()
    cell.robot.works_s = 0.5
    permit = cell.operator.admit(TWO).permit_id
    futures = [cell.operator.send(permit, 's1') for _ in range(5)]
    wait(lambda: all(future.done() for future in futures), 'all five ends')
    outcomes = sorted(future.result().result.outcome for future in futures)
    assert outcomes == [DispatchStep.Result.SUCCEEDED] + [DispatchStep.Result.DENIED] * 4
    assert cell.robot.goals == ['drive 3 2']


def test_failed_attempts_are_counted(cell: Cell) -> None:
    cell.armed()
    cell.robot.fails = 2
    permit = cell.operator.admit(TWO).permit_id
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.FAILED
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.FAILED
    assert cell.operator.dispatch(permit, 's1').code == Code.STEP_NOT_ENABLED
    assert len(cell.robot.goals) == 2


def test_stop_cancels_the_running_goal_and_latches(cell: Cell) -> None:
    cell.armed()
    cell.robot.works_s = 20.0
    permit = cell.operator.admit(TWO).permit_id
    future = cell.operator.send(permit, 's1')
    wait(lambda: bool(cell.robot.running), 'the goal')
    cell.robot.stop.publish(StopRequest(source='test', reason='now'))
    assert wait(lambda: cell.robot.cancelled == 1, 'the cancel') < 1.0
    wait(future.done, 'the end')
    assert future.result().result.outcome == DispatchStep.Result.CANCELLED
    wait(lambda: cell.operator.state == GateState.STOPPED, 'STOPPED')
    assert cell.operator.admit(TWO).verdict.code == Code.STOPPED
    assert not cell.operator.arm().accepted
    assert cell.operator.arm(SetArmed.Request.RESET).accepted
    wait(lambda: cell.operator.state == GateState.DISARMED, 'DISARMED')
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.DENIED
    cell.armed()
    assert cell.operator.dispatch(permit, 's1').code == Code.PERMIT_EPOCH
    assert len(cell.robot.goals) == 1


def test_stop_between_admission_and_dispatch_kills_the_permit(cell: Cell) -> None:
    cell.armed()
    permit = cell.operator.admit(TWO).permit_id
    cell.robot.stop.publish(StopRequest(source='test'))
    wait(lambda: cell.operator.state == GateState.STOPPED, 'STOPPED')
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.DENIED
    assert cell.robot.goals == []


@pytest.mark.parametrize('signal', ['mode', 'estop', 'pose'])
def test_stale_signal_holds_and_cancels_what_runs(cell: Cell, signal: str) -> None:
    cell.armed()
    cell.robot.works_s = 20.0
    permit = cell.operator.admit(TWO).permit_id
    future = cell.operator.send(permit, 's1')
    wait(lambda: bool(cell.robot.running), 'the goal')
    cell.robot.silent.add(signal)
    wait(lambda: cell.robot.cancelled == 1, 'the cancel')
    wait(future.done, 'the end')
    assert future.result().result.code == Code.SIGNAL_STALE
    wait(lambda: cell.operator.state == GateState.HOLD, 'HOLD')
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.HELD
    cell.robot.silent.clear()
    wait(lambda: cell.operator.state == GateState.ACTIVE, 'ACTIVE')
    cell.robot.works_s = 0.05
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.SUCCEEDED


def test_mode_change_raises_the_epoch_and_manual_allows_reading_only(cell: Cell) -> None:
    cell.armed()
    permit = cell.operator.admit(TWO).permit_id
    cell.robot.mode = 'MANUAL'
    wait(lambda: cell.operator.state == GateState.HOLD, 'HOLD')
    assert cell.operator.dispatch(permit, 's1').outcome == DispatchStep.Result.DENIED
    assert cell.operator.admit(TWO).verdict.code == Code.MODE
    reading = cell.operator.admit(plan_of(Step('r', 'read_gauge', {'gauge': 'pressure_gauge'})))
    result = cell.operator.dispatch(reading.permit_id, 'r')
    assert result.outcome == DispatchStep.Result.SUCCEEDED
    assert json.loads(result.returns)['value'] == 3.7
    assert cell.robot.goals == ['read pressure_gauge']


def test_emergency_stop_latches_until_a_person_resets(cell: Cell) -> None:
    cell.armed()
    cell.robot.estop = True
    wait(lambda: cell.operator.state == GateState.STOPPED, 'STOPPED')
    assert not cell.operator.arm(SetArmed.Request.RESET).accepted
    cell.robot.estop = False
    wait(lambda: cell.operator.arm(SetArmed.Request.RESET).accepted, 'the reset')
    assert cell.operator.admit(TWO).verdict.code == Code.DISARMED


def test_executor_gone_cancels_and_holds_until_armed_again(cell: Cell) -> None:
    cell.armed()
    cell.robot.works_s = 20.0
    permit = cell.operator.admit(TWO).permit_id
    cell.operator.send(permit, 's1')
    wait(lambda: bool(cell.robot.running), 'the goal')
    cell.robot.silent.add('executor')
    assert 0.5 < wait(lambda: cell.robot.cancelled == 1, 'the cancel') < 2.0
    wait(lambda: cell.operator.state == GateState.HOLD, 'HOLD')
    cell.robot.silent.clear()
    assert cell.operator.admit(TWO).verdict.code == Code.EXECUTOR_LEASE
    assert cell.operator.dispatch(permit, 's1').code == Code.EXECUTOR_LEASE
    cell.armed()
    assert cell.operator.admit(TWO).verdict.decision == Verdict.ALLOW


def test_silent_deadman_stops(cell: Cell) -> None:
    cell.armed()
    cell.robot.silent.add('deadman')
    wait(lambda: cell.operator.state == GateState.STOPPED, 'STOPPED')
    assert cell.operator.states[-1].code == Code.STOPPED and 'deadman' in cell.operator.states[-1].text


def test_spoken_motion_waits_for_the_proposers_word(cell: Cell) -> None:
    cell.armed()
    admission = cell.operator.admit(TWO, SPEECH)
    assert (admission.verdict.decision, admission.verdict.code) == (Verdict.NEEDS_APPROVAL, Code.NEEDS_CONFIRMATION)
    assert not admission.permit_id and admission.approval_id
    wait(lambda: bool(cell.operator.requests), 'the request')
    request = cell.operator.requests[-1]
    assert request.kind == ApprovalRequest.KIND_CONFIRM and request.open and request.proposer == 'operator'
    answer = {'approval_id': admission.approval_id, 'approve': True, 'plan_sha256': admission.plan_sha256}
    assert cell.operator.call('approve', person='visitor', **answer).code == Code.APPROVER_REFUSED
    assert (
        cell.operator.call('approve', person='operator', **{**answer, 'plan_sha256': 'f' * 64}).code
        == Code.APPROVAL_MISMATCH
    )
    assert cell.operator.call('approve', person='operator', signature=b'x', **answer).code == Code.SIGNATURE_REFUSED
    granted = cell.operator.call('approve', person='operator', **answer)
    assert granted.accepted and granted.permit_id
    assert cell.operator.dispatch(granted.permit_id, 's1').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.operator.call('approve', person='operator', **answer).code == Code.APPROVAL_UNKNOWN
    wait(lambda: not cell.operator.requests[-1].open, 'the closed request')


def test_refused_plan_gets_no_permit(cell: Cell) -> None:
    cell.armed()
    admission = cell.operator.admit(plan_of(Step('v', 'close_valve', {'valve': 'main_valve'})))
    assert admission.verdict.code == Code.NEEDS_CONFIRMATION and admission.verdict.hazard == 'h3'
    answer = {'approval_id': admission.approval_id, 'person': 'operator', 'plan_sha256': admission.plan_sha256}
    refused = cell.operator.call('approve', approve=False, **answer)
    assert refused.accepted and not refused.permit_id
    assert cell.operator.call('approve', approve=True, **answer).code == Code.APPROVAL_UNKNOWN
    assert cell.robot.goals == []


def test_gate_decides_conditions_from_what_it_recorded(cell: Cell) -> None:
    condition = Condition(Ref('r', 'value'), '<', 4.0, 30.0, 'hold', 'bar')
    plan = plan_of(
        Step('r', 'read_gauge', {'gauge': 'pressure_gauge'}),
        If(condition, drive('low', 'pump'), drive('high', 'storage')),
    )
    cell.armed()
    permit = cell.operator.admit(plan).permit_id
    assert cell.operator.call('evaluate', permit_id=permit, node_id='/1').code == Code.STEP_NOT_ENABLED
    assert cell.operator.dispatch(permit, 'low').code == Code.STEP_NOT_ENABLED
    assert cell.operator.dispatch(permit, 'r').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.operator.dispatch(permit, 'low').code == Code.STEP_NOT_ENABLED
    answer = cell.operator.call('evaluate', permit_id=permit, node_id='/1')
    assert answer.value == EvaluateCondition.Request.TRUE and '3.7 bar' in answer.text
    assert cell.operator.call('evaluate', permit_id=permit, node_id='/1').code == Code.STEP_NOT_ENABLED
    assert cell.operator.dispatch(permit, 'high').code == Code.STEP_NOT_ENABLED
    assert cell.operator.dispatch(permit, 'low').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.robot.goals == ['read pressure_gauge', 'drive 3 2']


def test_malformed_plans_get_a_code_and_no_permit(cell: Cell) -> None:
    cell.armed()
    good = plan_to_bytes(TWO)
    bad = {
        b'x' * 65537: Code.TOO_LARGE,
        b'\xff' + good: Code.NOT_UTF8,
        b'[' * 17: Code.TOO_DEEP,
        good[:-1]: Code.NOT_JSON,
        good + b'\n': Code.NOT_CANONICAL,
        good.replace(b'"pump"', b'"moon"'): Code.BAD_ARGUMENT,
        good.replace(b'navigate_to', b'rm_rf'): Code.UNKNOWN_TOOL,
        good.replace(b'"goal":"test"', b'"goal":"te\xc2\xadst"'): Code.TEXT_REFUSED,
    }
    for raw, code in bad.items():
        admission = cell.operator.admit(raw)
        assert (admission.verdict.decision, admission.verdict.code, admission.permit_id) == (Verdict.DENY, code, '')
    assert cell.operator.admit(TWO, proposer='').verdict.code == Code.BAD_PROPOSER


def test_controller_that_is_not_there_is_told_and_fails(cell: Cell) -> None:
    cell.armed()
    endpoint = cell.operator.node.resolve_topic_name('dock/_action/status')
    wait(lambda: not cell.operator.node.count_publishers(endpoint), 'the end of what another test served')
    permit = cell.operator.admit(plan_of(Step('u', 'undock', {}))).permit_id
    result = cell.operator.dispatch(permit, 'u')
    assert (result.outcome, result.code) == (DispatchStep.Result.LOST, 402)
    assert cell.robot.abandoned == []


def test_parallel_any_lets_nothing_start_after_the_first_success(cell: Cell) -> None:
    plan = Plan('test', Fallback((Parallel((drive('a', 'pump'), drive('b', 'storage')), 'any'), drive('c', 'pump'))))
    cell.armed()
    permit = cell.operator.admit(plan).permit_id
    assert cell.operator.dispatch(permit, 'a').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.operator.dispatch(permit, 'b').code == Code.STEP_NOT_ENABLED
    assert cell.operator.dispatch(permit, 'c').code == Code.STEP_NOT_ENABLED


def test_audit_that_cannot_be_written_denies(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell.armed()
    permit = cell.operator.admit(TWO).permit_id

    def full(_: int) -> None:
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr('gemma4_ros.ros.gate_audit.os.fdatasync', full)
        assert cell.operator.dispatch(permit, 's1').code == Code.AUDIT
        assert cell.operator.admit(TWO).verdict.code in (Code.AUDIT, Code.BUSY)
        cell.robot.stop.publish(StopRequest(source='test'))
        wait(lambda: cell.operator.state == GateState.STOPPED, 'STOPPED')
    assert cell.robot.goals == []


def test_hijacked_executor_reaches_nothing_that_the_plan_does_not_allow(cell: Cell) -> None:
    condition = Condition(Ref('r', 'value'), '<', 4.0, 30.0, 'hold', 'bar')
    plan = plan_of(
        Step('r', 'read_gauge', {'gauge': 'pressure_gauge'}),
        If(condition, drive('a', 'pump'), drive('b', 'storage')),
        Repeat(drive('c', 'control_desk'), 2),
    )
    names = ['r', 'a', 'b', 'c', '', '/', '/1', 'r/recover/x', 'a\n', 'c/recover/', 'x' * 128, 'nothing']
    random = Random(7)
    cell.armed()
    cell.robot.works_s = 0.0
    permit = cell.operator.admit(plan).permit_id
    permits = [permit, permit, permit, permit[:-1], '', 'f' * 32]
    done = 0
    for _ in range(1000):
        if done == 4:
            break
        if random.random() < 0.1:
            cell.operator.call(
                'evaluate', permit_id=random.choice(permits), node_id=random.choice(['/1', '/', '/2', 'r'])
            )
        result = cell.operator.dispatch(random.choice(permits), random.choice(names))
        done += result.outcome == DispatchStep.Result.SUCCEEDED
    allowed = ['read pressure_gauge', 'drive 3 2', 'drive 0 2', 'drive 0 2']
    assert cell.robot.goals == allowed[: len(cell.robot.goals)] and done == len(cell.robot.goals)
    assert done == 4


def test_stop_at_any_instant_leaves_nothing_running(cell: Cell) -> None:
    cell.robot.works_s = 20.0
    random = Random(11)
    for _ in range(8):
        cell.armed()
        permit = cell.operator.admit(TWO).permit_id
        instant = time.monotonic() + random.uniform(0.0, 0.03)
        future = cell.operator.send(permit, 's1')
        wait(lambda instant=instant: time.monotonic() >= instant, 'the instant')
        cell.robot.stop.publish(StopRequest(source='test'))
        wait(future.done, 'the end')
        result = future.result().result
        assert result.outcome in (DispatchStep.Result.CANCELLED, DispatchStep.Result.DENIED)
        wait(lambda: cell.operator.state == GateState.STOPPED, 'STOPPED')
        assert cell.robot.running == [] and cell.robot.cancelled == len(cell.robot.goals)
        assert cell.operator.arm(SetArmed.Request.RESET).accepted
