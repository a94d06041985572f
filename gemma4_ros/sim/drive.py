# SPDX-License-Identifier: Apache-2.0
"""The tasks of the base: drive to a pose around obstacles, dock, undock."""

from __future__ import annotations

import itertools
import math
from collections.abc import Generator

from gemma4_ros.sim.base import MAX_SPEED, MAX_TURN
from gemma4_ros.sim.grid import Point
from gemma4_ros.sim.kinematics import wrap
from gemma4_ros.sim.layout import DOCK_PRESS_M, DOCK_STROKE_M, Pose
from gemma4_ros.sim.reach import tuck
from gemma4_ros.sim.robot import Feedback, Outcome, Robot, Task

__all__ = ['dock', 'drive', 'undock']

RAYS, FAN_RAD, RANGE_M = 31, 1.3, 2.2
SCAN_EVERY, RETRY_EVERY = 5, 20  # ticks
PATIENCE_S = 2.5  # with no way around an obstacle
STALL_S = 5.0  # without getting nearer
ARRIVED_M, ARRIVED_RAD = 0.015, 0.015
PUSH_M = 0.06  # how much farther than the contacts the base is sent


class _Drive:
    """One drive: its way, what it has seen, how far it got."""

    def __init__(self, robot: Robot, goal: Pose, slowness: float) -> None:
        self.robot, self.goal, self.slowness = robot, goal, slowness
        self.driven_m = 0.0
        self._last = robot.physics.base_pose()
        self._ticks = 0
        self._best_m = math.inf
        self._best_s = robot.physics.time_s
        self._stuck_since: float | None = None
        robot.grid.forget()
        self.way = self._plan()

    def _plan(self) -> list[Point] | None:
        pose = self.robot.physics.base_pose()
        return self.robot.grid.way((pose.x, pose.y), (self.goal.x, self.goal.y))

    def remaining_m(self) -> float:
        """Return the length of the way that is left."""
        pose = self.robot.physics.base_pose()
        points = [(pose.x, pose.y), *(self.way or [])[1:]]
        return sum(math.dist(a, b) for a, b in itertools.pairwise(points))

    def feedback(self) -> Feedback:
        """Return pose and rest of the way; count what was driven."""
        pose = self.robot.physics.base_pose()
        self.driven_m += math.hypot(pose.x - self._last.x, pose.y - self._last.y)
        self._last = pose
        return {'pose': pose, 'distance_remaining_m': self.remaining_m()}

    def look(self) -> str:
        """Scan now and then, plan anew around what is in the way; return why it is blocked, or an empty string."""
        self._ticks += 1
        now = self.robot.physics.time_s
        if self._ticks % (SCAN_EVERY if self._stuck_since is None else RETRY_EVERY) == 0:
            if self._stuck_since is not None:
                self.robot.grid.forget()
            hits = self.robot.physics.scan(RAYS, FAN_RAD, RANGE_M)
            new = [hit for hit in hits if self.robot.grid.see(hit[1], hit[2])]
            if new or self._stuck_since is not None:
                self.way = self._plan()
                self._stuck_since = None if self.way is not None else self._stuck_since or now
        if self._stuck_since is not None and now - self._stuck_since > PATIENCE_S:
            pose = self.robot.physics.base_pose()
            where = f'x {pose.x:.1f} m, y {pose.y:.1f} m'
            return f'no way around an obstacle ahead of {where} for {PATIENCE_S:.1f} s; clear the way and ask again'
        rest = self.remaining_m()
        if rest < self._best_m - 0.05 or self.way is None:
            self._best_m, self._best_s = rest, now
        if now - self._best_s > STALL_S * self.slowness:
            waited = STALL_S * self.slowness
            return f'no progress for {waited:.0f} s, {rest:.1f} m before the goal; something holds the base'
        return ''

    def steer(self) -> bool:
        """Drive towards the next point of the way; True at its end."""
        base, pose = self.robot.base, self.robot.physics.base_pose()
        if self.way is None:
            base.drive(0.0, 0.0)
            return False
        while len(self.way) > 2 and math.dist((pose.x, pose.y), self.way[1]) < 0.25:
            self.way.pop(1)
        x, y = self.way[1]
        distance = math.hypot(x - pose.x, y - pose.y)
        if len(self.way) == 2 and distance < 0.06:
            return True
        error = wrap(math.atan2(y - pose.y, x - pose.x) - pose.yaw)
        top = MAX_SPEED / self.slowness
        turn = max(-MAX_TURN, min(MAX_TURN, 3.0 * error)) / self.slowness
        brake = (
            math.sqrt(2 * 1.1 * max(0.0, distance - 0.02))
            if len(self.way) == 2
            else math.sqrt(0.3 + 2 * 1.1 * distance)
        )
        speed = 0.0 if abs(error) > 0.6 else min(top, brake / self.slowness) * max(0.0, math.cos(2 * error))
        base.drive(max(speed, 0.0), turn)
        return False


def drive(robot: Robot, goal: Pose, frame: str, slowness: float) -> Task:
    """Drive to a pose of the map."""
    if frame != 'map':
        return Outcome('UNKNOWN_FRAME', f'the pose is in frame {frame!r}; this base knows the frame map only')
    if not all(map(math.isfinite, (goal.x, goal.y, goal.yaw))):
        return Outcome('NO_PATH', 'the pose has a number that is not finite')
    if robot.is_docked():
        return Outcome('DOCKED', 'the robot is on the charging contacts; undock first')
    if not robot.grid.is_free((goal.x, goal.y)):
        return Outcome(
            'NO_PATH', f'x {goal.x:.2f} m, y {goal.y:.2f} m is inside or beside an obstacle, or outside the room'
        )
    if not robot.arm_busy and (robot.arm.target.radius > 0.32 or robot.arm.target.pitch > -1.0):
        yield from _tuck(robot, slowness)
    trip = _Drive(robot, goal, slowness)
    if trip.way is None:
        return Outcome('NO_PATH', f'the map has no way to x {goal.x:.2f} m, y {goal.y:.2f} m')
    while True:
        blocked = trip.look()
        if blocked:
            robot.base.brake()
            return Outcome('BLOCKED', blocked, {'distance_m': trip.driven_m})
        if trip.steer():
            break
        yield trip.feedback()
    return (yield from _settle(robot, trip))


def _tuck(robot: Robot, slowness: float) -> Generator[Feedback, None, None]:
    folding = tuck(robot, 'fold', slowness)
    for _ in folding:
        yield {'pose': robot.physics.base_pose(), 'distance_remaining_m': 0.0}


def _settle(robot: Robot, trip: _Drive) -> Task:
    goal, start = trip.goal, robot.physics.time_s
    base = robot.base
    while abs(wrap(goal.yaw - robot.physics.base_pose().yaw)) > 0.05:
        error = wrap(goal.yaw - robot.physics.base_pose().yaw)
        base.drive(0.0, max(-MAX_TURN, min(MAX_TURN, 3.0 * error)) / trip.slowness)
        yield trip.feedback()
        if robot.physics.time_s - start > STALL_S * trip.slowness:
            base.brake()
            return Outcome(
                'BLOCKED', 'the base cannot turn at the goal; something holds it', {'distance_m': trip.driven_m}
            )
    base.drive(0.0, 0.0)
    start = robot.physics.time_s
    while True:
        base.settle(goal)
        pose = robot.physics.base_pose()
        near = math.hypot(goal.x - pose.x, goal.y - pose.y) < ARRIVED_M and abs(wrap(goal.yaw - pose.yaw)) < ARRIVED_RAD
        if near and base.standing():
            trip.feedback()
            return Outcome(values={'distance_m': trip.driven_m})
        if robot.physics.time_s - start > STALL_S * trip.slowness:
            base.brake()
            return Outcome(
                'BLOCKED',
                'the base cannot reach the last centimetres; something is in the way',
                {'distance_m': trip.driven_m},
            )
        yield trip.feedback()


def _slide(robot: Robot, end: Pose, phase: str, slowness: float, contact: bool) -> Generator[Feedback, None, bool]:
    start, began = robot.physics.base_pose(), robot.physics.time_s
    way = max(0.01, math.hypot(end.x - start.x, end.y - start.y))
    seconds = way / 0.12 * slowness
    while robot.physics.time_s - began < seconds + 2.0:
        part = min(1.0, (robot.physics.time_s - began) / seconds)
        turn = wrap(end.yaw - start.yaw)
        robot.base.settle(
            Pose(start.x + part * (end.x - start.x), start.y + part * (end.y - start.y), start.yaw + part * turn)
        )
        pose = robot.physics.base_pose()
        if contact and robot.is_docked():
            robot.base.settle(Pose(*pose.point(DOCK_PRESS_M, 0.0), end.yaw))
            return True
        if not contact and part == 1.0 and math.hypot(end.x - pose.x, end.y - pose.y) < 0.02:
            return True
        yield {'phase': phase}
    robot.base.brake()
    return False


def dock(robot: Robot, slowness: float) -> Task:
    """Drive onto the charging contacts."""
    name = robot.layout.dock_place
    place = robot.layout.benches[name].pose
    if robot.is_docked():
        return Outcome(values={'battery_percent': 100 * robot.battery})
    if not robot.faces(name, 0.35, 0.5):
        return Outcome('NOT_IN_REACH', f'the robot is not in front of {name}; drive there first')
    if not (yield from _slide(robot, place, 'align', slowness, contact=False)):
        return Outcome('NO_CONTACT', 'the robot cannot line up with the dock; something is in the way')
    end = Pose(*place.point(DOCK_STROKE_M + PUSH_M, 0.0), place.yaw)
    if not (yield from _slide(robot, end, 'approach', slowness, contact=True)):
        return Outcome('NO_CONTACT', 'the base went to the end of its way without touching the contacts')
    return Outcome(values={'battery_percent': 100 * robot.battery})


def undock(robot: Robot, slowness: float) -> Task:
    """Drive off the charging contacts."""
    name = robot.layout.dock_place
    place = robot.layout.benches[name].pose
    if not robot.is_docked() and not robot.faces(name, 0.35, 0.5):
        return Outcome('NOT_IN_REACH', f'the robot is not at {name}')
    if not (yield from _slide(robot, place, 'leave', slowness, contact=False)):
        return Outcome('NO_CONTACT', 'the robot cannot leave the dock; something is behind it')
    return Outcome(values={'battery_percent': 100 * robot.battery})
