# SPDX-License-Identifier: Apache-2.0
"""Facts of the symbolic world: functions with one value, and patterns over them.

The state-variable representation of classical planning (Backstrom and Nebel, "Complexity results for SAS+ planning",
1995): a fact ``at(red_toolbox, storage)`` says that the variable ``at(red_toolbox)`` has the value ``storage``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gemma4_ros.core.errors import ConfigError

_TOKEN = re.compile(r'\s*([A-Za-z_][A-Za-z0-9_]*|\$[a-z_][a-z0-9_]*|[(),])')
Variable = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, order=True)
class Fact:
    """``name(args) = value``, written ``name(args, value)``."""

    name: str
    args: tuple[str, ...]
    value: str

    @property
    def variable(self) -> Variable:
        """Return the state variable."""
        return (self.name, self.args)

    def __str__(self) -> str:
        return f'{self.name}({", ".join((*self.args, self.value))})'


class State(Mapping[Variable, str]):
    """An immutable assignment of state variables; hashable, so that a search can keep a set of them."""

    __slots__ = ('_hash', '_values')

    def __init__(self, values: Mapping[Variable, str]) -> None:
        self._values = dict(values)
        self._hash: int | None = None

    @classmethod
    def of(cls, facts: Iterable[Fact]) -> State:
        """Build a state from facts; a later fact about the same variable wins."""
        return cls({fact.variable: fact.value for fact in facts})

    def __getitem__(self, key: Variable) -> str:
        return self._values[key]

    def __iter__(self):  # type: ignore[no-untyped-def]  # Mapping's own signature
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self._values.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, State) and self._values == other._values

    def holds(self, fact: Fact) -> bool:
        """Say whether the fact is known and true."""
        return self._values.get(fact.variable) == fact.value

    def with_facts(self, facts: Iterable[Fact]) -> State:
        """Return the state after the facts came true."""
        values = dict(self._values)
        values.update({fact.variable: fact.value for fact in facts})
        return State(values)

    def facts(self) -> tuple[Fact, ...]:
        """Return every fact, sorted."""
        return tuple(sorted(Fact(name, args, value) for (name, args), value in self._values.items()))


@dataclass(frozen=True, slots=True)
class Term:
    """A constant, an argument (``$object``) or the value of a function (``at($object)``)."""

    head: str
    args: tuple[Term, ...] | None = None

    @property
    def is_argument(self) -> bool:
        """Say whether the term is an argument of the tool."""
        return self.head.startswith('$')

    def arguments(self) -> frozenset[str]:
        """Return the names of the arguments in it, without ``$``."""
        own = frozenset({self.head[1:]}) if self.is_argument else frozenset()
        return own.union(*(arg.arguments() for arg in self.args or ()))

    def __str__(self) -> str:
        return self.head if self.args is None else f'{self.head}({", ".join(map(str, self.args))})'


@dataclass(frozen=True, slots=True)
class Pattern:
    """A fact with terms, as in a tool's needs and gives."""

    name: str
    args: tuple[Term, ...]
    value: Term

    def __str__(self) -> str:
        return f'{self.name}({", ".join(str(term) for term in (*self.args, self.value))})'

    def arguments(self) -> frozenset[str]:
        """Return the names of the arguments in it, without ``$``."""
        return self.value.arguments().union(*(arg.arguments() for arg in self.args))


def parse_pattern(text: str) -> Pattern:
    """Parse ``at(robot, at($object))``; raise ConfigError that shows what is wrong."""
    tokens = _tokens(text)
    term, rest = _term(tokens, 0, text)
    if rest != len(tokens) or term.args is None or len(term.args) < 1:
        raise ConfigError(f'{text!r} is not a fact; write name(argument, ..., value)')
    return Pattern(term.head, term.args[:-1], term.args[-1])


def parse_fact(text: str) -> Fact:
    """Parse a fact without arguments or nested terms."""
    pattern = parse_pattern(text)
    terms = (*pattern.args, pattern.value)
    if any(term.is_argument or term.args is not None for term in terms):
        raise ConfigError(f'{text!r} is not a plain fact; write names only')
    return Fact(pattern.name, tuple(term.head for term in pattern.args), pattern.value.head)


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ConfigError(f'{text!r} is not a fact: unexpected {text[position : position + 8]!r}')
        tokens.append(match[1])
        position = match.end()
    return tokens


def _term(tokens: list[str], index: int, text: str) -> tuple[Term, int]:
    if index >= len(tokens) or tokens[index] in '(),':
        raise ConfigError(f'{text!r} is not a fact: a name is missing')
    head = tokens[index]
    index += 1
    if index >= len(tokens) or tokens[index] != '(':
        return Term(head), index
    args: list[Term] = []
    index += 1
    while index < len(tokens) and tokens[index] != ')':
        arg, index = _term(tokens, index, text)
        args.append(arg)
        if index < len(tokens) and tokens[index] == ',':
            index += 1
    if index >= len(tokens):
        raise ConfigError(f'{text!r} is not a fact: a bracket is not closed (in a [list], put each fact in quotes)')
    return Term(head, tuple(args)), index + 1
