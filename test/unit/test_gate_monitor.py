# SPDX-License-Identifier: Apache-2.0
"""The reference monitor: permits, people, steps, conditions, stops and leases, with time as an argument."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate import monitor as monitor_module
from gemma4_ros.core.gate import rehearse as rehearse_module
from gemma4_ros.core.gate.approvals import Answer
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.monitor import Admission, Monitor
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Approval
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Allow, Deny, Hold, NeedsApproval, Refused
from gemma4_ros.core.plan import Condition, If, Node, Plan, Ref, Sequence, Step, plan_sha256, plan_to_bytes
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

POLICY, CATALOGUE = load_gate(GateFiles(str(Path(__file__).resolve().parents[2] / 'config')))
DRIVE = Step('s1', 'navigate_to', {'place': 'pump'})
READ = Step('r', 'read_gauge', {'gauge': 'pressure_gauge'})
SET = Step('p', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('r', 'value')})


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        assert {'steady_s', 'epoch', 'decision', 'code', 'rule', 'text'} <= set(data)
        self.kinds.append(kind)


class Gate:
    """A monitor with a clock that is moved by hand and signals that follow it."""

    def __init__(self, **policy: Any) -> None:
        self.notes = Notes()
        counter = itertools.count(1)
        self.monitor = Monitor(replace(POLICY, **policy), CATALOGUE, 'boot', lambda: f'id{next(counter)}', self.notes)
        self.now = 100.0
        self.live()

    def live(self, *silent: str) -> None:
        """Let everything give a sign of life, but for what is silent."""
        moment = self.monitor.moment
        signs = {
            'mode': lambda: moment.signal('mode', 'AUTO', self.now),
            'estop': lambda: moment.signal('estop', False, self.now),
            'pose': lambda: moment.signal('pose', None, self.now),
            'deadman': lambda: moment.deadman(self.now),
            'executor': lambda: moment.executor(self.now),
        }
        for name, sign in signs.items():
            if name not in silent:
                sign()

    def later(self, seconds: float, *silent: str) -> None:
        """Let time pass in ticks of 50 ms."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self.live(*silent)
            self.monitor.tick(self.now)

    def armed(self) -> Gate:
        self.monitor.moment.arm('anna', self.now)
        return self

    def admit(self, *nodes: Node, channel: int = 0, proposer: str = 'anna') -> Admission:
        return self.monitor.admit(plan_to_bytes(Plan('test', Sequence(nodes))), proposer, channel, self.now)

    def permit(self, *nodes: Node) -> str:
        candidate = self.admit(*nodes).candidate
        assert candidate is not None
        return self.monitor.issue(candidate, self.now).id

    def start(self, permit_id: str, step_id: str) -> Ticket:
        ticket = self.monitor.authorise(permit_id, step_id, self.now)
        self.monitor.confirm(ticket, self.now)
        return ticket

    def run(self, permit_id: str, step_id: str, succeeded: bool = True, **values: Any) -> None:
        self.monitor.finish(self.start(permit_id, step_id), succeeded, values, self.now)

    def code(self, permit_id: str, step_id: str) -> Code:
        try:
            self.monitor.finish(self.start(permit_id, step_id), True, {}, self.now)
        except Refused as refused:
            return refused.verdict.code
        return Code.NONE


def test_goal_is_rebuilt_by_the_gate_from_the_stored_plan() -> None:
    gate = Gate().armed()
    permit = gate.permit(DRIVE)
    ticket = gate.start(permit, 's1')
    assert ticket.goal['pose']['pose']['position'] == {'x': 3.0, 'y': 2.0, 'z': 0.0}
    assert gate.monitor.plan_bytes(permit) == plan_to_bytes(Plan('test', Sequence((DRIVE,))))


@pytest.mark.parametrize(
    ('step', 'code'),
    [
        (Step('s1', 'fly', {}), Code.UNKNOWN_TOOL),
        (Step('s1', 'navigate_to', {}), Code.BAD_ARGUMENT),
        (Step('s1', 'navigate_to', {'place': 'moon'}), Code.BAD_ARGUMENT),
        (Step('s1', 'navigate_to', {'place': 'pump', 'speed': 9}), Code.BAD_ARGUMENT),
        (Step('s1', 'navigate_to', {'place': 3}), Code.BAD_ARGUMENT),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': '3'}), Code.BAD_ARGUMENT),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': True}), Code.BAD_ARGUMENT),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 8.1}), Code.BAD_ARGUMENT),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 7.9}), Code.ARGUMENT_NOT_ALLOWED),
        (Step('s1', 'navigate_to', {'place': Ref('r', 'value')}), Code.REFERENCE),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('r', 'gauge')}), Code.REFERENCE),
        (
            Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('q', 'distance_m')}),
            Code.REFERENCE,
        ),
        (If(Condition(Ref('r', 'value'), '<', 4.0, 5.0, 'hold', 'psi'), DRIVE), Code.REFERENCE),
        (If(Condition(Ref('r', 'value'), '<', 4.0, 5.0, 'hold'), DRIVE), Code.REFERENCE),
        (If(Condition(Ref('r', 'value'), '<', 'low', 5.0, 'hold', 'bar'), DRIVE), Code.REFERENCE),
        (If(Condition(Ref('r', 'value'), '==', 'low', 5.0, 'hold'), DRIVE), Code.REFERENCE),
        (If(Condition(Ref('r', 'value'), '==', True, 5.0, 'hold'), DRIVE), Code.REFERENCE),
    ],
)
def test_plan_that_does_not_fit_tools_and_world_is_refused(step: Node, code: Code) -> None:
    far = Step('q', 'navigate_to', {'place': 'pump'})
    admission = Gate().armed().admit(READ, far, step)
    assert isinstance(admission.verdict, Deny) and admission.verdict.code is code and admission.candidate is None


@pytest.mark.parametrize('proposer', ['', 'a b', 'x' * 65, 'anna\n', '../x', 'аnna'])
def test_proposer_must_have_a_plain_name(proposer: str) -> None:
    assert Gate().armed().admit(DRIVE, proposer=proposer).verdict.code is Code.BAD_PROPOSER


def test_one_permit_at_a_time_and_each_for_one_run() -> None:
    gate = Gate().armed()
    permit = gate.permit(DRIVE)
    assert isinstance(gate.admit(DRIVE).verdict, Hold)
    gate.run(permit, 's1')
    gate.monitor.close(permit, 0, '', gate.now)
    assert gate.code(permit, 's1') is Code.PERMIT_CLOSED
    with pytest.raises(Refused, match='run'):
        gate.monitor.close(permit, 0, '', gate.now)
    assert gate.permit(DRIVE) != permit


def test_candidate_of_an_older_epoch_gets_no_permit() -> None:
    gate = Gate().armed()
    candidate = gate.admit(DRIVE).candidate
    assert candidate is not None
    gate.monitor.moment.disarm('anna', gate.now)
    gate.armed()
    with pytest.raises(Refused) as caught:
        gate.monitor.issue(candidate, gate.now)
    assert caught.value.verdict.code is Code.PERMIT_EPOCH


def test_unstarted_permit_and_old_permit_expire() -> None:
    gate = Gate(start_within_s=2.0, permit_ttl_s=5.0).armed()
    first = gate.permit(DRIVE, READ)
    gate.later(2.1)
    assert gate.code(first, 's1') is Code.PERMIT_EXPIRED
    second = gate.permit(DRIVE, READ)
    gate.run(second, 's1')
    gate.later(5.1)
    assert gate.code(second, 'r') is Code.PERMIT_EXPIRED


def test_stop_between_reservation_and_sending_withdraws_the_step() -> None:
    gate = Gate().armed()
    permit = gate.permit(DRIVE)
    ticket = gate.monitor.authorise(permit, 's1', gate.now)
    gate.monitor.moment.stop(Code.STOPPED, 'x', gate.now)
    with pytest.raises(Refused) as caught:
        gate.monitor.confirm(ticket, gate.now)
    assert caught.value.verdict.code is Code.STOPPED
    assert gate.notes.kinds[-1] == 'withdraw'


@pytest.mark.parametrize('silent', ['mode', 'estop', 'pose'])
def test_hold_between_reservation_and_sending_leaves_the_attempt(silent: str) -> None:
    gate = Gate().armed()
    permit = gate.permit(DRIVE)
    ticket = gate.monitor.authorise(permit, 's1', gate.now)
    gate.later(3.0, silent)
    assert gate.monitor.must_end(ticket, gate.now) is not None
    with pytest.raises(Refused) as caught:
        gate.monitor.confirm(ticket, gate.now)
    assert isinstance(caught.value.verdict, Hold)
    gate.live()
    for _ in range(2):
        gate.run(permit, 's1', succeeded=False)
    assert gate.code(permit, 's1') is Code.STEP_NOT_ENABLED


def test_running_step_must_end_when_its_permit_dies() -> None:
    gate = Gate().armed()
    permit = gate.permit(DRIVE)
    ticket = gate.start(permit, 's1')
    assert gate.monitor.must_end(ticket, gate.now) is None
    gate.monitor.close(permit, 2, '', gate.now)
    verdict = gate.monitor.must_end(ticket, gate.now)
    assert verdict is not None and verdict.code is Code.STEP_INTERRUPTED


def test_reference_is_resolved_from_what_the_gate_recorded_and_judged_again() -> None:
    gate = Gate(approvals={key: Approval(False, 0) for key in POLICY.approvals}).armed()
    permit = gate.permit(READ, SET)
    gate.run(permit, 'r', value=3.5)
    ticket = gate.start(permit, 'p')
    assert ticket.goal == {'panel': 'setpoint_panel', 'value': 3.5, 'unit': 'bar'}
    gate.monitor.finish(ticket, True, {}, gate.now)
    gate.monitor.close(permit, 0, '', gate.now)
    for value, code in ((7.9, Code.ARGUMENT_NOT_ALLOWED), (99.0, Code.BAD_ARGUMENT), (None, Code.REFERENCE_UNRESOLVED)):
        permit = gate.permit(READ, SET)
        gate.run(permit, 'r', **({} if value is None else {'value': value}))
        assert gate.code(permit, 'p') is code
        gate.monitor.close(permit, 1, '', gate.now)


@pytest.mark.parametrize(
    ('value', 'age_s', 'on_unknown', 'answer'),
    [
        (3.0, 0.0, 'hold', True),
        (4.0, 0.0, 'hold', False),
        (3.0, 6.0, 'hold', None),
        (3.0, 6.0, 'true', True),
        (3.0, 6.0, 'false', False),
        (None, 0.0, 'hold', None),
        (True, 0.0, 'hold', None),
        ('3', 0.0, 'hold', None),
        (float('nan'), 0.0, 'hold', None),
    ],
)
def test_condition_is_decided_once_from_the_record(
    value: Any, age_s: float, on_unknown: Any, answer: bool | None
) -> None:
    gate = Gate().armed()
    condition = Condition(Ref('r', 'value'), '<', 4.0, 5.0, on_unknown, 'bar')
    permit = gate.permit(READ, If(condition, DRIVE))
    with pytest.raises(Refused):
        gate.monitor.evaluate(permit, '/1', gate.now)
    gate.run(permit, 'r', **({} if value is None else {'value': value}))
    gate.later(age_s)
    assert gate.monitor.evaluate(permit, '/1', gate.now)[0] is answer
    assert gate.code(permit, 's1') is (Code.NONE if answer else Code.STEP_NOT_ENABLED)
    if answer is not None:
        with pytest.raises(Refused) as caught:
            gate.monitor.evaluate(permit, '/1', gate.now)
        assert caught.value.verdict.code is Code.STEP_NOT_ENABLED
    with pytest.raises(Refused) as caught:
        gate.monitor.evaluate(permit, '/0', gate.now)
    assert caught.value.verdict.code is Code.STEP_UNKNOWN


def ask(gate: Gate, *nodes: Node, channel: int = 1) -> tuple[str, str]:
    admission = gate.admit(*nodes, channel=channel)
    assert admission.candidate is not None and isinstance(admission.verdict, NeedsApproval)
    return gate.monitor.ask(admission.candidate, admission.verdict, gate.now)[0].id, admission.sha256


def answered(
    gate: Gate, approval_id: str, person: str, sha256: str, approve: bool = True, signature: bytes = b''
) -> Code:
    try:
        gate.monitor.grant(
            gate.monitor.answer(Answer(approval_id, person, approve, sha256, signature), gate.now), gate.now
        )
    except Refused as refused:
        return refused.verdict.code
    return Code.NONE


def test_proposer_confirms_what_was_spoken() -> None:
    gate = Gate().armed()
    approval, sha256 = ask(gate, DRIVE)
    assert answered(gate, approval, 'bob', sha256) is Code.APPROVER_REFUSED
    assert answered(gate, approval, 'anna', 'f' * 64) is Code.APPROVAL_MISMATCH
    assert answered(gate, approval, 'anna', sha256, signature=b'x') is Code.SIGNATURE_REFUSED
    assert answered(gate, 'other', 'anna', sha256) is Code.APPROVAL_UNKNOWN
    assert answered(gate, approval, '', sha256) is Code.BAD_PROPOSER
    assert answered(gate, approval, 'anna', sha256) is Code.NONE
    assert answered(gate, approval, 'anna', sha256) is Code.APPROVAL_UNKNOWN


def test_two_distinct_others_approve_after_the_confirmation() -> None:
    gate = Gate(approvals={key: Approval(True, 2) for key in POLICY.approvals}).armed()
    approval, sha256 = ask(gate, DRIVE, channel=0)
    for person, code in (
        ('anna', Code.NEEDS_APPROVAL),
        ('anna', Code.APPROVER_REFUSED),
        ('bob', Code.NEEDS_APPROVAL),
        ('bob', Code.APPROVER_REFUSED),
        ('carl', Code.NONE),
    ):
        assert answered(gate, approval, person, sha256) is code


def test_a_no_an_old_yes_and_a_yes_of_another_epoch_give_nothing() -> None:
    gate = Gate().armed()
    approval, sha256 = ask(gate, DRIVE)
    gate.monitor.answer(Answer(approval, 'bob', False, sha256), gate.now)
    assert answered(gate, approval, 'anna', sha256) is Code.APPROVAL_UNKNOWN
    approval, sha256 = ask(gate, DRIVE)
    gate.now += 121.0
    gate.live()
    assert answered(gate, approval, 'anna', sha256) is Code.APPROVAL_EXPIRED
    assert [request.id for request in gate.monitor.tick(gate.now)] == [approval]
    approval, sha256 = ask(gate, DRIVE)
    gate.monitor.moment.signal('mode', 'MANUAL', gate.now)
    assert [request.id for request in gate.monitor.take_closed_requests()] == [approval]
    assert answered(gate, approval, 'anna', sha256) is Code.APPROVAL_UNKNOWN


def test_yes_during_a_hold_waits_for_the_hold_to_end() -> None:
    gate = Gate().armed()
    approval, sha256 = ask(gate, DRIVE)
    gate.later(1.0, 'pose')
    assert answered(gate, approval, 'anna', sha256) is Code.SIGNAL_STALE
    gate.live()
    assert (
        answered(gate, approval, 'anna', sha256) is Code.NONE
    )  # the yes was kept; said once more, it brings the permit


def test_plan_too_long_to_show_cannot_be_approved() -> None:
    gate = Gate().armed()
    steps = [Step(f's{i}', 'navigate_to', {'place': 'valve_station'}) for i in range(200)]
    assert gate.admit(*steps, channel=1).verdict.code is Code.RENDERING_TOO_LONG
    assert isinstance(gate.admit(*steps).verdict, Allow)


def test_latched_stop_is_cleared_by_a_person_only_and_never_arms() -> None:
    gate = Gate().armed()
    moment = gate.monitor.moment
    assert moment.stop(Code.STOPPED, 'button \x1b[31m', gate.now) and not moment.stop(Code.STOPPED, 'again', gate.now)
    assert '\x1b' not in moment.state.stop_text
    gate.later(5.0)
    for ask_for in (moment.arm, moment.disarm):
        with pytest.raises(Refused):
            ask_for('anna', gate.now)
    with pytest.raises(Refused):
        moment.reset('', gate.now)
    moment.reset('anna', gate.now)
    assert moment.state.latch is Latch.DISARMED
    with pytest.raises(Refused):
        moment.reset('anna', gate.now)


def test_pressed_emergency_stop_cannot_be_reset() -> None:
    gate = Gate().armed()
    gate.monitor.moment.signal('estop', True, gate.now)
    assert gate.monitor.view(gate.now).state == 4
    with pytest.raises(Refused, match='release'):
        gate.monitor.moment.reset('anna', gate.now)


@pytest.mark.parametrize('silent', ['mode', 'estop', 'deadman'])
def test_gate_cannot_be_armed_without(silent: str) -> None:
    gate = Gate()
    gate.later(3.0, silent)
    with pytest.raises(Refused):
        gate.armed()


def test_executor_lease_lapses_only_during_a_plan() -> None:
    gate = Gate().armed()
    gate.later(3.0, 'executor')
    assert gate.monitor.view(gate.now).state == 1
    gate.live()
    permit = gate.permit(DRIVE, READ)
    ticket = gate.start(permit, 's1')
    assert gate.monitor.view(gate.now).state == 2
    gate.later(1.1, 'executor')
    assert gate.monitor.must_end(ticket, gate.now) is not None
    assert gate.monitor.view(gate.now).state == 3
    gate.monitor.finish(ticket, False, {}, gate.now)
    gate.live()
    assert gate.admit(DRIVE).verdict.code is Code.EXECUTOR_LEASE
    assert gate.code(permit, 'r') is Code.EXECUTOR_LEASE
    gate.armed()
    assert isinstance(gate.admit(DRIVE).verdict, Allow)


def test_deadman_that_falls_silent_or_trips_stops() -> None:
    gate = Gate().armed()
    gate.later(0.7, 'deadman')
    assert gate.monitor.state.latch is Latch.STOPPED
    gate = Gate().armed()
    gate.monitor.moment.deadman(gate.now, tripped=True)
    assert gate.monitor.state.latch is Latch.STOPPED


def test_process_that_got_no_time_itself_looks_once_more_before_it_judges() -> None:
    gate = Gate().armed()
    gate.monitor.tick(gate.now)
    gate.now += 2.0
    gate.monitor.tick(gate.now)
    assert gate.monitor.state.latch is Latch.ARMED
    gate.now += 0.3
    gate.monitor.tick(gate.now)
    assert gate.monitor.state.latch is Latch.STOPPED


def test_failure_inside_of_a_decision_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate().armed()
    monkeypatch.setattr(monitor_module, 'decide', lambda *_: 1 / 0)
    assert gate.admit(DRIVE).verdict.code is Code.INTERNAL
    assert gate.monitor.state.latch is Latch.STOPPED
    assert 'ZeroDivisionError' in gate.monitor.view(gate.now).verdict.text


def test_every_decision_is_journalled() -> None:
    gate = Gate().armed()
    approval, sha256 = ask(gate, READ, DRIVE)
    answered(gate, approval, 'anna', sha256)
    permit = gate.monitor.view(gate.now).permit_id
    gate.run(permit, 'r', value=1.0)
    gate.code(permit, 'nothing')
    gate.monitor.close(permit, 0, '', gate.now)
    gate.monitor.moment.stop(Code.STOPPED, '', gate.now)
    kinds = ['latch', 'admit', 'ask', 'answer', 'permit', 'dispatch', 'result', 'dispatch', 'close', 'stop']
    assert gate.notes.kinds == kinds


def test_same_plan_asked_again_and_too_many_requests_push_the_older_out() -> None:
    gate = Gate().armed()
    first, _ = ask(gate, DRIVE)
    candidate = gate.admit(DRIVE, channel=1).candidate
    assert candidate is not None
    needs = NeedsApproval(Code.NEEDS_CONFIRMATION, '', '', confirm=True)
    assert [request.id for request in gate.monitor.ask(candidate, needs, gate.now)[1]] == [first]
    ids = [ask(gate, Step(f's{number}', 'undock', {}))[0] for number in range(4)]
    assert answered(gate, ids[0], 'anna', gate.admit(Step('s0', 'undock', {}), channel=1).sha256) is Code.NONE


def test_old_permits_are_forgotten_and_shutdown_disarms() -> None:
    gate = Gate().armed()
    first = gate.permit(DRIVE)
    for _ in range(20):
        gate.monitor.close(gate.monitor.view(gate.now).permit_id, 0, '', gate.now)
        last = gate.permit(DRIVE)
    assert gate.code(first, 's1') is Code.PERMIT_UNKNOWN
    gate.monitor.moment.shut(gate.now)
    assert gate.monitor.state.latch is Latch.DISARMED
    assert gate.code(last, 's1') is Code.PERMIT_EPOCH


def test_end_of_a_step_whose_permit_was_forgotten_is_written_down_and_changes_nothing() -> None:
    gate = Gate().armed()
    ticket = gate.start(gate.permit(DRIVE), 's1')
    for _ in range(17):
        gate.monitor.close(gate.monitor.view(gate.now).permit_id, 0, '', gate.now)
        gate.permit(DRIVE)
    past = gate.monitor.state.past
    gate.monitor.finish(ticket, True, {'distance_m': 1.0}, gate.now)
    assert gate.monitor.state.past is past and gate.notes.kinds[-1] == 'result'
    assert gate.monitor.must_end(ticket, gate.now) is not None


def test_condition_of_a_dead_permit_is_not_decided() -> None:
    gate = Gate().armed()
    permit = gate.permit(READ, If(Condition(Ref('r', 'value'), '<', 4.0, 5.0, 'hold', 'bar'), DRIVE))
    gate.run(permit, 'r', value=1.0)
    gate.monitor.close(permit, 0, '', gate.now)
    with pytest.raises(Refused) as caught:
        gate.monitor.evaluate(permit, '/1', gate.now)
    assert (caught.value.verdict.code, caught.value.verdict.rule) == (Code.PERMIT_CLOSED, 'permit.dead')


def test_rehearsal_goes_through_so_many_steps_and_judges_what_it_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = (READ, replace(READ, id='q'), DRIVE)
    for most, code in ((4096, Code.NONE), (2, Code.NONE), (1, Code.STEP_NOT_ENABLED)):
        monkeypatch.setattr(rehearse_module, 'MOST', most)
        gate = Gate().armed()
        candidate = gate.admit(*plan).candidate
        assert candidate is not None
        verdict = rehearse_module.rehearse(gate.monitor, candidate, 's1', {'r': {'value': 1.0}}, gate.now)
        assert verdict.code is code


def test_hash_of_the_plan_names_it() -> None:
    gate = Gate().armed()
    assert gate.admit(DRIVE).sha256 == plan_sha256(plan_to_bytes(Plan('test', Sequence((DRIVE,)))))


EVENTS = st.lists(
    st.sampled_from(
        [
            'arm',
            'disarm',
            'reset',
            'stop',
            'press',
            'release',
            'manual',
            'auto',
            'admit',
            'start',
            'end',
            'close',
            'wait',
            'quiet',
            'trip',
            'audit',
        ]
    ),
    max_size=30,
)


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_no_step_starts_without_a_live_permit_in_an_armed_gate(events: list[str]) -> None:
    gate = Gate()
    moment, tickets, permit, was_stopped = gate.monitor.moment, [], 'none', False
    actions = {
        'arm': lambda: moment.arm('anna', gate.now),
        'disarm': lambda: moment.disarm('anna', gate.now),
        'reset': lambda: moment.reset('anna', gate.now),
        'stop': lambda: moment.stop(Code.STOPPED, '', gate.now),
        'press': lambda: moment.signal('estop', True, gate.now),
        'release': lambda: moment.signal('estop', False, gate.now),
        'manual': lambda: moment.signal('mode', 'MANUAL', gate.now),
        'auto': lambda: moment.signal('mode', 'AUTO', gate.now),
        'close': lambda: gate.monitor.close(permit, 0, '', gate.now),
        'wait': lambda: gate.later(0.3),
        'quiet': lambda: gate.later(0.7, 'deadman', 'executor', 'pose'),
        'trip': lambda: moment.deadman(gate.now, tripped=True),
        'audit': lambda: moment.audit(not moment.state.audit_ok),
    }
    for event in events:
        try:
            if event == 'admit':
                permit = (
                    gate.permit(DRIVE, READ, Step('t', 'move_arm', {'posture': 'ready'}))
                    if gate.admit(DRIVE).candidate
                    else permit
                )
            elif event == 'start':
                for step_id in ('s1', 'r', 't'):
                    ticket = gate.monitor.authorise(permit, step_id, gate.now)
                    gate.monitor.confirm(ticket, gate.now)
                    tickets.append(ticket)
                    held = gate.monitor._permits.find(permit)
                    assert held is not None and held.dead is Code.NONE and held.epoch == moment.state.epoch
                    assert moment.state.latch is Latch.ARMED and moment.state.audit_ok
                    assert moment.state.signals['estop'].value is False
            elif event == 'end':
                for ticket in tickets:
                    gate.monitor.finish(ticket, True, {}, gate.now)
                tickets.clear()
            else:
                actions[event]()
        except Refused:
            pass
        if moment.state.latch is Latch.STOPPED:
            was_stopped = True
            assert all(gate.monitor.must_end(ticket, gate.now) for ticket in tickets)
        elif was_stopped:
            assert event == 'reset'
            was_stopped = False


def test_condition_that_is_due_is_no_step_to_dispatch() -> None:
    gate = Gate().armed()
    condition = Condition(Ref('r', 'value'), '<', 4.0, 5.0, 'hold', 'bar')
    permit = gate.permit(READ, If(condition, DRIVE))
    gate.run(permit, 'r', value=3.0)
    assert '/1' in gate.monitor._permit(permit).facts('/1').enabled
    assert gate.code(permit, '/1') is Code.STEP_UNKNOWN
    assert gate.monitor.state.latch is Latch.ARMED
