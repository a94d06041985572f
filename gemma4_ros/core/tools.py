# SPDX-License-Identifier: Apache-2.0
"""Tools: what the robot can do, bound to interfaces that exist, with symbolic needs and gives."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gemma4_ros.core import documents, schemas
from gemma4_ros.core.errors import CheckError, ConfigError, ToolsError
from gemma4_ros.core.facts import Pattern, Term, parse_pattern
from gemma4_ros.core.strict_yaml import Document, Path
from gemma4_ros.core.world import PLACE_OF, World

Value = str | float | int | bool
Risk = Literal['read', 'reversible', 'motion', 'irreversible']


@dataclass(frozen=True, slots=True)
class Arg:
    """An argument: one of ``values``, or a number between ``low`` and ``high`` in ``unit``, in steps of ``step``."""

    name: str
    type: Literal['enum', 'number', 'integer', 'boolean']
    values: tuple[str, ...] = ()
    low: float = -math.inf
    high: float = math.inf
    step: float = 0.0
    unit: str = ''
    doc: str = ''

    def check(self, value: object, where: str) -> None:
        """Raise CheckError where ``value`` is not one of this argument's."""
        if self.type == 'enum':
            if not isinstance(value, str) or value not in self.values:
                raise CheckError(f'{where}.{self.name}: unknown {value!r}{documents.suggest(str(value), self.values)}')
        elif self.type == 'boolean':
            if not isinstance(value, bool):
                raise CheckError(f'{where}.{self.name}: wants true or false, got {value!r}')
        else:
            self._check_number(value, where)

    def _check_number(self, value: object, where: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise CheckError(f'{where}.{self.name}: wants a number in {self.unit}, got {value!r}')
        if self.type == 'integer' and not float(value).is_integer():
            raise CheckError(f'{where}.{self.name}: wants a whole number, got {value!r}')
        if not self.low <= value <= self.high:
            raise CheckError(
                f'{where}.{self.name}: {value} {self.unit} is outside {self.low} to {self.high} {self.unit}'
            )


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
            raise CheckError(f'unknown tool {name!r}{documents.suggest(name, list(self.tools))}')
        return tool


def check_args(tool: Tool | Intent, args: Mapping[str, object], where: str) -> None:
    """Raise CheckError where ``args`` are not the tool's: missing, unknown, of the wrong type, out of bounds."""
    for name in args:
        if name not in tool.args:
            raise CheckError(
                f'{where}: {tool.name} takes no argument {name!r}{documents.suggest(name, list(tool.args))}'
            )
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

    ``$arg`` is the argument's value, ``$arg.pose`` the place's geometry_msgs/Pose in the world's frame, ``$arg.NAME`` an
    attribute of the entity, ``$world.frame`` the frame. Raises CheckError where an argument is not the tool's.
    """
    check_args(tool, args, tool.name)
    filled = _fill(tool.goal, tool, args, world)
    assert isinstance(filled, dict)
    return filled


def return_unit(tool: Tool, returned: Return, args: Mapping[str, object], world: World) -> str:
    """Return the unit of a result for these arguments."""
    if not returned.unit.startswith('$'):
        return returned.unit
    name, _, attribute = returned.unit[1:].partition('.')
    entity = world.entities.get(str(args.get(name)))
    return str(entity.attribute(attribute) or '') if entity is not None else ''


def _fill(template: Any, tool: Tool, args: Mapping[str, Value], world: World) -> Any:
    if isinstance(template, dict):
        return {key: _fill(value, tool, args, world) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(value, tool, args, world) for value in template]
    if isinstance(template, str) and template.startswith('$'):
        return _resolve(template, tool, args, world)
    return template


def _resolve(text: str, tool: Tool, args: Mapping[str, Value], world: World) -> Any:
    name, _, attribute = text[1:].partition('.')
    if name == 'world':
        return world.frame
    value = args[name]
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


# Loading -------------------------------------------------------------------------------------------------------------
def load_tools(texts: Iterable[tuple[str, str]], world: World) -> Toolset:
    """Build a toolset from ``(source, YAML text)`` pairs and hold every name in it against the world.

    Raises
    ------
    ToolsError
        With file, line, path, what is wrong and the nearest right name.

    """
    tools: dict[str, Tool] = {}
    intents: dict[str, Intent] = {}
    for source, text in texts:
        document = documents.load(text, source, schemas.TOOLS, ToolsError)
        for name, item in document.root.items():
            if name not in ('tools', 'intents'):
                _refuse_twice(document, (name,), name, {**tools, **intents})
                tools[name] = _tool(document, world, name, item)
        for name, item in document.root.get('intents', {}).items():
            _refuse_twice(document, ('intents', name), name, {**tools, **intents})
            intents[name] = _intent(document, world, name, item)
        _check_recoveries(document, tools)
    return Toolset(tools, intents)


def _refuse_twice(document: Document, path: Path, name: str, known: Mapping[str, object]) -> None:
    if name in known:
        raise ToolsError(f'{document.at(path)}: a tool or intent {name!r} exists already; names are one namespace')


def _check_recoveries(document: Document, tools: Mapping[str, Tool]) -> None:
    for tool in tools.values():
        for name in tool.recover:
            if name not in tools:
                raise ToolsError(
                    f'{document.at((tool.name, "retry"))}: unknown recovery {name!r}{documents.suggest(name, list(tools))}'
                )
            if tools[name].args:
                raise ToolsError(
                    f'{document.at((tool.name, "retry"))}: the recovery {name!r} takes arguments; only tools without can recover'
                )


def _tool(document: Document, world: World, name: str, item: dict[str, Any]) -> Tool:
    path: Path = (name,)
    args = _args(document, world, path, item['args'])
    duration = item['duration_s']
    if duration['typical'] > duration['timeout']:
        raise ToolsError(
            f'{document.at((name, "duration_s"))}: typical {duration["typical"]} s is longer than timeout {duration["timeout"]} s'
        )
    _check_template(document, world, (name, 'goal'), item['goal'], args)
    returns = {key: Return(name=key, **value) for key, value in item.get('returns', {}).items()}
    _check_returns(document, name, returns, args)
    return Tool(
        name=name,
        doc=item['doc'],
        words=tuple(item.get('words', ())),
        interface=_interface(document, name, item['interface']),
        args=args,
        goal=item['goal'],
        success=item.get('success', {}),
        returns=returns,
        needs=_patterns(document, world, (name, 'needs'), item['needs'], args),
        gives=_patterns(document, world, (name, 'gives'), item['gives'], args),
        typical_s=float(duration['typical']),
        timeout_s=float(duration['timeout']),
        risk=item['risk'],
        retry_times=item.get('retry', {}).get('times', 0),
        recover=tuple(item.get('retry', {}).get('recover', ())),
        cancel_acknowledge_s=float(item.get('cancel', {}).get('acknowledge_within_s', 0.5)),
        resources=tuple(item.get('resources', ())),
        inserted=item.get('inserted', True),
        draft=item.get('draft', False),
    )


def _intent(document: Document, world: World, name: str, item: dict[str, Any]) -> Intent:
    path: Path = ('intents', name)
    args = _args(document, world, path, item['args'])
    achieve = _patterns(document, world, (*path, 'achieve'), item['achieve'], args)
    return Intent(name, item['doc'], tuple(item.get('words', ())), args, achieve)


def _interface(document: Document, name: str, item: dict[str, Any]) -> Interface:
    kinds = [kind for kind in ('action', 'service') if kind in item]
    where = document.at((name, 'interface'))
    if len(kinds) != 1:
        raise ToolsError(f'{where}: write either action: or service:, with the type')
    kind: Literal['action', 'service'] = 'action' if kinds[0] == 'action' else 'service'
    folder = 'action' if kind == 'action' else 'srv'
    if item[kind].split('/')[1] != folder:
        raise ToolsError(f'{where}: {item[kind]!r} is no {kind}; its type is written package/{folder}/Name')
    return Interface(kind, item[kind], item['name'])


def _args(document: Document, world: World, path: Path, items: dict[str, Any]) -> dict[str, Arg]:
    return {name: _arg(document, world, (*path, 'args', name), name, item) for name, item in items.items()}


def _arg(document: Document, world: World, path: Path, name: str, item: dict[str, Any]) -> Arg:
    where = document.at(path)
    if ('enum' in item) == ('type' in item):
        raise ToolsError(f'{where}: write either enum: or type:')
    if 'enum' in item:
        return Arg(name, 'enum', values=_enum(where, world, item['enum']), doc=item.get('doc', ''))
    if item['type'] == 'boolean':
        return Arg(name, 'boolean', doc=item.get('doc', ''))
    for key, why in (('min', 'a bound'), ('max', 'a bound'), ('unit', 'a unit, "1" where it has none')):
        if key not in item:
            raise ToolsError(f'{where}: {key!r} is missing; a number needs {why}')
    if item['min'] > item['max']:
        raise ToolsError(f'{where}: min {item["min"]} is above max {item["max"]}')
    return Arg(
        name,
        item['type'],
        (),
        float(item['min']),
        float(item['max']),
        float(item.get('step', 0.0)),
        item['unit'],
        item.get('doc', ''),
    )


def _enum(where: str, world: World, names: str | list[str]) -> tuple[str, ...]:
    groups = [names] if isinstance(names, str) else names
    values: dict[str, None] = {}
    for name in groups:
        if not name.startswith('world.'):
            values[name] = None
            continue
        group = name.removeprefix('world.')
        if not world.is_group(group):
            raise ToolsError(
                f'{where}: unknown group {name!r}; write world.places, world.objects, world.equipment or world.equipment.KIND'
            )
        found = world.group(group)
        if not found:
            raise ToolsError(f'{where}: the world has nothing in {name!r}; add it to the world file or remove the tool')
        values.update(dict.fromkeys(found))
    return tuple(values)


def _check_returns(document: Document, name: str, returns: Mapping[str, Return], args: Mapping[str, Arg]) -> None:
    for returned in returns.values():
        where = document.at((name, 'returns', returned.name))
        if returned.type in ('number', 'integer') and not returned.unit:
            raise ToolsError(f'{where}: \'unit\' is missing; a number needs one, "1" where it has none')
        if returned.unit.startswith('$') and returned.unit[1:].partition('.')[0] not in args:
            raise ToolsError(
                f'{where}: unknown argument in {returned.unit!r}{documents.suggest(returned.unit[1:], list(args))}'
            )


def _check_template(document: Document, world: World, path: Path, template: Any, args: Mapping[str, Arg]) -> None:
    if isinstance(template, dict):
        for key, value in template.items():
            _check_template(document, world, (*path, key), value, args)
    elif isinstance(template, list):
        for index, value in enumerate(template):
            _check_template(document, world, (*path, index), value, args)
    elif isinstance(template, str) and template.startswith('$'):
        name, _, attribute = template[1:].partition('.')
        if name == 'world' and attribute == 'frame':
            return
        if name not in args:
            raise ToolsError(f'{document.at(path)}: unknown argument {template!r}{documents.suggest(name, list(args))}')
        if attribute and args[name].type != 'enum':
            raise ToolsError(f'{document.at(path)}: {template!r} asks for an attribute of a number')


def _patterns(
    document: Document, world: World, path: Path, texts: list[str], args: Mapping[str, Arg]
) -> tuple[Pattern, ...]:
    result = []
    for index, text in enumerate(texts):
        where = document.at((*path, index))
        try:
            pattern = parse_pattern(text)
            _check_pattern(pattern, world, args)
        except ConfigError as error:
            raise ToolsError(f'{where}: {error}') from None
        result.append(pattern)
    return tuple(result)


def _check_pattern(pattern: Pattern, world: World, args: Mapping[str, Arg]) -> None:
    function = world.functions.get(pattern.name)
    if function is None:
        raise ToolsError(
            f'{pattern}: unknown function {pattern.name!r}{documents.suggest(pattern.name, list(world.functions))}'
        )
    if len(pattern.args) != len(function.of):
        raise ToolsError(
            f'{pattern}: {pattern.name} takes {len(function.of)} arguments and a value, got {len(pattern.args)}'
        )
    for term, allowed in zip((*pattern.args, pattern.value), (*function.of, function.value), strict=True):
        _check_term(pattern, term, allowed, world, args)


def _check_term(pattern: Pattern, term: Term, allowed: frozenset[str], world: World, args: Mapping[str, Arg]) -> None:
    for name in term.arguments():
        if name not in args:
            raise ToolsError(f'{pattern}: unknown argument ${name}{documents.suggest(name, list(args))}')
    if term.args is not None:
        if term.head != PLACE_OF and term.head not in world.functions:
            raise ToolsError(
                f'{pattern}: unknown function {term.head!r}{documents.suggest(term.head, [*world.functions, PLACE_OF])}'
            )
        return
    if term.is_argument:
        arg = args[term.head[1:]]
        if arg.type != 'enum':
            raise ToolsError(f'{pattern}: ${arg.name} is a number; facts are about names')
        return
    if term.head not in allowed:
        raise ToolsError(f'{pattern}: {term.head!r} cannot stand there{documents.suggest(term.head, sorted(allowed))}')
