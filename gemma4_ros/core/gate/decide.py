# SPDX-License-Identifier: Apache-2.0
"""The decision, pure: policy, state, plan and step in, a verdict out. All rules are asked; the gravest counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.policy import CHANNELS, ArgumentRule, Policy
from gemma4_ros.core.gate.state import Latch, State, is_fresh
from gemma4_ros.core.gate.verdict import Deny, Hold, NeedsApproval, Verdict, worst
from gemma4_ros.core.plan import Ref, Step
from gemma4_ros.core.schemas import RISKS

__all__ = ['Case', 'PermitFacts', 'conditions', 'decide', 'findings', 'permit_findings', 'step_findings']


@dataclass(frozen=True, slots=True)
class PermitFacts:
    """What a permit says, for the decision about one of its steps."""

    epoch: int
    expires_s: float
    dead: Code = Code.NONE
    enabled: frozenset[str] = frozenset()
    running: frozenset[str] = frozenset()
    known: bool = True


@dataclass(frozen=True, slots=True)
class Case:
    """A plan before the gate: steps and recoveries, who proposed it, and whether the people it needs have agreed."""

    steps: tuple[Step, ...]
    proposer: str
    channel: int
    agreed: bool = False
    permit: PermitFacts | None = None


def decide(policy: Policy, state: State, plan: Case, step: Step | None, now: float) -> Verdict:
    """Judge a whole plan (``step`` None) or one resolved step of a permit. ``now`` is steady time, s."""
    return worst(findings(policy, state, plan, step, now))


def findings(policy: Policy, state: State, plan: Case, step: Step | None, now: float) -> Iterator[Verdict]:
    """Yield what every rule that speaks against it says, in the order of the rules."""
    steps = plan.steps if step is None else (step,)
    yield from conditions(policy, state, max((_tier(policy, item) for item in steps), default=0), now)
    if step is not None:
        yield from _permit_findings(policy, state, plan.permit, step, now)
    for item in steps:
        yield from step_findings(policy, plan, item)


def conditions(policy: Policy, state: State, tier: int, now: float) -> Iterator[Verdict]:
    """Yield what the moment says against steps up to this tier."""
    if state.latch is Latch.STOPPED:
        yield Deny(Code.STOPPED, 'state.stopped', f'stopped: {state.stop_text}; a person must reset the gate')
    estop = state.signals.get('estop')
    if estop is not None and estop.value is not False:
        yield Deny(Code.ESTOP, 'policy.signals.estop', 'the emergency stop is pressed')
    if not state.audit_ok:
        yield Deny(Code.AUDIT, 'state.audit', 'the audit log cannot be written; free the disk')
    if state.latch is Latch.DISARMED:
        yield Hold(Code.DISARMED, 'state.disarmed', 'the gate is disarmed; arm it: gemma4 gate arm')
    if state.deadman_tripped or not is_fresh(state.deadman_at_s, now, policy.deadman_lease_s):
        what = 'has tripped; reset it' if state.deadman_tripped else 'is not running'
        yield Hold(Code.DEADMAN, 'policy.leases.deadman', f'the deadman {what}')
    if state.lease_lapsed:
        yield Hold(Code.EXECUTOR_LEASE, 'policy.leases.executor', 'the executor went silent; arm again')
    yield from _signal_findings(policy, state, tier, now)


def _signal_findings(policy: Policy, state: State, tier: int, now: float) -> Iterator[Verdict]:
    for rule in policy.signals.values():
        if tier < rule.needed_from:
            continue
        value = state.signals.get(rule.name)
        if value is None:
            yield Hold(Code.SIGNAL_MISSING, f'policy.signals.{rule.name}', f'no {rule.name} seen on {rule.topic}')
        elif not is_fresh(value.at_s, now, rule.max_age_s):
            text = f'{rule.name} is {now - value.at_s:.1f} s old; at most {rule.max_age_s:g} s'
            yield Hold(Code.SIGNAL_STALE, f'policy.signals.{rule.name}', text)
    mode = state.signals.get('mode')
    if mode is not None and policy.modes.get(str(mode.value), -1) < tier:
        name = mode.value if mode.value in policy.modes else 'unknown'
        yield Hold(Code.MODE, f'policy.modes.{name}', f'the mode {name} does not allow steps of risk {RISKS[tier]!r}')


def _permit_findings(
    policy: Policy, state: State, permit: PermitFacts | None, step: Step, now: float
) -> Iterator[Verdict]:
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
    yield from _approval_findings(policy, plan, step, rule.tier, rule.hazard)


def _approval_findings(policy: Policy, plan: Case, step: Step, tier: int, hazard: str) -> Iterator[Verdict]:
    if plan.channel not in range(len(CHANNELS)):
        yield Deny(Code.BAD_PROPOSER, 'policy.approvals', f'unknown channel {plan.channel}')
        return
    need = policy.approvals[tier, CHANNELS[plan.channel]]
    if plan.agreed or not (need.confirm or need.people):
        return
    code = Code.NEEDS_APPROVAL if need.people else Code.NEEDS_CONFIRMATION
    who = f'{need.people} other people' if need.people else plan.proposer
    text = f'{step.id}: a step of risk {RISKS[tier]!r}, proposed by {CHANNELS[plan.channel]}, wants the yes of {who}'
    yield NeedsApproval(
        code, f'policy.approvals.{RISKS[tier]}.{CHANNELS[plan.channel]}', text, hazard, need.confirm, need.people
    )


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
