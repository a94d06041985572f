# SPDX-License-Identifier: Apache-2.0
"""The cell's sensors as topics: odometry, joints, battery, mode, e-stop, diagnostics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import BatteryState, JointState
from std_msgs.msg import Bool, String

from gemma4_ros.ros import qos
from gemma4_ros.sim.cell import Cell, Snapshot

__all__ = ['Sensors']

TICK_HZ = 50
NOT_MEASURED = math.nan


class Sensors:
    """
    Publish what the robot measures.

    Parameters
    ----------
    node : Node
        Carries publishers and the timer (50 Hz).
    cell : Cell
        Where the measurements come from.
    status : callable
        Returns (level, message) lines for the diagnostics: name → (level, text).

    """

    def __init__(self, node: Node, cell: Cell, status: Callable[[], dict[str, tuple[bytes, str]]]) -> None:
        self._node, self._cell, self._status = node, cell, status
        self._count = 0
        self._publishers = {
            'odom': node.create_publisher(Odometry, 'odom', qos.SIGNAL),
            'joint_states': node.create_publisher(JointState, 'joint_states', qos.SIGNAL),
            'battery_state': node.create_publisher(BatteryState, 'battery_state', qos.SIGNAL),
            'mode': node.create_publisher(String, 'mode', qos.SIGNAL),
            'estop': node.create_publisher(Bool, 'estop', qos.SIGNAL),
            'diagnostics': node.create_publisher(DiagnosticArray, 'diagnostics', qos.EVENTS),
        }
        self._timer = node.create_timer(1.0 / TICK_HZ, self._tick)

    def stop(self) -> None:
        """Publish no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        self._count += 1
        snapshot = self._cell.snapshot()
        due: tuple[tuple[str, int, Callable[[Snapshot], Any]], ...] = (
            ('odom', 50, self._odometry),
            ('joint_states', 25, self._joints),
            ('estop', 10, lambda s: Bool(data=s.estop)),
            ('mode', 2, lambda s: String(data=s.mode)),
            ('battery_state', 2, self._battery),
            ('diagnostics', 1, self._diagnostics),
        )
        for name, rate_hz, make in due:
            if self._count % (TICK_HZ // rate_hz) == 0 and not self._cell.faults.is_stalled(
                name, _ALIASES.get(name, name)
            ):
                self._publishers[name].publish(make(snapshot))

    def _odometry(self, s: Snapshot) -> Odometry:
        message = Odometry()
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.header.frame_id, message.child_frame_id = 'map', 'base_link'
        pose, twist = message.pose.pose, message.twist.twist
        pose.position.x, pose.position.y = s.pose.x, s.pose.y
        pose.orientation.z, pose.orientation.w = math.sin(s.pose.yaw / 2), math.cos(s.pose.yaw / 2)
        twist.linear.x, twist.angular.z = s.speed, s.yaw_rate
        return message

    def _joints(self, s: Snapshot) -> JointState:
        message = JointState(name=list(s.joints))
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.position = [values[0] for values in s.joints.values()]
        message.velocity = [values[1] for values in s.joints.values()]
        message.effort = [values[2] for values in s.joints.values()]
        return message

    def _battery(self, s: Snapshot) -> BatteryState:
        message = BatteryState(
            percentage=s.battery, present=True, voltage=22.0 + 3.4 * s.battery, temperature=NOT_MEASURED
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        message.charge = message.capacity = message.current = NOT_MEASURED
        charging = (
            BatteryState.POWER_SUPPLY_STATUS_CHARGING if s.docked else BatteryState.POWER_SUPPLY_STATUS_DISCHARGING
        )
        message.power_supply_status = charging
        message.power_supply_technology = BatteryState.POWER_SUPPLY_TECHNOLOGY_LION
        return message

    def _diagnostics(self, s: Snapshot) -> DiagnosticArray:
        message = DiagnosticArray()
        message.header.stamp = self._node.get_clock().now().to_msg()
        lines = dict(self._status())
        lines['base'] = (
            (DiagnosticStatus.ERROR, 'emergency stop is pressed') if s.estop else (DiagnosticStatus.OK, 'ready')
        )
        low = s.battery < 0.2
        lines['battery'] = (DiagnosticStatus.WARN if low else DiagnosticStatus.OK, f'{100 * s.battery:.0f} %')
        for name, (level, text) in lines.items():
            values = [KeyValue(key='uptime_s', value=f'{s.time_s:.0f}')] if name == 'physics' else []
            message.status.append(
                DiagnosticStatus(level=level, name=f'robot: {name}', message=text, hardware_id='robot', values=values)
            )
        return message


_ALIASES = {'odom': 'pose', 'battery_state': 'battery'}
