# SPDX-License-Identifier: Apache-2.0
"""The draft: what the model says, before anything has made it executable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gemma4_ros.core.plan import Scalar

Op = Literal['<', '<=', '>', '>=', '==', '!=']


@dataclass(frozen=True, slots=True)
class Call:
    """A tool or an intent with its arguments."""

    name: str
    args: Mapping[str, Scalar]

    def __str__(self) -> str:
        return f'{self.name}({", ".join(str(value) for value in self.args.values())})'


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


def calls(items: tuple[Item, ...]) -> tuple[Call, ...]:
    """Return every call in reading order."""
    result: list[Call] = []
    for item in items:
        match item:
            case Call():
                result.append(item)
            case Branch():
                result += [item.reading, *calls(item.then), *calls(item.otherwise)]
            case Loop():
                result += calls(item.body)
            case Together():
                for branch in item.branches:
                    result += calls(branch)
    return tuple(result)
