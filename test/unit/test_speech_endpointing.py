# SPDX-License-Identifier: Apache-2.0
"""A stream of sound becomes utterances: where they begin and end, and what happens to those that never end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gemma4_ros.core.speech.endpointing import FRAME, Endpointer, Endpointing, Speech

FRAME_S = FRAME / 16000
CONFIG = Endpointing(min_speech_s=0.1, pre_roll_s=0.5, hang_over_s=0.7, max_utterance_s=5.0)


class LoudVoice:
    """Takes loud sound for speech; remembers that it was reset."""

    def __init__(self) -> None:
        self.resets = 0

    def probability(self, frame: NDArray[np.float32]) -> float:
        return float(np.abs(frame).max() > 0.1)

    def reset(self) -> None:
        self.resets += 1


def sound(*parts: tuple[float, bool]) -> NDArray[np.int16]:
    """Return parts of so many seconds, loud or silent."""
    return np.concatenate([np.full(int(s * 16000), 20000 if loud else 0, dtype=np.int16) for s, loud in parts])


def heard(samples: NDArray[np.int16], piece: int = 800, config: Endpointing = CONFIG) -> list[Speech]:
    endpointer = Endpointer(LoudVoice(), config)
    found = [speech for i in range(0, len(samples), piece) for speech in endpointer.feed(samples[i : i + piece])]
    last = endpointer.flush()
    return found if last is None else [*found, last]


def test_silence_is_no_utterance() -> None:
    assert heard(sound((10.0, False))) == []


def test_a_click_is_no_utterance() -> None:
    assert heard(sound((1.0, False), (FRAME_S, True), (2.0, False))) == []


def test_an_utterance_keeps_pre_roll_and_closing_pause() -> None:
    (speech,) = heard(sound((2.0, False), (1.0, True), (2.0, False)))
    assert speech.start_s == pytest.approx(2.0 - 0.5, abs=0.2)
    assert speech.end_s == pytest.approx(3.0 + 0.7, abs=0.1)
    assert len(speech.samples) == pytest.approx((speech.end_s - speech.start_s) * 16000)
    assert not speech.is_cut


def test_a_short_pause_does_not_split() -> None:
    (speech,) = heard(sound((1.0, False), (1.0, True), (0.5, False), (1.0, True), (2.0, False)))
    assert np.count_nonzero(speech.samples) == pytest.approx(2.0 * 16000, rel=0.05)


def test_a_long_pause_splits() -> None:
    assert len(heard(sound((1.0, True), (1.5, False), (1.0, True), (1.5, False)))) == 2


def test_endless_speech_is_cut_once_and_its_rest_is_not_heard() -> None:
    found = heard(sound((1.0, False), (12.0, True), (1.5, False), (1.0, True), (1.5, False)))
    assert [speech.is_cut for speech in found] == [True, False]
    assert len(found[0].samples) <= 5.0 * 16000 + FRAME
    assert np.count_nonzero(found[1].samples) == pytest.approx(16000, rel=0.1)


def test_end_of_the_stream_ends_the_utterance() -> None:
    endpointer = Endpointer(LoudVoice(), CONFIG)
    assert endpointer.feed(sound((1.0, True))) == []
    assert endpointer.is_open
    speech = endpointer.flush()
    assert speech is not None and not speech.is_cut
    assert not endpointer.is_open and endpointer.flush() is None


def test_the_voice_detector_is_reset_between_utterances() -> None:
    voice = LoudVoice()
    Endpointer(voice, CONFIG).feed(sound((1.0, True), (1.0, False)))
    assert voice.resets == 1


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.tuples(st.floats(0.05, 2.0), st.booleans()), max_size=8),
    piece=st.integers(1, 5000).filter(lambda n: n > 50),
)
def test_pieces_of_any_size_give_the_same_utterances(parts: list[tuple[float, bool]], piece: int) -> None:
    samples = sound(*parts, (1.0, False))
    whole, pieces = heard(samples, piece=len(samples)), heard(samples, piece=piece)
    assert [(s.start_s, s.end_s, s.is_cut) for s in whole] == [(s.start_s, s.end_s, s.is_cut) for s in pieces]
    for speech in pieces:
        assert 0.0 <= speech.start_s < speech.end_s
        assert len(speech.samples) <= CONFIG.max_utterance_s * 16000 + FRAME
