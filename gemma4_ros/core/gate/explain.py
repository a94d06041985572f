# SPDX-License-Identifier: Apache-2.0
"""Rule by rule, why a plan would be allowed or not. For people and tools; the running gate does not use it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gemma4_ros.core.gate.approvals import check_person
from gemma4_ros.core.gate.bind import Catalogue, check_binding
from gemma4_ros.core.gate.cases import case_of
from gemma4_ros.core.gate.conditions import conditions
from gemma4_ros.core.gate.decide import step_findings
from gemma4_ros.core.gate.decode import decode
from gemma4_ros.core.gate.history import plan_findings
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.state import State
from gemma4_ros.core.gate.verdict import Allow, Refused, Verdict

__all__ = ['Line', 'explain']


@dataclass(frozen=True, slots=True)
class Line:
    """One rule's answer about one subject: ``plan``, ``moment`` or a step's id."""

    subject: str
    verdict: Verdict


def explain(
    raw: bytes, policy: Policy, catalogue: Catalogue, state: State, proposer: str, channel: int, now: float
) -> list[Line]:
    """Ask every rule, also after one has failed, as far as the plan can be read."""
    problem = _refused(lambda: decode(raw))
    if problem is not None:
        return [Line('plan', problem)]
    plan = decode(raw)
    lines = [
        Line(
            'plan',
            Allow(
                rule='admission.format', text='size, UTF-8, nesting, strict and canonical JSON, schema, types, texts'
            ),
        )
    ]
    problem = _refused(lambda: check_binding(plan, catalogue))
    if problem is not None:
        return [*lines, Line('plan', problem)]
    lines.append(
        Line('plan', Allow(rule='admission.tools', text='tools, arguments, references and goals fit tools and world'))
    )
    problem = _refused(lambda: check_person(proposer))
    lines += [] if problem is None else [Line('plan', problem)]
    case = case_of(plan, policy, catalogue, proposer, channel)
    tier = max((policy.tools[step.tool].tier for step in case.steps if step.tool in policy.tools), default=3)
    moment = [Line('moment', verdict) for verdict in conditions(policy, state, tier, now)]
    lines += moment or [
        Line('moment', Allow(rule='policy.signals', text='armed, signals fresh, mode allows it, deadman alive'))
    ]
    for step in case.steps:
        found = [Line(step.id, verdict) for verdict in step_findings(policy, case, step)]
        rule = policy.tools.get(step.tool)
        hazard = rule.hazard if rule is not None else ''
        lines += found or [Line(step.id, Allow(rule=f'policy.tools.{step.tool}', text=str(step), hazard=hazard))]
    found = [Line('plan', verdict) for verdict in plan_findings(policy, state.past, case.root, case.attempts, now)]
    lines += found or [Line('plan', Allow(rule='policy.sequences', text='every path keeps sequences and totals'))]
    return lines


def _refused(ask: Callable[[], object]) -> Verdict | None:
    try:
        ask()
    except Refused as refused:
        return refused.verdict
    return None
