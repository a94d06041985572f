# SPDX-License-Identifier: Apache-2.0
"""Words of a transcript without case and punctuation, and the reflex words that need no planner."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

__all__ = ['STOP_PHRASES', 'is_stop', 'spoken_words']

STOP_PHRASES = ('stop', 'robot stop', 'halt', 'emergency stop')
"""What stops the robot when it is spoken, by default."""

_AROUND = frozenset(('please', 'now', 'robot', 'hey', 'just', 'immediately', 'the', 'okay', 'ok'))
_NOT_A_WORD = re.compile(r"[^a-z0-9' ]+")


def spoken_words(text: str) -> tuple[str, ...]:
    """Return the words of a transcript: lower case, without accents and punctuation."""
    plain = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode('ascii').lower()
    return tuple(word.strip("'") for word in _NOT_A_WORD.sub(' ', plain).split() if word.strip("'"))


def is_stop(text: str, phrases: Iterable[str] = STOP_PHRASES) -> bool:
    """
    Say whether an utterance is a stop word and nothing else.

    Repetitions and words of politeness or address do not count: "Stop! Stop!", "robot, please stop now".
    """
    left = [word for word in spoken_words(text) if word not in _AROUND]
    known = [wanted for wanted in (_without_address(phrase) for phrase in phrases) if wanted]
    if not left:
        return False
    while left:
        for wanted in known:
            if tuple(left[: len(wanted)]) == wanted:
                left = left[len(wanted) :]
                break
        else:
            return False
    return True


def _without_address(phrase: str) -> tuple[str, ...]:
    return tuple(word for word in spoken_words(phrase) if word not in _AROUND)
