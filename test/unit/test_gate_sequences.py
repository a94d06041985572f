# SPDX-License-Identifier: Apache-2.0
"""Rules over the order of steps: against every run that the plan's automaton allows, and again when steps are sent."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hand_gate import HandGate, load
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.automaton import Automaton, Outcome, Progress, Status
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.policy import Approval, Event, Policy, SequenceRule, SignalRule, ToolRule
from gemma4_ros.core.gate.sequences import BAD, advance, is_pending, is_together, plan_problem, worst_sum
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Deny, Refused
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Ref, Repeat, Sequence, Step, children

RETRIES: dict[str, tuple[int, tuple[str, ...]]] = {
    'a': (0, ()),
    'b': (0, ()),
    'c': (1, ('b',)),
    'd': (1, ()),
    'o': (0, ()),
}
CONDITION = Condition(Ref('r', 'value'), '<', 4.0, 5.0, 'hold', 'bar')
KINDS = ('never', 'precedence', 'response', 'at_most', 'never_after', 'exclusive')
ONE_EVENT = ('never', 'at_most')


def rule(kind: str, first: Event | None = None, then: Event | None = None, **changes: Any) -> SequenceRule:
    second = None if kind in ONE_EVENT else then or Event('b')
    made = SequenceRule('order', kind, first or Event('a'), second, 2, 5.0, is_session=False, hazard='h1')
    return replace(made, **changes)


def attempts(step: Step) -> tuple[Step, ...]:
    times, between = RETRIES[step.tool]
    sent = [step]
    for _ in range(times):
        sent += [*(Step(f'{step.id}/recover/{name}', name, {}) for name in between), step]
    return tuple(sent)


def s(name: str, **args: Any) -> Step:
    """Make a step of the tool that its first letter names."""
    return Step(name, name[0], args)


def problem(kind: str, *nodes: Node, state: int = 0, **changes: Any) -> str:
    return plan_problem(rule(kind, **changes), Sequence(nodes), attempts, state)


# Which plans are taken: one line for each kind and each kind of node -------------------------------------------------
TAKEN = [
    ('never', Sequence((s('b1'), s('o1')))),
    ('precedence', Sequence((s('a1'), s('b1')))),
    ('precedence', Fallback((s('a1'), s('b1')))),  # a1 was sent, though it failed
    ('precedence', Repeat(Sequence((s('a1'), s('b1'))), 3)),
    ('precedence', Sequence((s('a1'), Parallel((s('b1'), s('b2')), 'all')))),
    ('precedence', Sequence((If(CONDITION, s('a1'), s('a2')), s('b1')))),
    ('precedence', If(CONDITION, Sequence((s('a1'), s('b1'))))),
    ('response', Sequence((s('a1'), s('o1'), s('b1')))),
    ('response', Sequence((s('b1'), s('o1')))),
    ('response', Sequence((Fallback((s('a1'), s('o1'))), s('b1')))),
    ('response', Sequence((Parallel((s('a1'), s('o1')), 'any'), s('b1')))),
    ('response', If(CONDITION, Sequence((s('a1'), s('b1'))), s('o1'))),
    ('at_most', Sequence((s('a1'), s('b1'), s('a2')))),
    ('at_most', Repeat(s('a1'), 2)),
    ('at_most', If(CONDITION, Sequence((s('a1'), s('a2'))), Sequence((s('a3'), s('a4'))))),
    ('never_after', Sequence((s('b1'), s('a1'), s('a2')))),
    ('never_after', If(CONDITION, s('a1'), s('b1'))),
    ('exclusive', Sequence((s('a1'), s('b1'), Parallel((s('a2'), s('a3'), s('o1')), 'all')))),
]
REFUSED = [
    ('never', Sequence((s('b1'), s('a1'))), 'a1'),
    ('never', If(CONDITION, s('b1'), s('a1')), 'a1'),
    ('never', Fallback((s('b1'), s('a1'))), 'a1'),
    ('never', Parallel((s('b1'), s('a1')), 'any'), 'a1'),
    ('precedence', s('b1'), 'b1'),
    ('precedence', Sequence((s('b1'), s('a1'))), 'b1'),
    ('precedence', Parallel((s('a1'), s('b1')), 'all'), 'b1'),
    ('precedence', Sequence((If(CONDITION, s('a1')), s('b1'))), 'b1'),
    ('precedence', Sequence((Fallback((s('o1'), s('a1'))), s('b1'))), 'b1'),
    ('precedence', s('c1'), 'c1/recover/b'),
    ('response', s('a1'), 'can end'),
    ('response', Sequence((s('b1'), s('a1'))), 'can end'),
    ('response', Sequence((s('a1'), If(CONDITION, s('b1')))), 'can end'),
    ('response', Sequence((s('a1'), Fallback((s('o1'), s('b1'))))), 'can end'),
    ('response', Parallel((s('a1'), s('b1')), 'all'), 'can end'),
    ('response', Fallback((s('o1'), s('a1'))), 'can end'),
    ('response', Fallback((Sequence((s('a1'), s('b1'))), s('o1'))), 'can end'),  # a1 sent, then failed
    ('at_most', Repeat(s('a1'), 3), 'up to 3 times, at most 2'),
    ('at_most', Parallel((s('a1'), s('a2'), s('a3')), 'any'), 'up to 3'),
    ('at_most', Fallback((s('a1'), s('a2'), s('a3'))), 'up to 3'),
    ('at_most', Sequence((If(CONDITION, s('a1'), s('o1')), s('a2'), s('a3'))), 'up to 3'),
    ('never_after', Sequence((s('a1'), s('b1'))), 'b1'),
    ('never_after', Fallback((s('a1'), s('b1'))), 'b1'),
    ('never_after', Parallel((s('b1'), s('a1')), 'all'), 'b1'),
    ('never_after', Repeat(Sequence((s('b1'), s('a1'))), 2), 'b1'),
    ('never_after', Sequence((If(CONDITION, s('a1')), s('b1'))), 'b1'),
    ('exclusive', Parallel((s('a1'), s('b1')), 'all'), 'a1 may run at the same time'),
    ('exclusive', Parallel((s('b1'), s('o1'), Sequence((s('o2'), s('a1')))), 'any'), 'b1'),
    ('exclusive', Repeat(If(CONDITION, s('o1'), Parallel((s('a1'), s('b1')), 'all')), 2), 'a1'),
    ('exclusive', Sequence((s('o1'), Parallel((s('c1'), s('a1')), 'all'))), 'c1/recover/b'),
    ('exclusive', Parallel((s('o1'), Parallel((s('b1'), s('a1')), 'all')), 'all'), 'b1'),
]


@pytest.mark.parametrize(('kind', 'root'), TAKEN)
def test_plan_that_keeps_the_rule_on_every_path_is_taken(kind: str, root: Node) -> None:
    assert plan_problem(rule(kind), root, attempts, 0) == ''


@pytest.mark.parametrize(('kind', 'root', 'said'), REFUSED)
def test_plan_that_could_break_the_rule_on_one_path_is_refused(kind: str, root: Node, said: str) -> None:
    assert said in plan_problem(rule(kind), root, attempts, 0)


def test_attempts_count_as_events() -> None:
    assert problem('at_most', s('d1'), first=Event('d')) == ''
    assert 'up to 2 times, at most 1' in problem('at_most', s('d1'), first=Event('d'), times=1)
    assert problem('at_most', s('d1'), s('d2'), first=Event('d'), times=4) == ''
    assert 'd1' in problem('never_after', s('d1'), first=Event('d'), then=Event('d'))


def test_what_happened_before_the_plan_counts() -> None:
    assert problem('precedence', s('b1'), state=1) == ''
    assert 'b1' in problem('never_after', s('b1'), state=1)
    assert problem('response', s('o1'), state=1) == 'the plan can end before what must follow'
    assert problem('response', s('b1'), state=1) == ''
    assert problem('at_most', s('a1'), state=1) == ''
    assert 'up to 3 times' in problem('at_most', s('a1'), state=2)
    assert 'up to 3 times' in problem('at_most', s('a1'), s('a2'), state=1)


def test_event_asks_for_its_arguments() -> None:
    event = Event('a', {'n': 1.0, 'side': 'left'})
    assert event.matches(s('a1', n=1.0, side='left')) and event.matches(s('a1', n=1, side='left', more=2))
    assert not event.matches(s('a1', n=1.0, side='right')) and not event.matches(s('b1', n=1.0, side='left'))
    assert event.matches(s('a1', n=Ref('r', 'value'), side='left')) and event.matches(s('a1', n=1.0))
    assert not event.matches(s('a1', n=Ref('r', 'value'), side='right'))
    assert event.surely_matches(s('a1', n=1.0, side='left'))
    assert not event.surely_matches(s('a1', n=Ref('r', 'value'), side='left'))
    assert not event.surely_matches(s('a1', n=2.0, side='left'))


def test_argument_that_is_not_known_yet_may_be_the_wrong_one() -> None:
    unsure, first = s('a1', n=Ref('r', 'value')), Event('a', {'n': 1.0})
    assert 'b1' in problem('precedence', unsure, s('b1'), first=first)
    assert 'b1' in problem('never_after', unsure, s('b1'), first=first)
    assert 'can end' in problem('response', s('o1'), unsure, first=first)
    assert 'can end' in problem('response', s('o1'), unsure, first=Event('o'), then=first)
    assert problem('response', s('o1'), unsure, s('a2', n=1.0), first=Event('o'), then=first) == ''
    assert 'a1' in problem('never', unsure, first=first)
    assert 'a1' in problem('precedence', unsure, then=first, first=Event('o'))


@pytest.mark.parametrize('kind', KINDS)
def test_steps_that_are_no_event_change_nothing(kind: str) -> None:
    for state in (0, 1):
        expected = 0 if kind in ('never', 'exclusive') else state
        assert advance(rule(kind), state, s('o1')) == expected


def test_states_of_every_kind() -> None:
    a, b = s('a1'), s('b1')
    assert advance(rule('never'), 0, a) == BAD
    assert [advance(rule('precedence'), *case) for case in ((0, a), (1, a), (0, b), (1, b))] == [1, 1, BAD, 1]
    assert [advance(rule('response'), *case) for case in ((0, a), (1, a), (0, b), (1, b))] == [1, 1, 0, 0]
    assert [advance(rule('at_most'), *case) for case in ((0, a), (1, a), (2, a), (3, a), (2, b))] == [1, 2, BAD, BAD, 2]
    assert [advance(rule('never_after'), *case) for case in ((0, a), (1, a), (0, b), (1, b))] == [1, 1, 0, BAD]
    assert [advance(rule('exclusive'), 0, step) for step in (a, b)] == [0, 0]
    assert is_pending(rule('response'), 1) and not is_pending(rule('response'), 0)
    assert not any(is_pending(rule(kind), 1) for kind in KINDS if kind != 'response')


def test_exclusive_forbids_either_beside_the_other_and_nothing_else() -> None:
    apart = rule('exclusive')
    assert is_together(apart, s('a1'), [s('o1'), s('b1')]) and is_together(apart, s('b1'), [s('a1')])
    assert not is_together(apart, s('a1'), [s('a2'), s('o1')]) and not is_together(apart, s('b1'), [s('b2')])
    assert not is_together(apart, s('o1'), [s('a1'), s('b1')]) and not is_together(apart, s('a1'), [])
    assert is_together(rule('exclusive', then=Event('a')), s('a1'), [s('a2')])
    assert is_together(replace(apart, then=None), s('a1'), [s('b1')]) is False
    assert not any(is_together(rule(kind), s('a1'), [s('b1')]) for kind in KINDS if kind != 'exclusive')


# Random plans against every run --------------------------------------------------------------------------------------
def named(drawn: Any, count: Iterator[int]) -> Node:
    """Turn what hypothesis drew into a plan whose steps have ids of their own."""
    if isinstance(drawn, Step):
        return replace(drawn, id=f'{drawn.tool}{next(count)}')
    kind, parts, *more = drawn
    below = [named(part, count) for part in parts]
    if kind is If:
        return If(CONDITION, *below)
    return Repeat(below[0], *more) if kind is Repeat else kind(tuple(below), *more)


def plans(leaves: st.SearchStrategy[Step], *, with_parallel: bool) -> st.SearchStrategy[Node]:
    def grow(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        some = st.lists(parts, min_size=1, max_size=3)
        kinds = [
            st.tuples(st.just(Sequence), some),
            st.tuples(st.just(Fallback), some),
            st.tuples(st.just(If), st.lists(parts, min_size=1, max_size=2)),
            st.tuples(st.just(Repeat), st.tuples(parts), st.integers(1, 2)),
        ]
        if with_parallel:
            kinds.append(st.tuples(st.just(Parallel), some, st.sampled_from(['all', 'any'])))
        return st.one_of(kinds)

    return st.recursive(leaves, grow, max_leaves=4).map(lambda drawn: named(drawn, itertools.count(1)))


LEAVES = st.sampled_from(
    [Step('', 'a', {}), Step('', 'b', {}), Step('', 'c', {}), Step('', 'd', {}), Step('', 'o', {})]
)
OPEN = [Step('', 'a', {'n': n}) for n in (1, 2, Ref('r', 'value'))] + [
    Step('', 'b', {'n': n}) for n in (1, Ref('r', 'v'))
]
EVENTS = st.sampled_from([Event('a'), Event('b'), Event('d'), Event('a', {'n': 1}), Event('b', {'n': 1})])
RULES = st.builds(rule, st.sampled_from(KINDS), EVENTS, EVENTS, times=st.integers(1, 3))


def sent_as(step: Step) -> list[Step]:
    """Return what a step may turn out to be when its references are resolved."""
    names = [name for name, value in step.args.items() if isinstance(value, Ref)]
    return [replace(step, args={**step.args, **dict.fromkeys(names, value)}) for value in ((1, 2) if names else (0,))]


def key_of(progress: Progress) -> tuple[object, ...]:
    parts = (progress.leaves, progress.choices, progress.rounds)
    return tuple(tuple(sorted(part.items(), key=lambda item: item[0])) for part in parts)


def is_broken(order: SequenceRule, trace: Trace, has_ended_well: bool) -> bool:
    """Judge one run by the words of the module's description, without its states."""
    firsts = [place for place, (first, _) in enumerate(trace) if first]
    thens = [place for place, (_, then) in enumerate(trace) if then]
    if order.kind == 'never':
        return bool(firsts)
    if order.kind == 'precedence':
        return any(not any(first < then for first in firsts) for then in thens)
    if order.kind == 'response':
        return has_ended_well and any(not any(then > first for then in thens) for first in firsts)
    if order.kind == 'at_most':
        return len(firsts) > order.times
    return order.kind == 'never_after' and any(first < then for first in firsts for then in thens)


Trace = tuple[tuple[bool, bool], ...]
Running = tuple[tuple[str, Step], ...]


class Runs:
    """Every run that the automaton allows: choices, outcomes, attempts, interleavings, values of references."""

    def __init__(self, order: SequenceRule, root: Node) -> None:
        self.order, self.automaton = order, Automaton(root, RETRIES)
        steps = [node for node in walk(root) if isinstance(node, Step)]
        self.steps = {each.id: each for step in steps for each in attempts(step)}

    def event(self, step: Step) -> tuple[bool, bool]:
        then = self.order.then
        return fits(self.order.first, step), then is not None and fits(then, step)

    def is_apart(self, step: Step, running: Running) -> bool:
        first, then = self.event(step)
        others = [self.event(other) for _, other in running]
        return not any((first and other[1]) or (then and other[0]) for other in others)

    def after(self, progress: Progress, trace: Trace, running: Running) -> Iterator[tuple[Progress, Trace, Running]]:
        for item in running:
            rest = tuple(other for other in running if other != item)
            for outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
                yield self.automaton.record(progress, item[0], outcome), trace, rest
        for name in self.automaton.enabled(progress):
            if name.startswith('/'):
                for outcome in (Outcome.TRUE, Outcome.FALSE):
                    yield self.automaton.record(progress, name, outcome), trace, running
                continue
            started = self.automaton.record(progress, name, Outcome.STARTED)
            for sent in sent_as(self.steps[name]):
                longer = (*trace, self.event(sent)) if any(self.event(sent)) else trace
                yield started, longer, (*running, (name, sent))

    def one_breaks(self, before: Trace) -> bool:
        seen: set[object] = set()
        pending: list[tuple[Progress, Trace, Running]] = [(Progress(), before, ())]
        while pending:
            progress, trace, running = pending.pop()
            key = (key_of(progress), trace, repr(running))
            if key in seen:
                continue
            seen.add(key)
            if is_broken(self.order, trace, self.automaton.status(progress) is Status.SUCCEEDED):
                return True
            if self.order.kind == 'exclusive' and running and not self.is_apart(running[-1][1], running[:-1]):
                return True
            pending += self.after(progress, trace, running)
        return False


def fits(event: Event, step: Step) -> bool:
    return step.tool == event.tool and all(
        name not in step.args or step.args[name] == v for name, v in event.args.items()
    )


def walk(node: Node) -> Iterator[Node]:
    yield node
    for _, child in children(node):
        yield from walk(child)


@settings(max_examples=200, deadline=None)
@given(RULES, plans(LEAVES | st.sampled_from(OPEN), with_parallel=True), st.lists(LEAVES, max_size=2))
def test_plan_without_a_problem_has_no_run_that_breaks_the_rule(
    order: SequenceRule, root: Node, past: list[Step]
) -> None:
    state, before = 0, []
    for step in past:
        state = advance(order, state, step)
        before.append((order.first.matches(step), order.then is not None and order.then.matches(step)))
        if state == BAD:
            return
    if not plan_problem(order, root, attempts, state):
        assert not Runs(order, root).one_breaks(tuple(before))


@settings(max_examples=200, deadline=None)
@given(RULES, plans(st.sampled_from([Step('', name, {}) for name in 'abdo']), with_parallel=False))
def test_plan_that_is_refused_has_a_run_that_breaks_the_rule_where_nothing_runs_side_by_side(
    order: SequenceRule, root: Node
) -> None:
    assert bool(plan_problem(order, root, attempts, 0)) == Runs(order, root).one_breaks(())


def sums(node: Node, weights: dict[str, float]) -> set[float]:
    """Return the sums of all paths, each written out."""
    if isinstance(node, Step):
        return {weights[node.tool]}
    parts = [sums(child, weights) for _, child in children(node)]
    if isinstance(node, If):
        return set().union(*parts) | (set() if node.otherwise is not None else {0.0})
    rounds = parts * node.times if isinstance(node, Repeat) else parts
    return {sum(chosen) for chosen in itertools.product(*rounds)}


@settings(max_examples=200, deadline=None)
@given(
    plans(LEAVES, with_parallel=True),
    st.lists(st.integers(0, 9).map(float), min_size=len(RETRIES), max_size=len(RETRIES)),
)
def test_worst_sum_is_the_greatest_of_all_paths(root: Node, drawn: list[float]) -> None:
    weights = dict(zip(RETRIES, drawn, strict=True))
    assert worst_sum(root, lambda step: weights[step.tool]) == max(sums(root, weights))


# The whole gate -------------------------------------------------------------------------------------------------------
CATALOGUE = load()[1]
SIGNALS = {
    'mode': SignalRule('mode', 'mode', 'std_msgs/msg/String', 'data', 2.0, 0),
    'estop': SignalRule('estop', 'estop', 'std_msgs/msg/Bool', 'data', 1.0, 0),
}
TOOLS = {name: ToolRule(name, 2, 'h1', {}) for name in ('navigate_to', 'dock', 'undock', 'move_arm', 'open_valve')}
POLICY = Policy(
    name='order',
    version=1,
    sha256='0' * 64,
    hazards={'h1': 'it falls', 'h2': 'it spills'},
    signals=SIGNALS,
    modes={'AUTO': 3, 'MANUAL': 0, 'MAINTENANCE': 0},
    tools={**TOOLS, 'take_photo': ToolRule('take_photo', 0, '', {}), 'read_gauge': ToolRule('read_gauge', 0, '', {})},
    approvals={(tier, channel): Approval(False, 0) for tier in range(4) for channel in ('typed', 'speech')},
    approval_ttl_s=60.0,
    permit_ttl_s=600.0,
    start_within_s=30.0,
    executor_lease_s=1.0,
    deadman_lease_s=0.5,
)
DOCK, UNDOCK = Step('dock', 'dock', {}), Step('undock', 'undock', {})
STOW, READY = Step('stow', 'move_arm', {'posture': 'stowed'}), Step('ready', 'move_arm', {'posture': 'ready'})
READ = Step('r', 'read_gauge', {'gauge': 'pressure_gauge'})


def gate(*rules: SequenceRule) -> HandGate:
    return HandGate(POLICY, CATALOGUE, sequences=rules).arm()


def order_of(kind: str, first: Event, then: Event | None = None, **changes: Any) -> SequenceRule:
    return replace(SequenceRule('order', kind, first, then, 2, 5.0, is_session=False, hazard='h2'), **changes)


def run(hand: HandGate, permit: str, step_id: str, succeeded: bool = True) -> None:
    hand.monitor.finish(hand.dispatch(permit, step_id), succeeded, {}, hand.now)


def refusal(hand: HandGate, permit: str, step_id: str) -> Deny:
    with pytest.raises(Refused) as caught:
        hand.dispatch(permit, step_id)
    assert isinstance(caught.value.verdict, Deny)
    return caught.value.verdict


def is_by_the_rule(verdict: object) -> bool:
    known = isinstance(verdict, Deny) and (verdict.code, verdict.rule) == (Code.SEQUENCE, 'policy.sequences.order')
    return known and verdict.hazard == 'h2'


@pytest.mark.parametrize(
    ('order', 'nodes'),
    [
        (order_of('never', Event('move_arm', {'posture': 'ready'})), (READY,)),
        (order_of('precedence', Event('undock'), Event('move_arm')), (STOW, UNDOCK)),
        (order_of('response', Event('undock'), Event('move_arm')), (STOW, UNDOCK)),
        (order_of('at_most', Event('undock'), times=1), (UNDOCK,)),  # it is tried twice
        (order_of('never_after', Event('undock'), Event('move_arm')), (UNDOCK, STOW)),
        (order_of('exclusive', Event('undock'), Event('move_arm')), (Parallel((STOW, UNDOCK), 'all'),)),
    ],
)
def test_plan_against_a_rule_is_denied_at_admission(order: SequenceRule, nodes: tuple[Node, ...]) -> None:
    hand = gate(order)
    with pytest.raises(Refused) as caught:
        hand.permit(*nodes)
    assert is_by_the_rule(caught.value.verdict) and f'order ({order.kind})' in caught.value.verdict.text
    assert hand.permit(DOCK)


def test_precedence_within_a_session_remembers_earlier_plans_and_within_a_plan_does_not() -> None:
    for is_session in (True, False):
        hand = gate(order_of('precedence', Event('undock'), Event('move_arm'), is_session=is_session))
        permit = hand.permit(UNDOCK)
        run(hand, permit, 'undock')
        hand.monitor.close(permit, 0, '', hand.now)
        if is_session:
            run(hand, hand.permit(STOW), 'stow')
        else:
            with pytest.raises(Refused) as caught:
                hand.permit(STOW)
            assert is_by_the_rule(caught.value.verdict)


def test_at_most_within_a_session_adds_up_over_plans() -> None:
    hand = gate(order_of('at_most', Event('undock'), times=3, is_session=True))
    permit = hand.permit(UNDOCK)
    run(hand, permit, 'undock', succeeded=False)
    run(hand, permit, 'undock')
    hand.monitor.close(permit, 0, '', hand.now)
    with pytest.raises(Refused) as caught:
        hand.permit(UNDOCK)
    assert is_by_the_rule(caught.value.verdict) and 'up to 4 times, at most 3' in caught.value.verdict.text


def test_rule_that_another_plan_reached_meanwhile_denies_the_dispatch() -> None:
    hand = gate(order_of('never_after', Event('undock'), Event('move_arm'), is_session=True))
    permit = hand.permit(STOW)
    hand.monitor._remember(replace(hand.monitor.state.past, states={'order': 1}))
    verdict = refusal(hand, permit, 'stow')
    assert is_by_the_rule(verdict) and 'stow may not be sent now' in verdict.text and hand.sent == []


def test_steps_reserved_side_by_side_are_held_against_each_other() -> None:
    hand = gate(order_of('at_most', Event('take_photo'), times=2))
    photo = [Step(name, 'take_photo', {'target': 'pump'}) for name in ('p1', 'p2')]
    with pytest.raises(Refused):
        hand.permit(Parallel(tuple(photo), 'all'))  # four attempts
    hand = gate(order_of('exclusive', Event('undock'), Event('move_arm')))
    permit = hand.permit(STOW, UNDOCK)
    held = hand.monitor._permits.find(permit)
    assert held is not None
    ticket = hand.dispatch(permit, 'stow')
    facts = replace(held.facts('undock'), enabled=frozenset({'undock'}))
    assert is_by_the_rule(hand.monitor._judge(held, facts, UNDOCK, hand.now))
    hand.monitor.finish(ticket, True, {}, hand.now)
    run(hand, permit, 'undock')


def test_withdrawn_step_is_no_event() -> None:
    hand = gate(order_of('precedence', Event('undock'), Event('move_arm'), is_session=True))
    permit = hand.permit(UNDOCK)
    ticket = hand.monitor.authorise(permit, 'undock', hand.now)
    hand.silent.add('mode')
    hand.later(2.5)
    with pytest.raises(Refused):
        hand.monitor.confirm(ticket, hand.now)
    assert hand.monitor.state.past.states.get('order', 0) == 0
    hand.silent.clear()
    hand.live()
    run(hand, permit, 'undock')
    assert hand.monitor.state.past.states == {'order': 1}


RESPONSE = order_of('response', Event('undock'), Event('move_arm', {'posture': 'stowed'}))


def test_response_that_comes_in_time_is_forgotten() -> None:
    hand = gate(RESPONSE)
    permit = hand.permit(UNDOCK, DOCK, STOW)
    run(hand, permit, 'undock')
    assert hand.monitor.state.past.due_s == {'order': pytest.approx(hand.now + 5.0)}
    hand.later(4.5)
    run(hand, permit, 'dock')
    assert 'order' in hand.monitor.state.past.due_s
    run(hand, permit, 'stow')
    assert hand.monitor.state.past.due_s == {}
    hand.later(5.0)
    assert hand.monitor.state.latch is Latch.ARMED


def test_second_event_does_not_put_the_response_off() -> None:
    hand = gate(RESPONSE)
    permit = hand.permit(UNDOCK, STOW)
    run(hand, permit, 'undock', succeeded=False)
    due_s = hand.monitor.state.past.due_s['order']
    hand.later(3.0)
    run(hand, permit, 'undock')
    assert hand.monitor.state.past.due_s['order'] == due_s


def test_response_that_does_not_come_in_time_stops_while_armed() -> None:
    hand = gate(RESPONSE)
    run(hand, hand.permit(UNDOCK, STOW), 'undock')
    hand.later(4.9)
    assert hand.monitor.state.latch is Latch.ARMED
    hand.later(0.2)
    assert (hand.monitor.state.latch, hand.monitor.state.stop_code) == (Latch.STOPPED, Code.SEQUENCE)
    assert 'order' in hand.monitor.state.stop_text
    hand.monitor.moment.reset('anna', hand.now)
    hand.arm()
    hand.later(1.0)
    assert hand.monitor.state.latch is Latch.ARMED and hand.monitor.state.past.due_s == {}


def test_response_is_wanted_though_the_plan_was_closed() -> None:
    hand = gate(RESPONSE)
    permit = hand.permit(UNDOCK, STOW)
    run(hand, permit, 'undock')
    hand.monitor.close(permit, 1, '', hand.now)
    run(hand, hand.permit(DOCK), 'dock')
    hand.later(5.2)
    assert hand.monitor.state.stop_code is Code.SEQUENCE


def test_response_is_forgotten_when_a_person_disarms() -> None:
    hand = gate(RESPONSE)
    run(hand, hand.permit(UNDOCK, STOW), 'undock')
    hand.monitor.moment.disarm('anna', hand.now)
    hand.later(0.1)
    assert hand.monitor.state.past.due_s == {}
    hand.arm()
    hand.later(6.0)
    assert hand.monitor.state.latch is Latch.ARMED


def test_response_that_a_person_took_over_is_not_awaited_again_by_the_next_step() -> None:
    hand = gate(replace(RESPONSE, is_session=True))
    run(hand, hand.permit(UNDOCK, STOW), 'undock')
    hand.monitor.moment.disarm('anna', hand.now)
    hand.later(0.1)
    hand.arm()
    run(hand, hand.permit(DOCK, STOW), 'dock')
    assert hand.monitor.state.past.due_s == {}


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind not in ('never', 'response')])
def test_nothing_is_awaited_by_a_rule_that_is_no_response(kind: str) -> None:
    hand = gate(order_of(kind, Event('undock'), None if kind in ONE_EVENT else Event('dock')))
    run(hand, hand.permit(UNDOCK), 'undock')
    assert hand.monitor.state.past.due_s == {}


def test_fulfilled_response_of_a_session_lets_any_plan_follow() -> None:
    hand = gate(replace(RESPONSE, is_session=True))
    permit = hand.permit(UNDOCK, STOW)
    run(hand, permit, 'undock')
    hand.monitor.close(permit, 1, '', hand.now)
    with pytest.raises(Refused) as caught:
        hand.permit(DOCK)
    assert is_by_the_rule(caught.value.verdict)
    permit = hand.permit(STOW)
    run(hand, permit, 'stow')
    hand.monitor.close(permit, 0, '', hand.now)
    assert hand.permit(DOCK)


def test_rules_of_a_plan_start_afresh_with_every_permit() -> None:
    hand = gate(order_of('never_after', Event('undock'), Event('move_arm')))
    permit = hand.permit(STOW, UNDOCK)
    run(hand, permit, 'stow')
    run(hand, permit, 'undock')
    hand.monitor.close(permit, 0, '', hand.now)
    run(hand, hand.permit(STOW), 'stow')
    assert len(hand.sent) == 3
