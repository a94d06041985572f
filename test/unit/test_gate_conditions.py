# SPDX-License-Identifier: Apache-2.0
"""Preconditions with and without caps, labels of results, post-conditions, lock-outs and expiry against steps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hand_gate import HandGate, load
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate import policy as policies
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.conditions import conditions, signal_problem
from gemma4_ros.core.gate.decide import Case, PermitFacts, decide, findings, running_findings, step_findings
from gemma4_ros.core.gate.policy import Approval, ArgumentRule, Limit, Policy, Post, SignalRule, ToolRule, When
from gemma4_ros.core.gate.state import Latch, Lock, Past, State, Use, Value
from gemma4_ros.core.gate.verdict import Allow, Deny, Hold, Refused, Verdict
from gemma4_ros.core.gate.zones import Point, Zones
from gemma4_ros.core.plan import Ref, Step

SHIPPED, CATALOGUE = load()
NOW = 1000.0
WIDE = ArgumentRule(None, frozenset(), 0.5, 6.0, 'bar', frozenset({'camera', 'signal'}))
BATTERY, DOOR = policies.Test('battery', low=0.2, high=0.9), policies.Test('door', equals='shut')
RULES = (
    ToolRule('navigate_to', 2, 'h1', {}, when=(When(BATTERY), When(DOOR))),
    ToolRule('set_panel_value', 3, 'h4', {'value_bar': WIDE}, when=(When(BATTERY, {'value_bar': 2.0}),)),
    ToolRule('move_arm', 2, 'h2', {}, post=Post(DOOR, math.inf, 2.0)),
    ToolRule('read_gauge', 0, '', {}, trust='camera'),
    ToolRule('take_photo', 0, '', {}),
)
SIGNALS = (
    SignalRule('mode', 'mode', 'std_msgs/msg/String', 'data', 2.0, 0),
    SignalRule('estop', 'estop', 'std_msgs/msg/Bool', 'data', 1.0, 0),
    SignalRule('battery', 'battery', 'sensor_msgs/msg/BatteryState', 'percentage', 5.0, 3, 'age', 1.5),
    SignalRule('door', 'door', 'std_msgs/msg/String', 'data', 5.0, 3),
)
POLICY: Policy = replace(
    SHIPPED,
    tools={rule.name: rule for rule in RULES},
    signals={rule.name: rule for rule in SIGNALS},
    approvals={(tier, channel): Approval(False, 0) for tier in range(4) for channel in ('typed', 'speech')},
    zones=None,
    sequences=(),
    people={},
    expires='2030-01-01',
)
GOOD = {'mode': 'AUTO', 'estop': False, 'battery': 0.5, 'door': 'shut'}
DRIVE = Step('d', 'navigate_to', {'place': 'pump'})
READ = Step('r', 'read_gauge', {'gauge': 'pressure_gauge'})
PHOTO = Step('t', 'take_photo', {'target': 'pump'})


def panel(value: object) -> Step:
    return Step('p', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': value})  # type: ignore[dict-item]


def state(age_s: Mapping[str, float] | None = None, **values: Any) -> State:
    """Return an armed moment with these signals; ``...`` stands for none."""
    known = {name: value for name, value in {**GOOD, **values}.items() if value is not ...}
    signals = {name: Value(value, NOW - (age_s or {}).get(name, 0.0)) for name, value in known.items()}
    return State(Latch.ARMED, 7, signals, deadman_at_s=NOW, executor_at_s=NOW)


def facts(found: Verdict) -> tuple[str, Code, str, str]:
    return found.name, found.code, found.rule, found.hazard


def judged(step: Step, moment: State, policy: Policy = POLICY) -> Verdict:
    permit = PermitFacts(7, NOW + 10.0, enabled=frozenset({step.id}))
    return decide(policy, moment, Case((step,), 'anna', 0, agreed=True, permit=permit), step, NOW)


def running(step: Step, moment: State) -> list[Verdict]:
    return list(running_findings(POLICY, moment, step, NOW))


DRIVE_HELD = ('hold', Code.PRECONDITION, 'policy.tools.navigate_to.when', 'h1')
PANEL_HELD = ('hold', Code.PRECONDITION, 'policy.tools.set_panel_value.when', 'h4')


# Preconditions -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('age_s', 'values', 'said'),
    [
        ({}, {'battery': 0.19}, 'd: battery is 0.19'),
        ({}, {'battery': 0.91}, 'd: battery is 0.91'),
        ({}, {'battery': math.nan}, 'd: battery is nan'),
        ({}, {'battery': None}, 'd: battery is None'),
        ({}, {'battery': True}, 'd: battery is True'),
        ({}, {'battery': '0.5'}, "d: battery is '0.5'"),
        ({}, {'battery': ...}, 'd: no battery seen on battery'),
        ({'battery': 5.1}, {}, 'd: battery is 5.1 s old; at most 5 s'),
        ({}, {'door': 'open'}, "d: door is 'open'"),
        ({}, {'door': True}, 'd: door is True'),
        ({}, {'door': ...}, 'd: no door seen on door'),
        ({'door': 5.1}, {}, 'd: door is 5.1 s old; at most 5 s'),
    ],
)
def test_step_waits_for_its_precondition_and_ends_when_it_is_lost(
    age_s: dict[str, float], values: dict[str, Any], said: str
) -> None:
    moment = state(age_s, **values)
    verdict = judged(DRIVE, moment)
    assert facts(verdict) == DRIVE_HELD and verdict.text == said
    assert [facts(item) for item in running(DRIVE, moment)] == [DRIVE_HELD]


@pytest.mark.parametrize('battery', [0.2, 0.5, 0.9])
def test_precondition_that_holds_lets_the_step_go_on(battery: float) -> None:
    assert isinstance(judged(DRIVE, state(battery=battery)), Allow)
    assert running(DRIVE, state(battery=battery)) == []
    assert isinstance(judged(READ, state(battery=0.0)), Allow)


def test_frozen_signal_is_no_precondition() -> None:
    moment = state()
    moment = replace(moment, signals={**moment.signals, 'battery': Value(0.5, NOW, NOW - 1.6)})
    assert judged(DRIVE, moment).text == 'd: the stamp of battery has stood still for 1.6 s'
    assert facts(judged(DRIVE, moment)) == DRIVE_HELD


def test_both_preconditions_are_asked_and_a_plan_is_admitted_before_they_hold() -> None:
    moment = state(battery=0.1, door='open')
    permit = PermitFacts(7, NOW + 10.0, enabled=frozenset({'d'}))
    case = Case((DRIVE,), 'anna', 0, agreed=True, permit=permit)
    assert [item.text for item in findings(POLICY, moment, case, DRIVE, NOW)] == [
        'd: battery is 0.1',
        "d: door is 'open'",
    ]
    assert isinstance(decide(POLICY, moment, case, None, NOW), Allow)


@pytest.mark.parametrize(
    ('value', 'battery', 'is_allowed'),
    [
        (6.0, 0.5, True),
        (2.0, 0.1, True),
        (0.5, 0.1, True),
        (2.1, 0.1, False),
        (3, 0.1, False),
        (1, 0.1, True),
        (2.0, ..., True),
        (2.1, ..., False),
    ],
)
def test_cap_lets_small_arguments_pass_without_the_precondition(value: float, battery: Any, is_allowed: bool) -> None:
    signals = replace(POLICY.signals['battery'], needed_from=4), replace(POLICY.signals['door'], needed_from=4)
    policy = replace(POLICY, signals={**POLICY.signals, 'battery': signals[0], 'door': signals[1]})
    verdict = judged(panel(value), state(battery=battery), policy)
    if is_allowed:
        assert isinstance(verdict, Allow)
        return
    shown = 'no battery seen on battery' if battery is ... else f'battery is {battery}'
    assert facts(verdict) == PANEL_HELD and verdict.text == f'p: {shown}, so value_bar is at most 2'


@pytest.mark.parametrize('value', [True, '1', None, math.nan])
def test_cap_is_kept_by_numbers_only(value: object) -> None:
    found = [item for item in findings_of(panel(value), state(battery=0.1)) if item.code is Code.PRECONDITION]
    assert [facts(item) for item in found] == [PANEL_HELD]


def findings_of(step: Step, moment: State) -> list[Verdict]:
    permit = PermitFacts(7, NOW + 10.0, enabled=frozenset({step.id}))
    return list(findings(POLICY, moment, Case((step,), 'anna', 0, agreed=True, permit=permit), step, NOW))


def test_cap_does_not_end_a_step_that_runs_already() -> None:
    assert running(panel(6.0), state(battery=0.1)) == []


def test_unlisted_tool_has_no_preconditions_and_is_judged_as_the_gravest() -> None:
    moment = state({'battery': 6.0})
    step = Step('x', 'dock', {})
    assert [(item.code, item.rule) for item in running(step, moment)] == [(Code.SIGNAL_STALE, 'policy.signals.battery')]
    verdict = judged(step, state())
    assert isinstance(verdict, Deny) and verdict.code is Code.TOOL_NOT_ALLOWED


# Labels of results ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('trust', 'sources', 'is_taken'),
    [
        ('camera', {'camera', 'signal'}, True),
        ('signal', {'camera', 'signal'}, True),
        ('screen', {'camera', 'signal'}, False),
        ('camera', set(), False),
        ('', {'camera'}, False),
        ('', {''}, False),
        (None, {'camera'}, False),
    ],
)
def test_reference_is_taken_only_with_a_label_that_the_argument_allows(
    trust: str | None, sources: set[str], is_taken: bool
) -> None:
    tools = {**POLICY.tools, 'read_gauge': replace(POLICY.tools['read_gauge'], trust=trust or '')}
    if trust is None:
        del tools['read_gauge']
    argument = replace(WIDE, sources=frozenset(sources))
    tools['set_panel_value'] = replace(tools['set_panel_value'], args={'value_bar': argument})
    step = panel(Ref('r', 'value'))
    found = list(step_findings(replace(POLICY, tools=tools), Case((READ, step), 'anna', 0), step))
    if is_taken:
        assert found == []
        return
    where = ('deny', Code.UNTRUSTED, 'policy.tools.set_panel_value.args.value_bar', 'h4')
    assert [facts(item) for item in found] == [where]
    assert found[0].text == f'p: value_bar may not come from r.value (trust {trust or "none"!r})'


def test_reference_to_nothing_and_argument_without_a_rule_are_not_trusted() -> None:
    lost = panel(Ref('gone', 'value'))
    assert [item.code for item in step_findings(POLICY, Case((READ, lost), 'anna', 0), lost)] == [Code.UNTRUSTED]
    free = Step('q', 'move_arm', {'posture': Ref('r', 'value')})
    found = list(step_findings(POLICY, Case((READ, free), 'anna', 0), free))
    assert [facts(item) for item in found] == [('deny', Code.UNTRUSTED, 'policy.tools.move_arm.args.posture', 'h2')]


# The moment ----------------------------------------------------------------------------------------------------------
def test_signal_is_missing_stale_or_frozen() -> None:
    rule = POLICY.signals['battery']
    good = state()
    cases = [
        (replace(good, signals={}), Code.SIGNAL_MISSING),
        (state({'battery': 5.0}), Code.SIGNAL_FROZEN),  # without a stamp it moved when it came
        (state({'battery': 5.1}), Code.SIGNAL_STALE),
        (replace(good, signals={'battery': Value(0.5, NOW, NOW - 1.6)}), Code.SIGNAL_FROZEN),
        (replace(good, signals={'battery': Value(0.5, NOW + 0.1, NOW)}), Code.SIGNAL_STALE),
    ]
    for moment, code in cases:
        found = signal_problem(rule, moment, NOW)
        assert isinstance(found, Hold) and (found.code, found.rule) == (code, 'policy.signals.battery')
    for moved_s in (NOW, NOW - 1.5, None):
        assert signal_problem(rule, replace(good, signals={'battery': Value(0.5, NOW, moved_s)}), NOW) is None


@pytest.mark.parametrize(
    ('changes', 'text'),
    [
        ({'latch': Latch.DISARMED}, 'the gate is disarmed; arm it: gemma4 gate arm'),
        ({'latch': Latch.STOPPED, 'stop_text': 'x'}, 'stopped: x; a person must reset the gate'),
        ({'deadman_tripped': True}, 'the deadman has tripped; reset it'),
        ({'deadman_at_s': None}, 'the deadman is not running'),
        ({'lease_lapsed': True}, 'the executor went silent; arm again'),
        ({'audit_ok': False}, 'the audit log cannot be written; free the disk'),
    ],
)
def test_words_say_what_a_person_can_do(changes: dict[str, Any], text: str) -> None:
    assert [item.text for item in conditions(POLICY, replace(state(), **changes), 2, NOW)] == [text]


def test_pressed_stop_and_unknown_mode_keep_even_reading_back() -> None:
    assert [item.text for item in conditions(POLICY, state(estop=True), 0, NOW)] == ['the emergency stop is pressed']
    for mode in ('auto', '', None, True, 'OFF'):
        found = [facts(item) for item in conditions(POLICY, state(mode=mode), 0, NOW)]
        assert found == [('hold', Code.MODE, 'policy.modes.unknown', '')]
    texts = [item.text for item in conditions(POLICY, state(mode='MANUAL'), 2, NOW)]
    assert texts == ["the mode MANUAL does not allow steps of risk 'motion'"]


def test_pose_that_was_never_seen_is_missing_and_no_place() -> None:
    pose = SignalRule('pose', 'odom', 'nav_msgs/msg/Odometry', '', 0.5, 2)
    policy = replace(POLICY, signals={**POLICY.signals, 'pose': pose}, zones=Zones('map', 'pose', ()))
    found = [facts(item) for item in conditions(policy, state(), 2, NOW)]
    assert found == [('hold', Code.SIGNAL_MISSING, 'policy.signals.pose', ''), ('hold', Code.PLACE, 'policy.zones', '')]
    assert list(conditions(policy, state(), 1, NOW)) == []


def test_lock_denies_motion_and_lets_reading_go_on() -> None:
    moment = replace(state(), locks=(Lock('bob', 'new seal'), Lock('carl', 'x')))
    found = list(conditions(POLICY, moment, 2, NOW))
    assert [facts(item) for item in found] == [('deny', Code.LOCKED_OUT, 'state.lockout', '')]
    assert found[0].text.startswith('bob has locked the robot (new seal)')
    assert list(conditions(POLICY, moment, 1, NOW)) == []
    assert isinstance(judged(READ, moment), Allow) and judged(DRIVE, moment).code is Code.LOCKED_OUT
    assert running(DRIVE, moment)[0].code is Code.LOCKED_OUT


def test_expired_policy_holds_everything() -> None:
    moment = replace(state(), expires_s=NOW)
    assert isinstance(judged(READ, moment), Allow)
    moment = replace(moment, expires_s=NOW - 0.001)
    for step in (READ, DRIVE):
        assert facts(judged(step, moment)) == ('hold', Code.POLICY_EXPIRED, 'policy.expires', '')
    assert 'expired on 2030-01-01' in judged(READ, moment).text


# What a success must show --------------------------------------------------------------------------------------------
class Cell(HandGate):
    """A gate whose battery and door speak."""

    def __init__(self, **changes: Any) -> None:
        self.says: dict[str, Any] = {'battery': 0.5, 'door': 'shut'}
        super().__init__(POLICY, CATALOGUE, **changes)
        self.arm()

    def live(self) -> None:
        super().live()
        for name, value in self.says.items():
            self.monitor.moment.signal(name, value, self.now)


def test_independent_signal_must_show_a_success_after_the_step() -> None:
    gate = Cell()
    step = Step('a', 'move_arm', {'posture': 'ready'})
    ticket = gate.dispatch(gate.permit(step), 'a')
    assert gate.monitor.post_problem(ticket, gate.now) == 'no new door after the step'
    assert gate.monitor.post_problem(ticket, gate.now - 0.01) == ''
    gate.says['door'] = 'open'
    gate.live()
    assert gate.monitor.post_problem(ticket, gate.now - 0.01) == "door is 'open'"
    gate.monitor.finish(ticket, True, {}, gate.now)
    gate.monitor.close(ticket.permit_id, 0, '', gate.now)
    photo = gate.dispatch(gate.permit(PHOTO), 't')
    assert gate.monitor.post_problem(photo, gate.now) == ''


def test_success_near_a_goal_that_is_not_known_is_not_believed() -> None:
    near = ToolRule('move_arm', 2, 'h2', {}, post=Post(policies.Test('battery'), 0.5, 2.0))
    gate = Cell(tools={**POLICY.tools, 'move_arm': near})
    ticket = gate.dispatch(gate.permit(Step('a', 'move_arm', {'posture': 'ready'})), 'a')
    gate.monitor.moment.signal('battery', Point(0.0, 0.0, 'map'), gate.now + 0.1)
    assert gate.monitor.post_problem(ticket, gate.now).startswith('battery is Point')


def test_result_of_a_reference_is_held_against_the_cap_of_the_moment() -> None:
    gate = Cell()
    permit = gate.permit(READ, panel(Ref('r', 'value')))
    gate.monitor.finish(gate.dispatch(permit, 'r'), True, {'value': 3.0}, gate.now)
    gate.says['battery'] = 0.1
    gate.live()
    with pytest.raises(Refused) as caught:
        gate.dispatch(permit, 'p')
    assert facts(caught.value.verdict) == PANEL_HELD and len(gate.sent) == 1
    gate.says['battery'] = 0.5
    gate.live()
    gate.dispatch(permit, 'p')


# Any moment: a single no is enough -----------------------------------------------------------------------------------
SCALARS = st.none() | st.booleans() | st.floats() | st.sampled_from(['AUTO', 'MANUAL', 'shut', 'open'])
TIMES = st.sampled_from([NOW, NOW - 0.4, NOW - 3.0, NOW + 1.0, math.nan])
MOMENTS = st.builds(
    State,
    st.sampled_from(Latch),
    st.integers(6, 7),
    st.dictionaries(
        st.sampled_from([*GOOD]), st.builds(Value, SCALARS, TIMES, st.none() | TIMES), min_size=2, max_size=4
    ),
    st.none() | TIMES,
    st.booleans(),
    st.none() | TIMES,
    st.booleans(),
    st.booleans(),
    locks=st.sampled_from([(), (Lock('bob', ''),)]),
    expires_s=st.sampled_from([math.inf, NOW - 1.0]),
    past=st.builds(
        Past,
        st.lists(st.builds(Use, st.sampled_from([*POLICY.tools]), TIMES, st.just({'': 1.0})), max_size=3).map(tuple),
    ),
)
STEPS = st.sampled_from([DRIVE, READ, PHOTO, panel(1.0), panel(5.0), panel(9.0), Step('x', 'dock', {})])
LIMITED = replace(POLICY, tools={**POLICY.tools, 'navigate_to': replace(RULES[0], limits=(Limit('', 1.0, 60.0),))})
FACTS = st.builds(
    PermitFacts, st.just(7), st.just(NOW + 1.0), st.just(Code.NONE), st.just(frozenset({'d', 'r', 't', 'p', 'x'}))
)


@settings(max_examples=300, deadline=None)
@given(MOMENTS, st.lists(STEPS, min_size=1, max_size=3), st.booleans(), FACTS)
def test_one_denial_is_enough_and_nothing_is_allowed_over_a_hold(
    moment: State, steps: list[Step], is_step: bool, permit: PermitFacts
) -> None:
    case, step = Case(tuple(steps), 'anna', 0, permit=permit, root=steps[0]), steps[0] if is_step else None
    found = list(findings(LIMITED, moment, case, step, NOW))
    verdict = decide(LIMITED, moment, case, step, NOW)
    if any(isinstance(item, Deny) for item in found):
        assert verdict is next(item for item in found if isinstance(item, Deny)) or isinstance(verdict, Deny)
    elif any(isinstance(item, Hold) for item in found):
        assert isinstance(verdict, Hold)
    else:
        assert verdict == Allow()
