# SPDX-License-Identifier: Apache-2.0
"""The parser of the surface: the model's text becomes a draft, or an error that names the line and what is wrong.

It takes what the grammar lets through and little more (spaces, empty lines, ``!=``), so that text which no grammar has
bound, of another engine or a person, means the same or is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Never

from gemma4_ros.core.errors import DraftError
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.plan import Scalar
from gemma4_ros.core.planning import vocabulary
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, Op, Together, written
from gemma4_ros.core.tools import Arg, Intent, Tool, Toolset
from gemma4_ros.core.world import World

# Blocks in each other: a plan's canonical bytes nest 16 brackets; the plan, a step and its arguments take three.
MAX_BLOCKS = 13
_OPS: tuple[Op, ...] = ('<=', '>=', '==', '!=', '<', '>')
_CALL = re.compile(r'([a-z][a-z0-9_]*)\((.*?)\)')
_CANNOT = re.compile(r'cannot\("([^"\n]*)"\)')
_TALK = re.compile(r'(ask|answer)\((.*)\)')
_INTEGER = re.compile(r'-?[0-9]{1,16}')
_NUMBER = re.compile(r'-?[0-9]+(\.[0-9]+)?')
_TEXT = re.compile(r'[a-zA-Z0-9_-]{1,32}')
_TRUTHS = {'true': True, 'false': False}


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
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise DraftError('the model wrote nothing')
    talk = _TALK.fullmatch(lines[0])
    if talk is not None and len(lines) == 1:
        return _ask(talk[2], world) if talk[1] == 'ask' else _answer(talk[2], world)
    return Draft('do', _Blocks(lines, toolset, world).whole())


def _ask(inside: str, world: World) -> Draft:
    choices = tuple(part.strip() for part in inside.split(','))
    known = vocabulary.things(world)
    for choice in choices:
        if choice not in known and choices != (choice,):
            _refuse(0, f'ask: unknown {choice[:40]!r}{suggest(choice, known)}')
    if len(choices) == 1 and choices[0] not in vocabulary.UNCLEAR:
        _refuse(0, f'ask takes one of {", ".join(vocabulary.UNCLEAR)}, or two things or more; got {inside[:40]!r}')
    return Draft('ask', text=inside, choices=choices)


def _answer(inside: str, world: World) -> Draft:
    query = inside.strip()
    if query in vocabulary.ABOUT:
        return Draft('answer', text=query)
    known = {name: of for name, (of, _) in vocabulary.queries(world).items()}
    if places := vocabulary.places_with_contents(world):
        known[vocabulary.CONTENTS] = frozenset(places)
    call = _CALL.fullmatch(query)
    if call is None or call[1] not in known:
        _refuse(
            0, f'answer({query[:40]}): write one of {", ".join((*vocabulary.ABOUT, *(f"{n}(...)" for n in known)))}'
        )
    return Draft('answer', text=f'{call[1]}({_subject(0, call[1], call[2], known[call[1]])})')


def _subject(index: int, name: str, text: str, known: frozenset[str]) -> str:
    subject = text.strip()
    if subject not in known:
        _refuse(index, f'{name}: unknown {subject[:40]!r}{suggest(subject, sorted(known))}')
    return subject


def _refuse(index: int, what: str) -> Never:
    raise DraftError(f'line {index + 1}: {what}')


class _Blocks:
    """The lines of one draft."""

    def __init__(self, lines: list[str], toolset: Toolset, world: World) -> None:
        self._lines, self._toolset = lines, toolset
        self._queries = {k: v for k, v in vocabulary.queries(world).items() if k not in toolset.tools}
        self._readings = tuple(tool.name for tool in vocabulary.readings(toolset))

    def whole(self) -> tuple[Item, ...]:
        """Read every line."""
        items, rest = self._block(0, 0)
        if rest != len(self._lines):
            _refuse(rest, f'{self._lines[rest][:60]!r} closes nothing')
        return items

    # Blocks ----------------------------------------------------------------------------------------------------------
    def _block(self, index: int, depth: int) -> tuple[tuple[Item, ...], int]:
        if depth > MAX_BLOCKS:
            _refuse(index - 1, f'blocks stand deeper than {MAX_BLOCKS} in each other; nest less')
        items: list[Item] = []
        while index < len(self._lines) and not self._lines[index].startswith('}'):
            item, index = self._item(index, depth + 1)
            items.append(item)
        if not items:
            _refuse(index, 'an empty block')
        return tuple(items), index

    def _item(self, index: int, depth: int) -> tuple[Item, int]:
        line = self._lines[index]
        if line.startswith('if ') and line.endswith('{'):
            return self._branch(index, depth)
        if line.startswith('repeat ') and line.endswith('{'):
            return self._loop(index, depth)
        if line == 'both {':
            first, index = self._block(index + 1, depth)
            second, index = self._block(self._closing(index, '} and {') + 1, depth)
            return Together((first, second)), self._closing(index, '}') + 1
        return self._call(line, index), index + 1

    def _loop(self, index: int, depth: int) -> tuple[Item, int]:
        times = self._lines[index].removeprefix('repeat ').removesuffix('{').strip()
        if not re.fullmatch('[0-9]{1,2}', times) or not 1 <= int(times) <= vocabulary.MAX_REPEAT:
            _refuse(index, f'repeat takes 1 to {vocabulary.MAX_REPEAT} times, got {times[:12]!r}')
        body, index = self._block(index + 1, depth)
        return Loop(int(times), body), self._closing(index, '}') + 1

    def _closing(self, index: int, wanted: str) -> int:
        if index >= len(self._lines) or self._lines[index] != wanted:
            _refuse(index, f'{wanted!r} is missing')
        return index

    def _branch(self, index: int, depth: int) -> tuple[Item, int]:
        head = self._lines[index].removeprefix('if ').removesuffix('{').strip()
        reading, field, op, value, unit = self._condition(head, index)
        then, after = self._block(index + 1, depth)
        otherwise: tuple[Item, ...] = ()
        if after < len(self._lines) and self._lines[after] == '} else {':
            otherwise, after = self._block(after + 1, depth)
        return Branch(reading, field, op, value, unit, then, otherwise), self._closing(after, '}') + 1

    # Conditions ------------------------------------------------------------------------------------------------------
    def _condition(self, head: str, index: int) -> tuple[Call, str, Op, Scalar, str]:
        for op in _OPS:
            left, found, right = head.partition(f' {op} ')
            if found:
                return self._compared(left.strip(), op, right.strip(), index)
        _refuse(index, f'{head[:60]!r} is no condition')

    def _compared(self, left: str, op: Op, right: str, index: int) -> tuple[Call, str, Op, Scalar, str]:
        query = _CALL.fullmatch(left)
        if query is not None and query[1] in self._queries:
            name, (of, values) = query[1], self._queries[query[1]]
            subject = _subject(index, name, query[2], of)
            if right not in values:
                _refuse(index, f'{name}: unknown {right[:40]!r}{suggest(right, sorted(values))}')
            return Call(name, {'of': subject}), '', _equality(op, left, index), right, ''
        reading = self._call(left, index)
        tool = self._toolset.tools.get(reading.name)
        returned = vocabulary.main_return(tool) if tool is not None else None
        if returned is None:
            _refuse(index, f'{reading.name} returns nothing to compare')
        if reading.name not in self._readings:
            _refuse(index, f'{reading.name} does more than read; a condition looks at {", ".join(self._readings)}')
        value: Scalar = right
        if returned.type in ('number', 'integer'):
            return reading, returned.name, op, _number(right, index), returned.unit
        if returned.type == 'boolean':
            value = _truth(right, index)
        elif not _TEXT.fullmatch(right):
            _refuse(index, f'{right[:40]!r} is no text of letters, digits, _ and -, at most 32')
        return reading, returned.name, _equality(op, left, index), value, returned.unit

    # Calls -----------------------------------------------------------------------------------------------------------
    def _call(self, line: str, index: int) -> Call:
        match = _CALL.fullmatch(line)
        tool: Tool | Intent | None = None
        if match is not None:
            tool = self._toolset.intents.get(match[1]) or self._toolset.tools.get(match[1])
        if match is None or tool is None:
            alone = ', and stands alone' if line.startswith(('ask(', 'answer(', 'cannot(')) else ''
            _refuse(index, f'{line[:60]!r} is no call of a known tool{alone}')
        values = [part.strip() for part in match[2].split(',')] if match[2].strip() else []
        if len(values) != len(tool.args):
            _refuse(index, f'{tool.name} takes {len(tool.args)} arguments, got {len(values)}')
        pairs = zip(tool.args.values(), values, strict=True)
        return Call(tool.name, {arg.name: _value(arg, text, index) for arg, text in pairs})


def _equality(op: Op, left: str, index: int) -> Op:
    if op not in ('==', '!='):
        _refuse(index, f'{left[:40]} is no number: compare it with ==, not {op}')
    return op


def _value(arg: Arg, text: str, index: int) -> Scalar:
    if arg.type == 'enum':
        if text not in arg.values:
            _refuse(index, f'{arg.name}: unknown {text[:40]!r}')
        return text
    if arg.type == 'boolean':
        return _truth(text, index)
    if arg.type == 'integer':
        if not _INTEGER.fullmatch(text):
            _refuse(index, f'{arg.name}: {text[:20]!r} is no whole number; write digits only')
        return int(text)
    number = _number(text, index)
    return round(round(number / arg.step) * arg.step, 9) if arg.step else number


def _truth(text: str, index: int) -> bool:
    if text not in _TRUTHS:
        _refuse(index, f'{text[:20]!r} is neither true nor false')
    return _TRUTHS[text]


def _number(text: str, index: int) -> float:
    number = float(text) + 0.0 if _NUMBER.fullmatch(text) else math.nan  # + 0.0: without the sign of -0
    if not math.isfinite(number):
        _refuse(index, f'{text[:20]!r} is no number')
    return number


def write(items: Iterable[Item]) -> str:
    """Write items as the model would; the inverse of `parse`."""
    lines: list[str] = []
    for item in items:
        match item:
            case Call():
                lines.append(str(item))
            case Branch():
                lines += [f'if {item.reading} {item.op} {written(item.value)} {{', write(item.then)]
                lines += ['} else {', write(item.otherwise)] if item.otherwise else []
                lines.append('}')
            case Loop():
                lines += [f'repeat {item.times} {{', write(item.body), '}']
            case Together():
                lines += ['both {', write(item.branches[0]), '} and {', write(item.branches[1]), '}']
    return '\n'.join(lines)
