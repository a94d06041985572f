# SPDX-License-Identifier: Apache-2.0
"""Judge a planner's outcome against what an evaluation command expects (docs/evaluation.md says how)."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from gemma4_ros.core.errors import Gemma4Error
from gemma4_ros.core.facts import State, parse_fact
from gemma4_ros.core.plan import If, Plan, Ref, Step, walk
from gemma4_ros.core.planning.checks import simulate
from gemma4_ros.core.planning.planner import Outcome
from gemma4_ros.core.planning.symbolic import Symbolic

__all__ = ['OPS', 'judge', 'judge_trace', 'matches']

_PATTERN = re.compile(r'([a-z][a-z0-9_]*)(?:\((.*)\))?')
OPS = {
    '<': lambda a, b: a < b,
    '<=': lambda a, b: a <= b,
    '>': lambda a, b: a > b,
    '>=': lambda a, b: a >= b,
    '==': lambda a, b: a == b,
    '!=': lambda a, b: a != b,
}


def judge(expect: Mapping[str, Any], outcome: Outcome, symbolic: Symbolic, state: State) -> str:
    """Return '' where the outcome is right, else the first thing that is wrong, in one sentence."""
    kinds = expect['kind'] if isinstance(expect['kind'], list) else [expect['kind']]
    if outcome.kind not in kinds:
        return f'wanted {" or ".join(kinds)}, got {outcome.kind}' + (f': {outcome.text[:120]}' if outcome.text else '')
    if outcome.kind != 'plan':
        words = [str(word).lower() for word in expect.get('about', ())]
        said = f'{outcome.text} {" ".join(outcome.choices)}'.lower()
        return (
            ''
            if not words or any(word in said for word in words)
            else f'says nothing about {" or ".join(words)}: {outcome.text[:120]}'
        )
    assert outcome.plan is not None
    try:
        if 'if' in expect:
            return _judge_branches(expect, outcome.plan, symbolic, state)
        return _judge_runs(expect, outcome.plan, symbolic, state)
    except Gemma4Error as error:
        return f'not executable: {error}'


def _judge_runs(expect: Mapping[str, Any], plan: Plan, symbolic: Symbolic, state: State) -> str:
    """Every way through the plan must be right where no condition is expected."""
    refs = sorted({str(node.condition.ref) for _, node in walk(plan.root) if isinstance(node, If)})
    for outcomes in itertools.product((True, False), repeat=min(len(refs), 4)):
        final, trace = simulate(plan, symbolic, state, dict(zip(refs, outcomes, strict=False)))
        wrong = judge_trace(expect, final, trace, state, symbolic)
        if wrong:
            return wrong
    return ''


def _judge_branches(expect: Mapping[str, Any], plan: Plan, symbolic: Symbolic, state: State) -> str:
    wanted = expect['if']
    nodes = [node for _, node in walk(plan.root) if isinstance(node, If)]
    if not nodes:
        return 'the plan has no condition'
    threshold = wanted['value']
    is_number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    samples = (threshold + 1e-6, threshold - 1e-6) if is_number else (threshold, _other(threshold))
    for sample in samples:
        holds = bool(OPS[wanted['op']](sample, threshold))
        branch = _joined(expect, wanted['then' if holds else 'else'])
        decide = {str(node.condition.ref): _decide(node, sample) for node in nodes}
        final, trace = simulate(plan, symbolic, state, decide)
        wrong = _missing_in_order(wanted.get('after', ()), trace)
        if wrong:
            return wrong
        wrong = judge_trace(branch, final, trace, state, symbolic)
        if wrong:
            return f'reading {sample!r}: {wrong}'
    return ''


def _joined(outer: Mapping[str, Any], branch: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds of a branch: its own expectation on top of that beside the condition."""
    result = {key: value for key, value in outer.items() if key in ('max_steps', 'unchanged')}
    result |= {key: value for key, value in branch.items() if key in ('max_steps', 'unchanged')}
    for key in ('goal', 'steps', 'never'):
        result[key] = [*outer.get(key, ()), *branch.get(key, ())]
    result['count'] = {**outer.get('count', {}), **branch.get('count', {})}
    return result


def _missing_in_order(patterns: Iterable[str], trace: tuple[Step, ...]) -> str:
    position = 0
    for pattern in patterns:
        found = next((i for i in range(position, len(trace)) if matches(pattern, trace[i])), None)
        if found is None:
            return f'{pattern} is missing, or comes too early'
        position = found + 1
    return ''


def _other(value: object) -> object:
    return (not value) if isinstance(value, bool) else f'not_{value}'


def _decide(node: If, sample: Any) -> bool:
    value = node.condition.value
    if isinstance(sample, str) != isinstance(value, str):
        return False
    return bool(OPS[node.condition.op](sample, value))


def judge_trace(
    expect: Mapping[str, Any], final: State, trace: tuple[Step, ...], start: State, symbolic: Symbolic
) -> str:
    """Return '' where one run ended as expected, else what is wrong with its goal, steps, counts or side effects."""
    goal = [parse_fact(text) for text in expect.get('goal', ())]
    for fact in goal:
        if not final.holds(fact):
            return f'{fact} does not hold at the end (it is {final.get(fact.variable)})'
    missing = _missing_in_order(expect.get('steps', ()), trace)
    if missing:
        return missing
    for pattern in expect.get('never', ()):
        bad = next((step for step in trace if matches(pattern, step)), None)
        if bad is not None:
            return f'{bad} must not be there'
    wrong = _judge_counts(expect, trace)
    if wrong:
        return wrong
    if expect.get('unchanged', True):
        return _judge_unchanged(final, start, {fact.variable for fact in goal}, symbolic)
    return ''


def _judge_counts(expect: Mapping[str, Any], trace: tuple[Step, ...]) -> str:
    counts = Counter(step.tool for step in trace)
    for tool, count in expect.get('count', {}).items():
        if counts[tool] != count:
            return f'{tool} runs {counts[tool]} times, not {count}'
    if 'max_steps' in expect and len(trace) > expect['max_steps']:
        return f'{len(trace)} steps, more than {expect["max_steps"]}'
    return ''


def _judge_unchanged(final: State, start: State, goals: set[tuple[str, tuple[str, ...]]], symbolic: Symbolic) -> str:
    robot = symbolic.world.robot
    for variable, value in start.items():
        if variable not in goals and robot not in variable[1] and final.get(variable) != value:
            return f'{variable[0]}({", ".join(variable[1])}) became {final.get(variable)}, nobody asked for that'
    return ''


def matches(pattern: str, step: Step) -> bool:
    """Say whether a step is one of a pattern, ``pick(object=blue_crate)``."""
    match = _PATTERN.fullmatch(pattern.strip())
    if match is None or match[1] != step.tool:
        return False
    for part in (match[2] or '').split(','):
        if part.strip():
            name, _, wanted = (piece.strip() for piece in part.partition('='))
            if not _equal(wanted, step.args.get(name)):
                return False
    return True


def _equal(wanted: str, value: object) -> bool:
    if isinstance(value, Ref) or value is None:
        return False
    if isinstance(value, bool):
        return wanted == str(value).lower()
    if isinstance(value, int | float):
        try:
            return abs(float(wanted) - value) < 1e-6
        except ValueError:
            return False
    return wanted == value
