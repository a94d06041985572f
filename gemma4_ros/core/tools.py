# SPDX-License-Identifier: Apache-2.0
"""Tools files: YAML to a toolset, with every name held against the world."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from gemma4_ros.core import documents, schemas
from gemma4_ros.core.errors import ConfigError, ToolsError
from gemma4_ros.core.facts import Pattern, Term, parse_pattern
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.strict_yaml import Document, Path
from gemma4_ros.core.tool import (
    Arg,
    Intent,
    Interface,
    Return,
    Tool,
    Toolset,
    Value,
    args_schema,
    check_args,
    fill_goal,
    return_unit,
)
from gemma4_ros.core.world import PLACE_OF, World

__all__ = [
    'Arg',
    'Intent',
    'Interface',
    'Return',
    'Tool',
    'Toolset',
    'Value',
    'args_schema',
    'check_args',
    'fill_goal',
    'load_tools',
    'return_unit',
]


def load_tools(texts: Iterable[tuple[str, str]], world: World) -> Toolset:
    """Build a toolset from ``(source, YAML text)`` pairs and hold every name in it against the world.

    Raises
    ------
    ToolsError
        With file, line, path, what is wrong and the nearest right name.

    """
    tools: dict[str, Tool] = {}
    intents: dict[str, Intent] = {}
    written: dict[str, Document] = {}
    for source, text in texts:
        document = documents.load(text, source, schemas.TOOLS, ToolsError)
        for name, item in document.root.items():
            if name not in ('tools', 'intents'):
                _refuse_twice(document, (name,), name, {**tools, **intents})
                tools[name] = _tool(document, world, name, item)
                written[name] = document
        for name, item in document.root.get('intents', {}).items():
            _refuse_twice(document, ('intents', name), name, {**tools, **intents})
            intents[name] = _intent(document, world, name, item)
    _check_recoveries(written, tools)
    return Toolset(tools, intents)


def _refuse_twice(document: Document, path: Path, name: str, known: Mapping[str, object]) -> None:
    if name in known:
        raise ToolsError(f'{document.at(path)}: a tool or intent {name!r} exists already; names are one namespace')


def _check_recoveries(written: Mapping[str, Document], tools: Mapping[str, Tool]) -> None:
    for tool in tools.values():
        where = written[tool.name].at((tool.name, 'retry'))
        for name in tool.recover:
            if name not in tools:
                raise ToolsError(f'{where}: unknown recovery {name!r}{suggest(name, list(tools))}')
            if tools[name].args:
                raise ToolsError(f'{where}: the recovery {name!r} takes arguments; only tools without can recover')


def _tool(document: Document, world: World, name: str, item: dict[str, Any]) -> Tool:
    path: Path = (name,)
    args = _args(document, world, path, item['args'])
    duration = item['duration_s']
    if duration['typical'] > duration['timeout']:
        raise ToolsError(
            f'{document.at((name, "duration_s"))}: typical {duration["typical"]} s is longer than '
            f'timeout {duration["timeout"]} s'
        )
    _check_template(document, world, (name, 'goal'), item['goal'], args)
    returns = {key: Return(name=key, **value) for key, value in item.get('returns', {}).items()}
    _check_returns(document, world, name, returns, args)
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
        pause=_pause(document, name, item),
        cancel_acknowledge_s=float(item.get('cancel', {}).get('acknowledge_within_s', 0.5)),
        resources=tuple(item.get('resources', ())),
        inserted=item.get('inserted', True),
        draft=item.get('draft', False),
    )


def _pause(document: Document, name: str, item: dict[str, Any]) -> Literal['finish', 'cancel']:
    if item.get('pause') != 'cancel':
        return 'finish'
    problem = ''
    if not item.get('retry', {}).get('times', 0):
        problem = 'wants retry.times of at least 1: it is tried again after the pause'
    elif 'service' in item['interface']:
        problem = 'is for actions: a service request cannot be taken back'
    elif item['risk'] == 'irreversible':
        problem = 'is not for what is irreversible: it would be done once and a half'
    if problem:
        raise ToolsError(f'{document.at((name, "pause"))}: pause: cancel {problem}')
    return 'cancel'


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
    if len({'enum', 'type', 'named'} & set(item)) != 1:
        raise ToolsError(f'{where}: write one of enum:, type: and named:')
    if 'named' in item:
        if '$' in str(item['named']):
            raise ToolsError(f'{where}.named: a part with a name is sent as it stands; no $ in it')
        return Arg(name, 'enum', values=tuple(item['named']), doc=item.get('doc', ''), named=item['named'])
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
                f'{where}: unknown group {name!r}; write world.places, world.objects, world.equipment or '
                'world.equipment.KIND'
            )
        found = world.group(group)
        if not found:
            raise ToolsError(f'{where}: the world has nothing in {name!r}; add it to the world file or remove the tool')
        values.update(dict.fromkeys(found))
    return tuple(values)


def _check_returns(
    document: Document, world: World, name: str, returns: Mapping[str, Return], args: Mapping[str, Arg]
) -> None:
    for returned in returns.values():
        where = document.at((name, 'returns', returned.name))
        if returned.type in ('number', 'integer') and not returned.unit:
            raise ToolsError(f'{where}: \'unit\' is missing; a number needs one, "1" where it has none')
        if returned.unit.startswith('$'):
            argument, _, attribute = returned.unit[1:].partition('.')
            if argument not in args:
                raise ToolsError(f'{where}: unknown argument in {returned.unit!r}{suggest(argument, list(args))}')
            if not attribute:
                raise ToolsError(
                    f"{where}: {returned.unit!r} is no unit; write '{returned.unit}.unit', or the unit itself"
                )
            _check_attribute(where, world, returned.unit, args[argument], attribute)


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
            raise ToolsError(f'{document.at(path)}: unknown argument {template!r}{suggest(name, list(args))}')
        if attribute:
            _check_attribute(document.at(path), world, template, args[name], attribute)


def _check_attribute(where: str, world: World, text: str, arg: Arg, attribute: str) -> None:
    """Raise ToolsError where a value of ``arg`` has no such attribute; a place's pose may be measured later."""
    if arg.type != 'enum':
        raise ToolsError(f'{where}: {text!r} asks for an attribute, but {arg.name!r} names nothing of the world')
    if arg.named:
        if attribute != 'value':
            raise ToolsError(f"{where}: {text!r}: write '${arg.name}.value' for what a name stands for")
        return
    for value in arg.values:
        entity = world.entities.get(value)
        if entity is None:
            raise ToolsError(f'{where}: {text!r} asks for an attribute, but {value!r} is nothing of the world')
        is_pose = attribute == 'pose' and entity.group == 'places'
        if not is_pose and entity.attribute(attribute) is None:
            known = [*(('pose',) if entity.group == 'places' else ()), *(entity.attributes or {})]
            raise ToolsError(f'{where}: {text!r}: {value!r} has no {attribute!r}{suggest(attribute, known)}')


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
        raise ToolsError(f'{pattern}: unknown function {pattern.name!r}{suggest(pattern.name, list(world.functions))}')
    if len(pattern.args) != len(function.of):
        raise ToolsError(
            f'{pattern}: {pattern.name} takes {len(function.of)} arguments and a value, got {len(pattern.args)}'
        )
    for term, allowed in zip((*pattern.args, pattern.value), (*function.of, function.value), strict=True):
        _check_term(pattern, term, allowed, world, args)


def _check_term(pattern: Pattern, term: Term, allowed: frozenset[str], world: World, args: Mapping[str, Arg]) -> None:
    for name in term.arguments():
        if name not in args:
            raise ToolsError(f'{pattern}: unknown argument ${name}{suggest(name, list(args))}')
    if term.args is not None:
        if term.head != PLACE_OF and term.head not in world.functions:
            raise ToolsError(
                f'{pattern}: unknown function {term.head!r}{suggest(term.head, [*world.functions, PLACE_OF])}'
            )
        return
    if term.is_argument:
        arg = args[term.head[1:]]
        if arg.type != 'enum':
            raise ToolsError(f'{pattern}: ${arg.name} is a number; facts are about names')
        return
    if term.head not in allowed:
        raise ToolsError(f'{pattern}: {term.head!r} cannot stand there{suggest(term.head, sorted(allowed))}')
