# SPDX-License-Identifier: Apache-2.0
"""The tasks of the hand: pick an object by friction, put it down, take a posture."""

from __future__ import annotations

import math

from gemma4_ros.sim.arm import POSTURES, TRANSIT_M
from gemma4_ros.sim.kinematics import DOWN, TIP_M, ArmPose, joints_of, tip_pose, wrap
from gemma4_ros.sim.layout import BENCH_TOP_M, SLOT_ORDER
from gemma4_ros.sim.reach import close_hand, go, open_hand, tuck, unfold
from gemma4_ros.sim.robot import Outcome, Robot, Task

__all__ = ['move_arm', 'pick', 'place']

NEAREST_M, FARTHEST_M, WIDEST_RAD = 0.30, 0.67, 1.7
HOLD_N = 3.0
LIFTED_M = 0.08
SLOT_CLEARANCE_M = 0.14


def _grasp_height(robot: Robot, item: str) -> float:
    half = robot.physics.shapes[item][1][2]
    return float(robot.physics.item_position(item)[2]) + max(0.012, half - 0.055)


def _grasp_roll(robot: Robot, item: str, yaw: float) -> float:
    shape, _ = robot.physics.shapes[item]
    if shape == 'cylinder':
        return 0.0
    roll = wrap(robot.physics.base_pose().yaw + yaw - robot.physics.item_yaw(item))
    return roll - math.pi if roll > math.pi / 2 else roll + math.pi if roll < -math.pi / 2 else roll


def pick(robot: Robot, item: str, slowness: float) -> Task:
    """Grasp an object in front of the robot and lift it."""
    if item not in robot.layout.items:
        return Outcome('UNKNOWN_OBJECT', f'no object {item!r}; known: {", ".join(robot.layout.items)}')
    held = robot.physics.held_item()
    if held:
        return Outcome('HAND_FULL', f'the hand holds {held}; put it down first')
    x, y, _ = robot.physics.item_position(item)
    yaw, radius = robot.polar(float(x), float(y))
    height = _grasp_height(robot, item)
    grasp = tip_pose(yaw, radius, height, DOWN, _grasp_roll(robot, item, yaw))
    above = grasp.moved(height=TRANSIT_M)
    reachable = joints_of(grasp) is not None and joints_of(above) is not None and robot.physics.item_on_bench(item)
    if not (reachable and NEAREST_M <= radius <= FARTHEST_M and abs(yaw) <= WIDEST_RAD):
        return Outcome(
            'NOT_IN_REACH',
            f'{item} is {radius:.2f} m from the arm, at a height of {height:.2f} m: not where the hand can take it',
        )
    for steps in (
        open_hand(robot, 'approach', slowness),
        unfold(robot, yaw, 'approach', slowness),
        go(robot, above, 'approach', slowness),
    ):
        if not (yield from steps):
            return (yield from _give_up(robot, f'the arm could not get above {item}', slowness))
    if not (yield from go(robot, grasp, 'descend', slowness * 1.3)):
        return (yield from _give_up(robot, f'something is in the way above {item}', slowness))
    yield from close_hand(robot, 'close', slowness)
    if min(robot.physics.grip_forces(item)) < HOLD_N:
        return (yield from _give_up(robot, f'the fingers closed without holding {item}', slowness))
    start = float(robot.physics.item_position(item)[2])
    yield from go(robot, above, 'lift', slowness * 1.3)
    forces = robot.physics.grip_forces(item)
    if min(forces) < HOLD_N or float(robot.physics.item_position(item)[2]) < start + LIFTED_M:
        return (yield from _give_up(robot, f'{item} slipped out of the fingers while they lifted it', slowness))
    yield from tuck(robot, 'carry', slowness)
    forces = robot.physics.grip_forces(item)
    if min(forces) < HOLD_N:
        return Outcome('GRASP_FAILED', f'{item} was lost on the way back')
    return Outcome(values={'grip_force_n': min(forces)})


def _give_up(robot: Robot, why: str, slowness: float) -> Task:
    yield from open_hand(robot, 'retreat', slowness)
    yield from tuck(robot, 'retreat', slowness)
    return Outcome('GRASP_FAILED', why)


def _free_slot(robot: Robot, place: str, item: str) -> tuple[float, float] | None:
    others = [robot.physics.item_position(name) for name in robot.layout.items if name != item]
    for index in SLOT_ORDER:
        x, y = robot.layout.benches[place].slot(index)
        if all(math.hypot(o[0] - x, o[1] - y) > SLOT_CLEARANCE_M for o in others):
            return x, y
    return None


def place(robot: Robot, place_id: str, slowness: float) -> Task:
    """Put the object in the hand down on the bench of a place."""
    if place_id not in robot.layout.benches:
        return Outcome('UNKNOWN_PLACE', f'no place {place_id!r}; known: {", ".join(robot.layout.benches)}')
    item = robot.physics.held_item()
    if not item:
        return Outcome('HAND_EMPTY', 'the hand holds nothing')
    if not robot.faces(place_id):
        return Outcome('NOT_IN_REACH', f'the robot does not stand at {place_id}; drive there first')
    slot = _free_slot(robot, place_id, item)
    if slot is None:
        return Outcome('NOT_IN_REACH', f'the bench of {place_id} has no free spot; take something away first')
    yaw, radius = robot.polar(*slot)
    roll = wrap(robot.physics.base_pose().yaw + yaw - robot.layout.benches[place_id].pose.yaw)
    hang = robot.arm.target.height - TIP_M - float(robot.physics.item_position(item)[2])
    down = tip_pose(yaw, radius, BENCH_TOP_M + robot.physics.shapes[item][1][2] + hang + 0.002, DOWN, roll)
    above = down.moved(height=TRANSIT_M)
    for steps in (unfold(robot, yaw, 'approach', slowness), go(robot, above, 'approach', slowness)):
        if not (yield from steps):
            yield from tuck(robot, 'retreat', slowness)
            return Outcome('NOT_IN_REACH', f'the arm could not get above the bench of {place_id}')
    yield from go(robot, down, 'descend', slowness * 1.3)
    yield from open_hand(robot, 'release', slowness)
    yield from go(robot, above, 'retreat', slowness)
    yield from tuck(robot, 'retreat', slowness)
    if robot.physics.item_on_bench(item) != place_id:
        return Outcome('UNSTABLE', f'{item} does not stand on the bench of {place_id} after the hand let go')
    return Outcome()


def move_arm(robot: Robot, posture: str, slowness: float) -> Task:
    """Take a named posture."""
    if posture not in POSTURES:
        return Outcome('UNKNOWN_POSTURE', f'no posture {posture!r}; known: {", ".join(POSTURES)}')
    goal: ArmPose = POSTURES[posture]
    robot.set_home(goal)
    if not (yield from tuck(robot, 'move', slowness)) or not (yield from go(robot, goal, 'move', slowness)):
        return Outcome('COLLISION', f'something keeps the arm from {posture}')
    return Outcome()
