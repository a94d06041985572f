# SPDX-License-Identifier: Apache-2.0
"""Take a command apart into orders, conditions and things at once, for a model that loses one of several.

Lexical, by the closed words of English and the phrases of the tools; where it is not certain there is no outline.
"""

from __future__ import annotations

from dataclasses import dataclass

from gemma4_ros.core.planning import english
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.mentions import Lexicon, Reading, negated_words
from gemma4_ros.core.planning.numbers import Quantity, quantities, unit_length

_ALWAYS = frozenset(('.', ';', '!', 'then', 'afterwards', 'afterward'))
_MAYBE = frozenset((',', 'and', ':'))
_FORKS = frozenset(('if', 'unless', 'when', 'provided', 'assuming'))
_ELSE = frozenset(('else', 'otherwise'))
_AFTER_FORK = frozenset((',', 'then', ':'))
_STOPS = frozenset(('.', ';', '!'))
_STATES = frozenset(('is', 'are', 'was', 'not', "isn't", "aren't", 'still', 'already', 'been', 'be', 'gets', 'got'))
_WHOLE = frozenset(('everything', 'anything', 'something', 'whatever'))
_ASKING = english.QUESTIONS - {'can', 'could', 'do'}
_EMPTY = english.POLITE | english.DETERMINERS | {',', 'one', 'last', 'all', 'thank', 'good', 'please', '?'}
MOST = 8


@dataclass(frozen=True, slots=True)
class Order:
    """Words that ask for one thing."""

    text: str


@dataclass(frozen=True, slots=True)
class Fork:
    """Orders under a condition; ``is_unless``: they are for when it does not hold."""

    condition: str
    is_unless: bool
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AtOnce:
    """Two lists of orders at the same time."""

    first: tuple[Node, ...]
    second: tuple[Node, ...]


Node = Order | Fork | AtOnce


class Outlines:
    """Outlines of commands in the words of one robot."""

    def __init__(self, clauses: Clauses, lexicon: Lexicon) -> None:
        self._clauses = clauses
        self._lexicon = lexicon

    def read(self, reading: Reading) -> tuple[Node, ...]:
        """
        Return what a command asks for in the order in which it is to be done; () where that is not certain.

        What it says not to do is left out: the checks hold the whole draft against it.
        """
        words = reading.words
        text = f' {" ".join(reading.words)} '
        if any(f' {phrase} ' in text for phrase in english.CORRECTIONS):
            return ()
        forks = [index for index, word in enumerate(words) if word in _FORKS]
        if len(forks) > 1 or 'until' in words or 'whenever' in words:
            return ()
        if set(_wanted(words)) & _WHOLE or (words[:1] and words[0] in _ASKING):
            return ()
        if forks:
            return self._fork(words, forks[0])
        if 'while' in words:
            return self._at_once(words, words.index('while'))
        if set(words) & (_ELSE | {'meanwhile', 'simultaneously'}):
            return ()
        return self._orders(words)

    # Conditions and things at once -----------------------------------------------------------------------------------
    def _fork(self, words: tuple[str, ...], at: int) -> tuple[Node, ...]:
        before = self._orders(words[:at])
        after = words[at + 1 :]
        end = self._condition_end(after)
        condition, rest = after[:end], _stripped(after[end:])
        other = next((index for index, word in enumerate(rest) if word in _ELSE), len(rest))
        then_words, other_words = _stripped(rest[:other]), _stripped(rest[other + 1 :])
        if not condition or (set(words) & _ELSE and not other_words):
            return ()
        later: tuple[str, ...] = ()
        if other_words:
            other_words, later = _sentence(other_words)
        else:
            then_words, later = _sentence(then_words)
        if then_words:
            then = self._orders(then_words)
        else:
            before, then = before[:-1], before[-1:]
        otherwise = self._orders(other_words) if other_words else ()
        following = self._orders(later) if later else ()
        if not then or (other_words and not otherwise) or (later and not following):
            return ()
        return (*before, Fork(' '.join(condition), words[at] == 'unless', then, otherwise), *following)

    def _condition_end(self, words: tuple[str, ...]) -> int:
        found = (i for i, word in enumerate(words) if word in _AFTER_FORK or word in _ELSE or word in _STOPS)
        end = next(found, len(words))
        said = quantities(words[:end])
        if said:
            after = self._after_quantity(words, said[0])
            return after if end - after > 1 and words[after] not in ('or', 'and') else end
        return self._next_order(words[:end])

    def _after_quantity(self, words: tuple[str, ...], said: Quantity) -> int:
        """Return where a compared number ends, with its unit and "in the mash tun" after it."""
        after = said.end + unit_length(words, said.end)
        if words[after : after + 1] and words[after] in ('in', 'at', 'of', 'inside', 'on'):
            mentions = self._lexicon.read(' '.join(words[after:])).mentions
            if mentions and mentions[0].start <= 2:
                return after + mentions[0].end
        return after

    def _next_order(self, words: tuple[str, ...]) -> int:
        """Return where an order starts after something that names a thing; the end where none does."""
        for index in range(2, len(words)):
            if words[index - 1] in _STATES or not self._clauses.starts(words[index:]):
                continue
            if self._lexicon.read(' '.join(words[:index])).mentions:
                return index
        return len(words)

    def _at_once(self, words: tuple[str, ...], at: int) -> tuple[Node, ...]:
        if at:
            first, second = words[:at], words[at + 1 :]
        else:
            inside = words[1:]
            end = inside.index(',') if ',' in inside else self._next_order(inside)
            first, second = inside[:end], inside[end:]
        one, two = self._orders(_stripped(first)), self._orders(_stripped(second))
        return (AtOnce(one, two),) if one and two else ()

    # Orders ----------------------------------------------------------------------------------------------------------
    def _orders(self, words: tuple[str, ...]) -> tuple[Node, ...]:
        words = _plain_order(_wanted(words))
        words = words[1:] if words[:1] == ('only',) else words
        reading = self._lexicon.read(' '.join(words))
        pieces: list[list[str]] = [[]]
        swap_at: list[int] = []
        for index, word in enumerate(words):
            if word in ('before', 'after'):
                if (word == 'before') == (not pieces[-1] and len(pieces) == 1):  # "before X, Y", "Y after X"
                    swap_at.append(len(pieces) - 1)
                pieces.append([])
            elif word in _ALWAYS or (word in _MAYBE and self._is_order(reading, index + 1)):
                if word == ':' and not self._says_something(self._lexicon.read(' '.join(pieces[-1]))):
                    pieces[-1] = []  # "get going:"
                pieces.append([])
            elif word not in _MAYBE or pieces[-1]:
                pieces[-1].append(word)
        orders = [' '.join(piece).strip(' ,:').removesuffix(' and').removesuffix(' but') for piece in pieces]
        orders = [order for order in orders if order]
        for at in swap_at:
            if at + 1 < len(orders):
                orders[at], orders[at + 1] = orders[at + 1], orders[at]
        said = [order for order in orders if self._says_something(self._lexicon.read(order))]
        lost = [order for order in orders if order not in said and not set(order.split()) <= _EMPTY]
        return tuple(Order(order) for order in said) if len(said) <= MOST and not lost else ()

    def _is_order(self, reading: Reading, start: int) -> bool:
        """Say whether what follows is an order of its own: it holds words of a tool, or "THING to PLACE"."""
        words = reading.words
        end = next((i for i in range(start, len(words)) if words[i] in english.CLAUSES), len(words))
        if any(clause.start == start and clause.spoken for clause in self._clauses.read(reading)):
            return True
        if any(mention.start == start and mention.end == end for mention in reading.mentions):
            return words[start - 1] == ','  # "undock, valve station, ready the arm"
        inside = [mention for mention in reading.mentions if start <= mention.start < end]
        return len(inside) >= 2 and 'to' in words[start:end] and 'to' in words[:start]

    def _says_something(self, reading: Reading) -> bool:
        """Tell an order from a lead-in ("get going", "please swap these")."""
        has_pronoun = bool({'it', 'them', 'that'} & set(reading.words))
        return has_pronoun or bool(reading.mentions) or any(clause.tools for clause in self._clauses.read(reading))


def _wanted(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words without what is not to be done: "but do not ..."."""
    negated = negated_words(words)
    starts = {index for index in negated if index - 1 not in negated}
    left_out = negated | {index - 1 for index in starts if index and words[index - 1] in ('do', 'and', 'but', 'should')}
    kept = tuple(word for index, word in enumerate(words) if index not in left_out)
    while kept and kept[-1] in ('do', 'and', 'but', ','):
        kept = kept[:-1]
    return kept


def _plain_order(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words with "then" for "after that"."""
    text = f' {" ".join(words)} '
    for phrase in ('and after that', 'after that', 'and after this', 'after this', 'afterwards', 'after which'):
        text = text.replace(f' {phrase} ', ' then ')
    return tuple(text.split())


def _stripped(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return the words without what only joins them."""
    start, end = 0, len(words)
    while start < end and (words[start] in _AFTER_FORK or words[start] in _STOPS):
        start += 1
    while end > start and words[end - 1] in {*_AFTER_FORK, *_STOPS, 'and', 'or', 'but'}:
        end -= 1
    return words[start:end]


def _sentence(words: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the first sentence and the rest."""
    end = next((index for index, word in enumerate(words) if word in _STOPS), len(words))
    return _stripped(words[:end]), _stripped(words[end:])
