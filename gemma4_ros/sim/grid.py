# SPDX-License-Identifier: Apache-2.0
"""The base's map: occupied cells of the room, cells that the rays found occupied, and a way around them (A*)."""

from __future__ import annotations

import heapq
import itertools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.sim import layout as lay
from gemma4_ros.sim.layout import Layout

__all__ = ['CELL_M', 'Grid', 'Point']

Point = tuple[float, float]
CELL_M = 0.1
LETHAL_M = 0.36  # nearer than this to an obstacle the base would touch it
WISHED_M = 0.62
_STEPS = [(dx, dy, math.hypot(dx, dy)) for dx, dy in itertools.product((-1, 0, 1), repeat=2) if dx or dy]


class Grid:
    """
    Occupancy of the room in cells of 0.1 m.

    ``known`` holds walls and benches; ``seen`` what the rays found and the map did not know.
    """

    def __init__(self, layout: Layout) -> None:
        (self._x0, x1), (self._y0, y1) = layout.x_range, layout.y_range
        self._shape = (round((y1 - self._y0) / CELL_M) + 1, round((x1 - self._x0) / CELL_M) + 1)
        self._known = np.zeros(self._shape, np.uint8)
        self._seen = np.zeros(self._shape, np.uint8)
        self._known[0, :] = self._known[-1, :] = self._known[:, 0] = self._known[:, -1] = 1
        for bench in layout.benches.values():
            self._mark_bench(bench.pose)
        if layout.doorway is not None:
            door = layout.doorway
            self._fill(door.x, self._y0, door.y - door.half_width)
            self._fill(door.x, door.y + door.half_width, y1)
        self._known_distance = self._distance(self._known)

    def _mark_bench(self, pose: lay.Pose) -> None:
        corners = [
            pose.point(forward, side * lay.BENCH_WIDTH_M / 2)
            for forward, side in (
                (lay.BENCH_FRONT_M, -1), (lay.BENCH_FRONT_M, 1),
                (lay.BENCH_FRONT_M + lay.BENCH_DEPTH_M, 1), (lay.BENCH_FRONT_M + lay.BENCH_DEPTH_M, -1),
            )
        ]  # fmt: skip
        polygon = np.array([c[::-1] for c in map(self._cell, corners)], np.int32)
        cv2.fillPoly(self._known, [polygon], 1.0)

    def _fill(self, x: float, low: float, high: float) -> None:
        row, column = self._cell((x, low))
        self._known[max(row, 0) : self._cell((x, high))[0] + 1, column] = 1

    def _cell(self, point: Point) -> tuple[int, int]:
        return round((point[1] - self._y0) / CELL_M), round((point[0] - self._x0) / CELL_M)

    def _point(self, cell: tuple[int, int]) -> Point:
        return self._x0 + cell[1] * CELL_M, self._y0 + cell[0] * CELL_M

    def _inside(self, row: int, column: int) -> bool:
        return 0 <= row < self._shape[0] and 0 <= column < self._shape[1]

    @staticmethod
    def _distance(occupied: NDArray[np.uint8]) -> NDArray[np.float32]:
        free = (occupied == 0).astype(np.uint8)
        return np.asarray(cv2.distanceTransform(free, cv2.DIST_L2, 5) * CELL_M, np.float32)

    def forget(self) -> None:
        """Forget what the rays found."""
        self._seen[:] = 0

    def see(self, x: float, y: float) -> bool:
        """Mark a hit of a ray; True where the map did not know of anything there."""
        row, column = self._cell((x, y))
        if not self._inside(row, column) or self._known_distance[row, column] < 0.18 or self._seen[row, column]:
            return False
        self._seen[row, column] = 1
        return True

    def is_free(self, point: Point) -> bool:
        """Return whether the base may stand at a point, by the map alone."""
        row, column = self._cell(point)
        return self._inside(row, column) and bool(self._known_distance[row, column] >= LETHAL_M)

    def way(self, start: Point, goal: Point) -> list[Point] | None:
        """
        Find a way.

        A* on the 8-connected grid; cells near obstacles cost more. The start may lie near an obstacle.

        Returns
        -------
        list of (x, y) in m, or None
            From start to goal, without needless corners.

        """
        distance = self._distance(np.maximum(self._known, self._seen))
        first, last = self._cell(start), self._cell(goal)
        if not self._inside(*last) or not self._inside(*first) or distance[last] < LETHAL_M:
            return None
        near = max(abs(first[0] - last[0]), abs(first[1] - last[1])) <= 1
        cells = [first, last] if near else self._search(first, last, distance)
        return None if cells is None else [start, *self._shorten(cells, distance)[1:-1], goal]

    def _search(
        self, first: tuple[int, int], last: tuple[int, int], distance: NDArray[np.float32]
    ) -> list[tuple[int, int]] | None:
        _, areas = cv2.connectedComponents((distance >= LETHAL_M).astype(np.uint8), connectivity=8)
        if distance[first] >= LETHAL_M and areas[first] != areas[last]:
            return None
        cost = 1.0 + 4.0 * np.clip((WISHED_M - distance) / (WISHED_M - LETHAL_M), 0.0, 1.0)
        best, came = {first: 0.0}, {first: first}
        queue = [(0.0, first)]
        while queue:
            _, cell = heapq.heappop(queue)
            if cell == last:
                return self._trace(came, cell)
            for dr, dc, length in _STEPS:
                after = (cell[0] + dr, cell[1] + dc)
                if not self._inside(*after) or not self._may_step(cell, after, first, distance):
                    continue
                total = best[cell] + length * float(cost[after])
                if total < best.get(after, math.inf):
                    best[after], came[after] = total, cell
                    heapq.heappush(queue, (total + math.dist(after, last), after))
        return None

    @staticmethod
    def _may_step(
        cell: tuple[int, int], after: tuple[int, int], first: tuple[int, int], distance: NDArray[np.float32]
    ) -> bool:
        escaping = math.dist(after, first) <= 5 and distance[after] >= distance[cell] and distance[after] > 0.0
        return bool(distance[after] >= LETHAL_M or escaping)

    @staticmethod
    def _trace(came: dict[tuple[int, int], tuple[int, int]], cell: tuple[int, int]) -> list[tuple[int, int]]:
        cells = [cell]
        while came[cell] != cell:
            cell = came[cell]
            cells.append(cell)
        return cells[::-1]

    def _shorten(self, cells: list[tuple[int, int]], distance: NDArray[np.float32]) -> list[Point]:
        kept, index = [cells[0]], 0
        while index < len(cells) - 1:
            ahead = len(cells) - 1
            while ahead > index + 1 and not self._clear(cells[index], cells[ahead], distance):
                ahead -= 1
            kept.append(cells[ahead])
            index = ahead
        return [self._point(cell) for cell in kept]

    @staticmethod
    def _clear(one: tuple[int, int], other: tuple[int, int], distance: NDArray[np.float32]) -> bool:
        count = 2 * max(abs(one[0] - other[0]), abs(one[1] - other[1])) + 1
        rows = np.rint(np.linspace(one[0], other[0], count)).astype(int)
        columns = np.rint(np.linspace(one[1], other[1], count)).astype(int)
        return bool((distance[rows, columns] >= 0.5).all())
