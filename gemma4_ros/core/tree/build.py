# SPDX-License-Identifier: Apache-2.0
"""From a plan to a py_trees tree whose leaves the gate carries out."""

from __future__ import annotations

from collections.abc import Mapping

from py_trees.behaviour import Behaviour
from py_trees.composites import Sequence as PySequence

from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.plan import Fallback, If, Node, Parallel, Repeat, Sequence, Step, children
from gemma4_ros.core.tools import Toolset
from gemma4_ros.core.tree.controls import Draining, FallbackNode, IfNode, RepeatNode
from gemma4_ros.core.tree.leaves import Scope, StepLeaf
from gemma4_ros.core.tree.ports import StepLimits
from gemma4_ros.core.tree.session import Session

__all__ = ['build', 'limits_of']


def limits_of(tools: Toolset) -> dict[str, StepLimits]:
    """Take from the tools what their steps may do."""
    return {
        name: StepLimits(tool.timeout_s, tool.retry_times, tool.recover, tool.resources, tool.pause == 'cancel')
        for name, tool in tools.tools.items()
    }


def build(root: Node, limits: Mapping[str, StepLimits], session: Session) -> Behaviour:
    """
    Build the tree of a plan.

    Raises
    ------
    PlanError
        A step's tool is not known here.

    """
    return _build(root, '/', limits, session, ())


def _build(
    node: Node, path: str, limits: Mapping[str, StepLimits], session: Session, scopes: tuple[Scope, ...]
) -> Behaviour:
    if isinstance(node, Step):
        return _leaf(node, limits, session, scopes)
    parallel = Draining('parallel', node.policy, session) if isinstance(node, Parallel) else None
    if parallel is not None:
        scopes = (*scopes, parallel)
    built = [_build(child, f'{path.rstrip("/")}/{name}', limits, session, scopes) for name, child in children(node)]
    if parallel is not None:
        parallel.add_children(built)
        return parallel
    if isinstance(node, Sequence):
        return PySequence('sequence', memory=True, children=built)
    if isinstance(node, Fallback):
        return FallbackNode('fallback', built)
    if isinstance(node, Repeat):
        return RepeatNode('repeat', built[0], node.times, session)
    assert isinstance(node, If)
    return IfNode(path, str(node.condition), session, built, scopes)


def _leaf(step: Step, limits: Mapping[str, StepLimits], session: Session, scopes: tuple[Scope, ...]) -> StepLeaf:
    names = (step.tool, *(limits[step.tool].recover if step.tool in limits else ()))
    for name in names:
        if name not in limits:
            raise PlanError(
                f'step {step.id}: the executor has no tool {name!r}; it needs the tools file that the gate has'
            )
    own, *recoveries = (limits[name] for name in names)
    return StepLeaf(step.id, str(step), session, own, recoveries, scopes)
