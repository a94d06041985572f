# SPDX-License-Identifier: Apache-2.0
"""The arm's geometry: a turntable, two links in a vertical plane, wrist pitch and roll; closed-form inverse."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

__all__ = ['ArmPose', 'joints_of', 'tip_pose', 'wrap']

SHOULDER_HEIGHT_M = 0.60
UPPER_M = 0.40
FORE_M = 0.36
TIP_M = 0.18  # from the wrist to the middle of the finger pads
DOWN = -math.pi / 2
LONGEST_M = UPPER_M + FORE_M - 0.005
SHORTEST_M = 0.12


@dataclass(frozen=True, slots=True)
class ArmPose:
    """
    Where the wrist is, seen from the arm's vertical axis.

    Yaw of the turntable, radius (m, horizontal), height (m, above the floor), pitch (0: level, -pi/2: down) and roll of
    the hand; rad.
    """

    yaw: float
    radius: float
    height: float
    pitch: float
    roll: float

    def moved(self, **changes: float) -> ArmPose:
        """Return a copy with some values changed."""
        return replace(self, **changes)


def wrap(angle: float) -> float:
    """Return the angle in -pi..pi."""
    return math.atan2(math.sin(angle), math.cos(angle))


def joints_of(pose: ArmPose) -> tuple[float, float, float, float, float] | None:
    """
    Return the joint angles (turntable, shoulder, elbow, wrist pitch, roll; rad) of a pose, or None out of reach.

    Elbow up; law of cosines.
    """
    dr, dz = pose.radius, pose.height - SHOULDER_HEIGHT_M
    distance = math.hypot(dr, dz)
    if not SHORTEST_M <= distance <= LONGEST_M:
        return None
    bend = math.acos((UPPER_M**2 + distance**2 - FORE_M**2) / (2 * UPPER_M * distance))
    upper = math.atan2(dz, dr) + bend
    fore = math.atan2(dz - UPPER_M * math.sin(upper), dr - UPPER_M * math.cos(upper))
    return pose.yaw, upper, wrap(fore - upper), wrap(pose.pitch - fore), pose.roll


def tip_pose(yaw: float, radius: float, height: float, pitch: float, roll: float) -> ArmPose:
    """Return the wrist pose that brings the finger pads to (radius, height)."""
    return ArmPose(yaw, radius - TIP_M * math.cos(pitch), height - TIP_M * math.sin(pitch), pitch, roll)
