# SPDX-License-Identifier: Apache-2.0
"""Limits and rates: what was sent and asked before counts, exactly as long as the policy looks back."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hand_gate import HandGate, load
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.history import (
    MAX_PLANS,
    after_asking,
    after_result,
    after_sending,
    plan_findings,
    rate_findings,
    step_history_findings,
)
from gemma4_ros.core.gate.policy import Approval, Limit, Policy, SignalRule, ToolRule
from gemma4_ros.core.gate.state import Past, Use
from gemma4_ros.core.gate.verdict import Deny, Hold, Refused, Verdict
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Ref, Repeat, Sequence, Step

SHIPPED, CATALOGUE = load()
NOW = 1000.0
RULES = (
    ToolRule('navigate_to', 2, 'h1', {}, limits=(Limit('distance_m', 10.0, 100.0),)),
    ToolRule('set_panel_value', 3, 'h4', {}, limits=(Limit('value_bar', 5.0, 100.0),)),
    ToolRule('open_valve', 3, 'h3', {}, limits=(Limit('', 3.0, 100.0),)),
    ToolRule('undock', 2, 'h1', {}, limits=(Limit('', 2, 60.0, is_rate=True),)),
    ToolRule('take_photo', 0, '', {}, at_once=2),
    ToolRule('read_gauge', 0, '', {}),
)
POLICY: Policy = replace(
    SHIPPED,
    tools={rule.name: rule for rule in RULES},
    signals={
        'mode': SignalRule('mode', 'mode', 'std_msgs/msg/String', 'data', 2.0, 0),
        'estop': SignalRule('estop', 'estop', 'std_msgs/msg/Bool', 'data', 1.0, 0),
    },
    approvals={(tier, channel): Approval(False, 0) for tier in range(4) for channel in ('typed', 'speech')},
    zones=None,
    sequences=(),
    people={},
)
VALVE = Step('v', 'open_valve', {'valve': 'main_valve'})
UNDOCK = Step('u', 'undock', {})
DRIVE = Step('d', 'navigate_to', {'place': 'pump'})
CONDITION = Condition(Ref('r', 'value'), '<', 4.0, 5.0, 'hold', 'bar')


def panel(value: float | Ref, name: str = 'p') -> Step:
    return Step(name, 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': value})


def photo(name: str) -> Step:
    return Step(name, 'take_photo', {'target': 'pump'})


def valves(count: int) -> list[Node]:
    return [replace(VALVE, id=f'v{number}') for number in range(count)]


def spent(tool: str, at_s: float = NOW, **amounts: float) -> Past:
    return Past(uses=(Use(tool, at_s, amounts),))


def of_plan(past: Past, root: Node | None, now: float = NOW, retries: int = 0) -> list[Verdict]:
    return list(plan_findings(POLICY, past, root, lambda step: (step,) * (retries + 1), now))


def of_step(past: Past, step: Step, *beside: Step, now: float = NOW) -> list[Verdict]:
    return list(step_history_findings(POLICY, past, {}, step, beside, now))


def facts(found: list[Verdict]) -> list[tuple[str, Code, str, str]]:
    return [(item.name, item.code, item.rule, item.hazard) for item in found]


DENIED = [('deny', Code.LIMIT, 'policy.tools.open_valve.limits', 'h3')]
HELD = [('hold', Code.LIMIT, 'policy.tools.open_valve.limits', 'h3')]
PANEL_DENIED = [('deny', Code.LIMIT, 'policy.tools.set_panel_value.limits', 'h4')]
PANEL_HELD = [('hold', Code.LIMIT, 'policy.tools.set_panel_value.limits', 'h4')]


# Over a plan ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('root', 'found'),
    [
        (None, []),
        (Sequence(tuple(valves(3))), []),
        (Sequence(tuple(valves(4))), DENIED),
        (Repeat(VALVE, 3), []),
        (Repeat(VALVE, 4), DENIED),
        (Fallback(tuple(valves(4))), DENIED),
        (Parallel(tuple(valves(4)), 'any'), DENIED),
        (If(CONDITION, Sequence(tuple(valves(3))), Sequence(tuple(valves(3)))), []),
        (If(CONDITION, VALVE, Sequence(tuple(valves(4)))), DENIED),
        (Sequence((panel(2.0), panel(3.0, 'q'))), []),
        (Sequence((panel(2.0), panel(3.1, 'q'))), PANEL_DENIED),
        (Sequence((panel(-2.0), panel(-3.1, 'q'))), PANEL_DENIED),
        (Sequence((panel(Ref('r', 'value')), panel(4.9, 'q'))), []),  # not known before
        (panel(math.nan), PANEL_DENIED),
        (panel(math.inf), PANEL_DENIED),
        (panel(True), []),  # admission refuses its type; it is no amount
        (Sequence((UNDOCK, replace(UNDOCK, id='w'), replace(UNDOCK, id='x'))), []),  # a rate waits, it does not deny
        (Sequence((DRIVE, photo('a'))), []),
    ],
)
def test_plan_that_asks_for_more_than_a_total_on_its_worst_path_is_denied(root: Node, found: list[Any]) -> None:
    assert facts(of_plan(Past(), root)) == found


def test_attempts_count_in_the_worst_case() -> None:
    assert facts(of_plan(Past(), VALVE, retries=2)) == []
    assert facts(of_plan(Past(), VALVE, retries=3)) == DENIED


def test_words_of_a_total_say_how_much_of_what() -> None:
    assert of_plan(Past(), Repeat(VALVE, 4))[0].text == 'open_valve: uses up to 4; at most 3'
    text = 'set_panel_value: value_bar 4 in the last 100 s and 2 more; at most 5'
    assert of_plan(spent('set_panel_value', value_bar=4.0), panel(2.0))[0].text == text
    text = 'navigate_to: distance_m 12 in the last 100 s; at most 10'
    assert of_step(spent('navigate_to', distance_m=12.0), DRIVE)[0].text == text
    assert of_step(Past(), photo('c'), photo('a'), photo('b'))[0].text == 'take_photo: 2 run already'


def test_plan_that_fits_later_is_held_until_the_window_has_passed() -> None:
    past = spent('open_valve', **{'': 2.0})
    assert facts(of_plan(past, Repeat(VALVE, 2))) == HELD
    assert facts(of_plan(past, VALVE)) == []
    assert facts(of_plan(past, Repeat(VALVE, 2), now=NOW + 99.9)) == HELD
    assert facts(of_plan(past, Repeat(VALVE, 2), now=NOW + 100.0)) == []
    assert facts(of_plan(spent('open_valve', **{'': 9.0}), DRIVE)) == []  # it uses no valve


@pytest.mark.parametrize('amount', [math.nan, math.inf])
def test_amount_that_is_no_number_holds_until_it_is_forgotten(amount: float) -> None:
    for step, name in ((panel(1.0), 'value_bar'), (DRIVE, 'distance_m')):
        past = after_result(POLICY, Past(), step.tool, {name: amount}, NOW)
        assert [item.name for item in of_step(past, step)] == ['hold']
        assert of_step(past, step, now=NOW + 100.0) == []
    past = after_result(POLICY, Past(), 'set_panel_value', {'value_bar': amount}, NOW)
    assert facts(of_plan(past, panel(1.0))) == PANEL_HELD


# Before a step -------------------------------------------------------------------------------------------------------
def test_uses_within_a_minute_hold_the_next_step() -> None:
    found = [('hold', Code.LIMIT, 'policy.tools.undock.limits', 'h1')]
    past, states = Past(), {}
    for _ in range(2):
        assert of_step(past, UNDOCK) == []
        past, states = after_sending(POLICY, past, states, UNDOCK, NOW)
    assert facts(of_step(past, UNDOCK)) == found
    assert facts(of_step(past, UNDOCK, now=NOW + 59.9)) == found
    assert of_step(past, UNDOCK, now=NOW + 60.0) == []
    assert of_step(past, VALVE) == []


def test_as_many_of_a_tool_as_the_policy_says_run_at_once() -> None:
    assert of_step(Past(), photo('c'), photo('a')) == []
    assert of_step(Past(), photo('c'), photo('a'), DRIVE) == []
    found = [('hold', Code.LIMIT, 'policy.tools.take_photo.limits', '')]
    assert facts(of_step(Past(), photo('c'), photo('a'), photo('b'))) == found


def test_total_of_an_argument_holds_what_would_go_over_it() -> None:
    past, _ = after_sending(POLICY, Past(), {}, panel(3.0), NOW)
    assert of_step(past, panel(2.0)) == []
    assert facts(of_step(past, panel(2.1))) == PANEL_HELD
    past, _ = after_sending(POLICY, past, {}, panel(2.0), NOW)
    assert facts(of_step(past, panel(0.0))) == PANEL_HELD  # used up


def test_total_of_a_result_holds_when_it_is_used_up() -> None:
    found = [('hold', Code.LIMIT, 'policy.tools.navigate_to.limits', 'h1')]
    past = after_result(POLICY, Past(), 'navigate_to', {'distance_m': -6.0, 'note': 'x', 'flag': True}, NOW)
    assert of_step(past, DRIVE) == []
    past = after_result(POLICY, past, 'navigate_to', {'distance_m': 4.0}, NOW + 10.0)
    assert facts(of_step(past, DRIVE, now=NOW + 10.0)) == found
    assert of_step(past, DRIVE, now=NOW + 100.0) == []


def test_result_is_no_further_use() -> None:
    past, _ = after_sending(POLICY, Past(), {}, VALVE, NOW)
    past = after_result(POLICY, past, 'open_valve', {'angle_rad': 1.5}, NOW)
    assert [dict(use.amounts) for use in past.uses] == [{'': 1.0}, {'': 0.0, 'angle_rad': 1.5}]
    assert of_step(past, VALVE) == []
    past, _ = after_sending(POLICY, past, {}, VALVE, NOW)
    assert of_step(past, VALVE) == []
    past, _ = after_sending(POLICY, past, {}, VALVE, NOW)
    assert facts(of_step(past, VALVE)) == HELD


def test_uses_of_another_tool_and_uses_without_the_amount_do_not_count() -> None:
    assert of_step(spent('take_photo', **{'': 9.0}), VALVE) == [] and of_plan(spent('undock', **{'': 9.0}), VALVE) == []
    past = Past()
    for _ in range(12):
        past, _ = after_sending(POLICY, past, {}, DRIVE, NOW)
    assert of_step(past, DRIVE) == []  # it has not driven anywhere yet


def test_words_and_truths_are_no_amounts() -> None:
    past = after_result(POLICY, Past(), 'navigate_to', {'distance_m': 2, 'note': '9', 'flag': True}, NOW)
    assert dict(past.uses[0].amounts) == {'': 0.0, 'distance_m': 2.0}


def test_tool_without_a_rule_has_no_limits_and_what_nobody_looks_back_to_is_forgotten() -> None:
    assert of_step(Past(), Step('x', 'dock', {})) == []
    past = after_result(POLICY, spent('undock', NOW - 100.0), 'undock', {}, NOW)
    assert [use.at_s for use in past.uses] == [NOW]
    past = after_result(POLICY, spent('undock', NOW - 99.9), 'undock', {}, NOW)
    assert len(past.uses) == 2
    without = replace(POLICY, tools={'undock': ToolRule('undock', 2, 'h1', {})})
    assert after_result(without, Past(), 'undock', {}, NOW).uses == ()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 40.0), st.floats(0.0, 4.0, width=16)), max_size=12))
def test_no_window_ever_holds_more_than_the_total(tries: list[tuple[float, float]]) -> None:
    past, now, taken = Past(), NOW, []
    for wait_s, value in tries:
        now += wait_s
        if not of_step(past, panel(value), now=now):
            past, _ = after_sending(POLICY, past, {}, panel(value), now)
            taken.append((now, value))
    for end, _ in taken:
        assert sum(value for at_s, value in taken if 0.0 <= end - at_s < 100.0) <= 5.0


# The whole gate ------------------------------------------------------------------------------------------------------
def gate(**changes: Any) -> HandGate:
    return HandGate(POLICY, CATALOGUE, **changes).arm()


def refused(hand: HandGate, permit: str, step_id: str) -> Verdict:
    with pytest.raises(Refused) as caught:
        hand.dispatch(permit, step_id)
    return caught.value.verdict


def test_second_reservation_counts_before_it_is_sent() -> None:
    hand = gate(tools={**POLICY.tools, 'take_photo': replace(POLICY.tools['take_photo'], at_once=1)})
    permit = hand.permit(Parallel((photo('a'), photo('b')), 'all'))
    ticket = hand.dispatch(permit, 'a')
    verdict = refused(hand, permit, 'b')
    assert (verdict.name, verdict.code, len(hand.sent)) == ('hold', Code.LIMIT, 1)
    hand.monitor.finish(ticket, True, {}, hand.now)
    hand.dispatch(permit, 'b')


def test_steps_reserved_together_are_judged_again_when_they_are_sent() -> None:
    hand = gate()
    permit = hand.permit(Parallel((panel(3.0), panel(2.0, 'q')), 'all'))
    hand.monitor._remember(spent('set_panel_value', hand.now, value_bar=1.0))
    tickets = [hand.monitor.authorise(permit, name, hand.now) for name in ('q', 'p')]
    hand.monitor.confirm(tickets[0], hand.now)
    with pytest.raises(Refused) as caught:
        hand.monitor.confirm(tickets[1], hand.now)
    assert facts([caught.value.verdict]) == PANEL_HELD


def test_step_that_was_not_sent_does_not_count() -> None:
    hand = gate()
    permit = hand.permit(*valves(3))
    ticket = hand.monitor.authorise(permit, 'v0', hand.now)
    hand.silent.add('mode')
    hand.later(2.5)
    with pytest.raises(Refused):
        hand.monitor.confirm(ticket, hand.now)
    assert hand.monitor.state.past.uses == ()
    hand.silent.clear()
    hand.live()
    hand.dispatch(permit, 'v0')
    assert len(hand.monitor.state.past.uses) == 1


def test_total_outlives_the_plan_and_its_window_ends() -> None:
    hand = gate()
    permit = hand.permit(*valves(3))
    for number in range(3):
        hand.monitor.finish(hand.dispatch(permit, f'v{number}'), number < 2, {'angle_rad': 1.0}, hand.now)
    hand.monitor.close(permit, 0, '', hand.now)
    with pytest.raises(Refused) as caught:
        hand.permit(VALVE)
    assert facts([caught.value.verdict]) == HELD
    hand.later(100.1)
    assert hand.permit(VALVE)


def test_value_of_a_reference_counts_when_it_is_known() -> None:
    tools = {**POLICY.tools}
    limits = (Limit('value_bar', 5.0, 100.0),)
    argument = SHIPPED.tools['set_panel_value'].args['value_bar']
    camera = replace(argument, low=0.0, high=8.0, sources=frozenset({'camera'}))
    tools['set_panel_value'] = ToolRule('set_panel_value', 3, 'h4', {'value_bar': camera}, limits=limits)
    tools['read_gauge'] = ToolRule('read_gauge', 0, '', {}, trust='camera')
    hand = gate(tools=tools)
    permit = hand.permit(Step('r', 'read_gauge', {'gauge': 'pressure_gauge'}), panel(Ref('r', 'value')))
    hand.monitor.finish(hand.dispatch(permit, 'r'), True, {'value': 5.1}, hand.now)
    assert facts([refused(hand, permit, 'p')]) == PANEL_HELD and len(hand.sent) == 1


# Plans asked for -----------------------------------------------------------------------------------------------------
def test_rates_hold_all_and_each_person() -> None:
    policy = replace(POLICY, plans_per_minute=3.0, plans_per_person=2.0)
    past = Past()
    for person in ('anna', 'anna', 'bob'):
        assert list(rate_findings(policy, past, person, NOW)) == []
        past = after_asking(past, person, NOW)
    every, each = 'policy.rates.plans_per_minute', 'policy.rates.plans_per_person'
    assert [(item.code, item.rule) for item in rate_findings(policy, past, 'anna', NOW)] == [
        (Code.RATE, every),
        (Code.RATE, each),
    ]
    found = list(rate_findings(policy, past, 'carl', NOW + 59.9))
    assert [(type(item), item.rule) for item in found] == [(Hold, every)]
    assert found[0].text == '3 plans within a minute; at most 3'
    assert list(rate_findings(policy, past, 'anna', NOW + 60.0)) == []
    assert list(rate_findings(POLICY, past, 'anna', NOW)) == []


def test_plans_of_the_last_minute_are_remembered_and_never_more_than_a_bound() -> None:
    past = after_asking(after_asking(Past(), 'anna', NOW), 'bob', NOW + 59.9)
    assert past.plans == ((NOW, 'anna'), (NOW + 59.9, 'bob'))
    assert after_asking(past, 'carl', NOW + 60.0).plans == ((NOW + 59.9, 'bob'), (NOW + 60.0, 'carl'))
    for number in range(MAX_PLANS + 5):
        past = after_asking(past, f'p{number}', NOW + 60.0)
    assert len(past.plans) == MAX_PLANS == 1024 and past.plans[-1] == (NOW + 60.0, f'p{MAX_PLANS + 4}')


def test_rate_above_what_is_remembered_holds_as_soon_as_the_memory_is_full() -> None:
    policy = replace(POLICY, plans_per_minute=5000.0, plans_per_person=5000.0)
    past = Past(plans=((NOW, 'anna'),) * (MAX_PLANS - 1))
    assert list(rate_findings(policy, past, 'anna', NOW)) == []
    past = after_asking(past, 'anna', NOW)
    assert [item.code for item in rate_findings(policy, past, 'anna', NOW)] == [Code.RATE, Code.RATE]
    assert [item.rule for item in rate_findings(policy, past, 'bob', NOW)] == ['policy.rates.plans_per_minute']
    assert list(rate_findings(POLICY, past, 'anna', NOW)) == []


def test_gate_answers_a_flood_before_it_reads_and_refused_plans_count() -> None:
    hand = gate(plans_per_minute=3.0, plans_per_person=2.0)
    codes = [hand.admit(b'no plan', person).verdict.code for person in ('anna', 'anna', 'anna', 'bob')]
    assert codes == [Code.NOT_JSON, Code.NOT_JSON, Code.RATE, Code.RATE]
    hand.later(60.1)
    assert hand.admit(b'no plan').verdict.code is Code.NOT_JSON


def test_limits_are_judged_whatever_else_is_held() -> None:
    hand = gate()
    hand.monitor.moment.disarm('anna', hand.now)
    with pytest.raises(Refused) as caught:
        hand.permit(*valves(4))
    assert isinstance(caught.value.verdict, Deny) and caught.value.verdict.code is Code.LIMIT
