# SPDX-License-Identifier: Apache-2.0
"""``gemma4 hear FILE.wav``: play a recording into the audio topic, or transcribe it in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.errors import AudioError, NotRunningError
from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ, level_dbfs, mix_down, resample, to_int16
from gemma4_ros.core.speech.names import Lexicon
from gemma4_ros.core.speech.transcript import Transcript

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.publisher import Publisher

__all__ = ['MAX_FILE_S', 'publish_wav', 'read_wav', 'transcribe_file']

MAX_FILE_S = 60.0
MIN_RATE_HZ, MAX_RATE_HZ, MAX_CHANNELS = 8000, 192000, 8
SILENCE_DBFS = -55.0
CHUNK_S = 0.05
TAIL_S = 1.2
"""Silence played after the recording: the pause that closes the utterance."""


def read_wav(path: str | Path) -> NDArray[np.int16]:
    """
    Read a recording as mono sound at 16 kHz, 16 bit.

    Takes WAV, FLAC and OGG of 8 to 192 kHz with up to 8 channels, at most 60 s long; the length is looked at before the
    sound is read.

    Raises
    ------
    AudioError
        It is missing, empty, no sound file, too long or silent; one sentence each.

    """
    path = Path(path)
    if not path.is_file():
        raise AudioError(f'{path} is not there: give the path of a WAV file')
    if path.stat().st_size == 0:
        raise AudioError(f'{path} is empty (0 bytes): record it again')
    samples = resample(*_read(path))
    if len(samples) == 0:
        raise AudioError(f'{path} holds no sound (0 samples): record it again')
    level = level_dbfs(samples)
    if level < SILENCE_DBFS:
        raise AudioError(
            f'{path} is silent (loudest part {level:.0f} dBFS, wanted {SILENCE_DBFS:.0f}): check the microphone'
        )
    return to_int16(samples)


def _read(path: Path) -> tuple[NDArray[np.float64], int]:
    import soundfile  # loads a C library, and only this command needs it

    try:
        with soundfile.SoundFile(str(path)) as sound:
            rate_hz, channels = int(sound.samplerate), int(sound.channels)
            if not (MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ and channels <= MAX_CHANNELS):
                raise AudioError(
                    f'{path} has {rate_hz} Hz and {channels} channels: wanted {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz and at '
                    f'most {MAX_CHANNELS} channels'
                )
            if sound.frames > MAX_FILE_S * rate_hz:
                raise AudioError(
                    f'{path} is {sound.frames / rate_hz:.0f} s long, at most {MAX_FILE_S:.0f} s: cut out the command'
                )
            samples = sound.read(int(MAX_FILE_S * rate_hz), dtype='float64')
    except (soundfile.SoundFileError, OSError) as error:
        raise AudioError(
            f'{path} is not a WAV file that can be read: convert it to 16 kHz mono WAV ({error})'
        ) from error
    mono = mix_down(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0))
    return mono, rate_hz


def transcribe_file(path: str | Path, hints: Iterable[str] = (), known: Lexicon | None = None) -> Transcript:
    """
    Return the text of a recording, recognised in this process; no ROS is needed.

    Parameters
    ----------
    path : str or Path
        See `read_wav`; what is said may be 30 s long.
    hints : iterable of str
        `gemma4_ros.core.speech.hints.hint_words` of world and tools.
    known : Lexicon, optional
        `gemma4_ros.core.speech.names.lexicon` of world and tools.

    """
    samples = read_wav(path)
    from gemma4_ros.backends.whisper import WhisperRecogniser

    return WhisperRecogniser(hints=hints, known=known).transcribe(samples)


def publish_wav(
    path: str | Path,
    node: Node,
    topic: str = 'audio',
    speed: float = 1.0,
    wait_s: float = 15.0,
    listener: str = 'speech',
    on_progress: Callable[[float, float], None] | None = None,
) -> float:
    """
    Play a recording into an audio topic and return its length in seconds.

    Parameters
    ----------
    path : str or Path
        See `read_wav`.
    node : Node
        Publishes; it need not be spun.
    topic : str
        Of ``gemma4_ros/AudioChunk``.
    speed : float
        1: as fast as it was spoken; 4: four times.
    wait_s : float
        How long to wait until it listens.
    listener : str
        The node that must listen: half a command would be another command.
    on_progress : callable, optional
        Called with the seconds played and the seconds in all.

    Raises
    ------
    AudioError
        The file cannot be used.
    NotRunningError
        The listener does not listen.

    """
    from gemma4_ros.msg import AudioChunk
    from gemma4_ros.ros import qos
    from gemma4_ros.ros.audio import to_chunk

    if not 0.1 <= speed <= 20.0:
        raise AudioError(f'speed {speed:g} is not between 0.1 and 20')
    samples = np.concatenate([read_wav(path), np.zeros(int(TAIL_S * SAMPLE_RATE_HZ), dtype=np.int16)])
    total_s = len(samples) / SAMPLE_RATE_HZ
    publisher = node.create_publisher(AudioChunk, topic, qos.AUDIO)
    try:
        _wait_for_listener(node, publisher, topic, listener, wait_s)
        step, start = int(CHUNK_S * SAMPLE_RATE_HZ), time.monotonic()
        for begin in range(0, len(samples), step):
            played_s = begin / SAMPLE_RATE_HZ
            time.sleep(max(0.0, start + played_s / speed - time.monotonic()))
            publisher.publish(to_chunk(samples[begin : begin + step], node.get_clock().now().to_msg(), 'file'))
            if on_progress is not None:
                on_progress(min(played_s + CHUNK_S, total_s), total_s)
    finally:
        node.destroy_publisher(publisher)
    return total_s


def _wait_for_listener(node: Node, publisher: Publisher, topic: str, listener: str, wait_s: float) -> None:
    end = time.monotonic() + wait_s
    while True:
        infos = node.get_subscriptions_info_by_topic(publisher.topic_name)
        is_there = any(info.node_name == listener for info in infos)
        if is_there and publisher.get_subscription_count() >= len(infos):
            return
        if time.monotonic() > end:
            raise NotRunningError(
                f'{listener} does not listen on the topic {topic} (waited {wait_s:g} s): run: gemma4 up'
            )
        time.sleep(0.02)
