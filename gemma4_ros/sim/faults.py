# SPDX-License-Identifier: Apache-2.0
"""Faults that tests put into the cell."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gemma4_ros.sim.controller import CONTROLLERS
from gemma4_ros.sim.robot import Robot

__all__ = ['FAULTS', 'Faults']

FAULTS = (
    'blocked_path',
    'slip',
    'sensor_stall',
    'slow_controller',
    'silent_controller',
    'lying_controller',
    'stuck_valve',
    'clear',
)
BOX_ROOM_M = 0.75


@dataclass(slots=True)
class Faults:
    """What is wrong now; empty names concern everything."""

    stalled: set[str] = field(default_factory=set)
    slow: dict[str, float] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    lying: set[str] = field(default_factory=set)
    slippery: bool = False

    def slowness(self, endpoint: str) -> float:
        """Return how many times slower a controller works."""
        return self.slow.get(endpoint, self.slow.get('', 1.0))

    def is_silent(self, endpoint: str) -> bool:
        """Return whether a controller never answers."""
        return bool({endpoint, ''} & self.silent)

    def is_lying(self, endpoint: str) -> bool:
        """Return whether a controller reports success without doing anything."""
        return bool({endpoint, ''} & self.lying)

    def is_stalled(self, *names: str) -> bool:
        """Return whether a sensor, by any of its names, is silent."""
        return '' in self.stalled or bool(self.stalled & set(names))

    def inject(self, robot: Robot, fault: str, target: str, value: float) -> str:
        """Bring a fault about; return an empty string, or why it cannot be."""
        if fault == 'clear':
            return self._clear(robot)
        if fault == 'sensor_stall':
            self.stalled.add(target)
        elif fault in ('slow_controller', 'silent_controller', 'lying_controller'):
            return self._controller(fault, target, value)
        elif fault == 'slip':
            self.slippery = True
            robot.physics.set_slippery(True)
        elif fault == 'stuck_valve':
            return _stick(robot, target)
        elif fault == 'blocked_path':
            return _block(robot, target)
        else:
            return f'no fault {fault!r}; known: {", ".join(FAULTS)}'
        return ''

    def _controller(self, fault: str, target: str, value: float) -> str:
        if target and target not in CONTROLLERS:
            return f'no controller {target!r}; known: {", ".join(CONTROLLERS)}'
        if fault == 'slow_controller':
            if not 1.0 <= value <= 100.0:
                return f'a slow controller needs a factor of 1 to 100, not {value:g}'
            self.slow[target] = value
        else:
            (self.silent if fault == 'silent_controller' else self.lying).add(target)
        return ''

    def _clear(self, robot: Robot) -> str:
        self.stalled.clear()
        self.slow.clear()
        self.silent.clear()
        self.lying.clear()
        self.slippery = False
        robot.physics.set_slippery(False)
        for valve in robot.openings():
            robot.physics.set_valve_stuck(valve, False)
        robot.physics.put_box(robot.layout.x_range[0], robot.layout.y_range[0] - 3.0, 0.0)
        return ''


def _stick(robot: Robot, target: str) -> str:
    valves = list(robot.openings())
    if target and target not in valves:
        return f'no valve {target!r}; known: {", ".join(valves)}'
    for valve in [target] if target else valves:
        robot.physics.set_valve_stuck(valve, True)
    return ''


def _block(robot: Robot, target: str) -> str:
    if target in robot.layout.benches:
        pose = robot.layout.benches[target].pose
        x, y, yaw = pose.x, pose.y, pose.yaw
    elif target in ('', 'corridor'):
        door = robot.layout.doorway
        if door is None:
            return 'this room has no corridor; name a place'
        x, y, yaw = door.x, door.y, 0.0
    else:
        return f'no place {target!r}; known: corridor, {", ".join(robot.layout.benches)}'
    here = robot.physics.base_pose()
    if math.hypot(here.x - x, here.y - y) < BOX_ROOM_M + 0.3:
        return f'the robot stands where the box would go (x {x:.1f} m, y {y:.1f} m)'
    robot.physics.put_box(x, y, yaw)
    return ''
