# SPDX-License-Identifier: Apache-2.0
"""Carry out goals in a cell without ROS and without waiting: simulated time runs as fast as it can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.physics import TICK_S
from gemma4_ros.sim.robot import Outcome

__all__ = ['carry_out', 'drive', 'let_pass']


def let_pass(cell: Cell, seconds: float) -> None:
    """Tick the cell for a while."""
    for _ in range(round(seconds / TICK_S)):
        cell.tick()


def carry_out(
    cell: Cell, name: str, each_tick: Callable[[float], None] | None = None, limit_s: float = 120.0, **arguments: Any
) -> Outcome:
    """
    Give a controller a goal and tick the cell until it ends.

    Parameters
    ----------
    cell : Cell
        Ticked here, so by nobody else.
    name : str
        The controller, ``pick_object`` say; its arguments follow as keywords.
    each_tick : callable
        Called with the goal's age in s, before each tick.
    limit_s : float
        Raises TimeoutError where the goal has not ended after this many simulated seconds.

    """
    ended: list[Outcome] = []
    start = cell.physics.time_s
    cell.start(name, arguments, ended.append)
    while not ended:
        age = cell.physics.time_s - start
        if age > limit_s:
            raise TimeoutError(f'{name} has not ended after {limit_s:g} s')
        if each_tick is not None:
            each_tick(age)
        cell.tick()
    return ended[0]


def drive(cell: Cell, place: str, each_tick: Callable[[float], None] | None = None) -> Outcome:
    """Drive to a place of the world."""
    return carry_out(cell, 'drive_to', each_tick, pose=cell.layout.benches[place].pose, frame='map')
