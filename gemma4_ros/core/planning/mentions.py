# SPDX-License-Identifier: Apache-2.0
"""What the operator's words name: entities, numbers, negations and things that the world does not have.

Deterministic and lexical: it proposes nothing, it only holds the model's draft against the words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gemma4_ros.core.planning import english
from gemma4_ros.core.planning.numbers import Quantity, quantities
from gemma4_ros.core.planning.phrases import plain_forks
from gemma4_ros.core.tools import Intent, Tool, Toolset
from gemma4_ros.core.world import World

_WORD = re.compile(r"[a-z]+(?:'[a-z]+)?|[0-9]+(?:[.,][0-9]+)?|\.[0-9]+|[.;:!?,]")
_OWNS = re.compile(r"\b(?!(?:it|that|what|let|where|here|there|who|how|he|she)'s)([a-z]{2,})'s\b")
""""the pump's still running", "the tank's pressure"."""
_MINUS = re.compile(r'(?<![\w.,])[-−](?=\.?[0-9])')


@dataclass(frozen=True, slots=True)
class Mention:
    """Words ``start`` to ``end`` that may stand for one of ``ids``; ``is_exact``: they are a whole name of each."""

    start: int
    end: int
    ids: tuple[str, ...]
    is_exact: bool
    is_negated: bool
    is_plural: bool
    text: str


@dataclass(frozen=True, slots=True)
class Reading:
    """The operator's words, taken apart."""

    words: tuple[str, ...]
    mentions: tuple[Mention, ...]
    quantities: tuple[Quantity, ...]
    unknown: tuple[str, ...]
    known_share: float
    is_vague: bool = False
    """A noun phrase holds a word that nothing here knows, beside words that are known ("the
    skylight open"), or a command that names nothing else holds one ("how humid is it")."""

    @property
    def numbers(self) -> tuple[float, ...]:
        """Return the numbers as they were said."""
        return tuple(quantity.value for quantity in self.quantities)

    def named(self) -> frozenset[str]:
        """Return every id that the words may stand for."""
        return frozenset(item for mention in self.mentions for item in mention.ids)


SHORTEST_START = 5
"""Letters of a word that may stand for a longer one."""


class Lexicon:
    """The names of one world and toolset."""

    def __init__(self, world: World, toolset: Toolset) -> None:
        self._phrases: dict[tuple[str, ...], dict[str, None]] = {}
        self._heads: dict[str, dict[str, None]] = {}
        self._described: dict[str, dict[str, None]] = {}
        self._parts: dict[tuple[str, ...], dict[str, None]] = {}
        self._known: set[str] = set(english.FUNCTION_WORDS)
        for entity in world.entities.values():
            self._known |= set(_stems(entity.doc))
            if entity.group != 'robot':
                for name in (entity.id, *entity.words):
                    self._add(name, entity.id)
        tools: list[Tool | Intent] = [*toolset.tools.values(), *toolset.intents.values()]
        for tool in tools:
            for text in (tool.name, tool.doc, *tool.words, *tool.args):
                self._known |= set(_stems(text))
            for arg in tool.args.values():
                self._known |= {stem for value in arg.values for stem in _stems(value)}
                self._known |= set(_stems(arg.unit))
        for function in world.functions.values():
            self._known |= {stem for value in (function.name, *function.value) for stem in _stems(value)}
        self._known |= {stem for phrase in self._phrases for stem in phrase}
        self._longest = max((len(phrase) for phrase in self._phrases), default=1)

    def _add(self, name: str, entity_id: str) -> None:
        stems = _stems(name)
        if stems:
            self._phrases.setdefault(stems, {})[entity_id] = None
            for length in range(2, len(stems)):  # "main line" for "main line valve"
                self._parts.setdefault(stems[:length], {})[entity_id] = None
            if len(stems) > 1 and stems[-1].isalpha():
                self._heads.setdefault(stems[-1], {})[entity_id] = None
                self._described.setdefault(stems[0], {})[entity_id] = None

    @property
    def known(self) -> frozenset[str]:
        """Return the stems of every word that this robot's files or English function words hold."""
        return frozenset(self._known)

    def read(self, text: str) -> Reading:
        """Take the words apart."""
        words = plain_forks(tuple(_WORD.findall(_plain(text))))
        stems = tuple(stem(word) for word in words)
        numbers = quantities(words)
        mentions = self._mentions(words, stems, {i for number in numbers for i in range(number.start, number.end)})
        covered = {i for mention in mentions for i in range(mention.start, mention.end)}
        numbers = tuple(number for number in numbers if number.start not in covered)
        alphabetic = [stem_ for stem_ in stems if stem_[0].isalpha()]
        known = sum(1 for item in alphabetic if item in self._known)
        share = known / len(alphabetic) if alphabetic else 1.0
        unknown, is_vague = self._unknown(words, stems, mentions)
        return Reading(words, tuple(mentions), numbers, unknown, share, is_vague)

    def _mentions(self, words: tuple[str, ...], stems: tuple[str, ...], counted: set[int]) -> list[Mention]:
        negated = negated_words(words)
        found: list[Mention] = []
        index = 0
        while index < len(words):
            length, ids, is_exact = self._longest_at(stems, index)
            if not ids and words[index + 1 : index + 2] in (('one',), ('ones',)):
                length, ids, is_exact = 2, self._described.get(stems[index], {}), False  # "the red one"
            if not ids or (length == 1 and index in counted):
                index += 1
                continue
            end = index + length
            found.append(self._mention(words, stems, index, end, ids, is_exact, negated))
            index = end
        return _corrected(words, found)

    def _longest_at(self, stems: tuple[str, ...], index: int) -> tuple[int, dict[str, None], bool]:
        for length in range(min(self._longest, len(stems) - index), 0, -1):
            ids = self._phrases.get(stems[index : index + length])
            if ids:
                return length, ids, True
            ids = self._parts.get(stems[index : index + length])
            if ids:
                return length, ids, False
        return 1, self._heads.get(stems[index]) or self._related(stems[index]), False

    def _related(self, word: str) -> dict[str, None]:
        """Return what a word that is not known is the start of, if only one thing: "humid" of "humidity"."""
        if len(word) < SHORTEST_START or word in self._known:
            return {}
        found = {name: None for phrase, ids in self._phrases.items() for name in ids if phrase[0].startswith(word)}
        return found if len(found) == 1 else {}

    def _mention(
        self,
        words: tuple[str, ...],
        stems: tuple[str, ...],
        start: int,
        end: int,
        ids: Iterable[str],
        is_exact: bool,
        negated: frozenset[int],
    ) -> Mention:
        before = words[max(0, start - 3) : start]
        is_plural = words[end - 1] != stems[end - 1] or any(word in english.MANY for word in before)
        return Mention(start, end, tuple(ids), is_exact, start in negated, is_plural, ' '.join(words[start:end]))

    def _unknown(
        self, words: tuple[str, ...], stems: tuple[str, ...], mentions: list[Mention]
    ) -> tuple[tuple[str, ...], bool]:
        """Return the noun phrases that end in a word that nothing here knows; whether another holds such a word."""
        covered = {index for mention in mentions for index in range(mention.start, mention.end)}
        found: list[str] = []
        is_vague = False
        for index, word in enumerate(words):
            if word not in english.DETERMINERS or words[index - 1 : index] == ('for',):  # "for the log": a purpose
                continue
            end = index + 1
            while end < len(words) and end - index <= 4 and words[end].isalpha() and words[end] not in english.BREAKS:
                end += 1
            phrase = range(index + 1, end)
            if not phrase or any(i in covered for i in phrase):
                continue
            if stems[end - 1] in self._known or (word in ('a', 'an') and words[end : end + 1] == ('of',)):
                is_vague = is_vague or any(stems[i] not in self._known for i in phrase)
                continue
            found.append(' '.join(words[i] for i in phrase))
        inside = {i for i, word in enumerate(words) if i and words[i - 1] not in english.CLAUSES and word.isalpha()}
        strange = {i for i in inside - covered if stems[i] not in self._known and _base(words[i]) not in self._known}
        named = {word for phrase in found for word in phrase.split()}
        is_strange = not mentions and any(words[i] not in named and not _is_purpose(words, i) for i in strange)
        return tuple(found), is_vague or is_strange


def _is_purpose(words: tuple[str, ...], index: int) -> bool:
    """Say whether a word stands in "for the log"."""
    return 'for' in words[max(0, index - 3) : index]


def _base(word: str) -> str:
    """Return a verb without its ending."""
    return re.sub(r'(?:ing|ed|ly)$', '', word)


def stem(word: str) -> str:
    """Return the word without a plural s, lower case."""
    word = word.lower()
    if len(word) > 4 and word.endswith('ies'):
        return word[:-3] + 'y'
    if len(word) > 4 and word.endswith(('xes', 'ches', 'shes', 'sses')):
        return word[:-2]
    if len(word) > 3 and word.endswith('s') and not word.endswith(('ss', 'us', 'is')):
        return word[:-1]
    return word


def _plain(text: str) -> str:
    text = _OWNS.sub(r'\1', _MINUS.sub(' minus ', text.lower().replace('’', "'").replace('%', ' percent ')))
    return text.replace('_', ' ').replace('-', ' ').replace('’', "'")


def _stems(text: str) -> tuple[str, ...]:
    return tuple(stem(word) for word in _WORD.findall(_plain(text)) if word[0].isalnum())


def negated_words(words: tuple[str, ...]) -> frozenset[int]:
    """Return the places from a negation to the end of its clause."""
    result: set[int] = set()
    is_negated = False
    for index, word in enumerate(words):
        negates = _negates(words, index)
        if not negates and (word in english.CLAUSE_ENDS or (is_negated and _ends_leaving(words, index))):
            is_negated = False
        if negates:
            is_negated = True
        if is_negated:
            result.add(index)
    return frozenset(result)


def _negates(words: tuple[str, ...], index: int) -> bool:
    word, following = words[index], words[index + 1] if index + 1 < len(words) else ''
    if (word, following) in english.NEGATING_PHRASES:
        return True
    if word == 'no':
        return following.isalpha() and following not in english.FUNCTION_WORDS
    if word == 'leave':
        return _is_left_alone(words, index)
    if word not in english.NEGATIONS or following in english.NOT_NEGATING:
        return False
    rest = words[index + 1 :]
    end = next((i for i, item in enumerate(rest) if item in english.CLAUSE_ENDS), len(rest))
    return 'unless' not in rest[:end]  # "do not close it unless ..." is a condition


def _is_left_alone(words: tuple[str, ...], index: int) -> bool:
    """Say whether this is "leave X alone" or "leave X as it is"."""
    rest = ' '.join(words[index : index + 8]) + ' '
    return any(f' {end} ' in rest for end in ('alone', 'as it is', 'as is', 'as they are'))


def _ends_leaving(words: tuple[str, ...], index: int) -> bool:
    """Say whether the word before ended "leave X alone"."""
    before = words[:index]
    return (
        before[-1:] == ('alone',)
        or before[-2:] == ('as', 'is')
        or before[-3:] in (('as', 'it', 'is'), ('as', 'they', 'are'))
    )


def _corrected(words: tuple[str, ...], mentions: list[Mention]) -> list[Mention]:
    """Take back what is corrected: in "close A, no wait, not A, B" the first A is not meant either."""
    text = f' {" ".join(words)} '
    if not any(f' {phrase} ' in text for phrase in english.CORRECTIONS):
        return mentions
    withdrawn = {mention.ids: mention.start for mention in mentions if mention.is_negated}
    return [
        replace(mention, is_negated=True) if mention.start < withdrawn.get(mention.ids, -1) else mention
        for mention in mentions
    ]
