# SPDX-License-Identifier: Apache-2.0
"""The compact surface: what the model writes, the grammar that binds it, and the parser that reads it back into a draft.

::

    bring(red_toolbox, valve_station)
    if read_gauge(pressure_gauge) > 4.0 {
    close_valve(main_valve)
    } else {
    open_valve(bypass_valve)
    }
    repeat 3 {
    take_photo(pump)
    }
    both {
    ...
    } and {
    ...
    }
    answer(at(spare_filter))   answer(contents(storage))   ask(red_toolbox, blue_crate)   cannot("no such thing: ladder")

Only names and values that exist can be decoded: the grammar is built from the toolset and the world.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from gemma4_ros.core.errors import DraftError
from gemma4_ros.core.plan import Scalar
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, Op, Together
from gemma4_ros.core.tools import Arg, Intent, Return, Tool, Toolset
from gemma4_ros.core.world import World

MAX_REPEAT = 20
UNCLEAR = ('task', 'object', 'place', 'value')
ABOUT = ('tools', 'places', 'objects', 'equipment')
CONTENTS = 'contents'  # of a place: what is there
_OPS: tuple[Op, ...] = ('<=', '>=', '==', '!=', '<', '>')
_CALL = re.compile(r'([a-z][a-z0-9_]*)\((.*?)\)')
_CANNOT = re.compile(r'cannot\("([^"\n]*)"\)')


@dataclass(frozen=True, slots=True)
class Ways:
    """Which kinds of answer the grammar offers."""

    do: bool = True
    ask: bool = True
    cannot: bool = True
    answer: bool = True


def main_return(tool: Tool) -> Return | None:
    """Return the result that a condition looks at: the first number, else the first of any type."""
    numbers = [item for item in tool.returns.values() if item.type in ('number', 'integer')]
    rest = [item for item in tool.returns.values() if item.type in ('boolean', 'string')]
    found = [*numbers, *rest]
    return found[0] if found else None


def readings(toolset: Toolset) -> tuple[Tool, ...]:
    """Return the tools whose result a condition may look at: those that only read."""
    return tuple(tool for tool in toolset.tools.values() if tool.risk == 'read' and main_return(tool) is not None)


# Grammar -------------------------------------------------------------------------------------------------------------
def grammar(toolset: Toolset, world: World, ways: Ways = Ways()) -> str:  # frozen
    """Return the llguidance Lark grammar of this toolset and world."""
    rules: list[str] = []
    starts = [
        name
        for name, offered in (('block', ways.do), ('ask', ways.ask), ('cannot', ways.cannot), ('answer', ways.answer))
        if offered
    ]
    rules.append(f'start: {" | ".join(starts)}')
    rules += ['block: item ("\\n" item)*']
    items = ['call', 'loop', 'both']
    tools: list[Tool | Intent] = [*toolset.intents.values(), *toolset.tools.values()]
    rules.append(f'call: {" | ".join(f"c_{tool.name}" for tool in tools)}')
    rules += [_call_rule(tool) for tool in tools]
    conditions = [_condition_rule(tool) for tool in readings(toolset)]
    conditions += [f'"{name}(" of_{name} ") == " is_{name}' for name in _queries(world)]
    if conditions:
        items.append('branch')
        rules.append(f'condition: {" | ".join(conditions)}')
        rules.append('branch: "if " condition " {\\n" block "\\n}" (" else {\\n" block "\\n}")?')
    rules.append(f'item: {" | ".join(items)}')
    rules.append('loop: "repeat " COUNT " {\\n" block "\\n}"')
    rules.append('both: "both {\\n" block "\\n} and {\\n" block "\\n}"')
    rules += _other_rules(world, ways)
    rules += _terminals(world)
    return '\n'.join(rules) + '\n'


def _call_rule(tool: Tool | Intent) -> str:
    parts = [_arg_rule(arg) for arg in tool.args.values()]
    inside = ' ", " '.join(parts)
    return f'c_{tool.name}: "{tool.name}(" {inside} ")"' if inside else f'c_{tool.name}: "{tool.name}()"'


def _arg_rule(arg: Arg) -> str:
    if arg.type == 'enum':
        return f'({" | ".join(_quoted(value) for value in arg.values)})'
    if arg.type == 'boolean':
        return '("true" | "false")'
    schema: dict[str, object] = {'type': arg.type, 'minimum': arg.low, 'maximum': arg.high}
    if arg.type == 'integer':
        schema = {'type': 'integer', 'minimum': math.ceil(arg.low), 'maximum': math.floor(arg.high)}
    elif arg.step:
        schema['multipleOf'] = arg.step
    return '%json ' + _json(schema)


def _condition_rule(tool: Tool) -> str:
    returned = main_return(tool)
    assert returned is not None
    if returned.type in ('number', 'integer'):
        return f'c_{tool.name} OP NUMBER'
    if returned.type == 'boolean':
        return f'c_{tool.name} " == " ("true" | "false")'
    return f'c_{tool.name} (" == " | " != ") TEXT'


def _other_rules(world: World, ways: Ways) -> list[str]:
    rules = []
    if ways.ask:
        names = [_quoted(e.id) for e in world.entities.values() if e.group != 'robot']
        rules.append(f'thing: {" | ".join(names)}')
        rules.append(f'ask: "ask(" ({" | ".join(_quoted(word) for word in UNCLEAR)} | thing (", " thing)+) ")"')
    if ways.cannot:
        rules.append('cannot: "cannot(\\"" REASON "\\")"')
    if ways.answer:
        queries = [f'"{name}(" of_{name} ")"' for name in _queries(world)]
        if looked_at := places_with_contents(world):
            queries.append(f'"{CONTENTS}(" ({" | ".join(_quoted(place) for place in looked_at)}) ")"')
        rules.append(f'answer: "answer(" ({" | ".join([*queries, *(_quoted(word) for word in ABOUT)])}) ")"')
    return rules


def _terminals(world: World) -> list[str]:
    lines = [
        'OP: " > " | " < " | " >= " | " <= " | " == "',
        'NUMBER: /-?[0-9]{1,5}(\\.[0-9]{1,3})?/',
        'COUNT: /[2-9]|1[0-9]|20/',
        "REASON: /[a-zA-Z0-9 ,:.'-]{1,60}/",
        'TEXT: /[a-zA-Z0-9_-]{1,32}/',
    ]
    for name, function in _queries(world).items():
        lines.append(f'of_{name}: {" | ".join(_quoted(arg) for arg in sorted(function[0]))}')
        lines.append(f'is_{name}: {" | ".join(_quoted(value) for value in sorted(function[1]))}')
    return lines


def _queries(world: World) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Return the functions of one argument: what a question or a condition about the state may name."""
    return {f.name: (f.of[0], f.value) for f in world.functions.values() if len(f.of) == 1}


def places_with_contents(world: World) -> tuple[str, ...]:
    """Return the places of which ``answer(contents(PLACE))`` may ask: those where something can be; none without ``at``."""
    queries = _queries(world)
    if 'at' not in queries or CONTENTS in queries:
        return ()
    return tuple(place for place in world.group('places') if place in queries['at'][1])


def _quoted(text: str) -> str:
    return f'"{text}"'


def _json(schema: dict[str, object]) -> str:
    parts = [f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {value}' for key, value in schema.items()]
    return '{' + ', '.join(parts) + '}'


# Parser --------------------------------------------------------------------------------------------------------------
def parse(text: str, toolset: Toolset, world: World) -> Draft:
    """Read the model's text.

    Raises
    ------
    DraftError
        Where it is none of the forms, or names what does not exist.

    """
    text = text.strip()
    cannot = _CANNOT.fullmatch(text)
    if cannot is not None:
        return Draft('cannot', text=cannot[1].strip())
    for kind in ('ask', 'answer'):
        if text.startswith(f'{kind}(') and text.endswith(')'):
            inside = text[len(kind) + 1 : -1]
            choices = tuple(part.strip() for part in inside.split(',')) if kind == 'ask' else ()
            return Draft('ask' if kind == 'ask' else 'answer', text=inside, choices=choices)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DraftError('the model wrote nothing')
    items, rest = _block(lines, 0, toolset, world)
    if rest != len(lines):
        raise DraftError(f'line {rest + 1}: {lines[rest][:60]!r} closes nothing')
    return Draft('do', items)


def _block(lines: list[str], index: int, toolset: Toolset, world: World) -> tuple[tuple[Item, ...], int]:
    items: list[Item] = []
    while index < len(lines) and not lines[index].startswith('}'):
        item, index = _item(lines, index, toolset, world)
        items.append(item)
    if not items:
        raise DraftError(f'line {index + 1}: an empty block')
    return tuple(items), index


def _item(lines: list[str], index: int, toolset: Toolset, world: World) -> tuple[Item, int]:
    line = lines[index]
    if line.startswith('if ') and line.endswith('{'):
        return _parse_branch(lines, index, toolset, world)
    if line.startswith('repeat ') and line.endswith('{'):
        times = line.removeprefix('repeat ').removesuffix('{').strip()
        if not times.isdigit() or not 1 <= int(times) <= MAX_REPEAT:
            raise DraftError(f'line {index + 1}: repeat takes 1 to {MAX_REPEAT} times, got {times[:12]!r}')
        body, index = _block(lines, index + 1, toolset, world)
        return Loop(int(times), body), _closing(lines, index, '}') + 1
    if line == 'both {':
        first, index = _block(lines, index + 1, toolset, world)
        second, index = _block(lines, _closing(lines, index, '} and {') + 1, toolset, world)
        return Together((first, second)), _closing(lines, index, '}') + 1
    return _parse_call(line, toolset, index), index + 1


def _closing(lines: list[str], index: int, wanted: str) -> int:
    if index >= len(lines) or lines[index] != wanted:
        raise DraftError(f'line {index + 1}: {wanted!r} is missing')
    return index


def _parse_branch(lines: list[str], index: int, toolset: Toolset, world: World) -> tuple[Item, int]:
    head = lines[index].removeprefix('if ').removesuffix('{').strip()
    then, after = _block(lines, index + 1, toolset, world)
    otherwise: tuple[Item, ...] = ()
    if after < len(lines) and lines[after] == '} else {':
        otherwise, after = _block(lines, after + 1, toolset, world)
    after = _closing(lines, after, '}') + 1
    for op in _OPS:
        left, found, right = head.partition(f' {op} ')
        if found:
            return _branch(left.strip(), op, right.strip(), then, otherwise, toolset, world, index), after
    raise DraftError(f'line {index + 1}: {head[:60]!r} is no condition')


def _branch(
    left: str,
    op: Op,
    right: str,
    then: tuple[Item, ...],
    otherwise: tuple[Item, ...],
    toolset: Toolset,
    world: World,
    index: int,
) -> Item:
    name = left.partition('(')[0]
    if name in _queries(world) and name not in toolset.tools:
        call = Call(name, {'of': left.partition('(')[2].removesuffix(')')})
        return Branch(call, '', op, right, '', then, otherwise)
    reading = _parse_call(left, toolset, index)
    tool = toolset.tools.get(reading.name)
    returned = main_return(tool) if tool is not None else None
    if returned is None:
        raise DraftError(f'line {index + 1}: {reading.name} returns nothing to compare')
    value: Scalar = right
    if returned.type in ('number', 'integer'):
        value = _number(right, index)
    elif returned.type == 'boolean':
        value = right == 'true'
    return Branch(reading, returned.name, op, value, returned.unit, then, otherwise)


def _parse_call(line: str, toolset: Toolset, index: int) -> Call:
    match = _CALL.fullmatch(line)
    tool: Tool | Intent | None = None
    if match is not None:
        tool = toolset.intents.get(match[1]) or toolset.tools.get(match[1])
    if match is None or tool is None:
        raise DraftError(f'line {index + 1}: {line[:60]!r} is no call of a known tool')
    values = [part.strip() for part in match[2].split(',')] if match[2].strip() else []
    if len(values) != len(tool.args):
        raise DraftError(f'line {index + 1}: {tool.name} takes {len(tool.args)} arguments, got {len(values)}')
    return Call(
        tool.name, {arg.name: _value(arg, text, index) for arg, text in zip(tool.args.values(), values, strict=True)}
    )


def _value(arg: Arg, text: str, index: int) -> Scalar:
    if arg.type == 'enum':
        if text not in arg.values:
            raise DraftError(f'line {index + 1}: {arg.name}: unknown {text[:40]!r}')
        return text
    if arg.type == 'boolean':
        return text == 'true'
    number = _number(text, index)
    if arg.step:
        number = round(round(number / arg.step) * arg.step, 9)
    return int(number) if arg.type == 'integer' else number


def _number(text: str, index: int) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DraftError(f'line {index + 1}: {text[:20]!r} is no number')
    return number


def write(items: Iterable[Item]) -> str:
    """Write items as the model would; the inverse of `parse`."""
    lines: list[str] = []
    for item in items:
        match item:
            case Call():
                lines.append(str(item))
            case Branch():
                lines += [f'if {item.reading} {item.op} {item.value} {{', write(item.then)]
                lines += ['} else {', write(item.otherwise)] if item.otherwise else []
                lines.append('}')
            case Loop():
                lines += [f'repeat {item.times} {{', write(item.body), '}']
            case Together():
                lines += ['both {', write(item.branches[0]), '} and {', write(item.branches[1]), '}']
    return '\n'.join(lines)
