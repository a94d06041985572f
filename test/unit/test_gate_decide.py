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
from gemma4_ros.core.gate.policy import Approval
from gemma4_ros.core.gate.state import Latch, State, Value
from gemma4_ros.core.gate.verdict import Allow, Deny, Hold, NeedsApproval, worst
from gemma4_ros.core.plan import Ref, Step
from gemma4_ros.ros.gate_config import GateFiles, load_gate

POLICY, _ = load_gate(GateFiles(str(Path(__file__).resolve().parents[2] / 'config')))
NOW = 1000.0
SIGNALS = {'mode': Value('AUTO', NOW), 'estop': Value(False, NOW), 'pose': Value(None, NOW)}
STATE = State(Latch.ARMED, 7, SIGNALS, deadman_at_s=NOW, executor_at_s=NOW)
DRIVE = Step('s1', 'navigate_to', {'place': 'pump'})
READ = Step('s1', 'read_gauge', {'gauge': 'pressure_gauge'})
VALVE = Step('s1', 'open_valve', {'valve': 'main_valve'})
PANEL = Step('s1', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': 3.0})
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
    ('changes', 'code'),
    [
        ({'permit': None}, Code.PERMIT_UNKNOWN),
        ({'permit': dataclasses.replace(PERMIT, dead=Code.PERMIT_CLOSED)}, Code.PERMIT_CLOSED),
        ({'permit': dataclasses.replace(PERMIT, epoch=6)}, Code.PERMIT_EPOCH),
        ({'permit': dataclasses.replace(PERMIT, expires_s=NOW - 0.001)}, Code.PERMIT_EXPIRED),
        ({'permit': dataclasses.replace(PERMIT, expires_s=math.nan)}, Code.PERMIT_EXPIRED),
        ({'permit': dataclasses.replace(PERMIT, known=False)}, Code.STEP_UNKNOWN),
        ({'permit': dataclasses.replace(PERMIT, running=frozenset({'s1'}))}, Code.STEP_RUNNING),
        ({'permit': dataclasses.replace(PERMIT, enabled=frozenset())}, Code.STEP_NOT_ENABLED),
    ],
)
def test_permit_that_does_not_fit_denies(changes: dict[str, Any], code: Code) -> None:
    verdict = decide(POLICY, STATE, case(DRIVE, agreed=True, **changes), DRIVE, NOW)
    assert isinstance(verdict, Deny) and verdict.code is code


def test_silent_executor_holds_its_step() -> None:
    verdict = decide(POLICY, state(executor_at_s=NOW - 1.1), case(DRIVE, agreed=True, permit=PERMIT), DRIVE, NOW)
    assert isinstance(verdict, Hold) and verdict.code is Code.EXECUTOR_LEASE


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
