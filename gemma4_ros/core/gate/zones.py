# SPDX-License-Identifier: Apache-2.0
"""Zones: polygons that the robot stays in, or out of, each with a margin for its own size and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely

__all__ = ['Area', 'Point', 'Zones', 'end_of']


@dataclass(frozen=True, slots=True)
class Point:
    """A position, m, in a named frame."""

    x: float
    y: float
    frame: str

    def distance(self, other: Point) -> float:
        """Return the distance in m; infinite between frames."""
        return math.hypot(self.x - other.x, self.y - other.y) if self.frame == other.frame else math.inf


@dataclass(frozen=True, slots=True, eq=False)
class Area:
    """A polygon with its margin applied: a keep-out area inflated, an allowed one inset."""

    name: str
    is_keep_out: bool
    shape: shapely.Geometry
    hazard: str


@dataclass(frozen=True, slots=True, eq=False)
class Zones:
    """All areas of one frame, and the signal that says where the robot is."""

    frame: str
    signal: str
    areas: tuple[Area, ...]

    def problem(self, point: Point) -> tuple[str, Area | None]:
        """
        Say what is wrong with a point and which area says so; an empty text where nothing is.

        The border of a keep-out area belongs to it, the border of an allowed one does not; NaN lies nowhere.
        """
        if point.frame != self.frame:
            return f'a pose in frame {point.frame!a}; the zones are in {self.frame!a}', None
        place = shapely.Point(point.x, point.y)
        allowed = [area for area in self.areas if not area.is_keep_out]
        for area in self.areas:
            if area.is_keep_out and area.shape.intersects(place):
                return f'{point.x:.2f}, {point.y:.2f} m is in the keep-out zone {area.name}', area
        if allowed and not any(area.shape.contains(place) for area in allowed):
            return f'{point.x:.2f}, {point.y:.2f} m is outside of {", ".join(a.name for a in allowed)}', allowed[0]
        if not (abs(point.x) < 1e9 and abs(point.y) < 1e9):
            return 'a pose that is no place', None
        return '', None


def end_of(goal: Mapping[str, Any], path: str) -> Point:
    """Return where a goal ends: the geometry_msgs/PoseStamped at ``path``; NaN where there is none."""
    value: Any = goal
    for part in path.split('.'):
        value = value.get(part) if isinstance(value, Mapping) else None
    try:
        position = value['pose']['position']
        return Point(float(position['x']), float(position['y']), str(value['header']['frame_id']))
    except (TypeError, KeyError, ValueError):
        return Point(float('nan'), float('nan'), '')
