# SPDX-License-Identifier: Apache-2.0
"""The cell: physics, robot, controllers, process and faults behind one lock, without ROS."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.world import World
from gemma4_ros.sim.arrange import arrange, objection
from gemma4_ros.sim.controller import CONTROLLERS, Controller, Ticket
from gemma4_ros.sim.drawing import Picture, draw_dial, draw_display, draw_keys, draw_label
from gemma4_ros.sim.faults import Faults
from gemma4_ros.sim.hmi import Screen, draw_screen
from gemma4_ros.sim.layout import Pose, build_layout
from gemma4_ros.sim.physics import TICK_S, Physics
from gemma4_ros.sim.robot import Outcome, Robot
from gemma4_ros.sim.robot_model import ARM_JOINTS
from gemma4_ros.sim.scene import build_mjcf

__all__ = ['MODES', 'Cell', 'Snapshot']

MODES = ('AUTO', 'MANUAL', 'MAINTENANCE')
DRAIN_PER_S, DRIVE_DRAIN_PER_S, CHARGE_PER_S = 2e-5, 1.5e-4, 1e-3
JOINTS = (*ARM_JOINTS, 'finger_left', 'finger_right')
OPEN_AT, CLOSED_AT = 0.8, 0.2
SCREEN_PERIOD_S = 0.5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the sensors say at one moment."""

    time_s: float
    pose: Pose
    speed: float
    yaw_rate: float
    joints: Mapping[str, tuple[float, float, float]]  # position, velocity, effort
    battery: float
    docked: bool
    mode: str
    estop: bool
    pressure_bar: float


class Cell:
    """
    The simulated cell. ``tick`` belongs to one thread; everything else may be called from any.

    Parameters
    ----------
    world : World
        Places, objects and equipment; see ``build_layout`` for what the cell needs of them.

    """

    def __init__(self, world: World) -> None:
        self.lock = threading.RLock()
        self.layout = build_layout(world)
        self.physics = Physics(self.layout)
        self.robot = Robot(self.layout, self.physics)
        self.faults = Faults()
        self.mode, self.estop = 'AUTO', False
        self.controllers = {name: Controller(name, self.robot) for name in CONTROLLERS}
        self._signs = self._draw_signs()
        self._drawn: dict[str, tuple[Any, ...]] = {}  # what the changing signs show; for the thread that renders

    # running ---------------------------------------------------------------------------------------------------------
    def tick(self) -> None:
        """Go on by ``TICK_S`` seconds."""
        with self.lock:
            if self.estop:
                self._stop_all()
            self.robot.arm_busy = any(
                c.ticket is not None for c in self.controllers.values() if c.kind.resource == 'arm'
            )
            for controller in self.controllers.values():
                controller.tick()
            if not self.estop:
                self.robot.arm.tick()
            self.robot.base.tick()
            self._point_needles()
            self.physics.step()
            self._tick_process()

    def _stop_all(self) -> None:
        for controller in self.controllers.values():
            controller.halt(Outcome('ESTOPPED', 'the emergency stop is pressed; release it and ask again'))

    def _point_needles(self) -> None:
        for mount in self.layout.mounts.values():
            if mount.kind == 'gauge' and mount.dial is not None:
                low, high, start, end = (float(mount.dial[k]) for k in ('min', 'max', 'start_deg', 'end_deg'))
                part = min(1.02, max(-0.02, (self.robot.process.pressure_bar - low) / (high - low)))
                self.physics.command(f'needle_{mount.name}', -np.deg2rad(start + part * (end - start)))

    def _tick_process(self) -> None:
        for panel in self.robot.panels.values():
            value = panel.tick()
            if value is not None:
                self.robot.process.setpoint_bar = value
        self.robot.process.tick(TICK_S, self.robot.openings())
        rate = -DRAIN_PER_S if self.robot.base.standing() else -DRIVE_DRAIN_PER_S
        if self.robot.is_docked():
            rate = CHARGE_PER_S
        self.robot.battery = min(1.0, max(0.0, self.robot.battery + rate * TICK_S))

    # goals -----------------------------------------------------------------------------------------------------------
    def refusal(self, name: str) -> str:
        """Return why a controller cannot take a goal now, or an empty string."""
        with self.lock:
            if self.estop:
                return 'the emergency stop is pressed'
            kind = self.controllers[name].kind
            for other in self.controllers.values():
                if other.ticket is not None and kind.conflicts(other.kind):
                    return (
                        f'{other.name} works on an earlier goal'
                        if other.name != name
                        else 'an earlier goal is not done'
                    )
            return ''

    def start(
        self,
        name: str,
        arguments: Mapping[str, Any],
        done: Callable[[Outcome], None],
        feedback: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> Ticket:
        """Give a controller a goal; ``done`` and ``feedback`` are called in the thread that ticks."""
        with self.lock:
            ticket = Ticket(arguments, done, feedback)
            refused = self.refusal(name)
            if refused:
                done(Outcome('ESTOPPED' if self.estop else 'BUSY', refused))
                return ticket
            faults = self.faults
            self.controllers[name].start(ticket, faults.slowness(name), faults.is_silent(name), faults.is_lying(name))
            return ticket

    def halt_all(self, why: str) -> None:
        """Brake and end every goal."""
        with self.lock:
            for controller in self.controllers.values():
                controller.halt(Outcome('CANCELLED', why))

    def is_busy(self) -> bool:
        """Return whether a controller works on a goal."""
        with self.lock:
            return any(controller.ticket is not None for controller in self.controllers.values())

    def set_estop(self, pressed: bool) -> None:
        """Press or release the emergency stop."""
        with self.lock:
            self.estop = pressed
            if pressed:
                self.robot.base.brake()
                self.robot.arm.hold()

    def set_mode(self, mode: str) -> bool:
        """Turn the mode switch; False where there is no such mode."""
        with self.lock:
            if mode in MODES:
                self.mode = mode
            return mode in MODES

    def inject(self, fault: str, target: str, value: float) -> str:
        """Bring a fault about; return an empty string, or why it cannot be."""
        with self.lock:
            why = self.faults.inject(self.robot, fault, target, value)
            if fault == 'clear':
                for controller in self.controllers.values():
                    if controller.ticket is not None and controller.ticket.is_silent:
                        controller.halt(Outcome('TIMEOUT', 'the fault that silenced this controller was cleared'))
            return why

    def reset(self) -> None:
        """End all goals and put everything where the world file says; faults are cleared."""
        with self.lock:
            for controller in self.controllers.values():
                controller.halt(Outcome('CANCELLED', 'the cell was reset'))
                controller.finish()
            self.faults.inject(self.robot, 'clear', '', 0.0)
            self.robot.reset()
            self.mode, self.estop = 'AUTO', False

    def arrange(self, facts: Mapping[tuple[str, str], str]) -> str:
        """Reset, and put everything where the facts say; return an empty string, or why nothing was changed."""
        with self.lock:
            why = objection(self.layout, facts)
            if not why:
                self.reset()
                arrange(self.robot, facts)
            return why

    # seeing ----------------------------------------------------------------------------------------------------------
    def snapshot(self) -> Snapshot:
        """Return what the sensors say."""
        with self.lock:
            speed, yaw_rate = self.physics.base_velocity()
            joints = {name: (self.physics.joint(name), self.physics.joint_velocity(name), 0.0) for name in JOINTS}
            return Snapshot(
                self.physics.time_s, self.physics.base_pose(), speed, yaw_rate, joints, self.robot.battery,
                self.robot.is_docked(), self.mode, self.estop, self.robot.process.pressure_bar,
            )  # fmt: skip

    def camera_model(self) -> mujoco.MjModel:
        """Return a model of its own for a rendering thread."""
        return mujoco.MjModel.from_xml_string(build_mjcf(self.layout))

    def view(self) -> tuple[NDArray[np.float64], dict[str, Picture]]:
        """Return what a camera needs: joint positions, and the pictures on screens and signs."""
        with self.lock:
            positions = self.physics.data.qpos.copy()
            shown = {
                p.mount.name: (p.entry, self.robot.process.setpoint_bar, p.mount.unit)
                for p in self.robot.panels.values()
            }
        for name, (entry, value, unit) in shown.items():
            self._draw_once(
                f'display_{name}',
                (entry, value),
                functools.partial(draw_display, 256, 128, entry or f'{value:.2f}', unit, bool(entry)),
            )
        if any(bench.has_screen for bench in self.layout.benches.values()):
            self._draw_once('screen', (int(self.physics.time_s / SCREEN_PERIOD_S), self.mode, self.estop), self.screen)
        return positions, dict(self._signs)

    def _draw_once(self, name: str, content: tuple[Any, ...], draw: Callable[[], Picture]) -> None:
        if self._drawn.get(name) != content:
            self._drawn[name], self._signs[name] = content, draw()

    def screen(self) -> Picture:
        """Return the HMI's picture."""
        with self.lock:
            process, openings = self.robot.process, self.robot.openings()
            seconds = int(self.physics.time_s)
            alarms = process.alarms(openings)
            screen = Screen(
                self.mode, self.estop, process.pressure_bar, process.setpoint_bar, process.flow_m3h, process.speed_rpm,
                process.temperature_c, tuple(openings.items()), alarms,
                f'{8 + seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}',
            )  # fmt: skip
        return draw_screen(screen)

    def facts(self) -> dict[tuple[str, str], str]:
        """Return the true symbolic state, by (function, argument)."""
        with self.lock:
            held = self.physics.held_item()
            facts = {
                ('at', 'robot'): self.robot.place() or 'nowhere',
                ('holding', 'robot'): held or 'nothing',
                ('docked', 'robot'): 'yes' if self.robot.is_docked() else 'no',
                ('arm', 'robot'): self.robot.posture(),
                ('pressure_bar', 'pump'): f'{self.robot.process.pressure_bar:.3f}',
                ('setpoint_bar', 'pump'): f'{self.robot.process.setpoint_bar:.3f}',
            }
            for name in self.layout.items:
                facts['at', name] = 'robot' if name == held else self.physics.item_on_bench(name) or 'nowhere'
            for name, opening in self.robot.openings().items():
                state = 'open' if opening >= OPEN_AT else 'closed' if opening <= CLOSED_AT else 'between'
                facts['valve', name] = state
                facts['angle_rad', name] = f'{self.physics.joint(name):.3f}'
            return facts

    def _draw_signs(self) -> dict[str, Picture]:
        signs = {
            f'label_{name}': draw_label(name, 512, 96, (40, 44, 48), (235, 190, 40)) for name in self.layout.benches
        }
        for mount in self.layout.mounts.values():
            signs[f'plate_{mount.name}'] = draw_label(mount.name, 256, 64, (20, 20, 20), (235, 235, 230))
            if mount.kind == 'gauge' and mount.dial is not None:
                signs[f'dial_{mount.name}'] = draw_dial(512, mount.dial, mount.unit)
            if mount.kind == 'panel':
                signs[f'keys_{mount.name}'] = draw_keys(256)
        return signs
