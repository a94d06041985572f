# SPDX-License-Identifier: Apache-2.0
"""The cell's cameras as topics: a thread that renders what somebody looks at, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from gemma4_ros.ros import images, qos
from gemma4_ros.sim.camera import CameraError, Cameras
from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.drawing import Picture

__all__ = ['Video']

IDLE_S = 0.02
# Reliable, so that a subscriber may choose: best effort lost up to half of the 0.9 MB frames between two processes.
OVERVIEW_SIZE = (800, 450)


class _Stream:
    def __init__(
        self, topic: str, alias: str, frame: str, rate_hz: float, publisher: Any, draw: Callable[[], Picture]
    ) -> None:
        self.topic, self.alias, self.frame = topic, alias, frame
        self.period_s = 1.0 / rate_hz if rate_hz > 0.0 else 0.0
        self.publisher, self.draw = publisher, draw
        self.due = 0.0


class Video:
    """
    Publish the camera topics and the HMI screen.

    Parameters
    ----------
    node : Node
        Carries the publishers.
    cell : Cell
        What is seen.
    render : bool
        Whether to use OpenGL at all; the HMI screen needs none.
    rates_hz : dict
        By camera name (front, overview, hmi); 0: off.

    """

    def __init__(self, node: Node, cell: Cell, render: bool, rates_hz: dict[str, float]) -> None:
        self._node, self._cell = node, cell
        self.status = 'not rendering: switched off' if not render else 'starting'
        self.failed = False
        self._cameras: Cameras | None = None
        self._render = render
        self._streams = [
            _Stream(
                'hmi/image_raw',
                'hmi',
                'hmi',
                rates_hz['hmi'],
                node.create_publisher(Image, 'hmi/image_raw', qos.SIGNAL),
                cell.screen,
            )
        ]
        if render:
            self._streams += [
                _Stream(
                    'camera/front/image_raw', 'front', 'front_camera', rates_hz['front'],
                    node.create_publisher(Image, 'camera/front/image_raw', qos.SIGNAL),
                    lambda: self._shoot('front', 640, 480),
                ),
                _Stream(
                    'camera/overview/image_raw/compressed', 'overview', 'overview_camera', rates_hz['overview'],
                    node.create_publisher(CompressedImage, 'camera/overview/image_raw/compressed', qos.SIGNAL),
                    lambda: self._shoot('overview', *OVERVIEW_SIZE),
                ),
            ]  # fmt: skip
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name='video', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self._stopped.set()
        self._thread.join(timeout=3.0)

    def _shoot(self, camera: str, width: int, height: int) -> Picture:
        assert self._cameras is not None  # _run made it, or took the stream away
        positions, pictures = self._cell.view()
        return self._cameras.render(camera, positions, pictures, width, height)

    def _run(self) -> None:
        if self._render:
            self._open()
        while not self._stopped.wait(IDLE_S):
            now = time.monotonic()
            for stream in self._streams:
                wanted = stream.period_s > 0.0 and now >= stream.due and stream.publisher.get_subscription_count() > 0
                if wanted and not self._cell.faults.is_stalled(stream.topic, stream.alias):
                    stream.due = max(stream.due + stream.period_s, now - stream.period_s)
                    self._publish(stream)
        if self._cameras is not None:
            self._cameras.close()

    def _open(self) -> None:
        try:
            self._cameras = Cameras(self._cell.camera_model())
            self.status = 'rendering on demand'
        except CameraError as error:
            self.status, self.failed = str(error), True
            self._streams = self._streams[:1]
            self._node.get_logger().error(str(error))

    def _publish(self, stream: _Stream) -> None:
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=stream.frame)
        picture = stream.draw()
        if stream.alias == 'overview':
            stream.publisher.publish(images.to_compressed(picture, header))
        else:
            stream.publisher.publish(images.from_rgb(picture, header))
