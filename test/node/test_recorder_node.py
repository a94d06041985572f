# SPDX-License-Identifier: Apache-2.0
"""The recorder over real DDS; its files are read back with other people's readers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.msg import Heartbeat, Reading, TreeNode, TreeState, Verdict
from mcap.exceptions import McapError
from mcap.stream_reader import StreamReader
from mcap_ros2.reader import read_ros2_messages
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rosbags.highlevel import AnyReader
from sensor_msgs.msg import CompressedImage

from gemma4_ros.core.errors import ConfigError, ConversionError
from gemma4_ros.nodes.recorder_node import RecorderNode
from gemma4_ros.ros import qos
from gemma4_ros.ros.recording import Recording, definition

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]
DEADLINE_S = 20.0


def wait(predicate: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
    end = time.monotonic() + deadline_s
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


class Stack(Node):
    """Publishes what the stack publishes."""

    def __init__(self, context: Context) -> None:
        super().__init__('stack', context=context, namespace='cell_7')
        self.tree = self.create_publisher(TreeState, 'executor/tree', qos.STATE_LATCHED)
        self.verdicts = self.create_publisher(Verdict, 'gate/verdicts', qos.LATCHED_HISTORY)
        self.readings = self.create_publisher(Reading, 'perception/readings', qos.EVENTS)
        self.odometry = self.create_publisher(Odometry, 'odom', qos.SENSOR)
        self.overview = self.create_publisher(CompressedImage, 'camera/overview/image_raw/compressed', qos.SIGNAL)
        self.private = self.create_publisher(Heartbeat, 'nobody/asked', qos.EVENTS)

    def publish_latched(self) -> None:
        self.tree.publish(TreeState(permit_id='p1', nodes=[TreeNode(id='s1'), TreeNode(id='s2')]))
        for number in range(3):
            self.verdicts.publish(Verdict(rule=f'rule.{number}'))

    def publish_live(self) -> None:
        self.readings.publish(Reading(name='pressure_gauge', value=4.25, unit='bar'))
        self.odometry.publish(Odometry(child_frame_id='base'))
        self.overview.publish(CompressedImage(format='jpeg', data=bytes(range(200))))


class Bench:
    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.stack = Stack(self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes: list[Node] = [self.stack]
        self.executor.add_node(self.stack)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def recorder(self, file: Path, **values: Any) -> RecorderNode:
        overrides = [Parameter('file', value=str(file)), *(Parameter(name, value=v) for name, v in values.items())]
        node = RecorderNode(context=self.context, namespace='cell_7', parameter_overrides=overrides)
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=2.0)
        self.thread.join(5.0)
        for node in self.nodes:
            node.destroy_node()  # or its subscriptions are counted by the next test
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def topics_in(path: Path) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for message in read_ros2_messages(str(path)):
        found.setdefault(message.channel.topic, []).append(message.ros_msg)
    return found


def test_recording_holds_latched_and_live_messages_and_reads_back_with_two_readers(
    bench: Bench, tmp_path: Path
) -> None:
    bench.stack.publish_latched()  # before anybody records
    recorder = bench.recorder(tmp_path / 'a.mcap', picture_period_s=0.0)
    assert wait(lambda: len(recorder.recorded_topics) == 5)
    assert wait(lambda: bench.stack.readings.get_subscription_count() > 0)

    def live_messages_are_in() -> bool:
        bench.stack.publish_live()
        counts = recorder.counts
        return all(counts.get(f'/cell_7/{topic}', 0) >= 3 for topic in ('odom', 'perception/readings', 'gate/verdicts'))

    assert wait(live_messages_are_in)
    assert wait(lambda: recorder.counts['/cell_7/executor/tree'] == 1)
    recorder.shutdown()
    found = topics_in(tmp_path / 'a.mcap')
    assert '/cell_7/nobody/asked' not in found
    assert [node.id for node in found['/cell_7/executor/tree'][0].nodes] == ['s1', 's2']
    assert [verdict.rule for verdict in found['/cell_7/gate/verdicts']] == ['rule.0', 'rule.1', 'rule.2']
    assert found['/cell_7/perception/readings'][0].value == 4.25
    assert bytes(found['/cell_7/camera/overview/image_raw/compressed'][0].data) == bytes(range(200))
    with AnyReader([tmp_path / 'a.mcap']) as reader:
        kinds = {connection.topic: connection.msgtype for connection in reader.connections}
        readings = [c for c in reader.connections if c.topic == '/cell_7/perception/readings']
        values = [reader.deserialize(raw, c.msgtype).value for c, _, raw in reader.messages(connections=readings)]
    assert kinds['/cell_7/odom'] == 'nav_msgs/msg/Odometry'
    assert values and set(values) == {4.25}


def test_pictures_are_thinned_out_and_large_messages_left_out(bench: Bench, tmp_path: Path) -> None:
    recorder = bench.recorder(tmp_path / 'a.mcap', picture_period_s=600.0, max_message_bytes=1000)
    assert wait(lambda: bench.stack.overview.get_subscription_count() > 0)

    def published_enough() -> bool:
        bench.stack.publish_live()
        bench.stack.readings.publish(Reading(name='x'))
        bench.stack.tree.publish(TreeState(nodes=[TreeNode(id=f's{i}', label='y' * 40) for i in range(100)]))
        return recorder.counts.get('/cell_7/perception/readings', 0) >= 20

    assert wait(published_enough)
    assert recorder.counts['/cell_7/camera/overview/image_raw/compressed'] == 1
    assert recorder.counts['/cell_7/executor/tree'] == 0
    recorder.shutdown()


def test_full_file_ends_the_recording_and_stays_readable(bench: Bench, tmp_path: Path) -> None:
    recorder = bench.recorder(tmp_path / 'a.mcap', max_file_bytes=100_000, topics=['camera/*'], picture_period_s=0.0)
    assert wait(lambda: bench.stack.overview.get_subscription_count() > 0)
    noise = os.urandom(30_000)

    def has_ended() -> bool:
        bench.stack.overview.publish(CompressedImage(format='jpeg', data=noise))
        return recorder.recorded_topics == ()

    def is_whole() -> bool:
        try:  # the writer finishes the file in its own thread
            return bool(topics_in(tmp_path / 'a.mcap'))
        except McapError:
            return False

    assert wait(has_ended)
    assert wait(is_whole)
    assert len(topics_in(tmp_path / 'a.mcap')['/cell_7/camera/overview/image_raw/compressed']) >= 3


def run_recorder(file: Path) -> subprocess.Popen[bytes]:
    line = [
        sys.executable,
        '-m',
        'gemma4_ros.nodes.run',
        'recorder',
        '--ros-args',
        '-r',
        '__ns:=/cell_7',
        '-p',
        f'file:={file}',
    ]
    return subprocess.Popen(line)


def record_until_flushed(bench: Bench, file: Path) -> subprocess.Popen[bytes]:
    process = run_recorder(file)
    assert wait(file.exists)
    size = file.stat().st_size

    def has_grown() -> bool:
        bench.stack.publish_live()
        return file.stat().st_size > size + 200

    assert wait(has_grown)
    return process


def test_sigterm_finishes_the_file(bench: Bench, tmp_path: Path) -> None:
    process = record_until_flushed(bench, tmp_path / 'a.mcap')
    process.send_signal(signal.SIGTERM)
    assert process.wait(10.0) == 0
    assert topics_in(tmp_path / 'a.mcap')['/cell_7/perception/readings']


def test_killed_recorder_leaves_a_file_that_can_be_read_from_the_start(bench: Bench, tmp_path: Path) -> None:
    process = record_until_flushed(bench, tmp_path / 'a.mcap')
    process.kill()
    process.wait(10.0)
    names = []
    with (tmp_path / 'a.mcap').open('rb') as file, contextlib.suppress(McapError, EOFError):  # it ends in mid-air
        for record in StreamReader(file).records:
            names.append(type(record).__name__)
    assert 'Footer' not in names
    assert names.count('Message') >= 3
    assert {'Schema', 'Channel'} <= set(names)


def test_recording_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / 'a.mcap').write_bytes(b'evidence')
    with pytest.raises(ConfigError, match=r'a\.mcap'):
        Recording(tmp_path / 'a.mcap')
    assert (tmp_path / 'a.mcap').read_bytes() == b'evidence'


def test_definition_holds_nested_types_once() -> None:
    text = definition('nav_msgs/msg/Odometry')
    assert text.count('MSG: geometry_msgs/Point\n') == 1
    assert 'MSG: std_msgs/Header' in text and 'MSG: builtin_interfaces/Time' in text


@pytest.mark.parametrize('name', ['nobody_msgs/msg/Thing', 'std_srvs/srv/Trigger', '../msg/Thing', 'std_msgs/String'])
def test_unknown_definitions_are_refused(name: str) -> None:
    with pytest.raises(ConversionError, match='msg'):
        definition(name)


def test_a_recorder_that_was_started_again_writes_beside_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / 'run.mcap'
    for name in ('run.mcap', 'run_2.mcap', 'run_3.mcap'):
        context = Context()
        rclpy.init(context=context)
        node = RecorderNode(context=context, parameter_overrides=[Parameter('file', value=str(path))])
        node.shutdown()
        node.destroy_node()
        rclpy.try_shutdown(context=context)
        assert (tmp_path / name).stat().st_size > 0
    assert len(list(tmp_path.iterdir())) == 3
