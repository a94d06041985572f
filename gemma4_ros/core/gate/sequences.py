# SPDX-License-Identifier: Apache-2.0
"""
Rules over the order of steps, each an automaton: asked over every path of a plan, and again before every dispatch.

The kinds are the property patterns of Dwyer, Avrunin and Corbett ("Patterns in Property Specifications for
Finite-State Verification", ICSE 1999) that a robot's procedures need:

* ``never``: ``first`` does not happen.
* ``precedence``: ``then`` happens only after ``first``.
* ``response``: after ``first``, ``then`` happens within ``within_s``, and a plan does not end well before it.
* ``at_most``: ``first`` happens at most ``times`` times.
* ``never_after``: after ``first``, ``then`` does not happen.
* ``exclusive``: ``first`` and ``then`` never run at the same time.

An event is the sending of a step; attempts and recoveries count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gemma4_ros.core.gate.policy import Event, SequenceRule
from gemma4_ros.core.plan import Fallback, If, Node, Parallel, Repeat, Step, children

__all__ = ['BAD', 'Attempts', 'advance', 'is_pending', 'is_together', 'plan_problem', 'worst_sum']

BAD = -1
Attempts = Callable[[Step], tuple[Step, ...]]
"""The steps that one step of a plan may send in the worst case: itself for every attempt, and its recoveries."""
_States = frozenset[int]


def advance(rule: SequenceRule, state: int, step: Step) -> int:
    """Return the state of a rule after a step was sent; BAD where it may not be sent."""
    return _next(rule, state, rule.first.matches(step), rule.then is not None and rule.then.matches(step))


def _next(rule: SequenceRule, state: int, first: bool, then: bool) -> int:
    match rule.kind:
        case 'never':
            return BAD if first else 0
        case 'precedence':
            return BAD if then and not state else max(state, int(first))
        case 'response':
            return int(first or (bool(state) and not then))
        case 'at_most':
            return state if not first else BAD if state >= rule.times else state + 1
        case 'never_after':
            return BAD if then and state else max(state, int(first))
        case _:
            return 0


def _possible(rule: SequenceRule, state: int, step: Step) -> _States:
    """Return the states after a step, however its references turn out."""
    firsts, thens = _ways(rule.first, step), (False,) if rule.then is None else _ways(rule.then, step)
    return frozenset(_next(rule, state, first, then) for first in firsts for then in thens)


def _ways(event: Event, step: Step) -> tuple[bool, ...]:
    return (True, False) if event.matches(step) and not event.surely_matches(step) else (event.matches(step),)


def is_pending(rule: SequenceRule, state: int) -> bool:
    """Say whether something must still follow."""
    return rule.kind == 'response' and state == 1


def is_together(rule: SequenceRule, step: Step, running: Iterable[Step]) -> bool:
    """Say whether an exclusive rule forbids a step beside those that run."""
    if rule.kind != 'exclusive' or rule.then is None:
        return False
    one, two = rule.first, rule.then
    return any((one.matches(step) and two.matches(b)) or (two.matches(step) and one.matches(b)) for b in running)


def plan_problem(rule: SequenceRule, root: Node, attempts: Attempts, state: int) -> str:
    """Say what a plan could do against a rule on any of its paths, starting in a state; empty: nothing."""
    if rule.kind == 'exclusive':
        return _together(rule, root, attempts)
    if rule.kind == 'at_most':
        most = worst_sum(root, lambda step: sum(rule.first.matches(sent) for sent in attempts(step)))
        return f'up to {state + most:g} times, at most {rule.times}' if state + most > rule.times else ''
    try:
        good, _ = _after(rule, root, attempts, frozenset((state,)))
    except _BadStepError as bad:
        return f'{bad} may come against it'
    return 'the plan can end before what must follow' if any(is_pending(rule, end) for end in good) else ''


def worst_sum(node: Node, weight: Callable[[Step], float]) -> float:
    """Return the greatest sum of weights over the paths of a plan: every part of a node but one branch of an ``if``."""
    if isinstance(node, Step):
        return weight(node)
    parts = [worst_sum(child, weight) for _, child in children(node)]
    if isinstance(node, If):
        return max(parts)
    return sum(parts) * (node.times if isinstance(node, Repeat) else 1)


class _BadStepError(Exception):
    """A path against the rule."""


def _after(rule: SequenceRule, node: Node, attempts: Attempts, states: _States) -> tuple[_States, _States]:
    """Return the states in which a node can have succeeded, and failed."""
    if isinstance(node, Step):
        ends = _sent(rule, attempts(node), states)
        return ends, ends
    if isinstance(node, Parallel):
        return (ends := _interleaved(rule, node, attempts, states)), ends
    if isinstance(node, If):
        branches = [_after(rule, child, attempts, states) for _, child in children(node)]
        good, bad = (frozenset().union(*each) for each in zip(*branches, strict=True))
        return (good if node.otherwise is not None else good | states), bad
    times = node.times if isinstance(node, Repeat) else 1
    goes_on, ended = states, frozenset[int]()
    for child in [child for _, child in children(node)] * times:
        good, bad = _after(rule, child, attempts, goes_on)
        goes_on, stops = (bad, good) if isinstance(node, Fallback) else (good, bad)
        ended |= stops
    return (ended, goes_on) if isinstance(node, Fallback) else (goes_on, ended)


def _sent(rule: SequenceRule, sent: tuple[Step, ...], states: _States) -> _States:
    """Return the states after the first of these was sent, and after each further one."""
    ends, now = frozenset[int](), states
    for step in sent:
        now = frozenset[int]().union(*(_possible(rule, state, step) for state in now))
        if BAD in now:
            raise _BadStepError(step.id)
        ends |= now
    return ends


def _interleaved(rule: SequenceRule, node: Node, attempts: Attempts, states: _States) -> _States:
    """Return the states after any of the steps below a node in any order: more than can happen, never less."""
    steps = [sent for step in _steps(node) for sent in attempts(step)]
    while True:
        grown = states.union(*(_sent(rule, (step,), states) for step in steps))
        if grown == states:
            return states
        states = grown


def _together(rule: SequenceRule, node: Node, attempts: Attempts) -> str:
    parts = [child for _, child in children(node)]
    if isinstance(node, Parallel):
        sent = [[each for step in _steps(part) for each in attempts(step)] for part in parts]
        for index, mine in enumerate(sent):
            others = [step for place, steps in enumerate(sent) if place != index for step in steps]
            bad = next((step for step in mine if is_together(rule, step, others)), None)
            if bad is not None:
                return f'{bad.id} may run at the same time'
    return next(filter(None, (_together(rule, part, attempts) for part in parts)), '')


def _steps(node: Node) -> list[Step]:
    if isinstance(node, Step):
        return [node]
    return [step for _, child in children(node) for step in _steps(child)]
