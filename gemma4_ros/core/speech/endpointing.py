# SPDX-License-Identifier: Apache-2.0
"""Cut a stream of sound into utterances: a few frames of speech open one, a pause closes it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ, to_float32

__all__ = ['FRAME', 'Endpointer', 'Endpointing', 'Speech', 'VoiceActivity']

FRAME = 512
"""Samples of one decision: 32 ms at 16 kHz."""


class VoiceActivity(Protocol):
    """Tells speech from other sound, frame after frame."""

    def probability(self, frame: NDArray[np.float32]) -> float:
        """Return how probably the next ``FRAME`` samples are speech, 0..1."""

    def reset(self) -> None:
        """Forget what was heard before."""


@dataclass(frozen=True, slots=True)
class Endpointing:
    """
    When an utterance begins and ends.

    Attributes
    ----------
    start_probability, end_probability : float
        At or above the first it is speech; below the second it is a pause; between them it stays what it is.
    min_speech_s : float
        So much speech, within twice that time, opens an utterance.
    pre_roll_s : float
        Sound kept from before that.
    hang_over_s : float
        A pause of this length closes it.
    max_utterance_s : float
        What is longer is cut and marked.

    """

    start_probability: float = 0.5
    end_probability: float = 0.35
    min_speech_s: float = 0.1
    pre_roll_s: float = 0.5
    hang_over_s: float = 0.7
    max_utterance_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Speech:
    """
    One utterance.

    Attributes
    ----------
    samples : (N,) int16
        At 16 kHz, with the pre-roll and the closing pause.
    start_s, end_s : float
        In the stream, from its first sample on.
    is_cut : bool
        It was longer than allowed; ``samples`` are its beginning only.

    """

    samples: NDArray[np.int16]
    start_s: float
    end_s: float
    is_cut: bool = False


class Endpointer:
    """Feed it sound as it comes; it returns utterances as they end."""

    def __init__(self, voice: VoiceActivity, config: Endpointing | None = None) -> None:
        self._voice = voice
        self._config = config or Endpointing()
        self._opening = max(1, _frames(self._config.min_speech_s))
        self._closing = max(1, _frames(self._config.hang_over_s))
        self._longest = _frames(self._config.max_utterance_s)
        self._before: deque[NDArray[np.int16]] = deque(maxlen=_frames(self._config.pre_roll_s) + 2 * self._opening)
        self._recent: deque[bool] = deque(maxlen=2 * self._opening)
        self._rest: NDArray[np.int16] = np.zeros(0, dtype=np.int16)
        self._open: list[NDArray[np.int16]] = []
        self._is_overlong = False
        self._pause = 0
        self._count = 0

    @property
    def is_open(self) -> bool:
        """Whether somebody is speaking."""
        return bool(self._open) or self._is_overlong

    def feed(self, samples: NDArray[np.int16]) -> list[Speech]:
        """
        Take the next piece of the stream.

        Parameters
        ----------
        samples : (N,) int16
            At 16 kHz; any length.

        Returns
        -------
        list of Speech
            The utterances that ended within it.

        """
        sound = np.concatenate([self._rest, np.asarray(samples, dtype=np.int16)])
        whole = len(sound) // FRAME * FRAME
        self._rest = sound[whole:]
        done = (self._step(frame) for frame in sound[:whole].reshape(-1, FRAME))
        return [speech for speech in done if speech is not None]

    def flush(self) -> Speech | None:
        """End the stream: return the utterance that is open, if any, and forget what was heard."""
        speech = self._close(is_cut=False) if self._open else None
        self._before.clear()
        self._rest = self._rest[:0]
        self._reset()
        return speech

    def _step(self, frame: NDArray[np.int16]) -> Speech | None:
        probability = self._voice.probability(to_float32(frame))
        self._count += 1
        if self.is_open:
            return self._while_open(frame, probability)
        self._before.append(frame)
        self._recent.append(probability >= self._config.start_probability)
        if sum(self._recent) >= self._opening:
            self._open = list(self._before)
            self._before.clear()
            self._recent.clear()
            self._pause = 0
        return None

    def _while_open(self, frame: NDArray[np.int16], probability: float) -> Speech | None:
        if self._open:
            self._open.append(frame)
        if probability >= self._config.start_probability:
            self._pause = 0
        elif probability < self._config.end_probability or self._pause:
            self._pause += 1
        if self._pause >= self._closing:
            speech = self._close(is_cut=False) if self._open else None
            self._reset()
            return speech
        if len(self._open) >= self._longest:
            self._is_overlong = True  # the rest of it is not heard: half a sentence may mean the opposite
            return self._close(is_cut=True)
        return None

    def _close(self, *, is_cut: bool) -> Speech:
        samples = np.concatenate(self._open)
        end_s = self._count * FRAME / SAMPLE_RATE_HZ
        self._open = []
        return Speech(samples, end_s - len(samples) / SAMPLE_RATE_HZ, end_s, is_cut)

    def _reset(self) -> None:
        self._voice.reset()
        self._is_overlong = False
        self._recent.clear()
        self._pause = 0


def _frames(seconds: float) -> int:
    return math.ceil(seconds * SAMPLE_RATE_HZ / FRAME)
