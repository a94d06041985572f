# SPDX-License-Identifier: Apache-2.0
"""The watcher over real DDS: a stranger on a guarded name stops the robot within a second, and nobody else does."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.action import DispatchStep, DriveTo
from gemma4_ros.msg import Heartbeat, StopRequest, WatcherState
from geometry_msgs.msg import PoseStamped
from rclpy.action import ActionClient, ActionServer
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.nodes.watcher_node import STOP_TOPICS, WatcherNode
from gemma4_ros.ros import qos

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]
DEADLINE_S = 10.0
DETECT_S = 1.0
DOMAIN_ID = 91  # nothing that another test has left on the graph may be seen


class Bench:
    """Gate and deadman as far as the watcher needs them, and whoever comes to the graph; spun in a thread."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=DOMAIN_ID)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.made: list[Any] = []
        self.servers: list[Any] = []
        self.listener = self.node('listener')
        self.stops: dict[str, list[tuple[float, StopRequest]]] = {topic: [] for topic in STOP_TOPICS}
        self.states: list[WatcherState] = []
        for topic in STOP_TOPICS:
            self.listener.create_subscription(StopRequest, topic, self._keep(topic), qos.STOP)
        self.listener.create_subscription(WatcherState, 'watcher/state', self.states.append, qos.STATE_LATCHED)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def _keep(self, topic: str) -> Callable[[StopRequest], None]:
        return lambda request: self.stops[topic].append((time.monotonic(), request))

    def node(self, name: str, namespace: str = '') -> Node:
        return self.add(Node(name, context=self.context, namespace=namespace))

    def add(self, node: Node) -> Node:
        self.executor.add_node(node)
        self.made.append(node)
        return node

    def until(self, predicate: Callable[[], Any], what: str) -> None:
        end = time.monotonic() + DEADLINE_S
        while not predicate():
            assert time.monotonic() < end, f'not within {DEADLINE_S} s: {what}'
            time.sleep(0.01)

    def do(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Do something in the thread that spins."""
        task = self.executor.create_task(work, *arguments)
        self.until(task.done, str(work))

    def serve(self, kind: Any, *arguments: Any) -> None:
        """Make a server or client in the thread that spins: rclpy shows it to the executor half made."""
        self.do(lambda: self.servers.append(kind(*arguments)))

    def gone(self, node: Node) -> None:
        for thing in [thing for thing in self.servers if thing._node is node]:
            self.do(thing.destroy)
            self.servers.remove(thing)
        self.executor.remove_node(node)
        self.made.remove(node)
        self.do(node.destroy_node)

    def stopped(self) -> bool:
        return all(self.stops.values())

    def quiet(self, seconds: float) -> None:
        time.sleep(seconds)
        assert not any(self.stops.values()), [request.reason for _, request in self.stops['gate/stop']]

    def close(self) -> None:
        self.executor.shutdown(timeout_sec=2.0)
        self.thread.join(5.0)
        for thing in self.servers:  # destroy_node leaves them alive
            thing.destroy()
        for node in reversed(self.made):
            node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


@pytest.fixture
def robot(bench: Bench) -> Any:
    """A robot with everybody where they may be, and the watcher, which has had time to look."""
    cell, gate, executor = bench.node('cell'), bench.node('gate'), bench.node('executor')
    cell.create_publisher(String, 'mode', qos.SIGNAL)
    gate.create_publisher(Heartbeat, 'gate/heartbeat', qos.HEARTBEAT)
    bench.serve(ActionServer, cell, DriveTo, 'drive_to', _never)
    bench.serve(ActionServer, gate, DispatchStep, 'gate/dispatch', _never)
    bench.serve(ActionClient, gate, DriveTo, 'drive_to')
    bench.serve(ActionClient, executor, DispatchStep, 'gate/dispatch')
    watcher = bench.add(WatcherNode(context=bench.context))
    bench.until(lambda: all(bench.listener.count_publishers(topic) for topic in STOP_TOPICS), 'the watcher is there')
    bench.quiet(1.5)
    return watcher


def _never(_: Any) -> Any:
    raise AssertionError('nobody sends a goal here')


def _publisher(topic: str, kind: Any = String, name: str = 'spoof') -> Callable[[Bench], Node]:
    def come(bench: Bench) -> Node:
        node = bench.node(name)
        node.create_publisher(kind, topic, qos.SIGNAL)
        return node

    return come


def _client(bench: Bench) -> Node:
    node = bench.node('cli')
    bench.serve(ActionClient, node, DriveTo, 'drive_to')
    return node


def _server(bench: Bench) -> Node:
    node = bench.node('evil')
    bench.serve(ActionServer, node, DriveTo, 'drive_to', _never)
    return node


@pytest.mark.parametrize(
    ('come', 'says'),
    [
        (_publisher('mode'), '/spoof publishes on /mode; only /cell may'),
        (_publisher('goal_pose', PoseStamped, 'rviz'), '/rviz publishes on /goal_pose; nobody may'),
        (_publisher('gate/heartbeat', Heartbeat), '/spoof publishes on /gate/heartbeat; only /gate may'),
        (_client, '/cli is a client of /drive_to; only /gate may'),
        (_server, '/cell and /evil serve /drive_to; one server may'),
    ],
    ids=['mode', 'goal_pose', 'heartbeat', 'client', 'server'],
)
def test_a_stranger_stops_gate_and_deadman_and_is_named(
    bench: Bench, robot: Any, come: Callable[[Bench], Node], says: str, quickest: Callable[..., float]
) -> None:
    def once() -> float:
        for received in bench.stops.values():
            received.clear()
        start = time.monotonic()
        node = come(bench)
        bench.until(bench.stopped, 'the stops')
        took_s = max(received[0][0] for received in bench.stops.values()) - start
        reasons = {request.reason for received in bench.stops.values() for _, request in received}
        assert reasons == {says}
        assert {request.source for received in bench.stops.values() for _, request in received} == {'watcher'}
        bench.until(lambda: bench.states and bench.states[-1].state == WatcherState.STRANGER, 'the state')
        assert list(bench.states[-1].findings) == [says]
        bench.gone(node)
        bench.until(lambda: bench.states[-1].state == WatcherState.WATCHING, 'it is over')
        return took_s

    assert quickest(once, DETECT_S) < DETECT_S


def test_the_stop_is_sent_again_while_the_stranger_stays(bench: Bench, robot: Any) -> None:
    _publisher('mode')(bench)
    bench.until(lambda: len(bench.stops['gate/stop']) >= 3, 'three stops')
    times = [at for at, _ in bench.stops['gate/stop']]
    assert all(0.7 < after - before < 2.0 for before, after in itertools.pairwise(times))


def test_a_second_of_a_name_is_no_stranger_at_once(bench: Bench, robot: Any) -> None:
    _publisher('mode', name='cell')(bench)
    bench.quiet(1.5)


def test_readers_and_others_topics_are_nobodys_business(bench: Bench, robot: Any) -> None:
    node = bench.node('dashboard')
    node.create_subscription(String, 'mode', lambda _: None, qos.SIGNAL)
    node.create_publisher(String, 'notes', qos.SIGNAL)
    other = bench.node('cell', namespace='/r2')
    other.create_publisher(String, 'mode', qos.SIGNAL)
    bench.quiet(1.5)


def test_two_of_a_name_count_after_a_while(bench: Bench) -> None:
    for _ in range(2):
        bench.node('cell').create_publisher(String, 'mode', qos.SIGNAL)
    bench.add(WatcherNode(context=bench.context, parameter_overrides=[Parameter('double_s', value=1.0)]))
    bench.until(bench.stopped, 'the stops')
    assert 'two call themselves so' in bench.stops['gate/stop'][0][1].reason


def test_a_wrong_file_is_refused(bench: Bench, tmp_path: Path) -> None:
    path = tmp_path / 'watch.yaml'
    path.write_text('watch: "1"\npublishers: {mode: cell}\n', encoding='utf-8')
    with pytest.raises(ConfigError, match=r'watch\.yaml'):
        WatcherNode(context=bench.context, parameter_overrides=[Parameter('watch', value=str(path))])
