# SPDX-License-Identifier: Apache-2.0
"""The decision, pure: policy, state, plan and step in, a verdict out. All rules are asked; the gravest counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.conditions import conditions, signal_problem
from gemma4_ros.core.gate.history import plan_findings, step_history_findings
from gemma4_ros.core.gate.policy import CHANNELS, ArgumentRule, Policy, ToolRule
from gemma4_ros.core.gate.sequences import Attempts
from gemma4_ros.core.gate.state import State, is_fresh
from gemma4_ros.core.gate.verdict import Deny, Hold, NeedsApproval, Verdict, worst
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.plan import Node, Ref, Step
from gemma4_ros.core.schemas import RISKS

__all__ = [
    'Case', 'PermitFacts', 'decide', 'findings', 'permit_findings', 'permit_step_findings', 'running_findings',
    'step_findings',
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class PermitFacts:
    """What a permit says, for the decision about one of its steps; ``states`` are those of its sequence rules."""

    epoch: int
    expires_s: float
    dead: Code = Code.NONE
    enabled: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    known: bool = True
    beside: tuple[Step, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """
    A plan before the gate: steps and recoveries, who proposed it, and whether the people it needs have agreed.

    ``root`` and ``attempts`` are for rules over every path; ``ends`` says where the goals of steps end, by step id.
    """

    steps: tuple[Step, ...]
    proposer: str
    channel: int
    agreed: bool = False
    permit: PermitFacts | None = None
    root: Node | None = None
    attempts: Attempts = lambda step: (step,)
    ends: Mapping[str, Point] = field(default_factory=dict)


def decide(policy: Policy, state: State, plan: Case, step: Step | None, now: float) -> Verdict:
    """Judge a whole plan (``step`` None) or one resolved step of a permit. ``now`` is steady time, s."""
    return worst(findings(policy, state, plan, step, now))


def findings(policy: Policy, state: State, plan: Case, step: Step | None, now: float) -> Iterator[Verdict]:
    """Yield what every rule that speaks against it says, in the order of the rules."""
    steps = plan.steps if step is None else (step,)
    yield from conditions(policy, state, max((_tier(policy, item) for item in steps), default=0), now)
    if step is not None:
        yield from permit_step_findings(policy, state, plan.permit, step, now)
    for item in steps:
        yield from step_findings(policy, plan, item)
    if step is None:
        yield from plan_findings(policy, state.past, plan.root, plan.attempts, now)
    elif plan.permit is not None:
        yield from _when_findings(policy, state, step, now, with_caps=True)
        yield from step_history_findings(policy, state.past, plan.permit.states, step, plan.permit.beside, now)


def running_findings(policy: Policy, state: State, step: Step, now: float) -> Iterator[Verdict]:
    """Yield why a step that runs may not go on."""
    yield from conditions(policy, state, _tier(policy, step), now)
    yield from _when_findings(policy, state, step, now, with_caps=False)


def permit_step_findings(
    policy: Policy, state: State, permit: PermitFacts | None, step: Step, now: float
) -> Iterator[Verdict]:
    """Yield why a permit does not allow a step now."""
    if permit is None:
        yield Deny(Code.PERMIT_UNKNOWN, 'permit.unknown', 'no permit was given for this plan')
        return
    yield from permit_findings(state, permit, now)
    if not permit.known:
        yield Deny(Code.STEP_UNKNOWN, 'permit.step', 'the plan has no such step')
    elif step.id in permit.running:
        yield Deny(Code.STEP_RUNNING, 'permit.running', f'{step.id} is running already')
    elif step.id not in permit.enabled:
        yield Deny(Code.STEP_NOT_ENABLED, 'permit.automaton', f'the plan does not allow {step.id} now')
    if not is_fresh(state.executor_at_s, now, policy.executor_lease_s):
        yield Hold(Code.EXECUTOR_LEASE, 'policy.leases.executor', 'the executor sends no signs of life')


def permit_findings(state: State, permit: PermitFacts, now: float) -> Iterator[Verdict]:
    """Yield why a permit is not alive."""
    if permit.dead is not Code.NONE:
        yield Deny(permit.dead, 'permit.dead', permit.dead.meaning)
    if permit.epoch != state.epoch:
        text = f'the permit is of epoch {permit.epoch}; now is {state.epoch}'
        yield Deny(Code.PERMIT_EPOCH, 'permit.epoch', text)
    if not now <= permit.expires_s:
        yield Deny(Code.PERMIT_EXPIRED, 'permit.time_to_live', 'the permit has expired; ask for a new plan')


def step_findings(policy: Policy, plan: Case, step: Step) -> Iterator[Verdict]:
    """Yield what the policy says against one step, whatever the moment."""
    rule = policy.tools.get(step.tool)
    if rule is None:
        yield Deny(Code.TOOL_NOT_ALLOWED, 'policy.tools', f'{step.id}: the policy does not list {step.tool}')
        return
    for name, limits in rule.args.items():
        problem = _outside(limits, step.args.get(name))
        if problem:
            where = f'policy.tools.{step.tool}.args.{name}'
            yield Deny(Code.ARGUMENT_NOT_ALLOWED, where, f'{step.id}: {name} {problem}', rule.hazard)
    yield from _trust_findings(policy, plan, step, rule)
    yield from _end_findings(policy, plan, step)
    yield from _approval_findings(policy, plan, step, rule.tier, rule.hazard)


def _trust_findings(policy: Policy, plan: Case, step: Step, rule: ToolRule) -> Iterator[Verdict]:
    """Hold results that arguments refer to against the labels that the policy takes there."""
    tools = {item.id: item.tool for item in plan.steps}
    for name, value in step.args.items():
        if not isinstance(value, Ref):
            continue
        giver = policy.tools.get(tools.get(value.step, ''))
        label = giver.trust if giver is not None else ''
        if not label or name not in rule.args or label not in rule.args[name].sources:
            text = f'{step.id}: {name} may not come from {value} (trust {label or "none"!r})'
            yield Deny(Code.UNTRUSTED, f'policy.tools.{step.tool}.args.{name}', text, rule.hazard)


def _end_findings(policy: Policy, plan: Case, step: Step) -> Iterator[Verdict]:
    end = plan.ends.get(step.id)
    if end is None or policy.zones is None:
        return
    problem, area = policy.zones.problem(end)
    if problem:
        where, hazard = ('policy.zones', '') if area is None else (f'policy.zones.areas.{area.name}', area.hazard)
        yield Deny(Code.ZONE, where, f'{step.id} ends wrong: {problem}', hazard)


def _when_findings(policy: Policy, state: State, step: Step, now: float, *, with_caps: bool) -> Iterator[Verdict]:
    rule = policy.tools.get(step.tool)
    for when in rule.when if rule is not None else ():
        if when.caps and not with_caps:
            continue
        stale = signal_problem(policy.signals[when.test.signal], state, now)
        value = state.signals.get(when.test.signal)
        if stale is None and value is not None and when.test.holds(value.value):
            continue
        over = [name for name, cap in when.caps.items() if not _is_at_most(step.args.get(name), cap)]
        if when.caps and not over:
            continue
        shown = stale.text if stale is not None else f'{when.test.signal} is {value and value.value!a}'
        text = f'{step.id}: {shown}' + (
            f', so {", ".join(f"{n} is at most {when.caps[n]:g}" for n in over)}' if over else ''
        )
        yield Hold(Code.PRECONDITION, f'policy.tools.{step.tool}.when', text, rule.hazard if rule is not None else '')


def _is_at_most(value: object, cap: float) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value <= cap


def _approval_findings(policy: Policy, plan: Case, step: Step, tier: int, hazard: str) -> Iterator[Verdict]:
    if plan.channel not in range(len(CHANNELS)):
        yield Deny(Code.BAD_PROPOSER, 'policy.approvals', f'unknown channel {plan.channel}')
        return
    need = policy.approvals[tier, CHANNELS[plan.channel]]
    if plan.agreed or not (need.confirm or need.people):
        return
    code = Code.NEEDS_APPROVAL if need.people else Code.NEEDS_CONFIRMATION
    others = f'{need.people} other people' + (f' ({need.role})' if need.role else '')
    who = others if need.people else plan.proposer
    text = f'{step.id}: a step of risk {RISKS[tier]!r}, proposed by {CHANNELS[plan.channel]}, wants the yes of {who}'
    where = f'policy.approvals.{RISKS[tier]}.{CHANNELS[plan.channel]}'
    yield NeedsApproval(code, where, text, hazard, need.confirm, need.people, frozenset({need.role} - {''}))


def _outside(rule: ArgumentRule, value: object) -> str:
    """Say why a value is outside of its rule; a reference is judged when it is resolved, just before the dispatch."""
    if isinstance(value, Ref):
        return ''
    if isinstance(value, str):
        if (rule.allow is not None and value not in rule.allow) or value in rule.deny:
            return f'{value!a} is not allowed'
        return ''
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 'is missing or of the wrong type'
    if not rule.low <= value <= rule.high:
        return f'{value:g} is outside {rule.low:g} to {rule.high:g} {rule.unit}'
    return ''


def _tier(policy: Policy, step: Step) -> int:
    rule = policy.tools.get(step.tool)
    return rule.tier if rule is not None else len(RISKS) - 1
