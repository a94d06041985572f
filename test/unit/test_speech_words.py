# SPDX-License-Identifier: Apache-2.0
"""Stop words and answers: only an unambiguous yes confirms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4_ros.core.speech.answers import Answer, classify_answer
from gemma4_ros.core.speech.words import is_stop, spoken_words


@pytest.mark.parametrize(
    'text', ['stop', 'Stop!', 'STOP, STOP.', 'robot, stop', 'please stop now', 'Halt.', 'emergency stop', 'just stop']
)
def test_stop_words_alone_are_a_stop(text: str) -> None:
    assert is_stop(text)


@pytest.mark.parametrize(
    'text',
    [
        '',
        'now',
        'please',
        'shop',
        'stop at the pump',
        'drive to the bus stop',
        "don't stop",
        'emergency',
        'read the stop button',
    ],
)
def test_other_texts_are_no_stop(text: str) -> None:
    assert not is_stop(text)


def test_stop_words_can_be_chosen() -> None:
    assert is_stop('Freeze!', ('freeze',))
    assert not is_stop('stop', ('freeze',))


@pytest.mark.parametrize(
    'text',
    [
        'confirm',
        'Confirm.',
        'confirmed',
        'Yes!',
        'yes, confirm',
        'I confirm',
        'yes please',
        'yes, go ahead',
        'go ahead',
        'do it',
    ],
)
def test_a_clear_yes_confirms(text: str) -> None:
    assert classify_answer(text) is Answer.CONFIRM


@pytest.mark.parametrize(
    'text',
    [
        'no',
        'No!',
        'cancel',
        'cancel that',
        'no, the other box',
        'do not',
        'never mind',
        'stop',
        'abort',
        "don't",
        'nope',
    ],
)
def test_a_denial_cancels(text: str) -> None:
    assert classify_answer(text) in (Answer.CANCEL, Answer.OTHER)
    if text != 'do not':
        assert classify_answer(text) is Answer.CANCEL


@pytest.mark.parametrize(
    'text',
    [
        '',
        'console',
        'consumed',
        'conform',
        'yes?',
        'yes but to the pump',
        'yes the blue one',
        'not confirmed',
        'I cannot confirm',
        'confirm the pressure first',
        'ja',
        'go to storage',
        'yes and no',
        'please',
        'it',
        'confirm ' * 7,
        'yes or no',
    ],
)
def test_anything_else_is_neither_or_denies(text: str) -> None:
    assert classify_answer(text) is not Answer.CONFIRM


@given(st.text(max_size=60))
def test_no_text_without_a_confirming_word_confirms(text: str) -> None:
    confirming = {'confirm', 'confirmed', 'yes', 'yeah', 'affirmative', 'proceed', 'approved', 'approve', 'ahead', 'do'}
    if not confirming & set(spoken_words(text)):
        assert classify_answer(text) is not Answer.CONFIRM


@given(st.text(alphabet=st.characters(codec='utf-8'), max_size=200))
def test_any_text_has_words_in_plain_letters(text: str) -> None:
    assert all(word.isascii() and word == word.lower() and word for word in spoken_words(text))
