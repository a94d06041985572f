# SPDX-License-Identifier: Apache-2.0
"""A plan as decisions look at it: with recoveries, attempts, and where its goals end."""

from __future__ import annotations

import functools

from gemma4_ros.core.gate.bind import Catalogue, goal_of, recoveries
from gemma4_ros.core.gate.decide import Case
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.signing import sha256
from gemma4_ros.core.gate.zones import Point, end_of
from gemma4_ros.core.plan import Plan, Ref, Step

__all__ = ['case_of', 'end_of_step', 'goals_sha256']


def case_of(plan: Plan, policy: Policy, catalogue: Catalogue, proposer: str, channel: int) -> Case:
    """Build the case of a bound plan."""
    steps = (*plan.steps(), *recoveries(plan, catalogue.toolset))
    ends = {step.id: end for step in steps if (end := end_of_step(step, policy, catalogue)) is not None}
    attempts = functools.partial(_attempts, catalogue)
    return Case(steps, proposer, channel, root=plan.root, attempts=attempts, ends=ends)


def _attempts(catalogue: Catalogue, step: Step) -> tuple[Step, ...]:
    tool = catalogue.toolset.tools[step.tool]
    between = tuple(Step(f'{step.id}/recover/{name}', name, {}) for name in tool.recover)
    return (step, *((*between, step) * tool.retry_times))


def end_of_step(step: Step, policy: Policy, catalogue: Catalogue) -> Point | None:
    """Return where a step's goal ends; None where the policy names no pose of it, or an argument is not known yet."""
    rule = policy.tools.get(step.tool)
    if rule is None or not rule.ends_at or _is_open(step):
        return None
    return end_of(goal_of(step, catalogue), rule.ends_at)


def goals_sha256(case: Case, catalogue: Catalogue) -> str:
    """Return the hash of all goals as they would be sent; a step with references counts as it stands in the plan."""
    texts = [f'{step.id} {step if _is_open(step) else goal_of(step, catalogue)}' for step in case.steps]
    return sha256('\n'.join(texts))


def _is_open(step: Step) -> bool:
    return any(isinstance(value, Ref) for value in step.args.values())
