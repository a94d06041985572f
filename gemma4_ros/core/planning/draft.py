# SPDX-License-Identifier: Apache-2.0
"""The draft: what the model says, before anything has made it executable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from gemma4_ros.core.plan import Scalar

Op = Literal['<', '<=', '>', '>=', '==', '!=']


def written(value: Scalar) -> str:
    """Write a value as the surface does: ``true`` and ``false``, numbers without an exponent."""
    if isinstance(value, bool):
        return 'true' if value else 'false'
    return format(Decimal(repr(value)), 'f') if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool or an intent with its arguments."""

    name: str
    args: Mapping[str, Scalar]

    def __str__(self) -> str:
        return f'{self.name}({", ".join(written(value) for value in self.args.values())})'


@dataclass(frozen=True, slots=True)
class Branch:
    """``if`` a reading compares so: the reading is a call of its own, made just before."""

    reading: Call
    field: str
    op: Op
    value: Scalar
    unit: str
    then: tuple[Item, ...]
    otherwise: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Loop:
    """The same things several times."""

    times: int
    body: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Together:
    """Branches at once."""

    branches: tuple[tuple[Item, ...], ...]


Item = Call | Branch | Loop | Together


@dataclass(frozen=True, slots=True)
class Draft:
    """One of: things to do, an answer, a question, a refusal. ``text`` belongs to the last three."""

    kind: Literal['do', 'answer', 'ask', 'cannot']
    items: tuple[Item, ...] = ()
    text: str = ''
    choices: tuple[str, ...] = ()


def parts(item: Item) -> tuple[tuple[Item, ...], ...]:
    """Return the blocks that stand in an item, in reading order."""
    match item:
        case Call():
            return ()
        case Branch():
            return (item.then, item.otherwise)
        case Loop():
            return (item.body,)
        case Together():
            return item.branches


def walk(items: tuple[Item, ...]) -> Iterator[Item]:
    """Yield every item and those in it, in reading order; a branch before its blocks, its reading not by itself."""
    for item in items:
        yield item
        for block in parts(item):
            yield from walk(block)


def calls(items: tuple[Item, ...]) -> tuple[Call, ...]:
    """Return every call in reading order, readings too."""
    found = [item.reading if isinstance(item, Branch) else item for item in walk(items)]
    return tuple(item for item in found if isinstance(item, Call))
