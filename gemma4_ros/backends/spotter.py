# SPDX-License-Identifier: Apache-2.0
"""Stop words by pocketsphinx: keyphrase search with the acoustic model that its wheel carries."""

from __future__ import annotations

import math
from collections.abc import Mapping
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.errors import ConfigError, ModelMissingError
from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ

__all__ = ['PocketSpotter']

RESTART_S = 15.0
REPLAY_S = 1.5


class PocketSpotter:
    """
    Keyphrase spotting in a stream.

    The search is started anew after every hit, and every 15 s so that it neither grows nor drifts; the last 1.5 s are
    then heard again, so that no word falls between two searches.

    Parameters
    ----------
    thresholds : mapping
        Phrase to log10 of its detection threshold: -20 is more eager than -10.

    Raises
    ------
    ConfigError
        A phrase has a word that the dictionary lacks.
    ModelMissingError
        pocketsphinx or its acoustic model is not installed.

    """

    def __init__(self, thresholds: Mapping[str, float]) -> None:
        self._decoder = _make_decoder(thresholds)
        self._recent: NDArray[np.int16] = np.zeros(0, dtype=np.int16)
        self._since_restart = 0
        self._mean = self._decoder.get_cmn(False)
        self._decoder.start_utt()

    def feed(self, samples: NDArray[np.int16]) -> str | None:
        """Take the next piece of mono sound at 16 kHz; return the phrase that was heard, or None."""
        self._decoder.process_raw(np.ascontiguousarray(samples, dtype=np.int16).tobytes(), False, False)
        self._since_restart += len(samples)
        found = self._decoder.hyp()
        if found is not None:
            self._restart(np.zeros(0, dtype=np.int16))  # what was heard must not count twice
            return str(found.hypstr).split('  ')[0].strip()
        keep = int(REPLAY_S * SAMPLE_RATE_HZ)
        self._recent = np.concatenate([self._recent, np.asarray(samples, dtype=np.int16)])[-keep:]
        if self._since_restart > RESTART_S * SAMPLE_RATE_HZ:
            self._restart(self._recent)
        return None

    def _restart(self, replay: NDArray[np.int16]) -> None:
        self._decoder.end_utt()
        self._decoder.set_cmn(
            self._mean
        )  # the running mean follows long silence, and the next word sounds strange against it
        self._decoder.start_utt()
        self._since_restart = 0
        self._recent = replay
        if len(replay):
            self._decoder.process_raw(replay.tobytes(), False, False)


def _make_decoder(thresholds: Mapping[str, float]) -> Any:
    try:
        import pocketsphinx  # only the spotter needs it
    except ImportError as error:
        raise ModelMissingError(
            f'pocketsphinx is not installed ({error}): run: pip install pocketsphinx==5.1.1'
        ) from error
    decoder = pocketsphinx.Decoder(pocketsphinx.Config(lm=None, loglevel='FATAL'))
    for phrase in thresholds:
        for word in phrase.split():
            if decoder.lookup_word(word) is None:
                raise ConfigError(
                    f'stop phrase {phrase!r}: the dictionary has no word {word!r}; take common English words'
                )
    lines = ''.join(f'{phrase} /{math.pow(10.0, value):g}/\n' for phrase, value in thresholds.items())
    with NamedTemporaryFile('w', suffix='.kws', encoding='ascii') as file:
        file.write(lines)
        file.flush()
        decoder.add_kws('stop', file.name)
    decoder.activate_search('stop')
    return decoder
