# SPDX-License-Identifier: Apache-2.0
"""What a recogniser made of an utterance."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['Transcript']


@dataclass(frozen=True, slots=True)
class Transcript:
    """
    Text with how sure the recogniser is.

    Attributes
    ----------
    text : str
        NFC, one line; empty: nothing was understood.
    confidence : float
        0..1, mean token probability, lowered where the recogniser doubts that it was speech at all.
    language : str
        BCP 47.
    duration_s : float
        Length of the sound.

    """

    text: str
    confidence: float
    language: str
    duration_s: float
