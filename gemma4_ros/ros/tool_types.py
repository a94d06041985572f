# SPDX-License-Identifier: Apache-2.0
"""Tools held against the installed interface types: what a goal would be refused for in the field is said before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rosidl_parser.definition import AbstractNestedType, AbstractString, AbstractWString, BasicType, NamespacedType

from gemma4_ros.core.errors import CheckError, ConversionError
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.tool import Arg, Tool, Value, fill_goal
from gemma4_ros.core.world import World
from gemma4_ros.ros import convert
from gemma4_ros.ros.clients import STATUS_NAMES
from gemma4_ros.ros.types import FLOATS, fields, message_class, nested_class, result_class, type_name

__all__ = ['Problem', 'problems']


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a tool. ``is_absent``: its type is not installed here, so the rest could not be looked at."""

    tool: str
    where: str
    text: str
    is_absent: bool = False


def problems(tool: Tool, world: World) -> Iterator[Problem]:
    """Say everything that keeps a tool from working with the types as installed."""
    try:
        cls = message_class(tool.interface.type)
    except ConversionError as error:
        yield Problem(tool.name, 'interface', str(error), is_absent='no such type' not in str(error))
        return
    part = 'Goal' if tool.interface.kind == 'action' else 'Request'
    if not hasattr(cls, part):
        yield Problem(tool.name, 'interface', f'{tool.interface.type} is no {tool.interface.kind}')
        return
    seen: set[str] = set()
    for args in _tries(tool):
        problem = _goal_problem(tool, args, world)
        if problem and problem not in seen:
            seen.add(problem)
            yield Problem(tool.name, 'goal', problem)
    result = result_class(cls)
    for path, wanted in tool.success.items():
        problem = _success_problem(tool, result, path, wanted)
        if problem:
            yield Problem(tool.name, f'success.{path}', problem)
    for returned in tool.returns.values():
        problem = _return_problem(result, returned.field, returned.type)
        if problem:
            yield Problem(tool.name, f'returns.{returned.name}', problem)


def _tries(tool: Tool) -> Iterator[dict[str, Value]]:
    """Return arguments that take every value of every one, each beside the first of the others."""
    ways = {name: _ways(arg) for name, arg in tool.args.items()}
    first = {name: values[0] for name, values in ways.items() if values}
    yield first
    for name, values in ways.items():
        yield from ({**first, name: value} for value in values[1:])


def _ways(arg: Arg) -> tuple[Value, ...]:
    if arg.type == 'enum':
        return arg.values
    if arg.type == 'boolean':
        return False, True
    return (int(arg.low), int(arg.high)) if arg.type == 'integer' else (float(arg.low), float(arg.high))


def _goal_problem(tool: Tool, args: Mapping[str, Value], world: World) -> str:
    said = ', '.join(f'{name}={value}' for name, value in args.items())
    try:
        convert.to_message(tool.interface.type, fill_goal(tool, args, world), path='goal')
    except (CheckError, ConversionError) as error:
        return f'{error}{f" (with {said})" if said and isinstance(error, CheckError) else ""}'
    return ''


def _success_problem(tool: Tool, result: Any, path: str, wanted: object) -> str:
    if path == 'status' and tool.interface.kind == 'action':
        known = sorted(STATUS_NAMES.values())
        return '' if wanted in known else f'{wanted!r} is no end of an action{suggest(str(wanted), known)}'
    kind, problem = _follow(result, path)
    if problem or kind is None:
        return problem
    said = 'boolean' if isinstance(wanted, bool) else 'string' if isinstance(wanted, str) else ''
    said = said or ('integer' if isinstance(wanted, int) else 'number')
    return _mismatch(kind, said, exact=True)


def _return_problem(result: Any, path: str, wanted: str) -> str:
    kind, problem = _follow(result, path)
    return problem if problem or kind is None else _mismatch(kind, wanted, exact=False)


def _follow(cls: Any, path: str) -> tuple[Any, str]:
    """Return the type of a field; None inside of a text, which is read as JSON when it comes."""
    kind: Any = None
    for part in path.split('.'):
        if isinstance(kind, (AbstractString, AbstractWString)):
            return None, ''
        if kind is not None:
            if not isinstance(kind, NamespacedType):
                return None, f'{type_name(kind)} has no field {part!r}'
            cls = nested_class(kind)
        known = fields(cls)
        if part not in known:
            return None, f'{cls.__name__} has no field {part!r}{suggest(part, list(known))}'
        kind = known[part]
    return kind, ''


def _mismatch(kind: Any, wanted: str, *, exact: bool) -> str:
    """Say why a field does not hold what is wanted of it; a number may be a whole one unless it is compared with."""
    if isinstance(kind, (AbstractNestedType, NamespacedType)):
        return f'{type_name(kind)} is no {wanted}; name a field of it'
    found: tuple[str, ...]
    if isinstance(kind, (AbstractString, AbstractWString)):
        found = ('string',)
    elif isinstance(kind, BasicType) and kind.typename == 'boolean':
        found = ('boolean',)
    elif kind.typename in FLOATS:
        found = ('number',)
    else:
        found = ('integer',) if exact else ('integer', 'number')
    return '' if wanted in found else f'the field is {type_name(kind)}, not {wanted}'
