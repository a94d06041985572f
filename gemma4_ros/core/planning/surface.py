# SPDX-License-Identifier: Apache-2.0
"""The compact surface: what the model writes, the grammar that binds it, the parser that reads it into a draft.

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
    answer(at(spare_filter))   answer(contents(storage))
    ask(red_toolbox, blue_crate)   cannot("no such thing: ladder")

Only names and values that exist can be decoded: the grammar is built from the toolset and the world.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from gemma4_ros.core.planning.draft import written
from gemma4_ros.core.planning.numbers import Quantity
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


MOST_ITEMS = 12
"""Calls in one block: a model that has lost its way does not go on for ever."""
MOST_NESTED = 3
"""Blocks within blocks, for the same reason."""


@dataclass(frozen=True, slots=True)
class Ways:
    """
    Which kinds of answer the grammar offers.

    ``names`` and ``numbers`` are those that the command speaks of (None: any), ``quantities`` the same numbers with
    their units: what an argument may take of them depends on its own. A call that wants another one cannot be
    written, so that the model asks instead of guessing. ``values_said`` are values without a place in the world,
    "ready" of a posture; where one of them is said, no other is offered. ``without`` are calls that are left out,
    ``only`` the calls that are offered (None: all). With ``numbers_compared`` a condition looks at a number.
    Where there are ``drafts``, one of them is to be chosen and nothing else counts.
    """

    do: bool = True
    ask: bool = True
    cannot: bool = True
    answer: bool = True
    branch: bool = True
    loop: bool = True
    both: bool = True
    about: bool = True
    names: frozenset[str] | None = None
    numbers: frozenset[float] | None = None
    quantities: tuple[Quantity, ...] | None = None
    values_said: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    numbers_compared: bool = False
    drafts: tuple[str, ...] = ()

    def values(self, arg: Arg, world: World) -> tuple[str, ...]:
        """Return what may be written for an argument: names, or numbers as text; () where any number may."""
        if arg.type == 'enum':
            if len(arg.values) < 2:
                return arg.values
            fit = tuple(v for v in arg.values if self.names is None or v in self.names or v not in world.entities)
            return tuple(v for v in fit if v in self.values_said and v not in world.entities) or fit
        if self.numbers is None or arg.type == 'boolean':
            return ()
        said = self.numbers
        if self.quantities is not None:
            found = (quantity.as_argument(arg.unit, arg.high) for quantity in self.quantities)
            said = frozenset(round(number, 6) for number in found if number is not None)
        numbers = (n for n in sorted(said) if arg.low <= n <= arg.high and (arg.type == 'number' or n.is_integer()))
        return tuple(_digits(number) for number in numbers)

    def asked(self, world: World) -> dict[str, tuple[str, ...]]:
        """Return the functions of the state and of what each may be asked: the things named, and the robot."""
        open_to = None if self.names is None else self.names | {world.robot}
        fit = {
            name: tuple(sorted(thing for thing in function[0] if open_to is None or thing in open_to))
            for name, function in queries(world).items()
        }
        return {name: found for name, found in fit.items() if found}

    def offers(self, tool: Tool | Intent, world: World) -> bool:
        """Say whether a call can be written with what the command names."""
        if tool.name in self.without or (self.only is not None and tool.name not in self.only):
            return False
        if self.names is None:
            return True
        return all(
            self.values(arg, world) or arg.type == 'boolean' or (arg.type != 'enum' and self.numbers is None)
            for arg in tool.args.values()
        )


# Grammar -------------------------------------------------------------------------------------------------------------
def grammar(toolset: Toolset, world: World, ways: Ways = Ways()) -> str:  # frozen
    """Return the llguidance Lark grammar of this toolset and world."""
    if ways.drafts:
        return 'start: ' + ' | '.join(_quoted(draft).replace('\n', '\\n') for draft in ways.drafts) + '\n'
    tools: list[Tool | Intent] = [*toolset.intents.values(), *toolset.tools.values()]
    tools = [tool for tool in tools if ways.offers(tool, world)]
    offered = {'block': ways.do and bool(tools), 'cannot': ways.cannot, 'answer': ways.answer}
    offered['ask'] = ways.ask or not any(offered.values())  # a question is always left
    rules = [f'start: {" | ".join(name for name, is_offered in offered.items() if is_offered)}']
    if offered['block']:
        rules += _block_rules(tools, toolset, world, ways)
    rules += _other_rules(world, replace(ways, ask=offered['ask']))
    rules += _terminals(world, ways)
    return '\n'.join(rules) + '\n'


def _block_rules(tools: list[Tool | Intent], toolset: Toolset, world: World, ways: Ways) -> list[str]:
    rules = [f'call: {" | ".join(f"c_{tool.name}" for tool in tools)}']
    rules += [_call_rule(tool, world, ways) for tool in tools]
    conditions = [_condition_rule(tool, ways) for tool in readings(toolset) if tool in tools]
    conditions += [f'"{name}(" of_{name} ") == " is_{name}' for name in ways.asked(world)]
    if ways.numbers_compared and any(' OP ' in condition for condition in conditions):
        conditions = [condition for condition in conditions if ' OP ' in condition]
    conditions = [condition for condition in conditions if condition]
    controls = {
        'branch': '"if " condition " {\\n" BLOCK "\\n}" (" else {\\n" BLOCK "\\n}")?'
        if conditions and ways.branch
        else '',
        'loop': '"repeat " COUNT " {\\n" BLOCK "\\n}"' if ways.loop else '',
        'both': '"both {\\n" BLOCK "\\n} and {\\n" BLOCK "\\n}"' if ways.both else '',
    }
    controls = {name: rule for name, rule in controls.items() if rule}
    if 'branch' in controls:
        rules.append(f'condition: {" | ".join(conditions)}')
    for depth in range(MOST_NESTED + 1):
        level, below = (f'_{depth}' if depth else ''), f'block_{depth + 1}'
        inner = controls if depth < MOST_NESTED else {}
        rules += [f'{name}{level}: {rule.replace("BLOCK", below)}' for name, rule in inner.items()]
        rules.append(f'item{level}: {" | ".join(["call", *(f"{name}{level}" for name in inner)])}')
        rules.append(f'block{level}: item{level} ("\\n" item{level}){{0,{MOST_ITEMS - 1}}}')
    return rules


def _call_rule(tool: Tool | Intent, world: World, ways: Ways) -> str:
    parts = [_arg_rule(arg, ways.values(arg, world)) for arg in tool.args.values()]
    inside = ' ", " '.join(parts)
    return f'c_{tool.name}: "{tool.name}(" {inside} ")"' if inside else f'c_{tool.name}: "{tool.name}()"'


def _arg_rule(arg: Arg, values: tuple[str, ...]) -> str:
    if values:
        return f'({" | ".join(_quoted(value) for value in values)})'
    if arg.type == 'boolean':
        return '("true" | "false")'
    schema: dict[str, object] = {'type': arg.type, 'minimum': arg.low, 'maximum': arg.high}
    if arg.type == 'integer':
        schema = {'type': 'integer', 'minimum': math.ceil(arg.low), 'maximum': math.floor(arg.high)}
    elif arg.step:
        schema['multipleOf'] = arg.step
    return '%json ' + _json(schema)


def _condition_rule(tool: Tool, ways: Ways) -> str:
    returned = main_return(tool)
    assert returned is not None
    if returned.type in ('number', 'integer'):
        if ways.numbers is None:
            return f'c_{tool.name} OP NUMBER'
        said = [_quoted(_digits(number)) for number in sorted(ways.numbers)]
        return f'c_{tool.name} OP ({" | ".join(said)})' if said else ''
    if returned.type == 'boolean':
        return f'c_{tool.name} " == " ("true" | "false")'
    return f'c_{tool.name} (" == " | " != ") TEXT'


def _other_rules(world: World, ways: Ways) -> list[str]:
    rules = []
    if ways.ask:
        choices = [_quoted(word) for word in UNCLEAR]
        if named := things(world):
            rules.append(f'thing: {" | ".join(_quoted(name) for name in named)}')
            choices.append('thing (", " thing)+')
        rules.append(f'ask: "ask(" ({" | ".join(choices)}) ")"')
    if ways.cannot:
        rules.append('cannot: "cannot(\\"" REASON "\\")"')
    if ways.answer:
        asked = [f'"{name}(" of_{name} ")"' for name in ways.asked(world)]
        if looked_at := [place for place in places_with_contents(world) if ways.names is None or place in ways.names]:
            asked.append(f'"{CONTENTS}(" ({" | ".join(_quoted(place) for place in looked_at)}) ")"')
        asked += [_quoted(word) for word in ABOUT if ways.about or word != 'tools']
        rules.append(f'answer: "answer(" ({" | ".join(asked)}) ")"')
    return rules


def _terminals(world: World, ways: Ways) -> list[str]:
    lines = [
        'OP: " > " | " < " | " >= " | " <= " | " == "',
        'NUMBER: /-?[0-9]{1,5}(\\.[0-9]{1,3})?/',
        'COUNT: /[2-9]|1[0-9]|20/',
        "REASON: /[a-zA-Z0-9 ,:.'-]{1,60}/",
        'TEXT: /[a-zA-Z0-9_-]{1,32}/',
    ]
    for name, things_asked in ways.asked(world).items():
        lines.append(f'of_{name}: {" | ".join(_quoted(arg) for arg in things_asked)}')
        lines.append(f'is_{name}: {" | ".join(_quoted(value) for value in sorted(queries(world)[name][1]))}')
    return lines


def _digits(number: float) -> str:
    return written(float(f'{number:.9g}')).removesuffix('.0')


def _quoted(text: str) -> str:
    return f'"{text}"'


def _json(schema: dict[str, object]) -> str:
    parts = [f'"{key}": "{value}"' if isinstance(value, str) else f'"{key}": {value}' for key, value in schema.items()]
    return '{' + ', '.join(parts) + '}'
