# SPDX-License-Identifier: Apache-2.0
"""The spotter over real DDS: a spoken stop word reaches gate and deadman in time, with nothing else running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')

import rclpy
from builtin_interfaces.msg import Time
from gemma4_ros.msg import AudioChunk, StopRequest
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from gemma4_ros.cli.hear import CHUNK_S, publish_wav, read_wav
from gemma4_ros.core.errors import ConfigError, ModelMissingError
from gemma4_ros.nodes.spotter_node import STOP_TOPICS, SpotterConfig, SpotterNode, make_spotter
from gemma4_ros.ros import qos
from gemma4_ros.ros.audio import to_chunk

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(60)]
VOICES = Path(__file__).resolve().parents[1] / 'data' / 'voices'
DEMO = Path(__file__).resolve().parents[2] / 'demo'
DEADLINE_S = 10.0
MAX_DELAY_S = 0.7


def wait(predicate: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
    end = time.monotonic() + deadline_s
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class Bench:
    """A microphone and the two listeners, spun in a thread."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.node = Node('bench', context=context)
        self.stops: dict[str, list[tuple[float, StopRequest]]] = {topic: [] for topic in STOP_TOPICS}
        for topic in STOP_TOPICS:
            self.node.create_subscription(StopRequest, topic, self._keep(topic), qos.STOP)
        self.audio = self.node.create_publisher(AudioChunk, 'audio', qos.AUDIO)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def _keep(self, topic: str) -> Callable[[StopRequest], None]:
        return lambda request: self.stops[topic].append((time.monotonic(), request))

    def add(self, node: Node) -> None:
        self.executor.add_node(node)
        assert wait(lambda: self.audio.get_subscription_count() > 0)
        assert wait(lambda: all(node.count_subscribers(topic) for topic in STOP_TOPICS))

    def all_stopped(self) -> bool:
        return all(self.stops.values())

    def close(self) -> None:
        nodes = self.executor.get_nodes()
        self.executor.shutdown(timeout_sec=2.0)
        self.thread.join(5.0)
        for node in nodes:
            node.destroy_node()  # or others would still see it on the graph
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def bench() -> Iterator[Bench]:
    context = Context()
    rclpy.init(context=context)
    bench = Bench(context)
    yield bench
    bench.close()


class OnThird:
    """Hears something in the third piece of sound."""

    def __init__(self) -> None:
        self.lengths: list[int] = []

    def feed(self, samples: NDArray[np.int16]) -> str | None:
        self.lengths.append(len(samples))
        return 'halt' if len(self.lengths) == 3 else None


def make_node(bench: Bench, spotter: Any) -> SpotterNode:
    node = SpotterNode(make=lambda config, warn: spotter, context=bench.context)
    bench.add(node)
    return node


def test_a_hit_goes_to_gate_and_deadman_once(bench: Bench) -> None:
    spotter = OnThird()
    make_node(bench, spotter)
    for _ in range(5):
        bench.audio.publish(to_chunk(np.zeros(800, dtype=np.int16), Time()))
    assert wait(bench.all_stopped) and wait(lambda: len(spotter.lengths) == 5)
    for received in bench.stops.values():
        assert [(request.source, request.reason) for _, request in received] == [('spotter', 'spoken: halt')]


def test_sound_of_another_rate_is_not_taken(bench: Bench) -> None:
    spotter = OnThird()
    make_node(bench, spotter)
    chunk = to_chunk(np.zeros(800, dtype=np.int16), Time())
    chunk.sample_rate_hz = 48000
    for _ in range(4):
        bench.audio.publish(chunk)
    bench.audio.publish(to_chunk(np.zeros(320, dtype=np.int16), Time()))
    assert wait(lambda: spotter.lengths == [320])


def test_a_threshold_for_every_phrase_is_asked_for(bench: Bench) -> None:
    parameters = [Parameter('phrases', value=['stop', 'halt']), Parameter('thresholds', value=[-10.0])]
    with pytest.raises(ConfigError, match='1 values for 2 phrases'):
        SpotterNode(context=bench.context, parameter_overrides=parameters)


def test_an_unknown_word_is_named(bench: Bench) -> None:
    parameters = [
        Parameter('detector', value='search'),
        Parameter('phrases', value=['stopp']),
        Parameter('thresholds', value=[-10.0]),
    ]
    with pytest.raises(ConfigError, match="no word 'stopp'"):
        SpotterNode(context=bench.context, parameter_overrides=parameters)


def test_without_the_networks_files_the_keyphrase_search_works_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    warnings: list[str] = []
    spotter = make_spotter(SpotterConfig(), warnings.append)
    assert len(warnings) == 1 and 'spotter_files get' in warnings[0]
    with pytest.raises(ModelMissingError):
        make_spotter(SpotterConfig(detector='network'), warnings.append)
    assert heard(spotter, VOICES / 'stop.wav') == ['stop']


def heard(spotter: Any, path: Path) -> list[str]:
    quiet = np.zeros(16000, dtype=np.int16)
    sound = np.concatenate([quiet, read_wav(path), quiet])
    found = [spotter.feed(sound[begin : begin + 800]) for begin in range(0, len(sound), 800)]
    return [text for text in found if text is not None]


@pytest.mark.parametrize('name', ['stop', 'robot_stop', 'please_stop_now', 'emergency_stop'])
def test_spoken_stop_words_are_heard_once(name: str) -> None:
    assert len(heard(make_spotter(SpotterConfig(), pytest.fail), VOICES / f'{name}.wav')) == 1


@pytest.mark.parametrize(
    'path',
    [
        *(VOICES / f'{name}.wav' for name in ('valve_station', 'yes', 'no', 'open_main_valve')),
        DEMO / 'command.wav',
        DEMO / 'confirm.wav',
    ],
    ids=lambda path: path.stem,
)
def test_other_words_stop_nothing(path: Path) -> None:
    assert heard(make_spotter(SpotterConfig(), pytest.fail), path) == []


@pytest.mark.parametrize('detector', ['network', 'search'])
def test_a_stop_word_is_heard_after_a_minute_of_noise_and_again(detector: str) -> None:
    spotter = make_spotter(SpotterConfig(detector=detector), pytest.fail)
    noise = np.random.default_rng(1).normal(0.0, 60.0, 16000 * 61).astype(np.int16)
    assert [spotter.feed(noise[begin : begin + 800]) for begin in range(0, len(noise), 800)].count(None) == len(
        noise
    ) // 800
    for _ in range(3):
        assert len(heard(spotter, VOICES / 'please_stop_now.wav')) == 1


def test_its_own_process_stops_in_time_with_nothing_else_running(bench: Bench, quickest: Callable[..., float]) -> None:
    environment = {**os.environ, 'PYTHONUNBUFFERED': '1'}
    process = subprocess.Popen([sys.executable, '-m', 'gemma4_ros.nodes.run', 'spotter'], env=environment)
    try:
        assert wait(lambda: bench.audio.get_subscription_count() > 0, 30.0)
        assert wait(lambda: all(bench.node.count_publishers(topic) for topic in STOP_TOPICS))
        samples = read_wav(VOICES / 'robot_stop.wav')
        spoken = np.flatnonzero(np.abs(samples) > 300)
        word_end_s = int(spoken[-1]) / 16000.0

        def once() -> float:
            started: list[float] = []  # when the first piece was out
            for received in bench.stops.values():
                received.clear()
            publish_wav(
                VOICES / 'robot_stop.wav',
                bench.node,
                listener='spotter',
                on_progress=lambda played_s, _: started.append(time.monotonic() - played_s + CHUNK_S),
            )
            assert wait(bench.all_stopped)
            return max(received[0][0] for received in bench.stops.values()) - started[0] - word_end_s

        assert quickest(once, MAX_DELAY_S) < MAX_DELAY_S
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10.0) == 0
