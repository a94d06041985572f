# SPDX-License-Identifier: Apache-2.0
"""The planner's outcomes as messages."""

from __future__ import annotations

import json
from typing import Any

from gemma4_ros.action import MakePlan
from gemma4_ros.core.planning.planner import Failure, Outcome

__all__ = ['failure', 'result']

_KINDS = {
    'plan': MakePlan.Goal.PLAN,
    'answer': MakePlan.Goal.ANSWER,
    'ask': MakePlan.Goal.ASK,
    'cannot': MakePlan.Goal.CANNOT,
}


def result(outcome: Outcome, total_s: float) -> MakePlan.Result:
    """Return the result of a MakePlan goal."""
    return MakePlan.Result(
        kind=_KINDS[outcome.kind],
        plan=outcome.data,
        plan_sha256=outcome.sha256,
        text=outcome.text[:4000],
        choices=[choice[:256] for choice in outcome.choices[:32]],
        draft=outcome.draft,
        notes=[note[:512] for note in outcome.notes[:64]],
        passes=outcome.effort.passes,
        output_tokens=outcome.effort.output_tokens,
        repairs=outcome.effort.repairs,
        model_s=outcome.effort.model_s,
        total_s=total_s,
    )


def failure(goal: Any) -> Failure | None:
    """Return what failed before, where the goal asks for a new plan after a failure."""
    if not goal.failed_plan:
        return None
    before = json.loads(bytes(goal.failed_plan))
    return Failure(str(before.get('goal', '')), goal.failed_step, goal.failure)
