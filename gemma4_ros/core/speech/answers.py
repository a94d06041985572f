# SPDX-License-Identifier: Apache-2.0
"""Is a transcript a yes, a no, or something else? Only an unambiguous yes counts as one."""

from __future__ import annotations

from enum import Enum

from gemma4_ros.core.speech.words import is_stop, spoken_words

__all__ = ['Answer', 'classify_answer']


class Answer(Enum):
    """What an operator answered to "please confirm"."""

    CONFIRM = 'confirm'
    CANCEL = 'cancel'
    OTHER = 'other'


_CONFIRM = frozenset(('confirm', 'confirmed', 'yes', 'yeah', 'affirmative', 'proceed', 'approved', 'approve'))
_CANCEL = frozenset(
    ('cancel', 'cancelled', 'canceled', 'no', 'nope', 'abort', 'negative', 'never', "don't", 'dont', 'deny', 'denied')
)
# Words that may stand beside an answer without changing it.
_BESIDE = frozenset(
    ('please', 'i', 'it', 'that', 'this', 'do', 'go', 'ahead', 'robot', 'thanks', 'thank', 'you', 'sir')
)
_ALONE = frozenset((('go', 'ahead'), ('do', 'it'), ('please', 'do')))
_LONGEST = 6


def classify_answer(text: str) -> Answer:
    """
    Classify the answer to a read-back.

    A confirmation is a few words, at least one of which confirms, none of which denies, asks or says more: "yes",
    "I confirm", "yes, go ahead". Anything with a denial in its first words and a stop word cancel: "no", "cancel that",
    "no, the other box". All the rest is OTHER: a new command, a question, a half-heard word.

    Parameters
    ----------
    text : str
        The transcript or the typed text.

    """
    words = spoken_words(text)
    if not words:
        return Answer.OTHER
    if is_stop(text) or any(word in _CANCEL for word in words[:2]):
        return Answer.CANCEL
    if len(words) > _LONGEST or '?' in text:
        return Answer.OTHER
    if words in _ALONE:
        return Answer.CONFIRM
    confirming = [word for word in words if word in _CONFIRM]
    if confirming and all(word in _CONFIRM or word in _BESIDE for word in words):
        return Answer.CONFIRM
    return Answer.OTHER
