# SPDX-License-Identifier: Apache-2.0
"""The executor's tree as messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gemma4_ros.action import ExecutePlan
from gemma4_ros.core.errors import StepCancelledError
from gemma4_ros.core.tree.plan_tree import TreeStatus
from gemma4_ros.msg import TreeNode, TreeState

if TYPE_CHECKING:
    from builtin_interfaces.msg import Time

    from gemma4_ros.core.tree.plan_tree import PlanTree
    from gemma4_ros.core.tree.rows import Row
    from gemma4_ros.core.tree.session import Event

__all__ = ['feedback_message', 'result_message', 'tree_message']


def tree_message(tree: PlanTree, permit_id: str, plan_sha256: str, stamp: Time) -> TreeState:
    """Return the whole tree."""
    nodes = [_node(row) for row in tree.rows()]
    return TreeState(
        stamp=stamp,
        permit_id=permit_id,
        plan_sha256=plan_sha256,
        status=tree.status.value,
        nodes=nodes,
        blackboard=json.dumps(tree.results),
    )


def feedback_message(event: Event, tree: PlanTree) -> ExecutePlan.Feedback:
    """Return one event with the progress."""
    return ExecutePlan.Feedback(
        step_id=event.step_id[:64],
        state=event.state[:32],
        text=event.text[:512],
        steps_done=tree.steps_done,
        steps_total=tree.steps_total,
    )


def result_message(tree: PlanTree, total_s: float) -> ExecutePlan.Result:
    """Return how the plan ended; a failed step with its reason."""
    result = ExecutePlan.Result(results=json.dumps(tree.results), total_s=total_s)
    if tree.status is TreeStatus.SUCCEEDED:
        result.outcome = ExecutePlan.Result.SUCCEEDED
        return result
    result.outcome = ExecutePlan.Result.CANCELLED if tree.status is TreeStatus.CANCELLED else ExecutePlan.Result.FAILED
    if tree.failure is not None:
        failed, answer = tree.failure
        result.failed_step = failed[:64]
        result.code = answer.code
        result.error_msg = f'{failed} {answer.outcome.name}: {answer.text}'[:512]
    elif tree.status is TreeStatus.CANCELLED:
        result.code = StepCancelledError.code
        result.error_msg = 'cancelled'
    return result


def _node(row: Row) -> TreeNode:
    return TreeNode(
        id=row.id[:128],
        parent_id=row.parent_id[:128],
        kind=row.kind,
        label=row.label[:256],
        status=row.phase.value,
        attempt=row.attempt,
        duration_s=row.duration_s,
        code=row.code,
        text=row.text[:512],
        stage=row.stage[:16],
        why=row.why[:256],
    )
