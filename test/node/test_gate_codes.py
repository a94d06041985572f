# SPDX-License-Identifier: Apache-2.0
"""Every reason code, provoked through the running gate; with test_gate_node and test_gate_rules that is all of them."""

from __future__ import annotations

import re
import time
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

from gate_cell import Cell, drive, plan_of, wait
from gate_code_cases import CASES, IF, READ, changed_policy
from gemma4_ros.action import DispatchStep
from gemma4_ros.msg import GateState, Verdict
from gemma4_ros.srv import EvaluateCondition

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import Ref, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]
MOST = 65_537  # bytes that the request takes: one more than the gate
ADMITTED = [case for case in CASES if not case[2] and '--step' not in case[5]]
FREE = 'irreversible:\n    typed: {confirm: false'
GROUPS = [list(group) for _, group in groupby(ADMITTED, key=lambda case: (case[3], case[4]))]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Cell]]:
    cells: list[Cell] = []

    def make(changes: list[tuple[str, str]], more: str = '') -> Cell:
        policy = tmp_path / 'policy.yaml'
        policy.write_text(changed_policy(changes, more), encoding='utf-8')
        cells.append(Cell(tmp_path / 'audit', policy=str(policy)))
        return cells[-1].armed()

    yield make
    for cell in cells:
        cell.close()


@pytest.mark.parametrize('group', GROUPS, ids=['-'.join(case[0].name for case in group)[:60] for group in GROUPS])
def test_admission_says_the_code_and_sends_nothing(made: Callable[..., Cell], group: list[Any]) -> None:
    cell = made(group[0][3], group[0][4])
    for code, raw, _, _, _, words in group:
        options = {'--proposer': 'proposer', '--channel': 'channel'}
        fields = {
            options[name]: {'speech': 1}.get(value, value) for name, value in zip(words[::2], words[1::2], strict=True)
        }
        verdict = cell.operator.admit(raw[:MOST], **fields).verdict
        assert (Code(verdict.code).name, bool(verdict.rule), bool(verdict.text)) == (code.name, True, True)
    assert cell.robot.goals == []


@pytest.mark.parametrize(('silent', 'code'), [('pose', Code.SIGNAL_MISSING), ('deadman', Code.DEADMAN)])
def test_what_never_came_holds(made: Callable[..., Cell], tmp_path: Path, silent: str, code: Code) -> None:
    cell = Cell(tmp_path / 'audit')
    try:
        cell.robot.silent.add(silent)
        if silent == 'deadman':
            wait(lambda: cell.operator.arm().code == code, 'arming is refused for the deadman')
        else:
            made_s = time.monotonic()
            wait(lambda: cell.operator.arm().accepted and time.monotonic() - made_s > 1.0, 'armed')
            wait(
                lambda: cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict.code in (code, Code.SIGNAL_STALE),
                'no pose',
            )
    finally:
        cell.close()


def test_pressed_stop_is_said_at_admission(made: Callable[..., Cell]) -> None:
    cell = made([])
    cell.robot.estop = True
    wait(lambda: cell.operator.state == GateState.STOPPED, 'the stop')
    wait(lambda: cell.operator.arm(2).code == Code.ARM_REFUSED, 'a reset is refused while it is pressed')
    verdicts = [cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict]
    assert {verdict.code for verdict in verdicts} <= {Code.STOPPED, Code.ESTOP}


def test_precondition_holds_the_step(made: Callable[..., Cell]) -> None:
    move = '  navigate_to: {risk: motion, hazard: h1'
    cell = made([(move, move + ', when: [{signal: mode, is: MANUAL}]'), ('MANUAL: read', 'MANUAL: motion')])
    permit = cell.operator.admit(plan_of(drive('s1', 'pump'))).permit_id
    result = cell.operator.dispatch(permit, 's1')
    assert (result.outcome, result.code) == (DispatchStep.Result.HELD, Code.PRECONDITION)
    assert cell.robot.goals == []


def test_request_that_nobody_answers_expires(made: Callable[..., Cell]) -> None:
    cell = made([('time_to_live_s: 120', 'time_to_live_s: 1')])
    admission = cell.operator.admit(plan_of(Step('v', 'open_valve', {'valve': 'main_valve'})))
    assert admission.verdict.decision == Verdict.NEEDS_APPROVAL
    fields = {'approval_id': admission.approval_id, 'plan_sha256': admission.plan_sha256, 'approve': True}
    wait(lambda: bool(cell.operator.requests) and not cell.operator.requests[-1].open, 'the request closes')
    answer = cell.operator.call('approve', person='operator', **fields)
    assert answer.code in (Code.APPROVAL_EXPIRED, Code.APPROVAL_UNKNOWN) and not answer.permit_id


def test_condition_without_a_result_and_interrupted_step_say_so(made: Callable[..., Cell]) -> None:
    cell = made([])
    cell.robot.pressure = float('nan')
    permit = cell.operator.admit(plan_of(READ, IF)).permit_id
    assert cell.operator.dispatch(permit, 'r').outcome == DispatchStep.Result.SUCCEEDED
    answer = cell.operator.call('evaluate', permit_id=permit, node_id='/1')
    assert (answer.value, answer.code) == (EvaluateCondition.Request.HOLD, Code.CONDITION_UNKNOWN)
    cell.operator.call('close', permit_id=permit, outcome=1)
    cell.robot.works_s = 20.0
    permit = cell.operator.admit(plan_of(drive('s1', 'pump'))).permit_id
    end = cell.operator.send(permit, 's1')
    wait(lambda: cell.robot.running != [], 'the drive')
    assert cell.operator.dispatch(permit, 's1').code == Code.STEP_RUNNING
    cell.operator.call('close', permit_id=permit, outcome=1)
    wait(end.done, 'the cancel')
    assert end.result().result.code == Code.STEP_INTERRUPTED


def test_result_that_was_not_recorded_and_permit_that_is_too_old(made: Callable[..., Cell]) -> None:
    quick = [('start_within_s: 30', 'start_within_s: 1'), ('irreversible:\n    typed: {confirm: true', FREE)]
    cell = made(quick)
    cell.robot.pressure = float('inf')
    value = {'panel': 'setpoint_panel', 'value_bar': Ref('r', 'value')}
    permit = cell.operator.admit(plan_of(READ, Step('p', 'set_panel_value', value))).permit_id
    assert cell.operator.dispatch(permit, 'r').outcome == DispatchStep.Result.SUCCEEDED
    assert cell.operator.dispatch(permit, 'p').code == Code.REFERENCE_UNRESOLVED
    cell.operator.call('close', permit_id=permit, outcome=1)
    permit = cell.operator.admit(plan_of(drive('s1', 'pump'))).permit_id
    wait(lambda: cell.operator.states[-1].permit_id == '', 'the permit dies unused')
    assert cell.operator.dispatch(permit, 's1').code == Code.PERMIT_EXPIRED
    assert cell.robot.goals == ['read pressure_gauge']


def test_failure_of_the_gate_itself_stops(made: Callable[..., Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    cell = made([])

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr('gemma4_ros.core.gate.monitor.decide', broken)
    assert cell.operator.admit(plan_of(drive('s1', 'pump'))).verdict.code == Code.INTERNAL
    wait(lambda: cell.operator.state == GateState.STOPPED, 'the stop')


def test_every_code_is_named_by_a_test_of_the_node() -> None:
    folder = Path(__file__).parent
    text = ''.join(path.read_text(encoding='utf-8') for path in folder.glob('test_gate_*.py'))
    named = {*re.findall(r'Code\.([A-Z_0-9]+)', text), *(case[0].name for case in ADMITTED)}
    only_in_the_log = {'CLOCK', 'NONE'}  # what a jump of the clock is recorded as; its effect is a new epoch
    assert {code.name for code in Code} - named == only_in_the_log
