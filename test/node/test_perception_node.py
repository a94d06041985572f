# SPDX-License-Identifier: Apache-2.0
"""The perception node over real DDS, with a camera that shows generated dials."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

import dials
import rclpy
from builtin_interfaces.msg import Time
from gemma4_ros.msg import Reading
from gemma4_ros.srv import ReadGauge, TakePhoto
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from gemma4_ros.nodes.perception_node import PerceptionNode
from gemma4_ros.ros import qos
from gemma4_ros.ros.cameras import choose_qos, stamp_of
from gemma4_ros.ros.images import from_rgb, to_compressed

pytestmark = [pytest.mark.ros, pytest.mark.timeout(90)]
NO_FRAME, CANNOT_READ = 408, 409
FRONT, OVERVIEW = 'camera/front/image_raw', 'camera/overview/image_raw/compressed'


LAYOUT = dials.TUNE_LAYOUTS[0]  # 0 to 10 over 270 degrees, as the world's gauge


def wait(predicate: Callable[[], bool], deadline_s: float = 30.0) -> bool:
    end = time.monotonic() + deadline_s
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Robot(Node):
    """Cameras at 20 Hz and an operator who asks; `stamp` says what stands in the headers."""

    def __init__(self, context: Context) -> None:
        super().__init__('robot', context=context)
        self.front: Any = None
        self.behind_s = 0.0
        self.stands_still = False
        self.readings: list[Reading] = []
        self._stamp = self.get_clock().now().to_msg()
        self.front_as(qos.SENSOR)
        self._overview = self.create_publisher(CompressedImage, OVERVIEW, qos.SENSOR)
        self.gauge = self.create_client(ReadGauge, 'perception/read_gauge')
        self.photo = self.create_client(TakePhoto, 'perception/take_photo')
        self.create_subscription(Reading, 'perception/readings', self.readings.append, qos.EVENTS)
        self.create_timer(0.05, self._show)

    def front_as(self, profile: QoSProfile) -> None:
        """Let the front camera come back with another quality of service."""
        before = getattr(self, '_front', None)
        self._front = self.create_publisher(Image, FRONT, profile)
        if before is not None:
            self.destroy_publisher(before)

    def subscribed_as(self) -> list[ReliabilityPolicy]:
        return [info.qos_profile.reliability for info in self.get_subscriptions_info_by_topic(FRONT)]

    def _show(self) -> None:
        pixels = self.front
        if pixels is None:
            return
        if not self.stands_still:
            nanoseconds = self.get_clock().now().nanoseconds - int(self.behind_s * 1e9)
            self._stamp = Time(sec=nanoseconds // 10**9, nanosec=nanoseconds % 10**9)
        header = Header(stamp=self._stamp, frame_id='front')
        self._front.publish(from_rgb(pixels, header))
        self._overview.publish(to_compressed(pixels, header))


class Bench:
    def __init__(self, evidence: Path, **parameters: Any) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.evidence = evidence
        self.robot = Robot(self.context)
        values = {'evidence_dir': str(evidence), 'deadline_s': 1.5, **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.node = PerceptionNode(context=self.context, parameter_overrides=overrides)
        assert self.node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert self.node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.robot)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()
        assert self.robot.gauge.wait_for_service(10.0) and self.robot.photo.wait_for_service(10.0)

    def offered(self) -> list[ReliabilityPolicy]:
        """What the node sees of the front camera."""
        return [info.qos_profile.reliability for info in self.node.get_publishers_info_by_topic(FRONT)]

    def show(self, value: float, **view: Any) -> None:
        self.robot.front = dials.render(LAYOUT, value, dials.View(**view), 1)

    def read(self, gauge: str = 'pressure_gauge') -> ReadGauge.Response:
        return self._answer(self.robot.gauge.call_async(ReadGauge.Request(gauge=gauge)))

    def take(self, camera: str, target: str) -> TakePhoto.Response:
        return self._answer(self.robot.photo.call_async(TakePhoto.Request(camera=camera, target=target)))

    def _answer(self, future: Any) -> Any:
        assert wait(future.done)
        return future.result()

    def close(self) -> None:
        self.node.shutdown()
        self.executor.shutdown(timeout_sec=2.0)
        self.thread.join(5.0)
        self.node.destroy_node()
        self.robot.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / 'evidence')
    yield bench
    bench.close()


def test_gauge_is_read_with_interval_evidence_and_topic(bench: Bench) -> None:
    bench.show(6.3)
    answer = bench.read()
    assert answer.success and answer.error_code == 0
    reading = answer.reading
    assert reading.value == pytest.approx(6.3, abs=0.1)
    assert reading.low < 6.3 < reading.high
    assert (reading.status, reading.unit, reading.method, reading.name) == (0, 'bar', 'dial_polar', 'pressure_gauge')
    assert reading.header.frame_id == 'front'
    (stored,) = bench.evidence.iterdir()
    assert re.fullmatch(r'\d{8}T\d{6}\.\d{3}Z_pressure_gauge_[0-9a-f]{12}\.png', stored.name)
    pixels = cv2.cvtColor(cv2.imread(str(stored)), cv2.COLOR_BGR2RGB)
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == reading.image_sha256
    assert np.array_equal(pixels, bench.robot.front)
    assert wait(lambda: len(bench.robot.readings) == 1)
    assert bench.robot.readings[0] == reading


def test_gauge_that_cannot_be_read_says_why_and_keeps_the_evidence(bench: Bench) -> None:
    bench.show(6.3, extra_needle=0.1)
    answer = bench.read()
    assert not answer.success
    assert answer.error_code == CANNOT_READ and 'two candidate pointers' in answer.error_msg
    assert answer.reading.status == Reading.STATUS_CANNOT_READ and 'two' in answer.reading.reason
    assert len(list(bench.evidence.iterdir())) == 1
    assert wait(lambda: [r.status for r in bench.robot.readings] == [Reading.STATUS_CANNOT_READ])


def test_frame_from_before_the_request_is_refused(bench: Bench) -> None:
    bench.show(6.3)
    bench.robot.stands_still = True  # the camera goes on sending the frame that it took before
    answer = bench.read()
    assert answer.error_code == NO_FRAME
    assert 'before the request' in answer.error_msg
    bench.robot.stands_still = False
    assert bench.read().success


@pytest.mark.parametrize('behind_s', [2.5, -30.0], ids=['late camera', 'stamps from the future'])
def test_frames_with_wrong_stamps_are_refused(bench: Bench, behind_s: float) -> None:
    bench.show(6.3)
    bench.robot.behind_s = behind_s
    assert bench.read().error_code == NO_FRAME


def test_silent_camera_ends_in_an_error_within_the_deadline(bench: Bench) -> None:
    began = time.monotonic()
    answer = bench.read()
    assert answer.error_code == NO_FRAME and 'silent' in answer.error_msg
    assert time.monotonic() - began < 5.0


def test_camera_is_subscribed_only_while_somebody_asks(bench: Bench) -> None:
    bench.show(6.3)
    assert bench.robot.count_subscribers(FRONT) == 0
    assert bench.take('front', 'pump').success
    assert bench.robot.count_subscribers(FRONT) == 1
    assert wait(lambda: bench.robot.count_subscribers(FRONT) == 0, 15.0)


@pytest.mark.parametrize(
    ('profile', 'wanted'),
    [(qos.SIGNAL, ReliabilityPolicy.RELIABLE), (qos.SENSOR, ReliabilityPolicy.BEST_EFFORT)],
    ids=['reliable camera', 'best-effort camera'],
)
def test_camera_is_subscribed_as_it_offers(bench: Bench, profile: QoSProfile, wanted: ReliabilityPolicy) -> None:
    bench.robot.front_as(profile)
    assert wait(lambda: bench.offered() == [wanted])
    bench.show(6.3)
    assert bench.read().success
    assert bench.robot.subscribed_as() == [wanted]


def test_camera_that_comes_back_as_best_effort_is_subscribed_anew(bench: Bench) -> None:
    bench.robot.front_as(qos.SIGNAL)
    assert wait(lambda: bench.offered() == [ReliabilityPolicy.RELIABLE])
    bench.show(6.3)
    assert bench.read().success
    bench.robot.front_as(qos.SENSOR)  # while the reliable subscription lingers
    assert bench.read().success
    assert bench.robot.subscribed_as() == [ReliabilityPolicy.BEST_EFFORT]


def test_reliable_by_hand_gets_nothing_from_a_best_effort_camera_and_says_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path / 'evidence', image_reliability='reliable')
    try:
        bench.show(6.3)
        answer = bench.read()
        assert answer.error_code == NO_FRAME and 'set image_reliability to auto' in answer.error_msg
    finally:
        bench.close()


def test_nobody_is_promised_reliable_frames_before_all_offer_them() -> None:
    reliable, best_effort = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
    assert choose_qos('auto', [reliable, reliable]) is qos.SIGNAL
    for offered in ([], [best_effort], [reliable, best_effort], [ReliabilityPolicy.UNKNOWN]):
        assert choose_qos('auto', offered) is qos.SENSOR
    assert choose_qos('reliable', [best_effort]) is qos.SIGNAL
    assert choose_qos('best_effort', [reliable]) is qos.SENSOR


def test_photo_of_a_compressed_topic_keeps_the_bytes_that_came(bench: Bench) -> None:
    bench.show(1.0)
    answer = bench.take('overview', 'red_toolbox')
    assert answer.success and answer.sharpness > 0.0
    assert re.fullmatch(r'[0-9TZ.]+_red_toolbox_[0-9a-f]{12}\.jpg', answer.file)
    assert (bench.evidence / answer.file).read_bytes().startswith(b'\xff\xd8\xff')
    first = bench.take('', 'pump')  # no camera named: the first
    assert first.success and first.file.endswith('.png')


@pytest.mark.parametrize('target', ['../../etc/passwd', '', 'red toolbox', 'pump\n', 'unknown_thing'])
def test_photo_of_what_the_world_lacks_is_refused_and_nothing_written(bench: Bench, target: str) -> None:
    bench.show(1.0)
    answer = bench.take('front', target)
    assert not answer.success and answer.error_code == CANNOT_READ
    assert list(bench.evidence.iterdir()) == []


def test_unknown_camera_and_unknown_gauge_are_refused(bench: Bench) -> None:
    assert bench.take('nose', 'pump').error_code == NO_FRAME
    assert bench.read('main_valve').error_code == CANNOT_READ
    assert bench.read('').error_code == CANNOT_READ


def test_two_requests_at_once_are_both_answered(bench: Bench) -> None:
    bench.show(3.0)
    photo = bench.robot.photo.call_async(TakePhoto.Request(camera='front', target='pump'))
    assert bench.read().success
    assert wait(photo.done) and photo.result().success


def test_full_disk_is_an_error_not_an_answer(bench: Bench) -> None:
    bench.show(3.0)
    bench.evidence.rmdir()
    answer = bench.read()
    assert answer.error_code == CANNOT_READ and 'cannot be stored' in answer.error_msg


@pytest.mark.parametrize('order', ['little', 'big'])
def test_stamp_is_read_from_both_byte_orders(order: Any) -> None:
    data = bytes([0, order == 'little', 0, 0]) + (1234).to_bytes(4, order) + (567).to_bytes(4, order) + b'rest'
    assert stamp_of(data) == 1234 * 10**9 + 567
