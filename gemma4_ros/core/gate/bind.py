# SPDX-License-Identifier: Apache-2.0
"""Admission rule 7: the plan against the gate's own copies of tools and world; goals rebuilt from templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemma4_ros.core.errors import CheckError
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.verdict import Refused, refuse
from gemma4_ros.core.plan import Condition, If, Plan, Ref, Scalar, Step, walk
from gemma4_ros.core.tool import Arg, Return, Tool, Toolset, check_args, fill_goal, return_unit
from gemma4_ros.core.world import World

__all__ = ['Catalogue', 'Result', 'check_binding', 'goal_of', 'recoveries', 'resolve']


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The gate's own copies, with the SHA-256 of their files."""

    world: World
    toolset: Toolset
    world_sha256: str
    tools_sha256: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a step returned and when, s of the steady clock."""

    values: Mapping[str, Scalar]
    at_s: float


def check_binding(plan: Plan, catalogue: Catalogue) -> None:
    """Raise Refused where a step names what does not exist or a reference does not fit."""
    steps = {step.id: step for step in plan.steps()}
    for path, node in walk(plan.root):
        if isinstance(node, Step):
            _check_step(node, steps, catalogue)
        elif isinstance(node, If):
            _check_condition(node.condition, steps, catalogue, path)


def _check_step(step: Step, steps: Mapping[str, Step], catalogue: Catalogue) -> None:
    tool = _tool(step, catalogue)
    literal = {name: value for name, value in step.args.items() if not isinstance(value, Ref)}
    try:
        for name in literal.keys() & tool.args.keys():
            tool.args[name].check(literal[name], step.id)
        if set(step.args) != set(tool.args):
            raise CheckError(f'{step.id}: {tool.name} takes {", ".join(tool.args) or "no arguments"}')
        if len(literal) == len(step.args):
            fill_goal(tool, literal, catalogue.world)
    except CheckError as error:
        raise refuse(Code.BAD_ARGUMENT, 'admission.arguments', str(error)[:300]) from None
    for name, value in step.args.items():
        if isinstance(value, Ref):
            returned, unit = _returned(value, steps, catalogue, step.id)
            _check_reference(step, tool.args[name], value, returned, unit)


def _check_reference(step: Step, arg: Arg, ref: Ref, returned: Return, unit: str) -> None:
    wanted = {'enum': ('string',), 'boolean': ('boolean',), 'integer': ('integer',), 'number': ('number', 'integer')}[
        arg.type
    ]
    if returned.type not in wanted:
        raise _bad(f'{step.id}.{arg.name} wants a {arg.type}; {ref} is a {returned.type}')
    if arg.unit and arg.unit != unit:
        raise _bad(f'{step.id}.{arg.name} is in {arg.unit}; {ref} is in {unit or "no unit"}')


def _check_condition(condition: Condition, steps: Mapping[str, Step], catalogue: Catalogue, path: str) -> None:
    returned, unit = _returned(condition.ref, steps, catalogue, path)
    if isinstance(condition.value, bool | str):
        kinds: tuple[str, ...] = ('boolean',) if isinstance(condition.value, bool) else ('string',)
        if condition.op not in ('==', '!='):
            raise _bad(f'{path}: {condition.op} compares numbers only')
    else:
        kinds = ('number', 'integer')
        if (condition.unit or '1') != (unit or '1'):
            raise _bad(f'{path}: {condition.ref} is in {unit or "no unit"}, the condition is not')
    if returned.type not in kinds:
        raise _bad(f'{path}: {condition.ref} is a {returned.type} and cannot be compared with {condition.value!a}')


def _returned(ref: Ref, steps: Mapping[str, Step], catalogue: Catalogue, where: str) -> tuple[Return, str]:
    step = steps[ref.step]
    tool = _tool(step, catalogue)
    returned = tool.returns.get(ref.name)
    if returned is None:
        raise _bad(f'{where}: {tool.name} returns no {ref.name}; it returns {", ".join(tool.returns) or "nothing"}')
    return returned, return_unit(tool, returned, step.args, catalogue.world)


def _bad(text: str) -> Refused:
    return refuse(Code.REFERENCE, 'admission.references', text)


def _tool(step: Step, catalogue: Catalogue) -> Tool:
    tool = catalogue.toolset.tools.get(step.tool)
    if tool is None or tool.draft:
        raise refuse(Code.UNKNOWN_TOOL, 'admission.tools', f'{step.id}: the gate knows no tool {step.tool!a}')
    return tool


def recoveries(plan: Plan, toolset: Toolset) -> tuple[Step, ...]:
    """Return the recovery steps that the plan may run, ``s3/recover/clear_costmaps``."""
    return tuple(
        Step(f'{step.id}/recover/{name}', name, {})
        for step in plan.steps()
        for name in toolset.tools[step.tool].recover
    )


def resolve(step: Step, results: Mapping[str, Result]) -> Step:
    """Put recorded results in the place of references; raise Refused where one is not there."""
    args: dict[str, Scalar | Ref] = {}
    for name, value in step.args.items():
        if isinstance(value, Ref):
            result = results.get(value.step)
            if result is None or value.name not in result.values:
                raise refuse(Code.REFERENCE_UNRESOLVED, 'permit.references', f'{step.id}: {value} was not recorded')
            args[name] = result.values[value.name]
        else:
            args[name] = value
    return Step(step.id, step.tool, args, step.origin, step.why)


def goal_of(step: Step, catalogue: Catalogue) -> dict[str, Any]:
    """Build the goal of a resolved step from the tool's template; raise Refused where an argument is not the tool's."""
    tool = catalogue.toolset.tools[step.tool]
    values = {name: value for name, value in step.args.items() if not isinstance(value, Ref)}
    try:
        check_args(tool, values, step.id)
        return fill_goal(tool, values, catalogue.world)
    except CheckError as error:
        raise refuse(Code.BAD_ARGUMENT, 'permit.arguments', str(error)[:300]) from None
