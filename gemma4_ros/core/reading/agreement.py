# SPDX-License-Identifier: Apache-2.0
"""Several readings of one instrument, taken one after the other, become one, or a reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gemma4_ros.core.reading.gauge import CannotRead, Reading

__all__ = ['MOST_APART_SHARE', 'agree']

MOST_APART_SHARE = 0.02
"""Values further apart than this share of the range mean a moving pointer or a wrong reading."""


def agree(results: Sequence[Reading | CannotRead], range_size: float) -> tuple[int, Reading | CannotRead]:
    """
    Return the median reading, with an interval that holds every value read, and its place in ``results``.

    More than half of the frames must be read; otherwise the most frequent reason is returned.
    """
    read = [(index, result) for index, result in enumerate(results) if isinstance(result, Reading)]
    refused = [(index, result) for index, result in enumerate(results) if isinstance(result, CannotRead)]
    if 2 * len(read) <= len(results):
        most = Counter(refusal.reason for _, refusal in refused).most_common(1)[0][0]
        return next((index, refusal) for index, refusal in refused if refusal.reason == most)
    read.sort(key=lambda pair: pair[1].value)
    index, middle = read[(len(read) - 1) // 2]
    lowest, highest = read[0][1].value, read[-1][1].value
    if highest - lowest > MOST_APART_SHARE * range_size:
        unit = middle.unit
        text = f'{len(read)} pictures give {lowest:.4g} to {highest:.4g} {unit}: the pointer moves, or one is wrong'
        return index, CannotRead('moving', text)
    low = min(middle.low, lowest)
    high = max(middle.high, highest)
    confidence = middle.confidence * len(read) / len(results)
    return index, replace(middle, low=low, high=high, confidence=float(np.clip(confidence, 0.0, 1.0)))
