# SPDX-License-Identifier: Apache-2.0
"""One tool: what the robot can do, bound to an interface that exists, with symbolic needs and gives."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gemma4_ros.core.errors import CheckError
from gemma4_ros.core.facts import Pattern
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.world import World

Value = str | float | int | bool
Risk = Literal['read', 'reversible', 'motion', 'irreversible']


@dataclass(frozen=True, slots=True)
class Arg:
    """
    An argument: one of ``values``, or a number between ``low`` and ``high`` in ``unit``, in steps of ``step``.

    ``named`` holds the part of a goal that each value stands for, such as a trajectory that a person has tried.
    """

    name: str
    type: Literal['enum', 'number', 'integer', 'boolean']
    values: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    step: float = 0.0
    unit: str = ''
    doc: str = ''
    named: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def check(self, value: object, where: str) -> None:
        """Raise CheckError where ``value`` is not one of this argument's."""
        if self.type == 'enum':
            if not isinstance(value, str) or value not in self.values:
                raise CheckError(f'{where}.{self.name}: unknown {value!r}{suggest(str(value), self.values)}')
        elif self.type == 'boolean':
            if not isinstance(value, bool):
                raise CheckError(f'{where}.{self.name}: wants true or false, got {value!r}')
        else:
            self._check_number(value, where)

    def _check_number(self, value: object, where: str) -> None:
        is_nan = isinstance(value, float) and math.isnan(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or is_nan:
            raise CheckError(f'{where}.{self.name}: wants a number in {self.unit}, got {value!r}')
        if not self.low <= value <= self.high or abs(value) == math.inf:  # an int of any size compares
            raise CheckError(
                f'{where}.{self.name}: {str(value)[:24]} {self.unit} is outside {self.low} to {self.high} {self.unit}'
            )
        if self.type == 'integer' and not float(value).is_integer():
            raise CheckError(f'{where}.{self.name}: wants a whole number, got {value!r}')


@dataclass(frozen=True, slots=True)
class Return:
    """A result that later steps and conditions may refer to. ``unit`` may be ``$arg.unit``: the unit of that entity."""

    name: str
    field: str
    type: Literal['number', 'integer', 'boolean', 'string']
    unit: str = ''


@dataclass(frozen=True, slots=True)
class Interface:
    """A ROS action or service by type and (relative) name."""

    kind: Literal['action', 'service']
    type: str
    name: str


@dataclass(frozen=True, slots=True)
class Tool:
    """One capability."""

    name: str
    doc: str
    words: tuple[str, ...]
    interface: Interface
    args: Mapping[str, Arg]
    goal: Mapping[str, Any]
    success: Mapping[str, Any]
    returns: Mapping[str, Return]
    needs: tuple[Pattern, ...]
    gives: tuple[Pattern, ...]
    typical_s: float
    timeout_s: float
    risk: Risk
    retry_times: int = 0
    recover: tuple[str, ...] = ()
    cancel_acknowledge_s: float = 0.5
    pause: Literal['finish', 'cancel'] = 'finish'
    resources: tuple[str, ...] = ()
    inserted: bool = True
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """A goal in operators' words; completion finds the steps that achieve its facts."""

    name: str
    doc: str
    words: tuple[str, ...]
    args: Mapping[str, Arg]
    achieve: tuple[Pattern, ...]


@dataclass(frozen=True, slots=True)
class Toolset:
    """Every tool and intent, by name."""

    tools: Mapping[str, Tool]
    intents: Mapping[str, Intent] = field(default_factory=dict)

    def tool(self, name: str) -> Tool:
        """Return a tool; raise CheckError with the nearest name where there is none."""
        tool = self.tools.get(name)
        if tool is None:
            raise CheckError(f'unknown tool {name!r}{suggest(name, list(self.tools))}')
        return tool


def check_args(tool: Tool | Intent, args: Mapping[str, object], where: str) -> None:
    """Raise CheckError where ``args`` are not the tool's: missing, unknown, of the wrong type, out of bounds."""
    for name in args:
        if name not in tool.args:
            raise CheckError(f'{where}: {tool.name} takes no argument {name!r}{suggest(name, list(tool.args))}')
    for name, arg in tool.args.items():
        if name not in args:
            raise CheckError(f'{where}: {tool.name} needs the argument {name!r}')
        arg.check(args[name], where)


def args_schema(tool: Tool | Intent) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of the tool's arguments."""
    properties: dict[str, Any] = {}
    for arg in tool.args.values():
        if arg.type == 'enum':
            properties[arg.name] = {'type': 'string', 'enum': list(arg.values)}
        elif arg.type == 'boolean':
            properties[arg.name] = {'type': 'boolean'}
        else:
            properties[arg.name] = {'type': arg.type, 'minimum': arg.low, 'maximum': arg.high}
            if arg.step:
                properties[arg.name]['multipleOf'] = arg.step
    return {'type': 'object', 'properties': properties, 'required': list(tool.args), 'additionalProperties': False}


def fill_goal(tool: Tool, args: Mapping[str, Value], world: World) -> dict[str, Any]:
    """Build the goal or request of a tool as JSON: templates are filled by code, nothing is passed through verbatim.

    ``$arg`` is the argument's value, ``$arg.pose`` the place's geometry_msgs/Pose in the world's frame, ``$arg.NAME``
    an attribute of the entity, ``$arg.value`` what a name stands for (`Arg.named`), ``$world.frame`` the frame. Raises
    CheckError where an argument is not the tool's.
    """
    check_args(tool, args, tool.name)
    said = {name: arg.named[str(args[name])] for name, arg in tool.args.items() if arg.named}
    filled = _fill(tool.goal, args, world, said)
    assert isinstance(filled, dict)
    return filled


def return_unit(_tool: Tool, returned: Return, args: Mapping[str, object], world: World) -> str:
    """Return the unit of a result for these arguments."""
    if not returned.unit.startswith('$'):
        return returned.unit
    name, _, attribute = returned.unit[1:].partition('.')
    entity = world.entities.get(str(args.get(name)))
    return str(entity.attribute(attribute) or '') if entity is not None else ''


def _fill(template: Any, args: Mapping[str, Value], world: World, said: Mapping[str, Any]) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, args, world, said) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, args, world, said) for value in template]
    if isinstance(template, str) and template.startswith('$'):
        return _resolve(template, args, world, said)
    return template


def _resolve(text: str, args: Mapping[str, Value], world: World, said: Mapping[str, Any]) -> Any:
    if text == '$world.frame':
        return world.frame
    name, _, attribute = text[1:].partition('.')
    value = args[name]
    if attribute == 'value' and name in said:
        return copy.deepcopy(said[name])
    if not attribute:
        return value
    entity = world.entities[str(value)]
    if attribute == 'pose':
        return _pose(entity.id, world)
    return entity.attribute(attribute)


def _pose(place: str, world: World) -> dict[str, Any]:
    pose = world.entities[place].pose
    if pose is None:
        raise CheckError(f'the place {place!r} has no pose in the world file; measure it and write it there')
    half = pose.yaw_rad / 2
    return {
        'position': {'x': pose.x_m, 'y': pose.y_m, 'z': 0.0},
        'orientation': {'x': 0.0, 'y': 0.0, 'z': math.sin(half), 'w': math.cos(half)},
    }
