# SPDX-License-Identifier: Apache-2.0
"""The plan's automaton against an interpreter that knows no state: it replays the whole history for every question."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.automaton import Automaton, NotEnabledError, Outcome, Progress, Status
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Ref, Repeat, Sequence, Step

RETRIES = {'once': (0, ()), 'twice': (1, ()), 'mended': (2, ('clear', 'back_up'))}
CONDITION = Condition(Ref('s0', 'value'), '<', 1.0, 5.0, 'hold')
Event = tuple[str, Outcome]


def step(name: str, tool: str = 'once') -> Step:
    return Step(name, tool, {})


def walk_to(automaton: Automaton, *events: Event) -> Progress:
    progress = Progress()
    for event in events:
        if event[1] in (Outcome.SUCCEEDED, Outcome.FAILED):
            progress = automaton.record(progress, event[0], Outcome.STARTED)
        progress = automaton.record(progress, *event)
    return progress


# The interpreter: status, enabled, how many events it consumed, whether something runs -------------------------------
def replay(node: Node, path: str, events: list[Event]) -> tuple[Status, set[str], int, bool]:
    below = path.rstrip('/')
    if isinstance(node, Step):
        return replay_step(node, events)
    if isinstance(node, If):
        if not events:
            return Status.OPEN, {path}, 0, False
        choice = events[0][1] is Outcome.TRUE
        branch = node.then if choice else node.otherwise
        if branch is None:
            return Status.SUCCEEDED, set(), 1, False
        status, enabled, used, busy = replay(branch, f'{below}/{"then" if choice else "else"}', events[1:])
        return status, enabled, used + 1, busy
    if isinstance(node, Parallel):
        return replay_parallel(node, path, events)
    children = [node.child] * node.times if isinstance(node, Repeat) else list(node.children)
    goes_on = Status.FAILED if isinstance(node, Fallback) else Status.SUCCEEDED
    total = 0
    for index, child in enumerate(children):
        name = '0' if isinstance(node, Repeat) else str(index)
        status, enabled, used, busy = replay(child, f'{below}/{name}', events[total:])
        total += used
        if status is not goes_on:
            return status, enabled, total, busy
    return goes_on, set(), total, False


def replay_step(node: Step, events: list[Event]) -> tuple[Status, set[str], int, bool]:
    times, recoveries = RETRIES[node.tool]
    script = [node.id]
    for _ in range(times):
        script += [*(f'{node.id}/recover/{name}' for name in recoveries), node.id]
    used, position, running = 0, 0, False
    for event_id, outcome in events:
        assert event_id == script[position]
        used += 1
        running = outcome is Outcome.STARTED
        if outcome is Outcome.SUCCEEDED and event_id == node.id:
            return Status.SUCCEEDED, set(), used, False
        if outcome in (Outcome.SUCCEEDED, Outcome.FAILED):
            position += 1
        if position == len(script):
            return Status.FAILED, set(), used, False
    return Status.OPEN, set() if running else {script[position]}, used, running


def replay_parallel(node: Parallel, path: str, events: list[Event]) -> tuple[Status, set[str], int, bool]:
    parts = [(child, f'{path.rstrip("/")}/{index}') for index, child in enumerate(node.children)]
    owned = [ids(child, below) for child, below in parts]
    for used in range(len(events) + 1):
        found = [
            replay(child, below, [event for event in events[:used] if event[0] in mine])
            for (child, below), mine in zip(parts, owned, strict=True)
        ]
        statuses, busy = [item[0] for item in found], any(item[3] for item in found)
        decisive = Status.FAILED if node.policy == 'all' else Status.SUCCEEDED
        decided = decisive in statuses or Status.OPEN not in statuses
        if decided and not busy:
            other = Status.SUCCEEDED if node.policy == 'all' else Status.FAILED
            return decisive if decisive in statuses else other, set(), used, False
    return Status.OPEN, set() if decided else set().union(*(item[1] for item in found)), len(events), busy


def ids(node: Node, path: str) -> set[str]:
    below = path.rstrip('/')
    if isinstance(node, Step):
        return {node.id, *(f'{node.id}/recover/{name}' for name in RETRIES[node.tool][1])}
    if isinstance(node, If):
        rest = ids(node.otherwise, f'{below}/else') if node.otherwise is not None else set()
        return {path} | ids(node.then, f'{below}/then') | rest
    if isinstance(node, Repeat):
        return ids(node.child, f'{below}/0')
    return set().union(*(ids(child, f'{below}/{index}') for index, child in enumerate(node.children)))


class _Namer:
    """Gives every step of a drawn plan its own id."""

    def __init__(self) -> None:
        self.count = 0

    def name(self, node: Any) -> Node:
        if isinstance(node, str):
            self.count += 1
            return step(f's{self.count}', node)
        kind, *rest = node
        if kind in (Sequence, Fallback):
            return kind(tuple(self.name(child) for child in rest[0]))
        if kind is Parallel:
            return Parallel(tuple(self.name(child) for child in rest[0]), rest[1])
        if kind is Repeat:
            return Repeat(self.name(rest[0]), rest[1])
        return If(CONDITION, self.name(rest[0]), None if rest[1] is None else self.name(rest[1]))


def grow(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(children, min_size=1, max_size=3)
    return st.one_of(
        st.tuples(st.just(Sequence), some),
        st.tuples(st.just(Fallback), some),
        st.tuples(st.just(Parallel), some, st.sampled_from(['all', 'any'])),
        st.tuples(st.just(Repeat), children, st.integers(1, 3)),
        st.tuples(st.just(If), children, st.none() | children),
    )


PLANS = st.recursive(st.sampled_from(sorted(RETRIES)), grow, max_leaves=6).map(lambda drawn: _Namer().name(drawn))


@settings(max_examples=150, deadline=None)
@given(PLANS, st.data())
def test_automaton_equals_the_interpreter_on_random_plans_and_runs(root: Node, data: st.DataObject) -> None:
    automaton, progress, history = Automaton(root, RETRIES), Progress(), []
    running: list[str] = []
    everything = sorted(ids(root, '/'))
    for _ in range(40):
        status, enabled, used, busy = replay(root, '/', history)
        assert used == len(history)
        assert (automaton.status(progress), automaton.enabled(progress)) == (status, frozenset(enabled))
        assert busy == bool(running)
        assert all(automaton.knows(name) for name in everything)
        for name in everything:
            if name not in enabled:
                with pytest.raises(NotEnabledError):
                    automaton.record(progress, name, Outcome.TRUE if name.startswith('/') else Outcome.STARTED)
        choices = sorted(enabled) + sorted(running)
        if not choices:
            break
        chosen = data.draw(st.sampled_from(choices))
        if chosen.startswith('/'):
            outcome = data.draw(st.sampled_from([Outcome.TRUE, Outcome.FALSE]))
        elif chosen in running:
            outcome = data.draw(st.sampled_from([Outcome.SUCCEEDED, Outcome.FAILED, Outcome.WITHDRAWN]))
            running.remove(chosen)
        else:
            outcome = Outcome.STARTED
            running.append(chosen)
        before = progress
        progress = automaton.record(progress, chosen, outcome)
        assert before is not progress
        history.append((chosen, outcome))
    else:
        assert automaton.status(progress) is Status.OPEN or not running


def test_attempts_end_after_retries_and_recoveries_run_in_order_between_them() -> None:
    automaton = Automaton(step('s1', 'mended'), RETRIES)
    progress = walk_to(automaton, ('s1', Outcome.FAILED))
    assert automaton.enabled(progress) == {'s1/recover/clear'}
    for name in ('s1/recover/clear', 's1/recover/back_up'):
        progress = automaton.record(automaton.record(progress, name, Outcome.STARTED), name, Outcome.FAILED)
    assert automaton.enabled(progress) == {'s1'}


def test_what_still_runs_must_end_before_a_decided_parallel_goes_on() -> None:
    automaton = Automaton(Sequence((Parallel((step('a'), step('b')), 'any'), step('c'))), RETRIES)
    progress = Progress()
    for name in ('a', 'b'):
        progress = automaton.record(progress, name, Outcome.STARTED)
    progress = automaton.record(progress, 'a', Outcome.SUCCEEDED)
    assert automaton.enabled(progress) == frozenset()
    assert automaton.enabled(automaton.record(progress, 'b', Outcome.FAILED)) == {'c'}


def test_round_of_a_repeat_starts_afresh() -> None:
    automaton = Automaton(Repeat(Sequence((step('a'), If(CONDITION, step('b')))), 2), RETRIES)
    once = [('a', Outcome.SUCCEEDED), ('/0/1', Outcome.FALSE)]
    assert automaton.enabled(walk_to(automaton, *once)) == {'a'}
    assert automaton.status(walk_to(automaton, *once, *once)) is Status.SUCCEEDED


@pytest.mark.parametrize(
    'name', ['', '/', 's2', 's1/recover/', 's1/recover/clear', '/recover/clear', 's1/x', '/0/then']
)
def test_unknown_names_are_not_known(name: str) -> None:
    automaton = Automaton(Sequence((step('s1'),)), RETRIES)
    assert not automaton.knows(name)
    with pytest.raises(NotEnabledError):
        automaton.record(Progress(), name, Outcome.STARTED)


def test_an_end_without_a_start_is_refused() -> None:
    automaton = Automaton(step('s1', 'mended'), RETRIES)
    for name, outcome in (('s1', Outcome.SUCCEEDED), ('s1', Outcome.WITHDRAWN), ('s1/recover/clear', Outcome.FAILED)):
        with pytest.raises(NotEnabledError):
            automaton.record(Progress(), name, outcome)


def test_choice_is_no_outcome_of_a_step_and_a_start_none_of_a_condition() -> None:
    automaton = Automaton(Parallel((step('s1'), If(CONDITION, step('b'))), 'all'), RETRIES)
    assert automaton.enabled(Progress()) == {'s1', '/1'}
    for name, outcome in (('s1', Outcome.TRUE), ('s1', Outcome.FALSE), ('/1', Outcome.STARTED), ('/0', Outcome.TRUE)):
        with pytest.raises(NotEnabledError):
            automaton.record(Progress(), name, outcome)


def test_three_attempts_with_two_recoveries_each_and_no_more() -> None:
    automaton, progress = Automaton(step('s1', 'mended'), RETRIES), Progress()
    between = ['s1/recover/clear', 's1/recover/back_up']
    for name in ['s1', *between, 's1', *between, 's1']:
        assert automaton.enabled(progress) == {name} and automaton.status(progress) is Status.OPEN
        progress = automaton.record(automaton.record(progress, name, Outcome.STARTED), name, Outcome.FAILED)
    assert automaton.enabled(progress) == frozenset() and automaton.status(progress) is Status.FAILED


@pytest.mark.parametrize('times', [1, 2, 3, 4, 7])
def test_repeat_has_exactly_as_many_rounds_as_it_says_also_within_another(times: int) -> None:
    automaton, progress, rounds = Automaton(Repeat(Repeat(step('a'), times), 3), RETRIES), Progress(), 0
    while automaton.enabled(progress):
        progress, rounds = automaton.record(progress, 'a', Outcome.STARTED), rounds + 1
        progress = automaton.record(progress, 'a', Outcome.SUCCEEDED)
    assert rounds == 3 * times and automaton.status(progress) is Status.SUCCEEDED
