# SPDX-License-Identifier: Apache-2.0
"""Judge what a plan did to the cell: the same rules as for plans, asked of the ground truth instead of the planner."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gemma4_ros.core.facts import Fact, State, Variable
from gemma4_ros.core.plan import If, Plan, Step, walk
from gemma4_ros.core.planning.judge import OPS, judge_trace, matches
from gemma4_ros.core.planning.symbolic import Symbolic

__all__ = ['Physical', 'Run', 'figures', 'physically_wrong', 'section', 'setup_steps', 'truth_facts']

SUCCEEDED, FAILED, REFUSED, NOT_RUN = 'succeeded', 'failed', 'refused', 'not run'
SETPOINT_TOLERANCE_BAR = 0.005


@dataclass(frozen=True, slots=True)
class Run:
    """What the executor reported: the steps that succeeded, in order, what they returned, and the permit."""

    is_done: bool
    code: int = 0
    text: str = ''
    trace: tuple[str, ...] = ()
    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    permit: str = ''


@dataclass(frozen=True, slots=True)
class Physical:
    """
    One plan in the cell: succeeded, failed, refused (by the gate) or not run, with the reason.

    ``repeats`` counts the runs before it that ended because the computer was too busy for signs of life in time.
    """

    id: str
    outcome: str
    why: str = ''
    code: int = 0
    total_s: float = 0.0
    steps: int = 0
    is_plan_right: bool = True
    repeats: int = 0


def truth_facts(truth: Mapping[Variable, str], start: State) -> State:
    """Return the start with every variable that the cell shows at its true value."""
    shown = [Fact(name, args, value) for (name, args), value in truth.items() if (name, args) in start]
    return start.with_facts(shown)


def setup_steps(start: State, robot: str) -> tuple[State, list[dict[str, Any]]]:
    """
    Return a state that can be arranged at once, and the steps from there to the start.

    An object in the hand is taken from the bench in front of the robot; everything else can be arranged.
    """
    held = start.get(('holding', (robot,)), 'nothing')
    if held == 'nothing':
        return start, []
    place = start.get(('at', (robot,)), '')
    on_bench = [Fact('at', (held,), place), Fact('holding', (robot,), 'nothing')]
    return start.with_facts(on_bench), [{'id': 's1', 'tool': 'pick', 'args': {'object': held}}]


def physically_wrong(
    expect: Mapping[str, Any],
    plan: Plan,
    start: State,
    run: Run,
    truth: Mapping[Variable, str],
    symbolic: Symbolic,
) -> str:
    """
    Return '' where the executor reports success and the cell is as the command wants it, else the first thing wrong.

    Parameters
    ----------
    expect : mapping
        Of the command's entry.
    plan, run : Plan, Run
        What was carried out, and what the executor says about it.
    start : State
        Before the first step.
    truth : mapping of variable to value
        What the cell says afterwards; with more than `start` has, such as ``setpoint_bar(pump)``.
    symbolic : Symbolic
        World and tools.

    """
    kinds = expect['kind'] if isinstance(expect['kind'], list) else [expect['kind']]
    if 'plan' not in kinds:
        return f'something was done where {" or ".join(kinds)} was wanted'
    if not run.is_done:
        return f'the executor reports {run.code}: {run.text}'
    by_id = {step.id: step for step in plan.steps()}
    trace = tuple(by_id[name] for name in run.trace if name in by_id)
    if 'if' in expect:
        wrong, expect = _branch(expect, plan, trace, run.results)
        if wrong:
            return wrong
    return judge_trace(expect, truth_facts(truth, start), trace, start, symbolic) or _setpoint(trace, truth)


def _branch(
    expect: Mapping[str, Any], plan: Plan, trace: Sequence[Step], results: Mapping[str, Mapping[str, Any]]
) -> tuple[str, Mapping[str, Any]]:
    """Return what is wrong, or what is expected on the side of the threshold where the real reading was."""
    wanted = expect['if']
    for pattern in wanted.get('after', ()):
        if not any(matches(pattern, step) for step in trace):
            return f'{pattern} did not succeed', expect
    refs = [node.condition.ref for _, node in walk(plan.root) if isinstance(node, If)]
    values = [results[ref.step][ref.name] for ref in refs if ref.name in results.get(ref.step, {})]
    if not values:
        return 'nothing was read that could decide', expect
    side = 'then' if OPS[wanted['op']](values[0], wanted['value']) else 'else'
    common = {key: value for key, value in expect.items() if key in ('never', 'max_steps', 'unchanged')}
    return '', {**common, **wanted[side]}


def _setpoint(trace: Sequence[Step], truth: Mapping[Variable, str]) -> str:
    """Return what is wrong with the set-point: the last one that was typed is the one that the pump has."""
    typed = [step.args['value_bar'] for step in trace if step.tool == 'set_panel_value' and 'value_bar' in step.args]
    shown = truth.get(('setpoint_bar', ('pump',)))
    if not typed or shown is None or not isinstance(typed[-1], int | float):
        return ''
    is_so = abs(float(shown) - typed[-1]) <= SETPOINT_TOLERANCE_BAR
    return '' if is_so else f'the set-point is {shown} bar, {typed[-1]} bar was typed'


def figures(results: Sequence[Physical]) -> dict[str, Any]:
    """Return the figures of the report; rates are of the plans that the gate admitted."""
    counts = Counter(result.outcome for result in results)
    admitted = [result for result in results if result.outcome in (SUCCEEDED, FAILED)]
    right = [result for result in admitted if result.is_plan_right]
    times = sorted(result.total_s for result in admitted)
    return {
        'plans': len(results),
        'admitted': len(admitted),
        'refused': counts[REFUSED],
        'refused_codes': dict(Counter(str(result.code) for result in results if result.outcome == REFUSED)),
        'not_run': counts[NOT_RUN],
        'interrupted_and_repeated': sum(result.repeats for result in results),
        'succeeded': counts[SUCCEEDED],
        'failed': counts[FAILED],
        'physical_rate': counts[SUCCEEDED] / len(admitted) if admitted else None,
        'admitted_right_plans': len(right),
        'physical_rate_right_plans': sum(r.outcome == SUCCEEDED for r in right) / len(right) if right else None,
        'steps': sum(result.steps for result in admitted),
        'seconds': sum(times),
        'seconds_p50': times[len(times) // 2] if times else None,
        'seconds_max': times[-1] if times else None,
    }


def section(results: Sequence[Physical]) -> list[str]:
    """Return the report's lines about single commands."""
    lines = ['', '| id | outcome | seconds | steps | plan | why |', '|---|---|---|---|---|---|']
    for result in results:
        why = ' '.join(result.why.replace('|', '\\|').split())
        plan = 'right' if result.is_plan_right else 'wrong'
        lines.append(f'| {result.id} | {result.outcome} | {result.total_s:.1f} | {result.steps} | {plan} | {why} |')
    return lines
