# SPDX-License-Identifier: Apache-2.0
"""The gate over real DDS: what reaches a controller is counted there, never taken from the gate's answer."""

from __future__ import annotations

import json
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

pytest.importorskip('rclpy')

from gate_cell import SPEECH, Cell, drive, plan_of, wait
from gemma4_ros.action import DispatchStep
from gemma4_ros.msg import ApprovalRequest, GateState, StopRequest, Verdict
from gemma4_ros.srv import EvaluateCondition, SetArmed

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import (
    Condition,
    Fallback,
    If,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Step,
    plan_sha256,
    plan_to_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[Cell]:
    made = Cell(tmp_path)
    yield made
    made.close()


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
