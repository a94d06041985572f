# SPDX-License-Identifier: Apache-2.0
"""The pure decision: every rule alone, their order of gravity, and that no input makes it raise."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.decide import Case, PermitFacts, decide
from gemma4_ros.core.gate.policy import Approval, ToolRule
from gemma4_ros.core.gate.state import Latch, State, Value
from gemma4_ros.core.gate.verdict import Allow, Deny, Hold, NeedsApproval, worst
from gemma4_ros.core.plan import Ref, Step
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

POLICY, _ = load_gate(GateFiles(str(Path(__file__).resolve().parents[2] / 'config')))
NOW = 1000.0
SIGNALS = {'mode': Value('AUTO', NOW), 'estop': Value(False, NOW), 'pose': Value(None, NOW)}
STATE = State(Latch.ARMED, 7, SIGNALS, deadman_at_s=NOW, executor_at_s=NOW)
DRIVE = Step('s1', 'navigate_to', {'place': 'pump'})
READ = Step('s1', 'read_gauge', {'gauge': 'pressure_gauge'})
VALVE = Step('s1', 'open_valve', {'valve': 'main_valve'})
PANEL = Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 3.0})
EXPIRED = 'the permit has expired; ask for a new plan'
PERMIT = PermitFacts(epoch=7, expires_s=NOW + 10, enabled=frozenset({'s1'}))


def case(*steps: Step, **changes: Any) -> Case:
    return dataclasses.replace(Case(steps, 'operator', 0), **changes)


def state(**changes: Any) -> State:
    return dataclasses.replace(STATE, **changes)


def signals(**changes: Value | None) -> dict[str, Value]:
    return {name: value for name, value in {**SIGNALS, **changes}.items() if value is not None}


def test_everything_right_is_allowed() -> None:
    assert isinstance(decide(POLICY, STATE, case(DRIVE), None, NOW), Allow)
    assert isinstance(decide(POLICY, STATE, case(DRIVE, agreed=True, permit=PERMIT), DRIVE, NOW), Allow)


@pytest.mark.parametrize(
    ('changes', 'decision', 'code', 'rule'),
    [
        ({'latch': Latch.STOPPED, 'stop_text': 'x'}, Deny, Code.STOPPED, 'state.stopped'),
        ({'latch': Latch.DISARMED}, Hold, Code.DISARMED, 'state.disarmed'),
        ({'audit_ok': False}, Deny, Code.AUDIT, 'state.audit'),
        ({'deadman_at_s': None}, Hold, Code.DEADMAN, 'policy.leases.deadman'),
        ({'deadman_at_s': NOW - 0.6}, Hold, Code.DEADMAN, 'policy.leases.deadman'),
        ({'deadman_at_s': NOW + 1}, Hold, Code.DEADMAN, 'policy.leases.deadman'),
        ({'deadman_tripped': True}, Hold, Code.DEADMAN, 'policy.leases.deadman'),
        ({'lease_lapsed': True}, Hold, Code.EXECUTOR_LEASE, 'policy.leases.executor'),
        ({'signals': signals(estop=None)}, Hold, Code.SIGNAL_MISSING, 'policy.signals.estop'),
        ({'signals': signals(estop=Value(True, NOW))}, Deny, Code.ESTOP, 'policy.signals.estop'),
        ({'signals': signals(estop=Value(True, NOW - 99))}, Deny, Code.ESTOP, 'policy.signals.estop'),
        ({'signals': signals(estop=Value(None, NOW))}, Deny, Code.ESTOP, 'policy.signals.estop'),
        ({'signals': signals(estop=Value(False, NOW - 1.1))}, Hold, Code.SIGNAL_STALE, 'policy.signals.estop'),
        ({'signals': signals(estop=Value(False, math.nan))}, Hold, Code.SIGNAL_STALE, 'policy.signals.estop'),
        ({'signals': signals(mode=None)}, Hold, Code.SIGNAL_MISSING, 'policy.signals.mode'),
        ({'signals': signals(mode=Value('AUTO', NOW - 2.1))}, Hold, Code.SIGNAL_STALE, 'policy.signals.mode'),
        ({'signals': signals(mode=Value('MANUAL', NOW))}, Hold, Code.MODE, 'policy.modes.MANUAL'),
        ({'signals': signals(mode=Value('auto', NOW))}, Hold, Code.MODE, 'policy.modes.unknown'),
        ({'signals': signals(pose=Value(None, NOW - 0.6))}, Hold, Code.SIGNAL_STALE, 'policy.signals.pose'),
    ],
)
def test_moment_that_does_not_fit(changes: dict[str, Any], decision: type, code: Code, rule: str) -> None:
    for step, plan in ((None, case(DRIVE)), (DRIVE, case(DRIVE, agreed=True, permit=PERMIT))):
        verdict = decide(POLICY, state(**changes), plan, step, NOW)
        assert (type(verdict), verdict.code, verdict.rule) == (decision, code, rule)


def test_reading_goes_on_without_pose_and_in_manual_mode() -> None:
    changed = state(signals=signals(pose=None, mode=Value('MANUAL', NOW)))
    assert isinstance(decide(POLICY, changed, case(READ), None, NOW), Allow)
    assert decide(POLICY, changed, case(READ, DRIVE), None, NOW).code is Code.SIGNAL_MISSING


@pytest.mark.parametrize(
    ('step', 'code'),
    [
        (Step('s1', 'shell', {}), Code.TOOL_NOT_ALLOWED),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 6.1}), Code.ARGUMENT_NOT_ALLOWED),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': math.nan}), Code.ARGUMENT_NOT_ALLOWED),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': True}), Code.ARGUMENT_NOT_ALLOWED),
        (Step('s1', 'set_panel_value', {'panel': 'setpoint_panel'}), Code.ARGUMENT_NOT_ALLOWED),
    ],
)
def test_step_that_the_policy_does_not_allow(step: Step, code: Code) -> None:
    verdict = decide(POLICY, STATE, case(DRIVE, step), None, NOW)
    assert isinstance(verdict, Deny) and verdict.code is code
    assert code is Code.TOOL_NOT_ALLOWED or verdict.hazard == 'h4'


def test_names_are_held_against_allow_and_deny() -> None:
    rule = POLICY.tools['navigate_to']
    limits = dataclasses.replace(
        POLICY.tools['set_panel_value'].args['value_bar'],
        allow=frozenset({'pump', 'storage'}),
        deny=frozenset({'storage'}),
    )
    policy = dataclasses.replace(POLICY, tools={'navigate_to': dataclasses.replace(rule, args={'place': limits})})
    codes = [
        decide(policy, STATE, case(Step('s1', 'navigate_to', {'place': place})), None, NOW).code
        for place in ('pump', 'storage', 'control_desk')
    ]
    assert codes == [Code.NONE, Code.ARGUMENT_NOT_ALLOWED, Code.ARGUMENT_NOT_ALLOWED]


def test_reference_is_judged_when_it_is_resolved() -> None:
    step = Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('s0', 'value')})
    read = Step('s0', 'read_gauge', {'gauge': 'pressure_gauge'})
    assert isinstance(decide(POLICY, STATE, case(read, step, agreed=True), None, NOW), Allow)


@pytest.mark.parametrize(
    ('changes', 'code', 'rule', 'text'),
    [
        ({'permit': None}, Code.PERMIT_UNKNOWN, 'permit.unknown', 'no permit was given for this plan'),
        ({'dead': Code.PERMIT_CLOSED}, Code.PERMIT_CLOSED, 'permit.dead', Code.PERMIT_CLOSED.meaning),
        ({'epoch': 6}, Code.PERMIT_EPOCH, 'permit.epoch', 'the permit is of epoch 6; now is 7'),
        ({'epoch': 8}, Code.PERMIT_EPOCH, 'permit.epoch', 'the permit is of epoch 8; now is 7'),
        ({'expires_s': NOW - 0.001}, Code.PERMIT_EXPIRED, 'permit.time_to_live', EXPIRED),
        ({'expires_s': math.nan}, Code.PERMIT_EXPIRED, 'permit.time_to_live', EXPIRED),
        ({'known': False}, Code.STEP_UNKNOWN, 'permit.step', 'the plan has no such step'),
        ({'running': frozenset({'s1'})}, Code.STEP_RUNNING, 'permit.running', 's1 is running already'),
        ({'enabled': frozenset()}, Code.STEP_NOT_ENABLED, 'permit.automaton', 'the plan does not allow s1 now'),
    ],
)  # fmt: skip
def test_permit_that_does_not_fit_denies(changes: dict[str, Any], code: Code, rule: str, text: str) -> None:
    permit = None if 'permit' in changes else dataclasses.replace(PERMIT, **changes)
    verdict = decide(POLICY, STATE, case(DRIVE, agreed=True, permit=permit), DRIVE, NOW)
    assert isinstance(verdict, Deny) and (verdict.code, verdict.rule, verdict.text) == (code, rule, text)


def test_permit_lives_to_its_last_moment() -> None:
    permit = dataclasses.replace(PERMIT, expires_s=NOW)
    assert isinstance(decide(POLICY, STATE, case(DRIVE, agreed=True, permit=permit), DRIVE, NOW), Allow)


def test_plan_without_steps_is_judged_as_reading() -> None:
    manual = state(signals=signals(mode=Value('MANUAL', NOW), pose=None))
    assert isinstance(decide(POLICY, manual, case(), None, NOW), Allow)


def test_words_and_rules_of_what_a_step_may_not_be() -> None:
    verdict = decide(POLICY, STATE, case(Step('s1', 'shell', {})), None, NOW)
    assert (verdict.rule, verdict.text) == ('policy.tools', 's1: the policy does not list shell')
    verdict = decide(POLICY, STATE, case(DRIVE, channel=2), None, NOW)
    assert (verdict.rule, verdict.text) == ('policy.approvals', 'unknown channel 2')
    rule = POLICY.tools['set_panel_value'].args['value_bar']
    bounds = dataclasses.replace(rule, low=0.5, high=6.0, allow=None, deny=frozenset({'bad'}))
    tool = ToolRule('set_panel_value', 3, 'h4', {'value_bar': bounds})
    policy = dataclasses.replace(POLICY, tools={'set_panel_value': tool}, zones=None)
    for value, said in (
        (None, 'is missing or of the wrong type'),
        (True, 'is missing or of the wrong type'),
        (0.4, '0.4 is outside 0.5 to 6 bar'),
        (6.1, '6.1 is outside 0.5 to 6 bar'),
        ('bad', "'bad' is not allowed"),
    ):
        step = Step('s1', 'set_panel_value', {} if value is None else {'value_bar': value})
        verdict = decide(policy, STATE, case(step), None, NOW)
        assert (verdict.code, verdict.hazard) == (Code.ARGUMENT_NOT_ALLOWED, 'h4')
        assert verdict.rule == 'policy.tools.set_panel_value.args.value_bar'
        assert verdict.text == f's1: value_bar {said}'
    for value in (0.5, 6, 'good'):
        step = Step('s1', 'set_panel_value', {'value_bar': value})
        assert isinstance(decide(policy, STATE, case(step, agreed=True), None, NOW), Allow)


@pytest.mark.parametrize(
    ('need', 'code', 'said'),
    [
        (Approval(True, 0), Code.NEEDS_CONFIRMATION, 'wants the yes of operator'),
        (Approval(False, 1), Code.NEEDS_APPROVAL, 'wants the yes of 1 other people'),
        (Approval(True, 2, 'lead'), Code.NEEDS_APPROVAL, 'wants the yes of 2 other people (lead)'),
    ],
)
def test_words_say_whose_yes_is_wanted(need: Approval, code: Code, said: str) -> None:
    policy = dataclasses.replace(POLICY, approvals={**POLICY.approvals, (2, 'speech'): need})
    verdict = decide(policy, STATE, case(DRIVE, channel=1), None, NOW)
    assert isinstance(verdict, NeedsApproval) and verdict.code is code
    assert verdict.text == f"s1: a step of risk 'motion', proposed by speech, {said}"
    assert verdict.rule == 'policy.approvals.motion.speech' and verdict.hazard == POLICY.tools['navigate_to'].hazard
    assert (verdict.confirm, verdict.people, verdict.roles) == (
        need.confirm,
        need.people,
        frozenset({need.role} - {''}),
    )


def test_silent_executor_holds_its_step() -> None:
    verdict = decide(POLICY, state(executor_at_s=NOW - 1.1), case(DRIVE, agreed=True, permit=PERMIT), DRIVE, NOW)
    assert isinstance(verdict, Hold) and (verdict.code, verdict.rule) == (Code.EXECUTOR_LEASE, 'policy.leases.executor')
    assert verdict.text == 'the executor sends no signs of life'


@pytest.mark.parametrize(
    ('step', 'channel', 'code'),
    [
        (READ, 0, Code.NONE),
        (READ, 1, Code.NONE),
        (DRIVE, 0, Code.NONE),
        (DRIVE, 1, Code.NEEDS_CONFIRMATION),
        (VALVE, 0, Code.NEEDS_CONFIRMATION),
        (VALVE, 1, Code.NEEDS_CONFIRMATION),
        (DRIVE, 2, Code.BAD_PROPOSER),
        (DRIVE, -1, Code.BAD_PROPOSER),
    ],
)
def test_who_must_agree_follows_from_risk_and_channel(step: Step, channel: int, code: Code) -> None:
    assert decide(POLICY, STATE, case(step, channel=channel), None, NOW).code is code
    assert decide(POLICY, STATE, case(step, channel=channel, agreed=True), None, NOW).code in (
        Code.NONE,
        Code.BAD_PROPOSER,
    )


def test_two_people_count_more_than_one_confirmation() -> None:
    policy = dataclasses.replace(
        POLICY, approvals={**POLICY.approvals, (3, 'typed'): Approval(False, 2), (2, 'typed'): Approval(True, 0)}
    )
    verdict = decide(policy, STATE, case(DRIVE, VALVE), None, NOW)
    assert isinstance(verdict, NeedsApproval)
    assert (verdict.confirm, verdict.people, verdict.code) == (True, 2, Code.NEEDS_APPROVAL)


def test_gravest_wins_and_the_first_of_equals() -> None:
    hold, deny = Hold(Code.MODE, 'a', ''), Deny(Code.ESTOP, 'b', '')
    needs = NeedsApproval(Code.NEEDS_CONFIRMATION, 'c', '', confirm=True)
    assert worst([]) == Allow()
    assert worst([needs, hold, deny, Deny(Code.MODE, 'd', '')]) is deny
    assert worst([needs, hold, Hold(Code.DEADMAN, 'e', '')]) is hold
    assert worst([Allow(), needs]) is needs


SCALARS = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5)
STEPS = st.builds(
    Step,
    st.text(max_size=5),
    st.sampled_from([*POLICY.tools, 'other']),
    st.dictionaries(st.sampled_from(['place', 'value_bar', 'x']), SCALARS | st.just(Ref('a', 'b')), max_size=3),
)
STATES = st.builds(
    State,
    st.sampled_from(Latch),
    st.integers(),
    st.dictionaries(st.sampled_from(['mode', 'estop', 'pose', 'x']), st.builds(Value, SCALARS, st.floats())),
    st.none() | st.floats(),
    st.booleans(),
    st.none() | st.floats(),
    st.booleans(),
    st.booleans(),
)
FACTS = st.builds(PermitFacts, st.integers(), st.floats(), st.sampled_from(Code), st.frozensets(st.text(max_size=3)))
CASES = st.builds(
    Case,
    st.lists(STEPS, max_size=4).map(tuple),
    st.text(max_size=5),
    st.integers(-1, 3),
    st.booleans(),
    st.none() | FACTS,
)


@settings(max_examples=400, deadline=None)
@given(STATES, CASES, st.none() | STEPS, st.floats())
def test_decide_never_raises_and_never_allows_unless_armed_fresh_and_in_mode(
    moment: State, plan: Case, step: Step | None, now: float
) -> None:
    verdict = decide(POLICY, moment, plan, step, now)
    if isinstance(verdict, Allow):
        assert moment.latch is Latch.ARMED and moment.audit_ok
        assert moment.signals['estop'].value is False and 0 <= now - moment.signals['estop'].at_s <= 1.0
        assert moment.signals['mode'].value in POLICY.modes
        assert step is None or (plan.permit is not None and step.id in plan.permit.enabled)
