# SPDX-License-Identifier: Apache-2.0
"""Keyphrase search, stop word network, or both side by side: either of them stops."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ

__all__ = ['KeyphraseSearch', 'ScoredSteps', 'SpotterPair']

QUIET_S = 1.5
"""So long after a hit nothing is reported: the other detector hears the same word."""


class KeyphraseSearch(Protocol):
    """Returns the phrase that it heard."""

    def feed(self, samples: NDArray[np.int16]) -> str | None:
        """Take the next piece of mono sound at 16 kHz."""


class ScoredSteps(Protocol):
    """Returns the scores of the steps that a piece of sound completes."""

    def feed(self, samples: NDArray[np.int16]) -> list[float]:
        """Take the next piece of mono sound at 16 kHz."""


class SpotterPair:
    """
    The detectors that there are, on one stream.

    Parameters
    ----------
    search : KeyphraseSearch, optional
        Needs no file but its package.
    network : ScoredSteps, optional
        Hears more and errs less.
    min_score : float
        At which the network stops.

    """

    def __init__(self, search: KeyphraseSearch | None, network: ScoredSteps | None, min_score: float) -> None:
        self._search = search
        self._network = network
        self._min_score = min_score
        self._quiet_samples = 0

    def feed(self, samples: NDArray[np.int16]) -> str | None:
        """Take the next piece of mono sound at 16 kHz; return what was heard, once a word, or None."""
        phrase = self._search.feed(samples) if self._search is not None else None
        scores = self._network.feed(samples) if self._network is not None else []
        best = max(scores, default=self._min_score - 1.0)
        heard = phrase or (f'stop word (score {best:.1f})' if best >= self._min_score else None)
        self._quiet_samples = max(0, self._quiet_samples - len(samples))
        if heard is None or self._quiet_samples:
            return None
        self._quiet_samples = int(QUIET_S * SAMPLE_RATE_HZ)
        return heard
