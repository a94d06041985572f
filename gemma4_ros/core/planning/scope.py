# SPDX-License-Identifier: Apache-2.0
"""What a command leaves to choose: the names, numbers, forms and calls that its draft may be written with."""

from __future__ import annotations

from gemma4_ros.core.facts import State
from gemma4_ros.core.planning import coverage, english, surface
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.completion import is_past
from gemma4_ros.core.planning.hint import units_of
from gemma4_ros.core.planning.mentions import Lexicon, Reading
from gemma4_ros.core.planning.replies import MAX_CHOICES
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import Intent, Tool

_OF_ITSELF = frozenset(('you', 'help', 'jobs', 'tasks'))
_POINTING = frozenset(('it', 'them', 'this', 'that', 'thing', 'stuff'))


class Scope:
    """Reads it off the words, for one world and toolset."""

    def __init__(self, symbolic: Symbolic, lexicon: Lexicon, clauses: Clauses) -> None:
        self._symbolic = symbolic
        self._lexicon = lexicon
        self._clauses = clauses
        self._world = symbolic.world
        self._items: dict[str, Tool | Intent] = {**symbolic.toolset.intents, **symbolic.toolset.tools}
        self._instruments = coverage.instruments(symbolic.toolset)
        self._units = units_of(symbolic.toolset, symbolic.world)

    def ways(self, text: str, reading: Reading, state: State) -> surface.Ways:
        """Return what may be written: names, numbers, conditions and repetition if the command speaks of such."""
        words = set(reading.words)
        spoken = {name for clause in self._clauses.read(reading) for name in clause.spoken}
        past = {t.name for t in self._symbolic.toolset.tools.values() if is_past(self._symbolic, t, state)}
        return surface.Ways(
            answer=asks(text),
            without=frozenset(past - spoken),
            branch=bool(words & english.CONDITIONS),
            loop=bool(words & english.COUNTS or any(2 <= number <= 20 for number in reading.numbers)),
            both=bool(words & english.TOGETHER),
            numbers_compared=bool(words & english.COMPARED and reading.quantities),
            about=bool(words & _OF_ITSELF),
            names=coverage.spoken_of(reading, self._world, state, self._instruments),
            values_said=self._clauses.values_said(reading),
            quantities=reading.quantities,
            numbers=frozenset(value for quantity in reading.quantities for value in quantity.values(self._units)),
        )

    def evident(self, reading: Reading, ways: surface.Ways) -> frozenset[str] | None:
        """Return the calls whose words are said, where every clause says some; None where one does not."""
        found: set[str] = set()
        for clause in self._clauses.read(reading, self._lexicon.known):
            fit = {name for name in clause.tools or clause.spoken if ways.offers(self._items[name], self._world)}
            has_names = any(clause.start <= mention.start < clause.end for mention in reading.mentions)
            if not fit and (has_names or clause.spoken or clause.partly or clause.unknown_verb):
                return None
            found |= fit
        if ways.branch:
            found |= {tool.name for tool in surface.readings(self._symbolic.toolset)}
        return frozenset(found) or None

    def lacking(self, text: str, reading: Reading, state: State) -> tuple[str, ...]:
        """Return what a call could take where the command asks for the call and names nothing that it takes."""
        ways = self.ways(text, reading, state)
        if ways.names is None:
            return ()
        for clause in self._clauses.read(reading):
            if any(ways.offers(self._items[name], self._world) for name in clause.spoken):
                continue
            for arg in (arg for name in clause.spoken for arg in self._items[name].args.values()):
                if arg.type == 'enum' and not ways.values(arg, self._world):
                    return arg.values[:MAX_CHOICES]
        return ()

    def is_clear(self, text: str, reading: Reading, state: State) -> bool:
        """Say whether the words tell what to do with what: a question back would only annoy."""
        ways = self.ways(text, reading, state)
        spoken = [clause.spoken for clause in self._clauses.read(reading) if clause.spoken]
        return (
            bool(spoken and reading.mentions)
            and all(any(ways.offers(self._items[name], self._world) for name in names) for names in spoken)
            and not coverage.ambiguous(reading, self._world, state)
            and not _POINTING & set(reading.words)
        )


def asks_first(reading: Reading) -> bool:
    """Say whether the command starts as a question does: "is", "where", not "can you"."""
    return bool(reading.words) and reading.words[0] in english.QUESTIONS - {'can', 'could', 'do', 'what'}


def asks(text: str) -> bool:
    """Say whether the command may be a question: by its mark or a word that asks."""
    words = set(text.lower().replace("'", ' ').replace(',', ' ').split())
    return '?' in text or bool(words & (english.QUESTIONS | {'tell', 'show', 'say', 'list', 'know', 'report', 'help'}))
