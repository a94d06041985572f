# SPDX-License-Identifier: Apache-2.0
"""The words that a recogniser should expect: names of the world, verbs of the tools, answers."""

from __future__ import annotations

from collections.abc import Sequence

from gemma4_ros.core.tools import Toolset
from gemma4_ros.core.world import World

__all__ = ['ANSWER_WORDS', 'hint_words']

ANSWER_WORDS = ('confirm', 'cancel', 'yes', 'no')
_LONGEST = 600
"""Characters; the recogniser reads about 220 tokens of hints."""


def hint_words(world: World, tools: Toolset | None = None) -> tuple[str, ...]:
    """
    Return phrases to expect, the most important last, together at most 600 characters long.

    Answers, the first verb of every tool and intent, and the ids as they are spoken: "the valve station". Other words
    for things are left out: measured, a longer list makes the names that matter less likely (docs/speech.md).
    """
    entities = [entity for entity in world.entities.values() if entity.group != 'robot']
    capabilities: list[Sequence[str]] = []
    if tools is not None:
        capabilities += [intent.words for intent in tools.intents.values()]
        capabilities += [tool.words for tool in tools.tools.values()]
    verbs = list(dict.fromkeys(words[0] for words in capabilities if words))
    names = list(dict.fromkeys(f'the {entity.id.replace("_", " ")}' for entity in entities))
    return _fitting([*ANSWER_WORDS, *verbs], _fitting(names, ()))


def _fitting(phrases: Sequence[str], after: tuple[str, ...]) -> tuple[str, ...]:
    """Return as many phrases as fit before those that stand already."""
    chosen: list[str] = []
    length = sum(len(phrase) + 2 for phrase in after)
    for phrase in phrases:
        length += len(phrase) + 2
        if length > _LONGEST:
            break
        chosen.append(phrase)
    return (*chosen, *after)
