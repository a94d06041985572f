# SPDX-License-Identifier: Apache-2.0
"""Hold a draft against the operator's words: every thing, place, number and negation is used or explained."""

from __future__ import annotations

from dataclasses import dataclass

from gemma4_ros.core.facts import State
from gemma4_ros.core.planning import english
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, Together, calls
from gemma4_ros.core.planning.mentions import Mention, Reading
from gemma4_ros.core.tools import Intent, Tool, Toolset
from gemma4_ros.core.world import World

# Units people say, in those of the tools: bar and m.
_SCALES = {'kpa': 0.01, 'mbar': 0.001, 'mpa': 10.0, 'cm': 0.01, 'mm': 0.001}


@dataclass(frozen=True, slots=True)
class Gap:
    """A word that the draft does not account for: a reason for the model, and a question for the operator where one helps."""

    reason: str
    choices: tuple[str, ...] = ()
    unknown: str = ''


def gaps(draft: Draft, reading: Reading, world: World, toolset: Toolset, state: State) -> tuple[Gap, ...]:
    """Return what the draft leaves out, adds against a negation, or picks without being told which."""
    used = _used(draft.items)
    explained = used | _related(used, world, state) | _constants(draft.items, toolset)
    found = [Gap(f'there is no {phrase!r} in the lists', unknown=phrase) for phrase in reading.unknown]
    starts = {mention.start for mention in reading.mentions}
    for mention in reading.mentions:
        if (
            mention.end in starts and not mention.is_negated
        ):  # "pressure set-point": the first only describes the second
            continue
        found += _mention_gaps(mention, reading, used, explained, world, state)
    found += _number_gaps(draft, reading)
    return tuple(found)


def _mention_gaps(
    mention: Mention, reading: Reading, used: set[str], explained: set[str], world: World, state: State
) -> list[Gap]:
    ids = set(mention.ids)
    if mention.is_negated:
        elsewhere = {i for other in reading.mentions if not other.is_negated for i in other.ids}
        against = sorted((ids & used) - elsewhere)
        return (
            [Gap(f'the operator said not to do something with {mention.text!r}; leave {against[0]} out')]
            if against
            else []
        )
    if _is_whereabouts(mention, reading):  # "to where the filter is": its place explains it
        explained = explained | {item for item in ids if world.place_of(state, item) in used}
    if not ids & explained:
        return [Gap(f'{mention.text!r} ({" or ".join(mention.ids)}) is in the command but not in your answer')]
    picked = sorted(ids & used)
    if (
        len(picked) == 1
        and len(ids) > 1
        and not mention.is_plural
        and _is_open(mention, picked[0], reading, world, state)
    ):
        return [Gap(f'{mention.text!r} may be {" or ".join(mention.ids)}: ask which', choices=mention.ids)]
    return []


def _is_whereabouts(mention: Mention, reading: Reading) -> bool:
    return 'where' in reading.words[max(0, mention.start - 2) : mention.start] or (
        mention.start >= 2
        and 'where' in reading.words[: mention.start]
        and reading.words[mention.end : mention.end + 1] == ('is',)
    )


def unclear_pronoun(draft: Draft, reading: Reading, world: World, state: State) -> Gap | None:
    """Return what to ask where "it" or "that" stands for nothing said before, and the draft picked something."""
    at = next((i for i, word in enumerate(reading.words) if _is_pronoun(i, word, reading)), None)
    if at is None or any(mention.start < at for mention in reading.mentions):
        return None
    known = reading.named() | {value for (_, args), value in state.items() if world.robot in args}
    for item in sorted(_used(draft.items) - known):
        entity = world.entities.get(item)
        if entity is not None and entity.group in ('objects', 'equipment'):
            return Gap(f'{reading.words[at]!r} may be anything: ask which', choices=world.group(entity.group))
    return None


def _is_pronoun(index: int, word: str, reading: Reading) -> bool:
    following = reading.words[index + 1] if index + 1 < len(reading.words) else ''
    if word in ('it', 'them'):
        return True
    starts = {mention.start for mention in reading.mentions}
    return word in ('this', 'that') and index + 1 not in starts and following not in english.DETERMINERS


def _is_open(mention: Mention, picked: str, reading: Reading, world: World, state: State) -> bool:
    """Say whether nothing in the command tells which of the candidates is meant: no place, no other word."""
    groups = {world.entities[item].group for item in mention.ids}
    kinds = {world.entities[item].kind for item in mention.ids}
    if len(groups) > 1 or len(kinds) > 1:
        return False
    others = {item for other in reading.mentions if other is not mention for item in other.ids}
    if picked in others:
        return False
    places = {world.place_of(state, item) for item in mention.ids}
    return not (len(places) == len(mention.ids) and world.place_of(state, picked) in others)


def _number_gaps(draft: Draft, reading: Reading) -> list[Gap]:
    values = _numbers(draft.items)
    counted = len(calls(draft.items))
    result = []
    for number in reading.numbers:
        scales = [1.0, *(scale for unit, scale in _SCALES.items() if unit in reading.words)]
        is_there = any(abs(number * scale - value) < 1e-6 for value in values for scale in scales)
        if not is_there and not (number.is_integer() and number <= counted):
            result.append(Gap(f'the number {number:g} is in the command but not in your answer'))
    return result


def _used(items: tuple[Item, ...]) -> set[str]:
    return {value for call in calls(items) for value in call.args.values() if isinstance(value, str)}


def _constants(items: tuple[Item, ...], toolset: Toolset) -> set[str]:
    """Return the names that the needs and effects of the calls hold by themselves: docking implies the dock."""
    names: set[str] = set()
    for call in calls(items):
        tool = toolset.tools.get(call.name)
        intent = toolset.intents.get(call.name)
        patterns = (*tool.needs, *tool.gives) if tool is not None else ()
        patterns = (*patterns, *intent.achieve) if intent is not None else patterns
        names |= {term.head for pattern in patterns for term in (*pattern.args, pattern.value)}
    return names


def _related(used: set[str], world: World, state: State) -> set[str]:
    """Return the places of the things used, now and by the world file, and what stands at the places used."""
    places = {world.place_of(state, item) for item in used}
    places |= {entity.place for item in used if (entity := world.entities.get(item)) is not None}
    related = {place for place in places if place is not None}
    related |= {e.id for e in world.entities.values() if e.group == 'equipment' and e.place in used}
    return related


def _numbers(items: tuple[Item, ...]) -> list[float]:
    result: list[float] = []
    for item in items:
        match item:
            case Call():
                result += [float(v) for v in item.args.values() if isinstance(v, int | float)]
            case Branch():
                result += [float(item.value)] if isinstance(item.value, int | float) else []
                result += _numbers((item.reading, *item.then, *item.otherwise))
            case Loop():
                result += [float(item.times), *_numbers(item.body)]
            case Together():
                for branch in item.branches:
                    result += _numbers(branch)
    return result


def tools_in_words(reading: Reading, toolset: Toolset) -> tuple[str, ...]:
    """Return the tools and intents whose own words stand in the command."""
    text = f' {" ".join(reading.words)} '
    found = []
    items: list[Tool | Intent] = [*toolset.intents.values(), *toolset.tools.values()]
    for item in items:
        if any(f' {word.lower()} ' in text for word in (*item.words, item.name.replace('_', ' '))):
            found.append(item.name)
    return tuple(found)
