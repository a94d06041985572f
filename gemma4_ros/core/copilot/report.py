# SPDX-License-Identifier: Apache-2.0
"""What happened, in sentences for an operator: made from results, never by a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gemma4_ros.core.plan import Plan, Ref, Step
from gemma4_ros.core.planning.surface import main_return
from gemma4_ros.core.tools import Toolset, return_unit
from gemma4_ros.core.world import World

__all__ = ['done', 'failed', 'reading']


def done(plan: Plan, results: Mapping[str, Mapping[str, Any]], toolset: Toolset, world: World) -> str:
    """Return "Done." with every reading that the plan took."""
    said = [text for step in plan.steps() if (text := reading(step, results.get(step.id, {}), toolset, world))]
    return ' '.join(['Done.', *said])


def failed(plan: Plan, step_id: str, reason: str, toolset: Toolset) -> str:
    """Return which step failed and why."""
    step = next((step for step in plan.steps() if step.id == step_id.split('/')[0]), None)
    if step is None:
        return f'It did not work: {reason}.'
    return f'It did not work: {_said(step, toolset)} failed: {reason.rstrip(".")}.'


def reading(step: Step, returns: Mapping[str, Any], toolset: Toolset, world: World) -> str:
    """Return a sentence for a step that read something; empty for all others."""
    tool = toolset.tool(step.tool)
    returned = main_return(tool)
    if tool.risk != 'read' or returned is None or returned.name not in returns:
        return ''
    value = returns[returned.name]
    args = {name: value_ for name, value_ in step.args.items() if not isinstance(value_, Ref)}
    subject = ', '.join(str(item).replace('_', ' ') for item in args.values()) or tool.doc
    unit = return_unit(tool, returned, args, world)
    shown = f'{value:.2f}' if isinstance(value, float) else str(value)
    return f'{subject[:1].upper()}{subject[1:]}: {shown}{" " + unit if unit not in ("", "1") else ""}.'


def _said(step: Step, toolset: Toolset) -> str:
    tool = toolset.tool(step.tool)
    args = ', '.join(str(value).replace('_', ' ') for value in step.args.values())
    return f'"{tool.doc}"' + (f' ({args})' if args else '')
