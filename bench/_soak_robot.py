# SPDX-License-Identifier: Apache-2.0
"""The robot of the soak, a process of its own: signals, an executor's beats, a controller that says what it did."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

import rclpy
from gemma4_ros.action import DriveTo
from gemma4_ros.msg import Heartbeat
from nav_msgs.msg import Odometry
from rclpy.action import ActionServer, CancelResponse
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from std_msgs.msg import Bool, String

from gemma4_ros.ros import qos, transport
from gemma4_ros.ros.workers import Workers

PERIOD_S = 0.05


class SoakRobot(Node):
    """Drives for a given time, or until it is cancelled."""

    def __init__(self, drive_s: float) -> None:
        super().__init__('cell')  # the node from which the policy takes the signals
        self._drive_s, self._beats = drive_s, 0
        self._count = {'accepted': 0, 'finished': 0, 'cancelled': 0}
        self._workers = Workers(self, threads=0)
        self._server = ActionServer(
            self, DriveTo, 'drive_to', self._drive, cancel_callback=lambda _: CancelResponse.ACCEPT
        )
        self._mode = self.create_publisher(String, 'mode', qos.SIGNAL)
        self._estop = self.create_publisher(Bool, 'estop', qos.SIGNAL)
        self._odom = self.create_publisher(Odometry, 'odom', qos.SIGNAL)
        self._beat = self.create_publisher(Heartbeat, 'executor/heartbeat', qos.HEARTBEAT)
        self._told = self.create_publisher(String, 'soak/controller', qos.STATE_LATCHED)
        self.create_timer(PERIOD_S, self._publish)
        self._tell()

    def _publish(self) -> None:
        self._beats += 1
        stamp = self.get_clock().now().to_msg()
        odom = Odometry()
        odom.header.stamp, odom.header.frame_id = stamp, 'map'
        self._mode.publish(String(data='AUTO'))
        self._estop.publish(Bool(data=False))
        self._odom.publish(odom)
        self._beat.publish(Heartbeat(stamp=stamp, boot_id='soak', sequence=self._beats))

    async def _drive(self, goal: Any) -> DriveTo.Result:
        self._add('accepted')
        await self._workers.wait_for(lambda: goal.is_cancel_requested, self._drive_s)
        is_cancelled = goal.is_cancel_requested
        if is_cancelled:
            goal.canceled()
        else:
            goal.succeed()
        self._add('cancelled' if is_cancelled else 'finished')
        return DriveTo.Result(distance_m=1.0)

    def _add(self, what: str) -> None:
        self._count[what] += 1
        self._tell()

    def _tell(self) -> None:
        self._told.publish(String(data=json.dumps(self._count)))


def main() -> None:
    """Run until the end."""
    transport.apply()
    rclpy.init(args=[])
    node, executor = SoakRobot(float(sys.argv[1])), SingleThreadedExecutor()
    executor.add_node(node)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        executor.spin()


if __name__ == '__main__':
    main()
