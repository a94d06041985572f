# SPDX-License-Identifier: Apache-2.0
"""The base's controller: limited speeds and accelerations along a heading, position hold at rest, braking."""

from __future__ import annotations

import math

from gemma4_ros.sim.kinematics import wrap
from gemma4_ros.sim.layout import Pose
from gemma4_ros.sim.physics import TICK_S, Physics

__all__ = ['Base']

MAX_SPEED = 0.9
MAX_TURN = 1.6
ACCELERATION = 1.2
BRAKING = 1.6
EMERGENCY_BRAKING = 50.0  # the motors' force limits it, to 8 m/s^2 or so
SETTLE_SPEED = 0.30
TURN_ACCELERATION = 4.0


def approach(value: float, target: float, step: float) -> float:
    """Return value moved towards target by at most step."""
    return max(value - step, min(value + step, target))


class Base:
    """Drive with (forward speed, yaw rate); hold the pose when neither is asked for."""

    def __init__(self, physics: Physics) -> None:
        self._physics = physics
        self.reset()

    def reset(self) -> None:
        """Stand still here."""
        self._speed = self._turn = self._wish_speed = self._wish_turn = 0.0
        self._held: Pose | None = self._physics.base_pose()
        self._braking = False

    def drive(self, speed: float, turn: float) -> None:
        """Ask for a forward speed (m/s) and a yaw rate (rad/s)."""
        self._wish_speed = max(-MAX_SPEED, min(MAX_SPEED, speed))
        self._wish_turn = max(-MAX_TURN, min(MAX_TURN, turn))
        self._braking = False
        if self._wish_speed or self._wish_turn:
            self._held = None

    def settle(self, pose: Pose) -> None:
        """Hold a pose that is near: the base may roll sideways, slowly."""
        self._wish_speed = self._wish_turn = 0.0
        self._braking = False
        self._held = pose

    def brake(self) -> None:
        """Stop as fast as the wheels can."""
        self._wish_speed = self._wish_turn = 0.0
        self._braking = True
        self._held = None

    def standing(self) -> bool:
        """Return whether the base stands still."""
        speed, turn = self._physics.base_velocity()
        return abs(speed) < 0.02 and abs(turn) < 0.03

    def tick(self) -> None:
        """Command the motors for one tick."""
        slower = abs(self._wish_speed) < abs(self._speed)
        step = (EMERGENCY_BRAKING if self._braking else BRAKING if slower else ACCELERATION) * TICK_S
        self._speed = approach(self._speed, self._wish_speed, step)
        self._turn = approach(self._turn, self._wish_turn, (10 if self._braking else 1) * TURN_ACCELERATION * TICK_S)
        pose = self._physics.base_pose()
        yaw_rate = self._turn
        vx, vy = self._speed * math.cos(pose.yaw), self._speed * math.sin(pose.yaw)
        if self._speed == 0.0 and self._turn == 0.0:
            if self._held is None and self.standing():
                self._held = pose
            if self._held is not None:
                vx, vy = 6.0 * (self._held.x - pose.x), 6.0 * (self._held.y - pose.y)
                scale = min(1.0, SETTLE_SPEED / max(math.hypot(vx, vy), 1e-9))
                vx, vy = vx * scale, vy * scale
                yaw_rate = max(-1.0, min(1.0, 6.0 * wrap(self._held.yaw - pose.yaw)))
        for name, value in (('base_x', vx), ('base_y', vy), ('base_yaw', yaw_rate)):
            self._physics.command(name, value)
