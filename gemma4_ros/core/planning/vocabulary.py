# SPDX-License-Identifier: Apache-2.0
"""What the surface may speak of in one world and toolset: the same for its grammar and its parser."""

from __future__ import annotations

from gemma4_ros.core.tools import Return, Tool, Toolset
from gemma4_ros.core.world import World

MAX_REPEAT = 20
UNCLEAR = ('task', 'object', 'place', 'value')
ABOUT = ('tools', 'places', 'objects', 'equipment')
CONTENTS = 'contents'  # of a place: what is there


def main_return(tool: Tool) -> Return | None:
    """Return the result that a condition looks at: the first number, else the first of any type."""
    numbers = [item for item in tool.returns.values() if item.type in ('number', 'integer')]
    rest = [item for item in tool.returns.values() if item.type in ('boolean', 'string')]
    found = [*numbers, *rest]
    return found[0] if found else None


def readings(toolset: Toolset) -> tuple[Tool, ...]:
    """Return the tools whose result a condition may look at: those that only read."""
    return tuple(tool for tool in toolset.tools.values() if tool.risk == 'read' and main_return(tool) is not None)


def queries(world: World) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    """Return the functions of one argument: what a question or a condition about the state may name."""
    return {f.name: (f.of[0], f.value) for f in world.functions.values() if len(f.of) == 1}


def places_with_contents(world: World) -> tuple[str, ...]:
    """Return the places of which ``answer(contents(PLACE))`` may ask: where things can be; none without ``at``."""
    known = queries(world)
    if 'at' not in known or CONTENTS in known:
        return ()
    return tuple(place for place in world.group('places') if place in known['at'][1])


def things(world: World) -> tuple[str, ...]:
    """Return what a question may offer to choose from."""
    return tuple(entity.id for entity in world.entities.values() if entity.group != 'robot')
