# SPDX-License-Identifier: Apache-2.0
"""The arm's controller: straight lines in (yaw, radius, height, pitch, roll) with limited speed, and the hand."""

from __future__ import annotations

import math
from typing import Final

from gemma4_ros.sim.kinematics import DOWN, ArmPose, joints_of
from gemma4_ros.sim.physics import TICK_S, Physics
from gemma4_ros.sim.robot_model import ARM_JOINTS, FINGER_OPEN_M

__all__ = ['POSTURES', 'READY', 'STOWED', 'TRANSIT_M', 'Arm']

STOWED: Final = ArmPose(-math.pi / 2, 0.26, 0.96, DOWN, 0.0)
READY: Final = ArmPose(0.0, 0.30, 1.00, DOWN, 0.0)
CARRY: Final = ArmPose(-math.pi / 2, 0.28, 0.98, DOWN, 0.0)
POSTURES: Final = {'stowed': STOWED, 'ready': READY, 'carry': CARRY}
TRANSIT_M: Final = 0.96  # wrist height at which a carried object clears everything on a bench
_SPEEDS: Final = {'yaw': 2.2, 'radius': 0.55, 'height': 0.50, 'pitch': 2.6, 'roll': 3.0}


class Arm:
    """Follow a set-point; one instance a robot, used by the physics thread."""

    def __init__(self, physics: Physics) -> None:
        self._physics = physics
        self.target = STOWED
        self.goal = STOWED
        self.slowness = 1.0
        self.reset()

    def reset(self) -> None:
        """Take the stowed posture as it stands after a reset of the physics, fingers open."""
        self.target = self.goal = STOWED
        self.fingers = FINGER_OPEN_M
        self._physics.command('finger', FINGER_OPEN_M)

    def stand(self, pose: ArmPose) -> None:
        """Be in a posture at once: for resets only."""
        joints = joints_of(pose)
        assert joints is not None  # a constant posture
        self.target = self.goal = pose
        for name, value in zip(ARM_JOINTS, joints, strict=True):
            self._physics.set_joint(name, value)
            self._physics.command(name, value)

    def move(self, goal: ArmPose, slowness: float = 1.0) -> bool:
        """Set where to go; False where the arm cannot reach."""
        if joints_of(goal) is None:
            return False
        self.goal, self.slowness = goal, slowness
        return True

    def hold(self) -> None:
        """Stop where it is."""
        self.goal = self.target

    def is_moving(self) -> bool:
        """Return whether a joint of the arm moves faster than it sways at rest."""
        return max(abs(self._physics.joint_velocity(name)) for name in ARM_JOINTS) > 0.05

    def set_fingers(self, opening_m: float) -> None:
        """Open or close: half the distance between the pads, m; below zero presses harder."""
        self.fingers = opening_m

    def tick(self) -> None:
        """Move the set-point by one tick and command the motors."""
        scale = self._stretch()
        for name in _SPEEDS:
            here, there = getattr(self.target, name), getattr(self.goal, name)
            if here != there:
                self.target = self.target.moved(**{name: here + (there - here) * scale})
        joints = joints_of(self.target)
        if joints is not None:
            for name, value in zip(ARM_JOINTS, joints, strict=True):
                self._physics.command(name, value)
        self._physics.command('finger', self.fingers)
        self._physics.set_firm(self.fingers < 0.0)

    def _stretch(self) -> float:
        """Return which part of the rest of the way this tick does, so that all coordinates arrive together."""
        ticks = 1.0
        for name, speed in _SPEEDS.items():
            way = abs(getattr(self.goal, name) - getattr(self.target, name))
            ticks = max(ticks, way / (speed / self.slowness * TICK_S))
        return 1.0 / ticks

    def error(self) -> float:
        """Return the largest difference (rad) between set-point and measured joints."""
        joints = joints_of(self.target) or (0.0,) * 5
        return max(abs(self._physics.joint(n) - v) for n, v in zip(ARM_JOINTS, joints, strict=True))

    def remaining(self) -> float:
        """Return the largest joint angle (rad) that is left to go."""
        joints = joints_of(self.goal) or (0.0,) * 5
        return max(abs(self._physics.joint(n) - v) for n, v in zip(ARM_JOINTS, joints, strict=True))

    def arrived(self, tolerance: float = 0.03) -> bool:
        """Return whether it stands where it should."""
        return self.target == self.goal and self.error() < tolerance

    def is_at(self, posture: ArmPose) -> bool:
        """Return whether the measured joints are those of a posture; the carrying one counts as the stowed one."""
        joints = joints_of(posture) or (0.0,) * 5
        return max(abs(self._physics.joint(n) - v) for n, v in zip(ARM_JOINTS[:4], joints[:4], strict=True)) < 0.15
