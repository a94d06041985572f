# SPDX-License-Identifier: Apache-2.0
"""Rules that look back: limits, rates and sequences; over a plan before it starts, and again before every dispatch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.policy import Limit, Policy, SequenceRule, ToolRule
from gemma4_ros.core.gate.sequences import BAD, Attempts, advance, is_pending, is_together, plan_problem, worst_sum
from gemma4_ros.core.gate.state import Past, Use
from gemma4_ros.core.gate.verdict import Deny, Hold, Verdict
from gemma4_ros.core.plan import Node, Scalar, Step

__all__ = ['after_asking', 'after_result', 'after_sending', 'plan_findings', 'rate_findings', 'step_history_findings']

RATE_WINDOW_S = 60.0
MAX_PLANS = 1024  # asked within the window, that are remembered


def plan_findings(policy: Policy, past: Past, root: Node | None, attempts: Attempts, now: float) -> Iterator[Verdict]:
    """Yield what sequences and totals say against a whole plan, on its worst path."""
    if root is None:
        return
    for rule in policy.sequences:
        problem = plan_problem(rule, root, attempts, past.states.get(rule.name, 0) if rule.is_session else 0)
        if problem:
            yield _against(rule, problem)
    for tool in policy.tools.values():
        for limit in tool.limits:
            if not limit.is_rate:
                most = _most(root, attempts, tool, limit)
                yield from _total_findings(tool, limit, _spent(past, tool, limit, now), most)


def _most(root: Node, attempts: Attempts, tool: ToolRule, limit: Limit) -> float:
    """Return what the worst path of a plan adds to a total."""
    return worst_sum(root, lambda step: sum(_amount(tool, limit, sent) for sent in attempts(step)))


def _total_findings(tool: ToolRule, limit: Limit, spent: float, more: float) -> Iterator[Verdict]:
    what = f'{tool.name}: {limit.of or "uses"}'
    where = f'policy.tools.{tool.name}.limits'
    if not more <= limit.most:  # so that NaN is over every limit
        yield Deny(Code.LIMIT, where, f'{what} up to {more:g}; at most {limit.most:g}', tool.hazard)
    elif more and not spent + more <= limit.most:
        text = f'{what} {spent:g} in the last {limit.within_s:g} s and {more:g} more; at most {limit.most:g}'
        yield Hold(Code.LIMIT, where, text, tool.hazard)


def step_history_findings(
    policy: Policy, past: Past, states: Mapping[str, int], step: Step, beside: tuple[Step, ...], now: float
) -> Iterator[Verdict]:
    """Yield what sequences and limits say against sending a step now, beside those that run."""
    for rule in policy.sequences:
        state = (past.states if rule.is_session else states).get(rule.name, 0)
        if advance(rule, state, step) == BAD or is_together(rule, step, beside):
            yield _against(rule, f'{step.id} may not be sent now')
    tool = policy.tools.get(step.tool)
    if tool is None:
        return
    where = f'policy.tools.{tool.name}.limits'
    if sum(other.tool == step.tool for other in beside) >= tool.at_once:
        yield Hold(Code.LIMIT, where, f'{tool.name}: {tool.at_once} run already', tool.hazard)
    for limit in tool.limits:
        spent, more = _spent(past, tool, limit, now), _amount(tool, limit, step)
        if not spent + more <= limit.most or (limit.of and spent >= limit.most):
            what = f'{tool.name}: {limit.of or "uses"} {spent:g} in the last {limit.within_s:g} s'
            yield Hold(Code.LIMIT, where, f'{what}; at most {limit.most:g}', tool.hazard)


def _against(rule: SequenceRule, text: str) -> Deny:
    return Deny(Code.SEQUENCE, f'policy.sequences.{rule.name}', f'{rule.name} ({rule.kind}): {text}', rule.hazard)


def _spent(past: Past, tool: ToolRule, limit: Limit, now: float) -> float:
    uses = [use for use in past.uses if use.tool == tool.name and now - use.at_s < limit.within_s]
    return sum(use.amounts.get(limit.of, 0.0) for use in uses)


def _amount(tool: ToolRule, limit: Limit, step: Step) -> float:
    """Return what a step adds to a total; a result, or an argument that refers to one, is not known before."""
    if step.tool != tool.name:
        return 0.0
    return _numbers(step.args).get(limit.of, 0.0)


def _numbers(values: Mapping[str, object]) -> dict[str, float]:
    """Return the numbers by name; under the empty name, that it was used once."""
    numbers = {
        name: abs(float(value))
        for name, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {'': 1.0, **numbers}


def after_sending(
    policy: Policy, past: Past, states: Mapping[str, int], step: Step, now: float
) -> tuple[Past, dict[str, int]]:
    """Return past and plan's states after a step was sent."""
    session, plan, due_s = dict(past.states), dict(states), dict(past.due_s)
    for rule in policy.sequences:
        mine = session if rule.is_session else plan
        mine[rule.name] = advance(rule, mine.get(rule.name, 0), step)
        if rule.then is not None and rule.then.matches(step):
            due_s.pop(rule.name, None)
        if is_pending(rule, mine[rule.name]) and rule.first.matches(step):
            due_s.setdefault(rule.name, now + rule.within_s)
    uses = _kept(policy, past, Use(step.tool, now, _numbers(step.args)), now)
    return replace(past, uses=uses, states=session, due_s=due_s), plan


def after_result(policy: Policy, past: Past, tool: str, values: Mapping[str, Scalar], now: float) -> Past:
    """Return the past after a step's results came: they count, the use was counted when it was sent."""
    return replace(past, uses=_kept(policy, past, Use(tool, now, {**_numbers(values), '': 0.0}), now))


def _kept(policy: Policy, past: Past, use: Use, now: float) -> tuple[Use, ...]:
    """Add a use, and forget those that no limit looks back to."""
    longest_s = max((limit.within_s for tool in policy.tools.values() for limit in tool.limits), default=0.0)
    return tuple(each for each in (*past.uses, use) if now - each.at_s < longest_s)


def rate_findings(policy: Policy, past: Past, proposer: str, now: float) -> Iterator[Verdict]:
    """Yield whether too many plans came within a minute, of all or of this person."""
    recent = [person for at_s, person in past.plans if now - at_s < RATE_WINDOW_S]
    mine = sum(person == proposer for person in recent)
    for name, count, most in (
        ('plans_per_minute', len(recent), policy.plans_per_minute),
        ('plans_per_person', mine, policy.plans_per_person),
    ):
        if count >= most or (count >= MAX_PLANS and not math.isinf(most)):  # more are not remembered
            yield Hold(Code.RATE, f'policy.rates.{name}', f'{count} plans within a minute; at most {most:g}')


def after_asking(past: Past, proposer: str, now: float) -> Past:
    """Return the past after a plan was judged."""
    recent: Iterable[tuple[float, str]] = (entry for entry in past.plans if now - entry[0] < RATE_WINDOW_S)
    return replace(past, plans=(*recent, (now, proposer))[-MAX_PLANS:])
