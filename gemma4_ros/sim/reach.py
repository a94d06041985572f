# SPDX-License-Identifier: Apache-2.0
"""Movements of the arm that several tasks share: go somewhere, close and open the hand, fold in."""

from __future__ import annotations

from collections.abc import Generator

from gemma4_ros.sim.arm import TRANSIT_M
from gemma4_ros.sim.kinematics import DOWN, ArmPose
from gemma4_ros.sim.physics import TICK_S
from gemma4_ros.sim.robot import Feedback, Robot
from gemma4_ros.sim.robot_model import FINGER_OPEN_M

__all__ = ['Steps', 'close_hand', 'go', 'open_hand', 'pause', 'tuck', 'unfold']

Steps = Generator[Feedback, None, bool]
INNER_M = 0.28
SETTLE_S = 1.2
FINGER_SPEED = 0.2
PRESS_M = -0.03


def go(robot: Robot, goal: ArmPose, phase: str, slowness: float, tolerance: float = 0.03) -> Steps:
    """Move the arm in a straight line of its coordinates; False where it is out of reach or something is in the way."""
    if not robot.arm.move(goal, slowness):
        return False
    late = 0.0
    while not robot.arm.arrived(tolerance):
        if robot.arm.target == goal or robot.arm.error() > 0.35:
            late += TICK_S
        if late > SETTLE_S:
            robot.arm.hold()
            return False
        yield {'phase': phase, 'remaining_rad': robot.arm.remaining()}
    return True


def pause(robot: Robot, seconds: float, phase: str) -> Steps:
    """Wait."""
    end = robot.physics.time_s + seconds
    while robot.physics.time_s < end:
        yield {'phase': phase, 'remaining_rad': 0.0}
    return True


def close_hand(robot: Robot, phase: str, slowness: float) -> Steps:
    """Close the fingers until they press on what is between them."""
    opening = robot.arm.fingers
    while opening > PRESS_M:
        opening = max(PRESS_M, opening - FINGER_SPEED * TICK_S / slowness)
        robot.arm.set_fingers(opening)
        yield {'phase': phase, 'remaining_rad': 0.0}
    yield from pause(robot, 0.25, phase)
    return True


def open_hand(robot: Robot, phase: str, slowness: float) -> Steps:
    """Open the fingers."""
    opening = max(robot.arm.fingers, robot.physics.joint('finger_left') - 0.004)
    while opening < FINGER_OPEN_M:
        opening = min(FINGER_OPEN_M, opening + FINGER_SPEED * TICK_S / slowness)
        robot.arm.set_fingers(opening)
        yield {'phase': phase, 'remaining_rad': 0.0}
    yield from pause(robot, 0.15, phase)
    return True


def tuck(robot: Robot, phase: str, slowness: float) -> Steps:
    """Bring the arm home from wherever it is: out of what it works on first, then in, then round."""
    here = robot.arm.target
    if here == robot.home:
        return (yield from go(robot, robot.home, phase, slowness))
    if here.pitch > 0.5 * DOWN:
        out = here.moved(radius=min(here.radius, INNER_M))
    else:
        out = here.moved(height=max(here.height, TRANSIT_M))
    folded = ArmPose(here.yaw, min(out.radius, INNER_M), TRANSIT_M, DOWN, robot.home.roll)
    for pose in (out, folded, robot.home):
        if not (yield from go(robot, pose, phase, slowness)):
            return False
    return True


def unfold(robot: Robot, yaw: float, phase: str, slowness: float) -> Steps:
    """Turn the folded arm towards something."""
    here = robot.arm.target
    if here.pitch > 0.5 * DOWN or here.height < TRANSIT_M - 0.01 or here.radius > 0.31:
        if not (yield from tuck(robot, phase, slowness)):
            return False
        here = robot.arm.target
    return (yield from go(robot, here.moved(yaw=yaw, height=max(here.height, TRANSIT_M)), phase, slowness))
