# SPDX-License-Identifier: Apache-2.0
"""The tasks on equipment: turn a hand wheel by its bar, type a number into a keypad."""

from __future__ import annotations

import math
from collections.abc import Generator

from gemma4_ros.sim.equipment_model import VALVE_OPEN_RAD
from gemma4_ros.sim.kinematics import ArmPose, tip_pose, wrap
from gemma4_ros.sim.layout import Mount
from gemma4_ros.sim.panel import HIGH_BAR, LOW_BAR, Panel
from gemma4_ros.sim.physics import FINGER_END_M, TICK_S
from gemma4_ros.sim.reach import close_hand, go, open_hand, tuck, unfold
from gemma4_ros.sim.robot import Feedback, Outcome, Robot, Task

__all__ = ['operate_valve', 'set_panel_value']

NEAREST_M, FARTHEST_M, SKEW_RAD = 0.60, 0.84, 0.30
REACHED_RAD = 0.10
ROLL_SPEED, TURN_SPEED = 3.0, 1.0  # of the free hand, and at the wheel, rad/s
STUCK_S = 1.6
PRESS_GAP_M = 0.03


def _in_reach(robot: Robot, mount: Mount) -> tuple[float, float] | None:
    yaw, radius = robot.polar(mount.x, mount.y)
    skew = wrap(robot.physics.base_pose().yaw + yaw - mount.heading)
    return (yaw, radius) if NEAREST_M <= radius <= FARTHEST_M and abs(skew) <= SKEW_RAD else None


def operate_valve(robot: Robot, valve: str, opening: bool, slowness: float) -> Task:
    """Turn a valve open or closed."""
    mount = robot.layout.mounts.get(valve)
    if mount is None or mount.kind != 'valve':
        known = [m.name for m in robot.layout.mounts.values() if m.kind == 'valve']
        return Outcome('UNKNOWN_VALVE', f'no valve {valve!r}; known: {", ".join(known)}')
    angle = robot.physics.joint(valve)
    held = robot.physics.held_item()
    if held:
        return Outcome('HAND_FULL', f'the hand holds {held}; put it down first', {'angle_rad': angle})
    spot = _in_reach(robot, mount)
    if spot is None:
        return Outcome(
            'NOT_IN_REACH', f'{valve} is not in front of the robot; drive to {mount.place} first', {'angle_rad': angle}
        )
    goal = VALVE_OPEN_RAD if opening else 0.0
    at_bar = tip_pose(spot[0], spot[1], mount.z, 0.0, math.pi / 2 - angle)
    before = at_bar.moved(radius=at_bar.radius - 0.12)
    for steps in (
        open_hand(robot, 'approach', slowness),
        unfold(robot, spot[0], 'approach', slowness),
        go(robot, before.moved(radius=0.30), 'approach', slowness),
        go(robot, before, 'approach', slowness),
        go(robot, at_bar, 'approach', slowness * 1.3),
        close_hand(robot, 'grip', slowness),
    ):
        if not (yield from _with_angle(robot, valve, steps)):
            yield from _with_angle(robot, valve, _leave(robot, slowness))
            return Outcome(
                'NOT_IN_REACH', f'the arm could not get hold of {valve}', {'angle_rad': robot.physics.joint(valve)}
            )
    reached = yield from _turn(robot, valve, at_bar, goal, slowness)
    yield from _with_angle(robot, valve, _leave(robot, slowness))
    angle = robot.physics.joint(valve)
    if not reached or abs(angle - goal) > REACHED_RAD:
        return Outcome(
            'STUCK',
            f'{valve} stopped at {angle:.2f} rad of {goal:.2f} rad; the wheel does not turn any farther',
            {'angle_rad': angle},
        )
    return Outcome(values={'angle_rad': angle})


def _with_angle(robot: Robot, valve: str, steps: Generator[Feedback, None, bool]) -> Generator[Feedback, None, bool]:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return bool(stop.value)
        yield {'angle_rad': robot.physics.joint(valve)}


def _turn(robot: Robot, valve: str, pose: ArmPose, goal: float, slowness: float) -> Generator[Feedback, None, bool]:
    end = pose.moved(roll=math.pi / 2 - goal + (-0.12 if goal > 0 else 0.12))
    robot.arm.move(end, ROLL_SPEED / TURN_SPEED * slowness)
    best, waited = abs(robot.physics.joint(valve) - goal), 0.0
    while abs(robot.physics.joint(valve) - goal) > 0.4 * REACHED_RAD:
        rest = abs(robot.physics.joint(valve) - goal)
        waited = 0.0 if rest < best - 0.02 else waited + TICK_S
        best = min(best, rest) if waited == 0.0 else best
        if waited > STUCK_S * slowness:
            robot.arm.hold()
            return False
        yield {'angle_rad': robot.physics.joint(valve)}
    robot.arm.hold()
    return True


def _leave(robot: Robot, slowness: float) -> Generator[Feedback, None, bool]:
    yield from open_hand(robot, 'release', slowness)
    return (yield from tuck(robot, 'retreat', slowness))


def set_panel_value(robot: Robot, name: str, value: float, unit: str, slowness: float) -> Task:
    """Type a set-point into a panel, key by key."""
    panel = robot.panels.get(name)
    if panel is None:
        return Outcome('UNKNOWN_PANEL', f'no panel {name!r}; known: {", ".join(robot.panels)}')
    if unit != panel.mount.unit:
        return Outcome('WRONG_UNIT', f'{name} takes {panel.mount.unit}, not {unit!r}')
    if not (math.isfinite(value) and LOW_BAR <= value <= HIGH_BAR):
        return Outcome('OUT_OF_RANGE', f'{value:g} {unit} is outside {LOW_BAR:g} to {HIGH_BAR:g} {unit}')
    if _in_reach(robot, panel.mount) is None or robot.physics.held_item():
        return Outcome('NOT_IN_REACH', f'the robot does not stand at {panel.mount.place} with an empty hand')
    panel.reset()
    text = f'{value:.2f}'.rstrip('0').rstrip('.')
    yaw, _ = robot.polar(panel.mount.x, panel.mount.y)
    yield from unfold(robot, yaw, 'approach', slowness)
    yield from close_hand(robot, 'approach', slowness)
    for key in f'{text}E':
        if not (yield from _press(robot, panel, key, slowness)):
            break
    yield from tuck(robot, 'retreat', slowness)
    yield from open_hand(robot, 'retreat', slowness)
    if abs(robot.process.setpoint_bar - value) > 0.005:
        return Outcome(
            'NOT_IN_REACH',
            f'{name} shows {robot.process.setpoint_bar:.2f} {unit} after typing {text}: a key was missed',
        )
    return Outcome()


def _press(robot: Robot, panel: Panel, key: str, slowness: float) -> Generator[Feedback, None, bool]:
    x, y, z = panel.key_point(key)
    yaw, radius = robot.polar(x, y)
    before = ArmPose(yaw, radius - FINGER_END_M - PRESS_GAP_M, z, 0.0, 0.0)
    if not (yield from go(robot, before, 'type', slowness)):
        return False
    robot.arm.move(before.moved(radius=radius - FINGER_END_M + 0.02), slowness * 1.5)
    waited = 0.0
    while not panel.is_pressed():
        waited += TICK_S
        if waited > 1.5 * slowness:
            return False
        yield {'phase': 'type'}
    robot.arm.hold()
    return (yield from go(robot, before, 'type', slowness, tolerance=0.05))
