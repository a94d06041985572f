# SPDX-License-Identifier: Apache-2.0
"""Take a command apart into orders that can be drafted one by one, for a model that loses one of several."""

from __future__ import annotations

from gemma4_ros.core.planning import english
from gemma4_ros.core.planning.clauses import Clauses
from gemma4_ros.core.planning.mentions import Lexicon, Reading

_ALWAYS = frozenset(('.', ';', '!', 'then', 'afterwards', 'afterward'))
_MAYBE = frozenset((',', 'and', ':'))
MOST = 8


def parts(reading: Reading, clauses: Clauses, lexicon: Lexicon) -> tuple[str, ...]:
    """
    Return the orders in the order in which they are to be done; () where they cannot be told apart with certainty.

    Conditions, negations and things at once are left to the model: they bind more than one order.
    """
    words = reading.words
    if set(words) & (english.CONDITIONS | english.TOGETHER | english.COUNTS):
        return ()
    if any(mention.is_negated for mention in reading.mentions) or set(words) & english.NEGATIONS:
        return ()
    pieces: list[list[str]] = [[]]
    swap_at: list[int] = []
    for index, word in enumerate(words):
        if word in ('before', 'after'):
            if (word == 'before') == (
                not pieces[-1] and len(pieces) == 1
            ):  # "before X, Y" and "Y after X": Y comes second
                swap_at.append(len(pieces) - 1)
            pieces.append([])
        elif word in _ALWAYS or (word in _MAYBE and _is_order(reading, index + 1, clauses)):
            pieces.append([])
        elif word not in _MAYBE or pieces[-1]:
            pieces[-1].append(word)
    orders = [' '.join(piece).strip(' ,:').removesuffix(' and') for piece in pieces]
    orders = [order for order in orders if order]
    for at in swap_at:
        if at + 1 < len(orders):
            orders[at], orders[at + 1] = orders[at + 1], orders[at]
    orders = [order for order in orders if _says_something(lexicon.read(order), clauses)]
    return tuple(orders) if 1 < len(orders) <= MOST else ()


def _is_order(reading: Reading, start: int, clauses: Clauses) -> bool:
    """Say whether what follows is an order of its own: it holds words of a tool, or "THING to PLACE"."""
    end = next((i for i in range(start, len(reading.words)) if reading.words[i] in english.CLAUSES), len(reading.words))
    if any(clause.start == start and clause.spoken for clause in clauses.read(reading)):
        return True
    if any(mention.start == start and mention.end == end for mention in reading.mentions):
        return reading.words[start - 1] == ','  # "undock, valve station, ready the arm"
    inside = [mention for mention in reading.mentions if start <= mention.start < end]
    return len(inside) >= 2 and 'to' in reading.words[start:end] and 'to' in reading.words[:start]


def _says_something(reading: Reading, clauses: Clauses) -> bool:
    """Tell an order from a lead-in ("get going", "please swap these")."""
    has_pronoun = bool({'it', 'them', 'that'} & set(reading.words))
    return has_pronoun or bool(reading.mentions) or any(clause.tools for clause in clauses.read(reading))
