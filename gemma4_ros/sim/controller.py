# SPDX-License-Identifier: Apache-2.0
"""One controller of the robot: at most one task at a time, cancel, limits, and the faults that concern it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gemma4_ros.sim.drive import dock, drive, undock
from gemma4_ros.sim.handling import move_arm, pick, place
from gemma4_ros.sim.operating import operate_valve, set_panel_value
from gemma4_ros.sim.robot import Outcome, Robot, Task

__all__ = ['CONTROLLERS', 'Controller', 'Kind', 'Ticket']

LIE_S = 1.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What a controller does and needs: a task from (robot, arguments, slowness), its resource, its own time limit."""

    make: Callable[[Robot, Mapping[str, Any], float], Task]
    resource: str
    limit_s: float
    lie: Mapping[str, Any]
    timeout_code: str = 'TIMEOUT'
    while_driving: bool = False  # the arm may do it while the base drives

    def conflicts(self, other: Kind) -> bool:
        """Return whether two goals cannot be worked on at the same time."""
        return self.resource == other.resource or not (self.while_driving or other.while_driving)


CONTROLLERS: Mapping[str, Kind] = {
    'drive_to': Kind(lambda r, a, s: drive(r, a['pose'], a['frame'], s), 'base', 85.0, {'distance_m': 4.0}),
    'dock': Kind(lambda r, a, s: (undock if a['undock'] else dock)(r, s), 'base', 28.0, {'battery_percent': 80.0}),
    'pick_object': Kind(lambda r, a, s: pick(r, a['object_id'], s), 'arm', 38.0, {'grip_force_n': 25.0}),
    'place_object': Kind(lambda r, a, s: place(r, a['place_id'], s), 'arm', 38.0, {}),
    'operate_valve': Kind(
        lambda r, a, s: operate_valve(r, a['valve_id'], a['opening'], s), 'arm', 38.0, {'angle_rad': 1.5}
    ),
    'move_arm': Kind(lambda r, a, s: move_arm(r, a['posture'], s), 'arm', 18.0, {}, while_driving=True),
    'set_panel_value': Kind(
        lambda r, a, s: set_panel_value(r, a['panel'], a['value'], a['unit'], s), 'arm', 18.0, {}, 'BUSY'
    ),
}


class Ticket:
    """One goal: what was asked, who waits, whether it was cancelled."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        done: Callable[[Outcome], None],
        feedback: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self.arguments = arguments
        self.done = done
        self.feedback = feedback
        self.cancelled = False
        self.is_silent = False


class Controller:
    """Step the task of one endpoint; used by the physics thread under the cell's lock."""

    def __init__(self, name: str, robot: Robot) -> None:
        self.name = name
        self.kind = CONTROLLERS[name]
        self._robot = robot
        self.ticket: Ticket | None = None
        self._task: Task | None = None
        self._started_s = 0.0
        self._lying = False
        self._halted: Outcome | None = None

    def start(self, ticket: Ticket, slowness: float, silent: bool, lying: bool) -> None:
        """Take a goal."""
        ticket.is_silent = silent
        self.ticket, self._halted, self._lying = ticket, None, lying
        self._started_s = self._robot.physics.time_s
        self._task = None if silent or lying else self.kind.make(self._robot, ticket.arguments, slowness)

    def halt(self, outcome: Outcome) -> None:
        """Brake; the goal ends with this outcome as soon as everything stands still."""
        if self.ticket is None or self._halted is not None:
            return
        self._halted = outcome
        if self._task is not None:
            self._task.close()
            self._brake()

    def finish(self) -> None:
        """End a halted goal now, without waiting for everything to stand still."""
        if self._halted is not None:
            self._end(self._halted)

    def tick(self) -> None:
        """Go on by one tick."""
        if self.ticket is None:
            return
        if self._halted is not None:
            if self._task is None or self.kind.resource != 'base' or self._robot.base.standing():
                self._end(self._halted)
            return
        if self.ticket.is_silent:
            return
        if self.ticket.cancelled:
            self.halt(Outcome('CANCELLED', 'cancelled'))
            return
        age = self._robot.physics.time_s - self._started_s
        if self._lying:
            if age > LIE_S:
                self._end(Outcome(values=self.kind.lie))
        elif age > self.kind.limit_s:
            self.halt(Outcome(self.kind.timeout_code, f'{self.name} gave up after {self.kind.limit_s:.0f} s'))
        else:
            self._step()

    def _step(self) -> None:
        assert self._task is not None and self.ticket is not None  # tick() looked
        try:
            self.ticket.feedback(next(self._task))
        except StopIteration as stop:
            self._end(stop.value)
        except Exception as error:  # noqa: BLE001 - a bug in one task must not end the physics and all other controllers
            self._brake()
            self._end(Outcome('INTERNAL', f'{self.name} failed inside: {error!r}; please report it'))

    def _brake(self) -> None:
        self._robot.arm.hold()
        if self.kind.resource == 'base':
            self._robot.base.brake()

    def _end(self, outcome: Outcome) -> None:
        ticket, self.ticket, self._task = self.ticket, None, None
        if ticket is not None:
            ticket.done(outcome)
