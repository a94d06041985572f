# SPDX-License-Identifier: Apache-2.0
"""Hold a draft against the operator's words: every thing, place, number and negation is used or explained."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gemma4_ros.core.facts import State
from gemma4_ros.core.planning import english, polarity
from gemma4_ros.core.planning.draft import Branch, Call, Draft, Item, Loop, calls, walk
from gemma4_ros.core.planning.hint import units_of
from gemma4_ros.core.planning.mentions import Mention, Reading, stem
from gemma4_ros.core.planning.numbers import Quantity
from gemma4_ros.core.tools import Arg, Toolset
from gemma4_ros.core.world import World

_OPEN = frozenset(
    ('anything', 'something', 'any', 'every', 'each', 'around', 'round', 'tour', 'same', 'else', 'others')
)
"""Words that leave open what is meant: the draft may take more than was named."""
_WHOLE = frozenset(('everything', 'all', 'things', 'both', 'whatever'))
_HERE = frozenset(('here', 'back', 'return', 'come', 'this'))


@dataclass(frozen=True, slots=True)
class Gap:
    """A word that the draft does not account for: a reason for the model, a question for the operator if it helps."""

    reason: str
    choices: tuple[str, ...] = ()
    unknown: str = ''
    people: str = ''
    """The reason for the operator, where the one for the model would not do."""
    is_missing: bool = False
    """Something said is not there, which an earlier turn cannot explain."""


def gaps(draft: Draft, reading: Reading, world: World, toolset: Toolset, state: State) -> tuple[Gap, ...]:
    """Return what the draft leaves out, adds against a negation, or picks without being told which."""
    used = _used(draft.items)
    explained = used | _related(draft.items, toolset, world, state) | _constants(draft.items, toolset)
    phrases = _phrases(draft.items, toolset)
    found = [Gap(f'there is no {phrase!r} in the lists', unknown=phrase, is_missing=True) for phrase in reading.unknown]
    starts = {mention.start for mention in reading.mentions}
    for mention in reading.mentions:
        if not mention.is_negated and (mention.end in starts or any(mention.text in phrase for phrase in phrases)):
            continue  # "pressure set-point": the first only describes the second; "belt speed": words of the call
        found += _mention_gaps(mention, reading, used, explained, world, state)
    found += _number_gaps(draft, reading, toolset, units_of(toolset, world))
    found += _unnamed(draft, reading, world, toolset, state)
    found += _turned(draft, reading, toolset)
    return tuple(found)


def _turned(draft: Draft, reading: Reading, toolset: Toolset) -> list[Gap]:
    """Return calls that do the opposite of what is said of a thing: "start the pump" and ``switch(pump, off)``."""
    found = []
    for call in calls(draft.items):
        args = {name: arg for name, arg in _args(call.name, toolset).items() if arg.type == 'enum'}
        opposed = {name: arg for name, arg in args.items() if polarity.is_opposed(arg.values)}
        names = {str(call.args[name]) for name in args if name not in opposed}
        for name, arg in opposed.items():
            said = {value for words in _said_to(names, reading) for value in polarity.said_of(arg.values, words)}
            if said and call.args[name] not in said:
                told = f'{call}: the command says {" and ".join(sorted(said))}'
                found.append(Gap(told, people=f'it is not clear that {call} is meant', is_missing=True))
    return found


def _said_to(names: set[str], reading: Reading) -> list[tuple[str, ...]]:
    """Return the words of the orders about things, by name or as "it"; not those of conditions."""
    found = []
    start = 0
    for end in [*(i for i, word in enumerate(reading.words) if word in english.CLAUSES), len(reading.words)]:
        words = reading.words[start:end]
        is_condition = (start > 0 and reading.words[start - 1] in english.FORKS) or bool(english.TELLING & set(words))
        is_named = any(start <= m.start < end and names & set(m.ids) and not m.is_negated for m in reading.mentions)
        if not is_condition and (is_named or {'it', 'them'} & set(words)):
            found.append(words)
        start = end + 1
    return found


def _phrases(items: tuple[Item, ...], toolset: Toolset) -> set[str]:
    """Return the phrases of several words by which the draft's calls go: "belt speed"."""
    found: set[str] = set()
    for call in calls(items):
        item = toolset.intents.get(call.name) or toolset.tools.get(call.name)
        if item is not None:
            found |= {text.lower() for text in (*item.words, item.name.replace('_', ' ')) if ' ' in text}
    return found


def narrowed(reading: Reading, world: World, state: State) -> Reading:
    """
    Return a reading whose names are told apart by what is said with them.

    By their places ("the sprinkler in bay 1") and by the words of the world file ("the bay with the cuttings").
    """
    mentions = list(reading.mentions)
    covered = {i for mention in mentions for i in range(mention.start, mention.end)}
    others = {stem(word) for i, word in enumerate(reading.words) if i not in covered and word.isalpha()}
    others -= english.FUNCTION_WORDS
    for index, mention in enumerate(mentions):
        fit = [
            item for item in mention.ids if others & {stem(word) for word in world.entities[item].doc.lower().split()}
        ]
        if len(mention.ids) > 1 and len(fit) == 1 and not mention.is_plural:
            mentions[index] = replace(mention, ids=(fit[0],))
    for index, (mention, following) in enumerate(itertools.pairwise(mentions)):
        between = reading.words[mention.end : following.start]
        if len(mention.ids) < 2 or len(between) > 2 or not {'in', 'at', 'of', 'from', 'on', 'by'} & set(between):
            continue
        places = set(following.ids)
        there = tuple(i for i in mention.ids if {world.place_of(state, i), world.entities[i].place} & places)
        if 0 < len(there) < len(mention.ids):
            mentions[index] = replace(mention, ids=there)
    return replace(reading, mentions=tuple(mentions))


def spoken_of(
    reading: Reading, world: World, state: State, instruments: frozenset[str] = frozenset()
) -> frozenset[str] | None:
    """
    Return the ids that a command may be about; None where it leaves that open.

    What is named, its place and what stands there; what the hand holds; with "here" or "back" where the robot is; with
    "everything in storage" the objects there. What is named only to be left alone does not count. Of the instruments
    all, where a number is compared and none of them is named: "if it is warmer than 12 degrees".
    """
    words = set(reading.words)
    is_open = words & _OPEN and ' same time ' not in f' {" ".join(reading.words)} '
    if is_open or reading.unknown or reading.is_vague:
        return None
    left_alone = {item for mention in reading.mentions if mention.is_negated for item in mention.ids}
    named = {item for mention in reading.mentions if not mention.is_negated for item in mention.ids}
    places = {place for item in named if (place := world.place_of(state, item)) is not None}
    places |= {place for item in named if (place := world.entities[item].place)}
    found = named | places | {value for (name, args), value in state.items() if world.robot in args and name != 'at'}
    if not any(world.entities[item].group == 'equipment' for item in named):  # "check the pump": its gauge
        found |= {e.id for e in world.entities.values() if e.group == 'equipment' and e.place in named}
    if words & english.CONDITIONS and reading.quantities and not named & instruments:
        found |= instruments
    here = world.place_of(state, world.robot)
    if words & _HERE and here is not None:
        found.add(here)
    for mention in reading.mentions:
        before = set(reading.words[max(0, mention.start - 3) : mention.start])
        if before & _WHOLE:
            found |= {
                item for item in world.group('objects') if world.place_of(state, item) in mention.ids
            } - left_alone
    return frozenset(found)


def instruments(toolset: Toolset) -> frozenset[str]:
    """Return what the tools that return a number read from."""
    return frozenset(
        value
        for tool in toolset.tools.values()
        if tool.risk == 'read' and any(item.type in ('number', 'integer') for item in tool.returns.values())
        for arg in tool.args.values()
        for value in arg.values
    )


def _unnamed(draft: Draft, reading: Reading, world: World, toolset: Toolset, state: State) -> list[Gap]:
    """Return what the draft took from the lists though nobody spoke of it."""
    allowed = spoken_of(reading, world, state, instruments(toolset))
    if allowed is None:
        return []
    found = []
    for call in calls(draft.items):
        for name, value in call.args.items():
            arg = _args(call.name, toolset).get(name)
            if arg is None or len(arg.values) < 2 or value not in world.entities or value in allowed:
                continue
            fit = ' or '.join(sorted(set(arg.values) & allowed)[:4])
            told = f'nobody named {value}: take {fit or "what the command names, or ask"}'
            found.append(Gap(told, people=f'it is not clear that {value} is meant'))
    return found


def _args(name: str, toolset: Toolset) -> Mapping[str, Arg]:
    item = toolset.intents.get(name) or toolset.tools.get(name)
    return item.args if item is not None else {}


def _mention_gaps(
    mention: Mention, reading: Reading, used: set[str], explained: set[str], world: World, state: State
) -> list[Gap]:
    ids = set(mention.ids)
    if mention.is_negated:
        elsewhere = {i for other in reading.mentions if not other.is_negated for i in other.ids}
        against = sorted((ids & used) - elsewhere)
        return (
            [
                Gap(
                    f'the operator said not to do something with {mention.text!r}; leave {against[0]} out',
                    people=f'{mention.text!r} is to be left alone',
                    is_missing=True,
                )
            ]
            if against
            else []
        )
    if _is_whereabouts(mention, reading):  # "to where the filter is": its place explains it
        explained = explained | {item for item in ids if world.place_of(state, item) in used}
    if not ids & explained:
        return [
            Gap(
                f'{mention.text!r} ({" or ".join(mention.ids)}) is in the command but not in your answer',
                people=f'no step has to do with {mention.text!r}',
                is_missing=True,
            )
        ]
    picked = sorted(ids & used)
    if (
        len(picked) == 1
        and len(ids) > 1
        and not mention.is_plural
        and _is_open(mention, picked[0], reading, world, state)
    ):
        return [Gap(f'{mention.text!r} may be {" or ".join(mention.ids)}: ask which', choices=mention.ids)]
    return []


def ambiguous(reading: Reading, world: World, state: State) -> tuple[str, ...]:
    """Return the candidates of the first mention that may be several things, where nothing else said tells which."""
    for mention in reading.mentions:
        is_single = len(mention.ids) > 1 and not mention.is_plural and not mention.is_negated
        if is_single and all(_is_open(mention, item, reading, world, state) for item in mention.ids):
            return mention.ids
    return ()


def _is_whereabouts(mention: Mention, reading: Reading) -> bool:
    return bool({'where', 'wherever'} & set(reading.words[max(0, mention.start - 2) : mention.start])) or (
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


def _number_gaps(draft: Draft, reading: Reading, toolset: Toolset, units: frozenset[str]) -> list[Gap]:
    counts = set(Counter(call.name for call in calls(draft.items)).values())
    result = []
    for quantity in reading.quantities:
        number = quantity.value
        is_count = not quantity.unit and number >= 2 and number in counts  # "these two": two calls
        if not is_count and (number != 1 or quantity.unit) and not _is_taken(quantity, draft.items, toolset, units):
            said = f'{number:g} {quantity.unit}'.strip()
            is_times = not quantity.unit and number.is_integer() and 2 <= number <= 20
            how = f': repeat {number:g} {{ }}' if is_times else ''
            told = f'the number {number:g} is in the command but not in your answer{how}'
            result.append(Gap(told, people=f'no step takes the number {said}', is_missing=True))
    return result


def _is_taken(quantity: Quantity, items: tuple[Item, ...], toolset: Toolset, units: frozenset[str]) -> bool:
    """Say whether an argument, a condition or a repetition holds the number, in its own unit."""
    for item in walk(items):
        match item:
            case Call() if _is_argument(quantity, item, toolset, units):
                return True
            case Branch(reading=call, value=value, unit=unit):
                is_open = not quantity.unit or not unit or unit.startswith('$')
                fit = quantity.values(units) if is_open else _within(quantity, unit)
                is_number = isinstance(value, int | float) and not isinstance(value, bool)
                if is_number and _is_near(float(value), fit, quantity):
                    return True
                if _is_argument(quantity, call, toolset, units):
                    return True
            case Loop(times=times) if not quantity.unit and times == quantity.value:
                return True
    return False


def _is_argument(quantity: Quantity, call: Call, toolset: Toolset, units: frozenset[str]) -> bool:
    for name, arg in _args(call.name, toolset).items():
        value = call.args.get(name)
        if arg.type not in ('number', 'integer') or not isinstance(value, int | float):
            continue
        said = quantity.as_argument(arg.unit, arg.high)
        fit = quantity.values(units) if arg.unit.startswith('$') else () if said is None else (said,)
        if _is_near(float(value), fit, quantity):
            return True
    return False


def _within(quantity: Quantity, unit: str) -> tuple[float, ...]:
    converted = quantity.within(unit)
    return () if converted is None else (converted,)


def _is_near(value: float, said: tuple[float, ...], quantity: Quantity) -> bool:
    """Say whether a value is one of those said; a converted one is rounded to the step of the argument."""
    share = {number: 0.005 if number == quantity.value else 0.02 for number in said}
    return any(abs(number - value) <= share[number] * max(abs(value), 1e-3) for number in said)


def _used(items: tuple[Item, ...]) -> set[str]:
    return {value for call in calls(items) for value in call.args.values() if isinstance(value, str)}


def _constants(items: tuple[Item, ...], toolset: Toolset) -> set[str]:
    """Return the names that the needs and effects of the calls hold by themselves: docking implies the dock."""
    names: set[str] = set()
    for call in calls(items):
        tool = toolset.tools.get(call.name)
        intent = toolset.intents.get(call.name)
        patterns = (*tool.needs, *tool.gives) if tool is not None else ()
        if intent is not None:
            achieved = {pattern.name for pattern in intent.achieve}
            means = [t for t in toolset.tools.values() if not intent.args and achieved & {p.name for p in t.gives}]
            patterns = (*patterns, *intent.achieve, *(p for t in means for p in (*t.needs, *t.gives)))
        held = {pattern for pattern in (tool.gives if tool is not None else ()) if pattern.name == 'at'}
        patterns = tuple(pattern for pattern in patterns if pattern not in held)  # undocking is no way to the dock
        names |= {term.head for pattern in patterns for term in (*pattern.args, pattern.value)}
    return names


def _related(items: tuple[Item, ...], toolset: Toolset, world: World, state: State) -> set[str]:
    """Return the places of the things used, now and by the world file, and what stands where it is gone to for it."""
    used = _used(items)
    places = {world.place_of(state, item) for item in used}
    places |= {entity.place for item in used if (entity := world.entities.get(item)) is not None}
    related = {place for place in places if place is not None}
    for call in calls(items):
        for name, value in call.args.items():
            arg = _args(call.name, toolset).get(name)
            offered = set(arg.values) if arg is not None else set()
            related |= {
                e.id
                for e in world.entities.values()
                if e.group == 'equipment' and e.place == value and e.id not in offered
            }
    return related
