# SPDX-License-Identifier: Apache-2.0
"""What code knows of a command before the model drafts: names its words stand for, where things are, units.

A small model mistakes "toolbox" for the crate; a table of the names does not. The hint proposes no action.
"""

from __future__ import annotations

from gemma4_ros.core.facts import State
from gemma4_ros.core.planning.mentions import Mention, Reading
from gemma4_ros.core.tools import Toolset
from gemma4_ros.core.world import World

_MOST = 4


def hint(reading: Reading, world: World, toolset: Toolset, state: State) -> str:
    """Return ``toolbox = red_toolbox; here = pump``, or '' where the words name nothing."""
    parts: dict[str, None] = {}
    for mention in reading.mentions:
        said = _said(mention, reading, world, state)
        if said:
            parts[f'not {said}' if mention.is_negated else said] = None
    parts.update(dict.fromkeys(_deictic(reading, world, state)))
    for quantity in reading.quantities:
        converted = quantity.converted(units_of(toolset, world))
        if converted is not None:
            parts[f'{quantity.value:g} {quantity.unit} = {converted[0]:g} {converted[1]}'] = None
    return '; '.join(parts)


def units_of(toolset: Toolset, world: World) -> frozenset[str]:
    """Return the units that arguments and results of tools are in."""
    units = {arg.unit for tool in toolset.tools.values() for arg in tool.args.values()}
    units |= {item.unit for tool in toolset.tools.values() for item in tool.returns.values()}
    units |= {e.attribute('unit') for e in world.entities.values()}
    return frozenset(unit for unit in units if unit and not unit.startswith('$'))


def _said(mention: Mention, reading: Reading, world: World, state: State) -> str:
    before = reading.words[max(0, mention.start - 3) : mention.start]
    ids = mention.ids
    if len(ids) == 1 and world.entities[ids[0]].group == 'places' and {'everything', 'all'} & set(before):
        left_alone = {item for other in reading.mentions if other.is_negated for item in other.ids}
        things = [item for item in contents(ids[0], world, state) if item not in left_alone]
        said = ' '.join(before[before.index('in') :]) if 'in' in before else 'at'
        return f'everything {said} {mention.text} = {", ".join(things)}'
    text = f'{mention.text} = {" or ".join(ids[:_MOST])}'
    if {'where', 'wherever'} & set(reading.words[: mention.start]) and len(ids) == 1:
        place = world.place_of(state, ids[0])
        if place is not None and place != ids[0]:
            text += f' (it is at {place})'
    return text


def contents(place: str, world: World, state: State) -> tuple[str, ...]:
    """Return the objects at a place."""
    return tuple(item for item in world.group('objects') if world.place_of(state, item) == place)


def _deictic(reading: Reading, world: World, state: State) -> list[str]:
    """Say what "here" and "back" stand for."""
    found = []
    here = world.place_of(state, world.robot)
    if 'here' in reading.words and here is not None:
        found.append(f'here = {here}')
    text = f' {" ".join(reading.words)} '
    returns = [
        phrase for phrase in ('come back', 'return', 'go back') if f' {phrase} ' in text or f' {phrase} here ' in text
    ]
    places = (
        {
            i
            for m in reading.mentions
            for i in m.ids
            if world.entities[i].group == 'places' and m.start > reading.words.index(returns[0].split()[0])
        }
        if returns
        else set()
    )
    if returns and not places and here is not None:
        found.append(f'{returns[0]} = {here}')
    if 'back' in reading.words:
        objects = [
            i
            for m in reading.mentions
            if not m.is_negated and len(m.ids) == 1
            for i in m.ids
            if world.entities[i].group == 'objects'
        ]
        for item in dict.fromkeys(objects):
            place = world.place_of(state, item)
            if place is not None and place in world.group('places'):
                found.append(f'back = {place} for {item}')
    return found
