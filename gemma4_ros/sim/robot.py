# SPDX-License-Identifier: Apache-2.0
"""What a task needs of the robot and its room, and how a task ends."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gemma4_ros.sim.arm import READY, STOWED, Arm
from gemma4_ros.sim.base import Base
from gemma4_ros.sim.grid import Grid
from gemma4_ros.sim.kinematics import ArmPose, wrap
from gemma4_ros.sim.layout import TURNTABLE_FORWARD_M, Layout, Pose
from gemma4_ros.sim.panel import Panel
from gemma4_ros.sim.physics import Physics
from gemma4_ros.sim.process import Process

__all__ = ['Outcome', 'Robot', 'Task']

Feedback = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: the name of the result's error constant ('NONE': done), one sentence, further result fields."""

    code: str = 'NONE'
    text: str = ''
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether it was done."""
        return self.code == 'NONE'


Task = Generator[Feedback, None, Outcome]  # one step a tick; yields feedback, returns the outcome


class Robot:
    """The robot with its base, arm and map, in its room."""

    def __init__(self, layout: Layout, physics: Physics) -> None:
        self.layout = layout
        self.physics = physics
        self.base = Base(physics)
        self.arm = Arm(physics)
        self.grid = Grid(layout)
        self.process = Process()
        self.panels = {m.name: Panel(m, physics) for m in layout.mounts.values() if m.kind == 'panel'}
        self.home: ArmPose = STOWED
        self.battery = 0.86
        self.arm_busy = False  # a task of the arm runs

    def reset(self) -> None:
        """Start over."""
        self.physics.reset()
        self.base.reset()
        self.arm.reset()
        self.grid.forget()
        self.process.reset()
        for panel in self.panels.values():
            panel.reset()
        self.home, self.battery = STOWED, 0.86

    def turntable(self) -> Pose:
        """Return the arm's vertical axis in the map."""
        pose = self.physics.base_pose()
        return Pose(*pose.point(TURNTABLE_FORWARD_M, 0.0), pose.yaw)

    def polar(self, x: float, y: float) -> tuple[float, float]:
        """Return (yaw of the turntable, radius in m) that point the arm at a point of the map."""
        forward, left = self.turntable().local(x, y)
        return math.atan2(left, forward), math.hypot(forward, left)

    def is_docked(self) -> bool:
        """Return whether the robot's plate touches the dock's contact."""
        return self.physics.touches('charge_plate', 'dock_contact')

    def place(self) -> str:
        """Return the place where the robot stands, or an empty string."""
        pose = self.physics.base_pose()
        return self.layout.place_of(pose.x, pose.y)

    def faces(self, place: str, position_m: float = 0.25, yaw_rad: float = 0.35) -> bool:
        """Return whether the robot stands at a place as one works there."""
        wanted, pose = self.layout.benches[place].pose, self.physics.base_pose()
        near = math.hypot(wanted.x - pose.x, wanted.y - pose.y) <= position_m
        return near and abs(wrap(wanted.yaw - pose.yaw)) <= yaw_rad

    def openings(self) -> dict[str, float]:
        """Return the opening (0..1) of every valve."""
        from gemma4_ros.sim.equipment_model import VALVE_OPEN_RAD

        valves = [m.name for m in self.layout.mounts.values() if m.kind == 'valve']
        return {name: min(1.0, max(0.0, self.physics.joint(name) / VALVE_OPEN_RAD)) for name in valves}

    def posture(self) -> str:
        """Return stowed, ready or between, by the measured joints."""
        return 'stowed' if self.arm.is_at(STOWED) else 'ready' if self.arm.is_at(READY) else 'between'

    def set_home(self, posture: ArmPose) -> None:
        """Choose the posture that tasks return to."""
        self.home = READY if posture == READY else STOWED
