# SPDX-License-Identifier: Apache-2.0
"""The words that a recogniser should expect: names of the world, verbs of the tools, answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gemma4_ros.core.tools import Tool
from gemma4_ros.core.world import World

__all__ = ['ANSWER_WORDS', 'hint_words']

ANSWER_WORDS = ('confirm', 'cancel', 'yes', 'no')
_LONGEST = 600
"""Characters; the recogniser reads about 220 tokens of hints."""


def hint_words(world: World | None, tools: Mapping[str, Tool] | Iterable[Tool] = ()) -> tuple[str, ...]:
    """
    Return phrases to expect, the most important first, together at most 600 characters long.

    Ids are spoken with spaces. First answers and ids, then the other words for places, objects and equipment, then the
    verbs of the tools.
    """
    entities = [entity for entity in world.entities.values() if entity.group != 'robot'] if world else []
    listed = list(tools.values()) if isinstance(tools, Mapping) else list(tools)
    phrases = [*ANSWER_WORDS, *(_spoken(entity.id) for entity in entities)]
    phrases += [word for entity in entities for word in entity.words]
    phrases += [word for tool in listed for word in tool.words]
    chosen: dict[str, None] = {}
    length = 0
    for phrase in phrases:
        length += len(phrase) + 2 if phrase not in chosen else 0
        if length > _LONGEST:
            break
        chosen[phrase] = None
    return tuple(chosen)


def _spoken(name: str) -> str:
    return name.replace('_', ' ')
