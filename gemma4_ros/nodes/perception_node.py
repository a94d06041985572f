# SPDX-License-Identifier: Apache-2.0
"""The node ``perception``: wires cameras to readers of instruments; contains no reading of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from gemma4_ros.core.errors import CannotReadError, Gemma4Error, NoFrameError
from gemma4_ros.core.reading.agreement import agree
from gemma4_ros.core.reading.evidence import sharpness
from gemma4_ros.core.reading.gauge import METHOD, CannotRead, Dial, Reading, read_gauge
from gemma4_ros.core.world_file import load_world
from gemma4_ros.msg import Reading as ReadingMessage
from gemma4_ros.ros import gate_files, params, qos
from gemma4_ros.ros.cameras import RELIABILITIES, CameraFeed, Frame
from gemma4_ros.ros.evidence import EvidenceFolder, evidence_folder
from gemma4_ros.ros.images import to_rgb
from gemma4_ros.ros.lifecycle import LifecycleBase
from gemma4_ros.ros.workers import Workers
from gemma4_ros.srv import ReadGauge, TakePhoto

__all__ = ['PerceptionConfig', 'PerceptionNode']

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class PerceptionConfig:
    """Parameters of the node."""

    config: str = params.param('', doc='folder of the configuration; empty: the one that comes with the package')
    world: str = params.param('world.yaml', doc='world file, below the folder or absolute')
    evidence_dir: str = params.param(
        '', doc="folder of the stored pictures; empty: gemma4_ros/evidence in the user's state folder"
    )
    frames: int = params.param(3, doc='fresh frames of which a reading is the median', low=1, high=7)
    deadline_s: float = params.param(4.0, doc='how long fresh frames are waited for', unit='s', low=0.2, high=30.0)
    linger_s: float = params.param(
        5.0, doc='how long a camera stays subscribed after a request', unit='s', low=0.0, high=600.0
    )
    image_reliability: str = params.param(
        'auto', doc='how cameras are subscribed; auto: reliable where all their publishers are', choices=RELIABILITIES
    )


class PerceptionNode(LifecycleBase):
    """Frames in, readings and pictures out."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('perception', **kwargs)
        params.declare(self, PerceptionConfig)
        self._workers = Workers(self, threads=2)
        self._is_active = False
        self._feeds: dict[str, CameraFeed] = {}
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(1.0, self._on_tick, clock=steady, autostart=False)

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and the world, offer the services."""
        config = self._config = params.read(self, PerceptionConfig)
        folder = gate_files.config_folder(config.config)
        self._world = load_world(gate_files.read_text(folder / config.world), config.world)
        self._evidence = EvidenceFolder(evidence_folder(config.evidence_dir))
        self._feeds = {
            camera.id: CameraFeed(
                self, self._workers, camera.topic, camera.type, config.linger_s, config.image_reliability
            )
            for camera in self._world.cameras.values()
        }
        self._readings = self.create_publisher(ReadingMessage, '~/readings', qos.EVENTS)
        group = self._workers.group
        self._own_services = [
            self.create_service(ReadGauge, '~/read_gauge', self._read_gauge, callback_group=group),
            self.create_service(TakePhoto, '~/take_photo', self._take_photo, callback_group=group),
        ]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Answer."""
        self._is_active = True
        self._timer.reset()
        self.get_logger().info(f'cameras={",".join(self._feeds)} evidence={self._evidence.path}')
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Refuse, and let the cameras go."""
        self.shutdown_cameras()
        return super().on_deactivate(state)

    def on_cleanup(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Withdraw the services."""
        for service in self._own_services:
            self.destroy_service(service)
        self.destroy_publisher(self._readings)
        return TransitionCallbackReturn.SUCCESS

    def shutdown(self) -> None:
        """Let cameras and workers go."""
        self.shutdown_cameras()
        self._workers.shutdown()

    def shutdown_cameras(self) -> None:
        """Unsubscribe everything and answer no more."""
        self._is_active = False
        self._timer.cancel()
        for feed in self._feeds.values():
            feed.close()

    def _on_tick(self) -> None:
        for feed in self._feeds.values():
            feed.close_if_idle()

    async def _read_gauge(self, request: ReadGauge.Request, response: ReadGauge.Response) -> ReadGauge.Response:
        response.reading = ReadingMessage(name=request.gauge, status=ReadingMessage.STATUS_CANNOT_READ, method=METHOD)
        try:
            dial, camera = self._dial(request.gauge)
            response.reading.unit = dial.unit
            frames = await self._fresh(camera, self._config.frames)
            await self._workers.run(self._read, frames, dial, response.reading)
        except Gemma4Error as error:
            response.reading.reason = str(error)[:256]
            response.error_code, response.error_msg = error.code, str(error)[:256]
        response.success = response.error_code == 0
        self._say(f'read_gauge {request.gauge}', response)
        self._readings.publish(response.reading)
        return response

    async def _take_photo(self, request: TakePhoto.Request, response: TakePhoto.Response) -> TakePhoto.Response:
        try:
            if request.target not in self._world.entities:
                raise CannotReadError(f'the world has no {request.target!r}: name a place, an object or equipment')
            camera = request.camera or next(iter(self._feeds), '')
            frames = await self._fresh(camera, 1)
            await self._workers.run(self._keep, frames[0], request.target, response)
        except Gemma4Error as error:
            response.error_code, response.error_msg = error.code, str(error)[:256]
        response.success = response.error_code == 0
        self._say(f'take_photo {request.target}', response)
        return response

    def _dial(self, gauge: str) -> tuple[Dial, str]:
        entity = self._world.entities.get(gauge)
        dial = entity.attribute('dial') if entity is not None else None
        if entity is None or dial is None:
            raise CannotReadError(f'the world has no gauge {gauge!r} with a dial')
        ends = {name: float(dial[name]) for name in ('min', 'max', 'start_deg', 'end_deg')}
        return Dial(**ends, unit=str(entity.attribute('unit'))), str(dial['camera'])

    async def _fresh(self, camera: str, count: int) -> list[Frame]:
        if not self._is_active:
            raise NoFrameError('perception is not active')
        feed = self._feeds.get(camera)
        if feed is None:
            raise NoFrameError(f'the world has no camera {camera!r}; there are {", ".join(self._feeds)}')
        return await feed.fresh(count, self._config.deadline_s, self._world.cameras[camera].max_age_s)

    def _read(self, frames: list[Frame], dial: Dial, reading: ReadingMessage) -> None:
        """Read the frames in a worker thread; fill the message."""
        messages = [frame.message() for frame in frames]
        results: list[Reading | CannotRead] = []
        for message in messages:
            results.append(read_gauge(to_rgb(message), dial))
        index, result = agree(results, dial.max - dial.min)
        _, reading.image_sha256 = self._stored(messages[index], frames[index], reading.name)
        reading.header = messages[index].header
        if isinstance(result, CannotRead):
            raise CannotReadError(f'{reading.name} cannot be read ({result.reason}): {result.text}')
        reading.status = ReadingMessage.STATUS_OK
        reading.value, reading.low, reading.high = result.value, result.low, result.high
        reading.confidence = result.confidence

    def _keep(self, frame: Frame, target: str, response: TakePhoto.Response) -> None:
        message = frame.message()
        response.file, response.image_sha256 = self._stored(message, frame, target)
        response.sharpness = sharpness(to_rgb(message))

    def _stored(self, message: Any, frame: Frame, target: str) -> tuple[str, str]:
        encoded = bytes(message.data) if hasattr(message, 'format') else b''
        return self._evidence.store(to_rgb(message), frame.stamp_ns, target, encoded)

    def _say(self, what: str, response: Any) -> None:
        if response.success:
            self.get_logger().info(f'{what}: done')
        else:
            self.get_logger().warning(f'{what}: code={response.error_code} {response.error_msg}')
