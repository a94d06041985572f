# SPDX-License-Identifier: Apache-2.0
"""The speech node over real DDS: sound becomes utterances, stop words and doubtful texts do not."""

from __future__ import annotations

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
from gemma4_ros.msg import AudioChunk, StopRequest, Utterance
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter

from gemma4_ros.backends.whisper_files import TINY_EN
from gemma4_ros.cli.hear import publish_wav
from gemma4_ros.core.errors import AudioError, ModelError, NotRunningError
from gemma4_ros.core.speech.answers import Answer, classify_answer
from gemma4_ros.core.speech.endpointing import FRAME
from gemma4_ros.core.speech.transcript import Transcript
from gemma4_ros.nodes.speech_node import SpeechNode
from gemma4_ros.ros import qos
from gemma4_ros.ros.audio import samples_of, to_chunk

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
VOICES = Path(__file__).resolve().parents[1] / 'data' / 'voices'
DEMO = Path(__file__).resolve().parents[2] / 'demo'
DEADLINE_S = 20.0


def wait(predicate: Callable[[], bool], deadline_s: float = DEADLINE_S) -> bool:
    end = time.monotonic() + deadline_s
    while not predicate():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


class LoudVoice:
    """Takes loud sound for speech."""

    def probability(self, frame: NDArray[np.float32]) -> float:
        return float(np.abs(frame).max() > 0.1)

    def reset(self) -> None:
        """Remember nothing."""


class Scripted:
    """A recogniser that hears what the test says; it can be made to hang until it is let go."""

    def __init__(self, *texts: str, confidence: float = 0.9) -> None:
        self.texts = list(texts)
        self.confidence = confidence
        self.heard_s: list[float] = []
        self.go = threading.Event()
        self.go.set()

    def transcribe(self, samples: NDArray[np.int16]) -> Transcript:
        self.go.wait(DEADLINE_S)
        self.heard_s.append(len(samples) / 16000.0)
        text = self.texts.pop(0)
        if text == 'break':
            raise RuntimeError('out of memory')
        return Transcript(text, self.confidence, 'en', len(samples) / 16000.0)


class Bench:
    """Microphone and listeners, spun in a thread."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.node = Node('bench', context=context)
        self.utterances: list[Utterance] = []
        self.stops: list[str] = []
        self.node.create_subscription(Utterance, 'speech/utterance', self.utterances.append, qos.EVENTS)
        for topic in ('gate/stop', 'deadman/stop'):
            self.node.create_subscription(StopRequest, topic, lambda _, topic=topic: self.stops.append(topic), qos.STOP)
        self.audio = self.node.create_publisher(AudioChunk, 'audio', qos.AUDIO)
        self.executor = SingleThreadedExecutor(context=context)
        self.executor.add_node(self.node)
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()

    def start(self, recogniser: Any, **parameters: Any) -> SpeechNode:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        node = SpeechNode(lambda _: recogniser, LoudVoice, context=self.context, parameter_overrides=overrides)
        assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
        assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
        self.executor.add_node(node)
        assert wait(lambda: self.audio.get_subscription_count() > 0)
        assert wait(
            lambda: self.node.count_publishers('speech/utterance') and self.node.count_publishers('deadman/stop')
        )
        return node

    def play(self, *parts: tuple[float, bool]) -> None:
        sound = np.concatenate([np.full(int(s * 16000), 20000 if loud else 0, dtype=np.int16) for s, loud in parts])
        for begin in range(0, len(sound), 1600):
            self.audio.publish(to_chunk(sound[begin : begin + 1600], Time()))
            time.sleep(0.001)  # paces the sender as a microphone does; nothing is waited for

    def say(self, seconds: float = 1.0) -> None:
        self.play((0.5, False), (seconds, True), (1.0, False))

    def texts(self) -> list[str]:
        return [utterance.text for utterance in self.utterances]

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


def test_speech_becomes_an_utterance(bench: Bench) -> None:
    bench.start(Scripted('go to the pump'), operator_id='ada')
    bench.say(1.0)
    assert wait(lambda: len(bench.utterances) == 1)
    (utterance,) = bench.utterances
    assert (utterance.text, utterance.source, utterance.operator_id, utterance.language) == (
        'go to the pump',
        Utterance.SOURCE_SPEECH,
        'ada',
        'en',
    )
    assert utterance.confidence == pytest.approx(0.9)
    assert utterance.duration_s == pytest.approx(1.0 + 0.5 + 0.7, abs=0.3)
    assert utterance.header.stamp.sec > 0


def test_doubtful_text_is_left_out_but_the_doubt_is_told(bench: Bench) -> None:
    bench.start(Scripted('open the main valve', confidence=0.2))
    bench.say()
    assert wait(lambda: len(bench.utterances) == 1)
    assert bench.texts() == [''] and bench.utterances[0].confidence == pytest.approx(0.2)


def test_a_stop_word_stops_and_is_no_command(bench: Bench) -> None:
    bench.start(Scripted('Stop! Stop.', 'go to the pump'))
    bench.say()
    bench.say()
    assert wait(lambda: bench.texts() == ['go to the pump'])
    assert sorted(bench.stops) == ['deadman/stop', 'gate/stop']


def test_overlong_speech_is_not_understood(bench: Bench) -> None:
    recogniser = Scripted()
    bench.start(recogniser, max_utterance_s=2.0)
    bench.say(5.0)
    assert wait(lambda: len(bench.utterances) == 1)
    assert bench.texts() == [''] and bench.utterances[0].confidence == 0.0 and recogniser.heard_s == []


def test_a_broken_recogniser_gives_doubt_and_lives_on(bench: Bench) -> None:
    bench.start(Scripted('break', 'go home'))
    bench.say()
    bench.say()
    assert wait(lambda: bench.texts() == ['', 'go home'])


def test_two_commands_at_once_are_understood_in_their_order(bench: Bench) -> None:
    bench.start(Scripted('first', 'second'))
    bench.say()
    bench.say()
    assert wait(lambda: bench.texts() == ['first', 'second'])


def test_too_many_waiting_utterances_are_dropped(bench: Bench) -> None:
    recogniser = Scripted('first', 'second', 'never')
    recogniser.go.clear()
    node = bench.start(recogniser, max_waiting=2)
    for _ in range(4):
        bench.say(1.0)
    assert wait(lambda: node._endpointer._count >= 4 * int(2.5 * 16000) // FRAME)
    recogniser.go.set()
    assert wait(lambda: bench.texts() == ['first', 'second'])
    assert recogniser.texts == ['never']


def test_a_microphone_that_falls_silent_ends_the_utterance(bench: Bench) -> None:
    bench.start(Scripted('go to the pump'))
    bench.play((0.5, False), (1.0, True))
    assert wait(lambda: bench.texts() == ['go to the pump'], 5.0)


def test_sound_of_another_rate_is_not_taken(bench: Bench) -> None:
    recogniser = Scripted('go to the pump')
    bench.start(recogniser)
    chunk = to_chunk(np.full(16000, 20000, dtype=np.int16), Time())
    chunk.sample_rate_hz = 44100
    bench.audio.publish(chunk)
    bench.say(0.5)
    assert wait(lambda: len(bench.utterances) == 1)
    assert recogniser.heard_s[0] < 2.5


def test_nothing_is_published_once_it_is_deactivated(bench: Bench) -> None:
    recogniser = Scripted('go to the pump')
    recogniser.go.clear()
    node = bench.start(recogniser)
    bench.say()
    assert wait(lambda: node._waiting == 1)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    recogniser.go.set()
    assert wait(lambda: node._waiting == 0) and bench.utterances == []


def test_a_missing_model_fails_to_configure(bench: Bench, tmp_path: Path) -> None:
    node = SpeechNode(context=bench.context, parameter_overrides=[Parameter('model_folder', value=str(tmp_path))])
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE


def test_a_recording_without_a_listener_is_refused(bench: Bench) -> None:
    with pytest.raises(NotRunningError, match='speech does not listen on the topic nowhere'):
        publish_wav(DEMO / 'confirm.wav', bench.node, 'nowhere', wait_s=0.1)


def test_a_recording_waits_for_the_recogniser_not_for_anybody(bench: Bench) -> None:
    bench.node.create_subscription(AudioChunk, 'audio', lambda _: None, qos.AUDIO)
    assert wait(lambda: bench.audio.get_subscription_count() > 0)
    with pytest.raises(NotRunningError, match='speech does not listen'):
        publish_wav(DEMO / 'confirm.wav', bench.node, wait_s=0.3)


def test_a_chunk_keeps_its_samples_and_its_limit() -> None:
    samples = np.arange(-800, 800, dtype=np.int16)
    assert np.array_equal(samples_of(to_chunk(samples, Time())), samples)
    with pytest.raises(AudioError, match='16000'):
        to_chunk(np.zeros(16001, dtype=np.int16), Time())


@pytest.mark.timed
@pytest.mark.model
def test_the_demos_recordings_are_understood(bench: Bench) -> None:
    from gemma4_ros.backends.whisper_files import check

    try:
        check(TINY_EN)
    except ModelError as error:
        pytest.skip(str(error))
    node = SpeechNode(context=bench.context)
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    bench.executor.add_node(node)
    for number, name in enumerate(('command', 'confirm')):
        publish_wav(DEMO / f'{name}.wav', bench.node, speed=4.0)
        assert wait(lambda number=number: len(bench.utterances) == number + 1, 30.0)
    command, confirm = bench.texts()
    for name in ('red toolbox', 'valve station', 'pressure gauge'):
        assert name in command.lower()
    assert classify_answer(confirm) is Answer.CONFIRM
    assert all(utterance.confidence > 0.5 for utterance in bench.utterances)
