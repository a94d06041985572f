# SPDX-License-Identifier: Apache-2.0
"""The node ``speech``: wires an audio topic to the recogniser; contains no decision about sound or words."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from std_msgs.msg import Header

from gemma4_ros.backends.whisper import WhisperRecogniser
from gemma4_ros.backends.whisper_vad import SileroVoice
from gemma4_ros.core.errors import AudioError
from gemma4_ros.core.speech.endpointing import Endpointer, Endpointing, Speech, VoiceActivity
from gemma4_ros.core.speech.hints import hint_words
from gemma4_ros.core.speech.names import lexicon
from gemma4_ros.core.speech.transcript import Transcript
from gemma4_ros.core.speech.words import STOP_PHRASES, is_stop
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world
from gemma4_ros.msg import AudioChunk, StopRequest, Utterance
from gemma4_ros.ros import gate_files, params, qos
from gemma4_ros.ros.audio import samples_of
from gemma4_ros.ros.lifecycle import LifecycleBase
from gemma4_ros.ros.workers import Workers

__all__ = ['Recogniser', 'SpeechConfig', 'SpeechNode']

SILENT_TOPIC_S = 1.0
"""So long without a chunk while somebody speaks: what was heard is the utterance."""
LATE_STOP_S = 5.0
"""A stop word that is understood later than this is old: whoever said it has seen by now what the robot does."""


class Recogniser(Protocol):
    """Turns one utterance into text."""

    def transcribe(self, samples: NDArray[np.int16]) -> Transcript:
        """Return the text of mono sound at 16 kHz."""


@dataclass(frozen=True)
class SpeechConfig:
    """Parameters of the node."""

    config: str = params.param('', doc='folder of the configuration; empty: the one that comes with the package')
    world: str = params.param('world.yaml', doc='world file, below the folder or absolute')
    tools: tuple[str, ...] = params.param(gate_files.CELL_TOOLS, doc='tools files, below the folder or absolute')
    model_folder: str = params.param('', doc='files of the recogniser; empty: the cache')
    threads: int = params.param(2, doc='processor threads of the recogniser', low=1, high=16)
    operator_id: str = params.param('', doc='who speaks into this microphone, if the place says so')
    min_confidence: float = params.param(0.45, doc='below it the text is left out', unit='1', low=0.0, high=1.0)
    max_utterance_s: float = params.param(30.0, doc='longer speech is not understood', unit='s', low=1.0, high=30.0)
    pause_s: float = params.param(0.7, doc='pause that closes an utterance', unit='s', low=0.2, high=3.0)
    max_waiting: int = params.param(
        3, doc='utterances that may wait for the recogniser; more are dropped', low=1, high=16
    )
    stop_words: tuple[str, ...] = params.param(STOP_PHRASES, doc='utterances that stop instead of being passed on')


RecogniserFactory = Callable[[SpeechConfig], Recogniser]


def make_whisper(config: SpeechConfig) -> Recogniser:
    """Load the recogniser with the names of world and tools."""
    folder = gate_files.config_folder(config.config)
    world = load_world(gate_files.read_text(folder / config.world), config.world)
    paths = gate_files.files_in(folder, config.tools)
    tools = load_tools([(path.name, gate_files.read_text(path)) for path in paths], world)
    model = Path(config.model_folder).expanduser() if config.model_folder else None
    return WhisperRecogniser(model, hint_words(world, tools), lexicon(world, tools), config.threads)


class SpeechNode(LifecycleBase):
    """Audio in, utterances out."""

    def __init__(
        self,
        make_recogniser: RecogniserFactory = make_whisper,
        make_voice: Callable[[], VoiceActivity] = SileroVoice,
        **kwargs: Any,
    ) -> None:
        super().__init__('speech', **kwargs)
        self._make_recogniser = make_recogniser
        self._make_voice = make_voice
        params.declare(self, SpeechConfig)
        self._workers = Workers(self, threads=1)
        self._subscription: Any = None
        self._waiting = 0
        self._last_chunk_s = 0.0
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(0.2, self._on_tick, clock=steady, autostart=False)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:  # noqa: ARG002 - rclpy's signature
        """Read the parameters, load the recogniser with the names of world and tools."""
        config = self._config = params.read(self, SpeechConfig)
        self._recogniser = self._make_recogniser(config)
        endpointing = Endpointing(hang_over_s=config.pause_s, max_utterance_s=config.max_utterance_s)
        self._endpointer = Endpointer(self._make_voice(), endpointing)
        self._utterances = self.create_publisher(Utterance, '~/utterance', qos.EVENTS)
        self._stops = [self.create_publisher(StopRequest, topic, qos.STOP) for topic in ('gate/stop', 'deadman/stop')]
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Listen."""
        self._subscription = self.create_subscription(AudioChunk, 'audio', self._on_audio, qos.AUDIO)
        self._timer.reset()
        self.get_logger().info('listening on audio')
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening; what is being recognised is not published any more."""
        self._stop_listening()
        return super().on_deactivate(state)

    def shutdown(self) -> None:
        """Stop listening and let the worker go."""
        self._stop_listening()
        self._workers.shutdown()

    def _stop_listening(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
            self._timer.cancel()
            self._endpointer.flush()

    def _on_audio(self, chunk: AudioChunk) -> None:
        try:
            samples = samples_of(chunk)
        except AudioError as error:
            self.get_logger().warning(f'code={error.code} {error}', throttle_duration_sec=10.0)
            return
        self._last_chunk_s = time.monotonic()
        for speech in self._endpointer.feed(samples):
            self._take(speech)

    def _on_tick(self) -> None:
        if self._endpointer.is_open and time.monotonic() - self._last_chunk_s > SILENT_TOPIC_S:
            speech = self._endpointer.flush()
            if speech is not None:
                self._take(speech)

    def _take(self, speech: Speech) -> None:
        duration_s = len(speech.samples) / 16000.0
        if speech.is_cut:
            self.get_logger().warning(f'speech is longer than {self._config.max_utterance_s:g} s: say it shorter')
            self._publish(Transcript('', 0.0, 'en', duration_s), self.get_clock().now().to_msg())
        elif self._waiting >= self._config.max_waiting:
            self.get_logger().warning(f'{self._waiting} utterances wait for the recogniser: this one is dropped')
        elif self.executor is not None:
            self._waiting += 1
            self.executor.create_task(self._recognise, speech, self.get_clock().now().to_msg(), time.monotonic())

    async def _recognise(self, speech: Speech, stamp: Time, ended_s: float) -> None:
        try:
            heard = await self._workers.run(self._recogniser.transcribe, speech.samples)
        except RuntimeError as error:  # what ctranslate2 raises
            self.get_logger().error(f'the recogniser failed: {error}')
            heard = Transcript('', 0.0, 'en', len(speech.samples) / 16000.0)
        finally:
            self._waiting -= 1
        took_s = time.monotonic() - ended_s
        self.get_logger().info(f'heard="{heard.text[:200]}" confidence={heard.confidence:.2f} took_s={took_s:.2f}')
        if self._subscription is None:
            return
        if is_stop(heard.text, self._config.stop_words):
            self._stop(heard, stamp, took_s)
        else:
            self._publish(heard, stamp)

    def _stop(self, heard: Transcript, stamp: Time, took_s: float) -> None:
        """Stop a second time: the spotter has done so long ago, if it lives and heard the word."""
        if took_s > LATE_STOP_S:
            self.get_logger().warning(f'a stop word was understood only after {took_s:.1f} s: ignored')
            return
        request = StopRequest(stamp=stamp, source='speech', reason=f'spoken: {heard.text[:200]}')
        for topic in self._stops:
            topic.publish(request)

    def _publish(self, heard: Transcript, stamp: Time) -> None:
        is_sure = heard.confidence >= self._config.min_confidence
        utterance = Utterance(
            header=Header(stamp=stamp),
            text=heard.text if is_sure else '',
            source=Utterance.SOURCE_SPEECH,
            operator_id=self._config.operator_id[:64],
            language=heard.language,
            confidence=heard.confidence,
            duration_s=heard.duration_s,
        )
        self._utterances.publish(utterance)
