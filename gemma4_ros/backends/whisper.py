# SPDX-License-Identifier: Apache-2.0
"""Speech to text by faster-whisper, on this computer, with the names to expect."""

from __future__ import annotations

import math
import unicodedata
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.backends.whisper_files import TINY_EN, check
from gemma4_ros.core.errors import AudioError, ModelFileError
from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ, to_float32
from gemma4_ros.core.speech.names import Lexicon, Reading, readings
from gemma4_ros.core.speech.transcript import Transcript

__all__ = ['MAX_SPEECH_S', 'WhisperRecogniser']

MAX_SPEECH_S = 30.0
NAME_BONUS, AMBIGUOUS = 4.0, 3.0
"""How much less likely, in nats over the whole text, a reading with a name of the world may be and still be taken; and
how far behind the next such reading must be."""
_REPETITIVE = 2.4
_MARGIN_S = 0.3
_ROUNDS = 2


class WhisperRecogniser:
    """
    One recogniser with its model in memory; use it from one thread at a time.

    The model listens once and writes once; then it says how well other readings fit the same sound, in which
    half-heard words are names of the world, and the best of them is taken if it fits about as well.

    Parameters
    ----------
    folder : Path, optional
        Of the model's files; default: the cache, filled by ``python -m gemma4_ros.backends.whisper_files get``.
    hints : iterable of str
        Phrases to expect, the most important last.
    known : Lexicon, optional
        Names that half-heard words may be.
    threads : int
        Of the processor.

    Raises
    ------
    ModelMissingError, ModelFileError
        The files are not there or not the right ones.

    """

    def __init__(
        self,
        folder: Path | None = None,
        hints: Iterable[str] = (),
        known: Lexicon | None = None,
        threads: int = 2,
    ) -> None:
        path = check(TINY_EN, folder)
        from faster_whisper import WhisperModel  # takes a second, and only who listens needs it
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_suppressed_tokens

        try:
            self._model = WhisperModel(
                str(path), device='cpu', compute_type='int8', cpu_threads=threads, local_files_only=True
            )
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f'{path} cannot be loaded: {str(error)[:200]}') from error
        self._tokens: Any = Tokenizer(self._model.hf_tokenizer, multilingual=False)
        self._suppressed = get_suppressed_tokens(self._tokens, [-1])
        self._known = known
        hotwords = ', '.join(hints) or None
        self._prompt = self._model.get_prompt(self._tokens, [], without_timestamps=True, hotwords=hotwords)

    def transcribe(self, samples: NDArray[np.int16]) -> Transcript:
        """
        Return the text of one utterance.

        Parameters
        ----------
        samples : (N,) int16
            Mono, 16 kHz, at most 30 s.

        Raises
        ------
        AudioError
            It is longer.

        """
        duration_s = len(samples) / SAMPLE_RATE_HZ
        if duration_s > MAX_SPEECH_S:
            raise AudioError(
                f'{duration_s:.0f} s of speech at once, at most {MAX_SPEECH_S:.0f} s are understood: say it shorter'
            )
        heard = self._encode(samples)
        written = self._model.model.generate(
            heard,
            [self._prompt],
            beam_size=5,
            max_length=len(self._prompt) + 200,
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )[0]
        text = ' '.join(self._tokens.decode(written.sequences_ids[0]).split()).rstrip(' ,')
        confidence = min(math.exp(written.scores[0]), 1.0 - written.no_speech_prob) if text else 0.0
        if _is_repetitive(text):
            confidence = 0.0
        elif confidence > 0.0:
            text = self._with_names(text, heard, len(samples))
        return Transcript(unicodedata.normalize('NFC', text), max(0.0, min(1.0, confidence)), 'en', duration_s)

    def _encode(self, samples: NDArray[np.int16]) -> Any:
        from faster_whisper.audio import pad_or_trim

        margin = np.zeros(int(_MARGIN_S * SAMPLE_RATE_HZ), dtype=np.float32)
        features = self._model.feature_extractor(np.concatenate([margin, to_float32(samples), margin]))
        return self._model.encode(pad_or_trim(features))

    def _with_names(self, text: str, heard: Any, length: int) -> str:
        """Replace half-heard words by names where the sound agrees, one name a round."""
        for _ in range(_ROUNDS if self._known is not None else 0):
            others = readings(text, self._known) if self._known is not None else ()
            if not others:
                break
            fits = self._fits((text, *(other.text for other in others)), heard, length)
            chosen = _choose(others, [fit - fits[0] for fit in fits[1:]])
            if chosen is None:
                break
            text = chosen
        return text

    def _fits(self, texts: tuple[str, ...], heard: Any, length: int) -> list[float]:
        """Log-probability of each text for the sound, without the hints: they would count twice."""
        frames = min(3000, length // self._model.feature_extractor.hop_length + 60)
        scores: list[float] = []
        for text in texts:
            # the model likes to begin with a capital letter: a reading must not lose by that
            tokens = self._tokens.encode(f' {text[:1].upper()}{text[1:]}')
            aligned = self._model.model.align(heard, self._tokens.sot_sequence, [tokens], frames)[0]
            scores.append(float(np.log(np.maximum(aligned.text_token_probs, 1e-9)).sum()))
        return scores


def _is_repetitive(text: str) -> bool:
    data = text.encode('utf-8')
    return len(data) > 40 and len(data) / len(zlib.compress(data)) > _REPETITIVE


def _choose(others: tuple[Reading, ...], losses: list[float]) -> str | None:
    """Return the reading that fits the sound best, if it fits well enough and better than the others."""
    order = sorted(range(len(others)), key=lambda index: -losses[index])
    best = order[0]
    if losses[best] < -NAME_BONUS:
        return None
    if (
        len(order) > 1
        and losses[best] - losses[order[1]] < AMBIGUOUS
        and others[best].text not in others[order[1]].text
    ):
        return None
    return others[best].text
