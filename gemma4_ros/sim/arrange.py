# SPDX-License-Identifier: Apache-2.0
"""Put the room into a state of the symbolic world at once, as a stage hand would: for evaluations and tests."""

from __future__ import annotations

from collections.abc import Mapping

from gemma4_ros.sim.arm import READY, STOWED
from gemma4_ros.sim.equipment_model import VALVE_OPEN_RAD
from gemma4_ros.sim.layout import DOCK_PRESS_M, DOCK_STROKE_M, SLOT_ORDER, Item, Layout, Pose
from gemma4_ros.sim.physics import TICK_S
from gemma4_ros.sim.robot import Robot

__all__ = ['arrange', 'objection']

Facts = Mapping[tuple[str, str], str]
POSTURES = {'stowed': STOWED, 'ready': READY}
SETTLED_TICKS = 1000  # of the process, after which the pressure no longer changes


def objection(layout: Layout, facts: Facts) -> str:
    """
    Return why a state cannot be arranged, or an empty string.

    Parameters
    ----------
    layout : Layout
        The room.
    facts : mapping of (function, argument) to value
        ``at``, ``docked``, ``arm``, ``valve`` and ``holding``; what is not named stays where the world file says.

    """
    for (name, argument), value in facts.items():
        known = _known(layout, name, argument)
        if not known:
            return f'the cell cannot arrange {name}({argument}): it knows no such thing'
        if value not in known:
            return f'{name}({argument}) cannot be {value!r} from the start; known: {", ".join(known)}'
    if _is_docked(layout, facts) and facts.get(('at', 'robot'), layout.dock_place) != layout.dock_place:
        return f'the robot is docked at {layout.dock_place} only: say docked(robot, no), or leave it there'
    for place in layout.benches:
        there = sum(_place(item, facts) == place for item in layout.items.values())
        if there > len(SLOT_ORDER):
            return f'{place} has room for {len(SLOT_ORDER)} objects, not for {there}'
    return ''


def _known(layout: Layout, name: str, argument: str) -> tuple[str, ...]:
    places = tuple(layout.benches)
    of_robot = {
        'at': places, 'docked': ('yes', 'no'), 'arm': tuple(POSTURES), 'holding': ('nothing',)
    }  # fmt: skip
    if argument == 'robot':
        return of_robot.get(name, ())
    mount = layout.mounts.get(argument)
    if name == 'valve' and mount is not None and mount.kind == 'valve':
        return ('open', 'closed')
    if name == 'at' and argument in layout.items:
        return places
    return (mount.place,) if name == 'at' and mount is not None else ()


def _place(item: Item, facts: Facts) -> str:
    return facts.get(('at', item.name), item.place)


def _is_docked(layout: Layout, facts: Facts) -> bool:
    return facts.get(('docked', 'robot'), 'yes' if layout.starts_docked else 'no') == 'yes'


def arrange(robot: Robot, facts: Facts) -> None:
    """Change a room that was just reset; the state is one without an objection."""
    layout, physics = robot.layout, robot.physics
    start = layout.start
    if ('at', 'robot') in facts or ('docked', 'robot') in facts:
        start = layout.benches[facts.get(('at', 'robot'), layout.dock_place)].pose
        if _is_docked(layout, facts):
            start = Pose(*start.point(DOCK_STROKE_M + DOCK_PRESS_M, 0.0), start.yaw)
    physics.put_base(start)
    robot.base.reset()
    robot.home = POSTURES[facts.get(('arm', 'robot'), 'stowed')]
    robot.arm.stand(robot.home)
    for (name, argument), value in facts.items():
        if name == 'valve':
            physics.set_joint(argument, VALVE_OPEN_RAD if value == 'open' else 0.0)
    _put_items(robot, facts)
    physics.refresh()
    for _ in range(SETTLED_TICKS):
        robot.process.tick(TICK_S, robot.openings())


def _put_items(robot: Robot, facts: Facts) -> None:
    items = robot.layout.items.values()
    taken = {(item.place, item.slot) for item in items if _place(item, facts) == item.place}
    for item in items:
        place = _place(item, facts)
        if place == item.place:
            continue
        slot = next(index for index in SLOT_ORDER if (place, index) not in taken)  # `objection` counted them
        taken.add((place, slot))
        bench = robot.layout.benches[place]
        robot.physics.put_item(item.name, *bench.slot(slot), bench.pose.yaw)
