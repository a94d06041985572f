# SPDX-License-Identifier: Apache-2.0
"""Speech to text by faster-whisper, on this computer, with the names to expect."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.backends.whisper_files import TINY_EN, check
from gemma4_ros.core.errors import ModelFileError
from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ, to_float32
from gemma4_ros.core.speech.transcript import Transcript

__all__ = ['WhisperRecogniser']

_REPETITIVE = 2.4
_MARGIN_S = 0.3
_LONGEST_TEXT = 10000


class WhisperRecogniser:
    """
    One recogniser with its model in memory; use it from one thread at a time.

    Parameters
    ----------
    folder : Path, optional
        Of the model's files; default: the cache, filled by ``python -m gemma4_ros.backends.whisper_files get``.
    hints : iterable of str
        Names to expect.
    threads : int
        Of the processor.

    Raises
    ------
    ModelMissingError, ModelFileError
        The files are not there or not the right ones.

    """

    def __init__(self, folder: Path | None = None, hints: Iterable[str] = (), threads: int = 2) -> None:
        path = check(TINY_EN, folder)
        from faster_whisper import WhisperModel  # takes a second, and only who listens needs it

        try:
            self._model = WhisperModel(
                str(path), device='cpu', compute_type='int8', cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f'{path} cannot be loaded: {str(error)[:200]}') from error
        self._hints = ', '.join(hints) or None

    def transcribe(self, samples: NDArray[np.int16]) -> Transcript:
        """
        Return the text of one utterance.

        Parameters
        ----------
        samples : (N,) int16
            Mono, 16 kHz.

        """
        sound = to_float32(samples)
        margin = np.zeros(int(_MARGIN_S * SAMPLE_RATE_HZ), dtype=np.float32)
        segments, _ = self._model.transcribe(
            np.concatenate([margin, sound, margin]),
            language='en',
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
            hotwords=self._hints,
        )
        heard = list(segments)
        text = ' '.join(' '.join(segment.text for segment in heard).split()).rstrip(' ,')
        return Transcript(
            text=unicodedata.normalize('NFC', text)[:_LONGEST_TEXT],
            confidence=_confidence(heard),
            language='en',
            duration_s=len(samples) / SAMPLE_RATE_HZ,
        )


def _confidence(segments: list[Any]) -> float:
    """Mean token probability over all tokens, at most the probability that it was speech; 0 for endless repetition."""
    tokens = sum(len(segment.tokens) for segment in segments)
    if not tokens or any(segment.compression_ratio > _REPETITIVE for segment in segments):
        return 0.0
    mean = sum(segment.avg_logprob * len(segment.tokens) for segment in segments) / tokens
    is_speech = 1.0 - max(segment.no_speech_prob for segment in segments)
    return float(max(0.0, min(1.0, math.exp(mean), is_speech)))
