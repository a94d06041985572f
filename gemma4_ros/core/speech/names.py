# SPDX-License-Identifier: Apache-2.0
"""Half-heard names: texts in which a few words are replaced by a name that sounds alike, for the recogniser to compare.

Nothing is replaced here. The recogniser scores each text against the sound and keeps its own unless another fits too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from gemma4_ros.core.speech.words import spoken_words
from gemma4_ros.core.tools import Toolset
from gemma4_ros.core.world import World

__all__ = ['Lexicon', 'Reading', 'lexicon', 'readings']

_ALIKE = 0.5
_MOST = 12
# Words of commands that are no sign of a name half heard.
_PLAIN_TEXT = """
    a an the to of in on at and then it is are be from with for what where how does do which that this there
    here please now robot if when until while not no yes before after wait above below than more less one two
    three four five six seven eight nine ten bar percent bring take get put down up go drive open close read
    fetch carry move set tell me show back out off over under
"""
# Words that tell things apart: a green toolbox is never the red one.
_CONTRAST_TEXT = """
    red green blue yellow white black grey gray orange brown left right first second third last next other
    another new old big small large little upper lower top bottom front rear north south east west full empty
    hot cold wrong
"""
_PLAIN = frozenset((_PLAIN_TEXT + _CONTRAST_TEXT).split())


@dataclass(frozen=True, slots=True)
class Lexicon:
    """
    What may be spoken here.

    Attributes
    ----------
    names : tuple of tuple of str
        Names of the world, each as its words, and "cancel"; never a word that confirms.
    known : frozenset of str
        Words that are no sign of a name half heard.

    """

    names: tuple[tuple[str, ...], ...]
    known: frozenset[str]


@dataclass(frozen=True, slots=True)
class Reading:
    """
    Another reading of a transcript.

    Attributes
    ----------
    text : str
        The whole transcript with a name in it.
    likeness : float
        0..1, of the letters of what was heard and of the name.

    """

    text: str
    likeness: float


def lexicon(world: World, tools: Toolset | None = None) -> Lexicon:
    """Collect the names of a world, and the words of its tools."""
    entities = [entity for entity in world.entities.values() if entity.group != 'robot']
    spoken = [spoken_words(entity.id.replace('_', ' ')) for entity in entities]
    also = [spoken_words(word) for entity in entities for word in entity.words]
    # single everyday words ("home", "sample") are known, but nothing is turned into them
    names = dict.fromkeys([*(name for name in spoken if name), *(name for name in also if len(name) > 1), ('cancel',)])
    verbs: list[Sequence[str]] = []
    if tools is not None:
        verbs += [tool.words for tool in tools.tools.values()]
        verbs += [intent.words for intent in tools.intents.values()]
    words = [word for phrase in (*spoken, *also) for word in phrase]
    words += [word for phrases in verbs for phrase in phrases for word in spoken_words(phrase)]
    return Lexicon(tuple(names), _PLAIN | frozenset(words))


def readings(text: str, known: Lexicon) -> tuple[Reading, ...]:
    """
    Return other readings of a transcript, the most alike first; without the transcript itself.

    Only where a word is none of the known ones may a name stand instead, if it is as long to within a word and at least
    half of its letters agree. A word that was understood stays.
    """
    words = spoken_words(text)
    found: dict[str, Reading] = {}
    for begin, end in _windows(words, known):
        heard = words[begin:end]
        for name in known.names:
            likeness = _likeness(heard, name)
            if likeness < _ALIKE or any(word in known.known and word not in name for word in heard):
                continue
            other = ' '.join((*words[:begin], *name, *words[end:]))
            if other not in found or likeness > found[other].likeness:
                found[other] = Reading(other, likeness)
    found.pop(' '.join(words), None)
    return tuple(sorted(found.values(), key=lambda reading: -reading.likeness)[:_MOST])


def _windows(words: Sequence[str], known: Lexicon) -> Iterator[tuple[int, int]]:
    longest = max((len(name) for name in known.names), default=0) + 1
    for begin in range(len(words)):
        for end in range(begin + 1, min(len(words), begin + longest) + 1):
            if any(word not in known.known for word in words[begin:end]):
                yield begin, end


def _likeness(heard: Iterable[str], name: Sequence[str]) -> float:
    spoken = tuple(heard)
    if abs(len(spoken) - len(name)) > 1:
        return 0.0
    return SequenceMatcher(None, ''.join(spoken), ''.join(name), autojunk=False).ratio()
