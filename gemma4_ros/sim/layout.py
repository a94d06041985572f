# SPDX-License-Identifier: Apache-2.0
"""Where everything of the simulated cell stands: places become benches, equipment gets mounts. Plain geometry."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gemma4_ros.core.errors import WorldError
from gemma4_ros.core.world import Entity, World

__all__ = ['Bench', 'Doorway', 'Item', 'Layout', 'Mount', 'Pose', 'build_layout']

BENCH_FRONT_M = 0.42  # from the robot's centre, when it stands at the place
BENCH_DEPTH_M = 0.60
BENCH_WIDTH_M = 1.0
BENCH_TOP_M = 0.50
SLOT_FORWARD_M = 0.62
SLOT_SIDES_M = (0.30, 0.10, -0.10, -0.30)
SLOT_ORDER = (1, 2, 0, 3)  # which slots are taken first
DOCK_STROKE_M = 0.18  # from the place in front of the dock to the contacts
DOCK_PRESS_M = 0.006  # how far a docked robot presses the contacts in
TURNTABLE_FORWARD_M = 0.10  # the arm's vertical axis, in the base frame
REACH_M = 0.72  # from the arm's axis to the wheel of a valve
WHEEL_HEIGHT_M = 0.85
DIAL_HEIGHT_M = 1.14
ROOM_MARGIN_M = 1.6
DOOR_HALF_WIDTH_M = 0.7
WIDEST_GAP_M = 2.4


@dataclass(frozen=True, slots=True)
class Pose:
    """A pose in the map's plane: m, m, rad."""

    x: float
    y: float
    yaw: float

    def point(self, forward: float, left: float) -> tuple[float, float]:
        """Return a point given in this pose's frame, in the map."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return self.x + c * forward - s * left, self.y + s * forward + c * left

    def local(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the map as (forward, left) of this pose."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return c * (x - self.x) + s * (y - self.y), -s * (x - self.x) + c * (y - self.y)


@dataclass(frozen=True, slots=True)
class Mount:
    """One piece of equipment: its centre, and the heading (rad) that a viewer in front of it looks along."""

    name: str
    kind: str
    place: str
    x: float
    y: float
    z: float
    heading: float
    dial: Mapping[str, Any] | None = None
    unit: str = ''


@dataclass(frozen=True, slots=True)
class Bench:
    """The stand in front of a place."""

    place: str
    pose: Pose
    is_dock: bool
    has_screen: bool
    board_height_m: float

    def slot(self, index: int) -> tuple[float, float]:
        """Return the map position of a slot on the bench."""
        return self.pose.point(SLOT_FORWARD_M, SLOT_SIDES_M[index])


@dataclass(frozen=True, slots=True)
class Item:
    """One object: where it starts and how heavy it is."""

    name: str
    place: str
    slot: int
    mass_kg: float
    words: str


@dataclass(frozen=True, slots=True)
class Doorway:
    """The opening of the partition that divides the room: centre and half width in m."""

    x: float
    y: float
    half_width: float


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole room."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    benches: Mapping[str, Bench]
    mounts: Mapping[str, Mount]
    items: Mapping[str, Item]
    doorway: Doorway | None
    dock_place: str
    start: Pose
    starts_docked: bool
    valves_open: frozenset[str]

    def place_of(self, x: float, y: float, reach_m: float = 0.25) -> str:
        """Return the place nearest to a point, or an empty string where none is within reach_m."""
        name, distance = min(
            ((name, math.hypot(b.pose.x - x, b.pose.y - y)) for name, b in self.benches.items()), key=lambda p: p[1]
        )
        return name if distance <= reach_m else ''


def build_layout(world: World) -> Layout:
    """
    Lay the room out.

    Parameters
    ----------
    world : World
        Places with poses, objects and equipment with places.

    Returns
    -------
    Layout
        Raises WorldError where a pose or a place is missing, or where a bench gets more objects than it has room for.

    """
    poses = {name: _pose(world.entities[name]) for name in world.group('places')}
    if not poses:
        raise WorldError(
            'the world has no places: the cell needs at least one with a pose; add places to the world file'
        )
    robot = (world.robot,)
    start_place = world.initial.get(('at', robot))
    start_place = start_place if start_place in poses else next(iter(poses))
    dock_place = next((name for name in poses if 'dock' in name or 'charg' in name), start_place)
    mounts = _mounts(world, poses)
    docked = world.initial.get(('docked', robot)) == 'yes' and start_place == dock_place
    start = poses[start_place]
    if docked:
        start = Pose(*start.point(DOCK_STROKE_M + DOCK_PRESS_M, 0.0), start.yaw)
    xs, ys = [p.x for p in poses.values()], [p.y for p in poses.values()]
    return Layout(
        x_range=(min(xs) - ROOM_MARGIN_M, max(xs) + ROOM_MARGIN_M),
        y_range=(min(ys) - ROOM_MARGIN_M, max(ys) + ROOM_MARGIN_M),
        benches={name: _bench(name, pose, dock_place, mounts) for name, pose in poses.items()},
        mounts=mounts,
        items=_items(world),
        doorway=_doorway(xs, ys),
        dock_place=dock_place,
        start=start,
        starts_docked=docked,
        valves_open=frozenset(m for m in mounts if world.initial.get(('valve', (m,))) == 'open'),
    )


def _pose(entity: Entity) -> Pose:
    if entity.pose is None:
        raise WorldError(f'place {entity.id} has no pose: the cell needs x_m, y_m and yaw_rad')
    return Pose(entity.pose.x_m, entity.pose.y_m, entity.pose.yaw_rad)


def _bench(name: str, pose: Pose, dock_place: str, mounts: Mapping[str, Mount]) -> Bench:
    kinds = {m.kind for m in mounts.values() if m.place == name}
    height = 1.5 if kinds & {'gauge', 'panel'} else 1.05 if kinds else 0.0
    return Bench(name, pose, name == dock_place, 'panel' in kinds, height)


def _mounts(world: World, poses: Mapping[str, Pose]) -> dict[str, Mount]:
    by_place: dict[str, list[Entity]] = {}
    for name in world.group('equipment'):
        entity = world.entities[name]
        if entity.place is None:
            raise WorldError(f'equipment {name} has no place: the cell must know where it stands')
        by_place.setdefault(entity.place, []).append(entity)
    mounts: dict[str, Mount] = {}
    for place, entities in by_place.items():
        gauges = [e for e in entities if e.kind == 'gauge']
        others = [e for e in entities if e.kind != 'gauge']
        for index, entity in enumerate(gauges):
            side = 0.40 * (index - (len(gauges) - 1) / 2)
            mounts[entity.id] = _mount(entity, poses[place].point(1.0, -side), DIAL_HEIGHT_M, poses[place].yaw)
        for index, entity in enumerate(others):
            spread = 0.42 * (index - (len(others) - 1) / 2) + (0.24 if entity.kind == 'panel' else 0.0)
            forward = TURNTABLE_FORWARD_M + REACH_M * math.cos(spread)
            point = poses[place].point(forward, -REACH_M * math.sin(spread))
            mounts[entity.id] = _mount(entity, point, WHEEL_HEIGHT_M, poses[place].yaw - spread)
    return mounts


def _mount(entity: Entity, point: tuple[float, float], z: float, heading: float) -> Mount:
    unit = str(entity.attribute('unit') or '')
    return Mount(entity.id, entity.kind, entity.place or '', *point, z, heading, entity.attribute('dial'), unit)


def _items(world: World) -> dict[str, Item]:
    used: dict[str, int] = {}
    items: dict[str, Item] = {}
    for name in world.group('objects'):
        entity = world.entities[name]
        place = entity.place
        if place is None:
            raise WorldError(f'object {name} has no place: the cell must know where it stands')
        slot = used.get(place, 0)
        if slot >= len(SLOT_SIDES_M):
            raise WorldError(f'place {place} holds more than {len(SLOT_SIDES_M)} objects: move {name} to another place')
        used[place] = slot + 1
        words = ' '.join([name, entity.doc, *entity.words]).lower()
        items[name] = Item(name, place, SLOT_ORDER[slot], float(entity.attribute('mass_kg') or 0.5), words)
    return items


def _doorway(xs: list[float], ys: list[float]) -> Doorway | None:
    edges = sorted(set(xs))
    gap, middle = max(((b - a, (a + b) / 2) for a, b in itertools.pairwise(edges)), default=(0.0, 0.0))
    if gap < WIDEST_GAP_M:
        return None
    return Doorway(middle, (min(ys) + max(ys)) / 2, DOOR_HALF_WIDTH_M)
