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
from dataclasses import dataclass

from gemma4_ros.core.planning.parser import parse, write
from gemma4_ros.core.planning.vocabulary import (
    ABOUT,
    CONTENTS,
    MAX_REPEAT,
    UNCLEAR,
    main_return,
    places_with_contents,
    queries,
    readings,
    things,
)
from gemma4_ros.core.tools import Arg, Intent, Tool, Toolset
from gemma4_ros.core.world import World

__all__ = [
    'ABOUT',
    'CONTENTS',
    'MAX_REPEAT',
    'UNCLEAR',
    'Ways',
    'grammar',
    'main_return',
    'parse',
    'places_with_contents',
    'readings',
    'write',
]


@dataclass(frozen=True, slots=True)
class Ways:
    """Which kinds of answer the grammar offers."""

    do: bool = True
    ask: bool = True
    cannot: bool = True
    answer: bool = True


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
    conditions += [f'"{name}(" of_{name} ") == " is_{name}' for name in queries(world)]
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
        rules.append(f'thing: {" | ".join(_quoted(name) for name in things(world))}')
        rules.append(f'ask: "ask(" ({" | ".join(_quoted(word) for word in UNCLEAR)} | thing (", " thing)+) ")"')
    if ways.cannot:
        rules.append('cannot: "cannot(\\"" REASON "\\")"')
    if ways.answer:
        asked = [f'"{name}(" of_{name} ")"' for name in queries(world)]
        if looked_at := places_with_contents(world):
            asked.append(f'"{CONTENTS}(" ({" | ".join(_quoted(place) for place in looked_at)}) ")"')
        rules.append(f'answer: "answer(" ({" | ".join([*asked, *(_quoted(word) for word in ABOUT)])}) ")"')
    return rules


def _terminals(world: World) -> list[str]:
    lines = [
        'OP: " > " | " < " | " >= " | " <= " | " == "',
        'NUMBER: /-?[0-9]{1,5}(\\.[0-9]{1,3})?/',
        'COUNT: /[2-9]|1[0-9]|20/',
        "REASON: /[a-zA-Z0-9 ,:.'-]{1,60}/",
        'TEXT: /[a-zA-Z0-9_-]{1,32}/',
    ]
    for name, function in queries(world).items():
        lines.append(f'of_{name}: {" | ".join(_quoted(arg) for arg in sorted(function[0]))}')
        lines.append(f'is_{name}: {" | ".join(_quoted(value) for value in sorted(function[1]))}')
    return lines


def _quoted(text: str) -> str:
    return f'"{text}"'


def _json(schema: dict[str, object]) -> str:
    parts = [f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {value}' for key, value in schema.items()]
    return '{' + ', '.join(parts) + '}'
