# SPDX-License-Identifier: Apache-2.0
"""Permits: one lives, the dead are remembered for a while, and only a success leaves a result."""

from __future__ import annotations

import pytest

from gemma4_ros.core.gate.automaton import Automaton, NotEnabledError, Outcome
from gemma4_ros.core.gate.bind import Result
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.decide import Case
from gemma4_ros.core.gate.permits import KEPT, Candidate, Permit, Permits, Ticket
from gemma4_ros.core.plan import Parallel, Plan, Step

A, B = Step('a', 'x', {}), Step('b', 'x', {})


def permit(name: str = 'p') -> Permit:
    root = Parallel((A, B), 'all')
    candidate = Candidate(b'raw', 'hash', Plan('test', root), Case((A, B), 'anna', 0), 7, 'words')
    return Permit(name, candidate, 7, 100.0, 30.0, Automaton(root, {'x': (1, ())}))


def ticket(step: Step) -> Ticket:
    return Ticket('p', step, {})


def test_new_permit_has_run_nothing() -> None:
    made = permit()
    facts = made.facts('a')
    assert (facts.epoch, facts.expires_s, facts.dead) == (7, 100.0, Code.NONE)
    assert (facts.enabled, facts.running, facts.known, facts.beside) == (frozenset({'a', 'b'}), frozenset(), True, ())
    assert not made.facts('c').known and not made.is_started and made.candidate.goals_sha256 == ''


def test_reserved_step_runs_and_is_beside_the_others() -> None:
    made = permit()
    made.begin(ticket(A))
    facts = made.facts('b')
    assert (facts.enabled, facts.running, facts.beside) == (frozenset({'b'}), frozenset({'a'}), (A,))
    assert made.is_started and made.running['a'].step is A
    with pytest.raises(NotEnabledError):
        made.begin(ticket(A))


@pytest.mark.parametrize(
    ('outcome', 'result', 'recorded'),
    [
        (Outcome.SUCCEEDED, Result({'value': 1.0}, 5.0), True),
        (Outcome.SUCCEEDED, None, False),
        (Outcome.FAILED, Result({'value': 1.0}, 5.0), False),
        (Outcome.FAILED, None, False),
        (Outcome.WITHDRAWN, Result({'value': 1.0}, 5.0), False),
        (Outcome.WITHDRAWN, None, False),
    ],
)
def test_only_a_success_leaves_its_result(outcome: Outcome, result: Result | None, recorded: bool) -> None:
    made = permit()
    made.begin(ticket(A))
    made.end(ticket(A), outcome, result)
    assert made.running == {} and made.results == ({'a': result} if recorded else {})
    assert ('a' in made.facts('a').enabled) is (outcome is not Outcome.SUCCEEDED)


def test_states_of_sequences_reach_the_decision() -> None:
    made = permit()
    made.states = {'order': 1}
    assert made.facts('a').states == {'order': 1}


def test_one_permit_lives_and_its_death_has_a_reason() -> None:
    permits = Permits()
    assert permits.live is None and permits.kill(Code.PERMIT_EPOCH) is None
    first = permit('first')
    permits.add(first)
    assert permits.live is first and permits.find('first') is first and permits.find('other') is None
    assert permits.kill(Code.PERMIT_EPOCH) is first and first.dead is Code.PERMIT_EPOCH
    assert permits.live is None and permits.kill(Code.PERMIT_CLOSED) is None and first.dead is Code.PERMIT_EPOCH
    second = permit('second')
    permits.add(second)
    assert permits.live is second and permits.find('first') is first


def test_as_many_permits_are_remembered_as_said_and_the_oldest_goes_first() -> None:
    permits = Permits()
    for number in range(KEPT):
        permits.add(permit(f'p{number}'))
        permits.kill(Code.PERMIT_CLOSED)
    assert KEPT == 16 and permits.find('p0') is not None
    permits.add(permit('last'))
    assert permits.find('p0') is None and permits.find('p1') is not None and permits.find('last') is permits.live
