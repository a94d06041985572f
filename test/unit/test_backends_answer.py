# SPDX-License-Identifier: Apache-2.0
"""The text of an answer: whole characters, and nothing of a stop text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gemma4_ros.backends.answer import AnswerText


@given(st.text(), st.integers(1, 5))
def test_characters_come_whole_however_the_bytes_are_cut(text, size):
    told: list[str] = []
    answer = AnswerText((), told.append)
    data = text.encode('utf-8')
    for start in range(0, len(data), size):
        answer.add(data[start : start + size])
    answer.finish()
    assert ''.join(told) == answer.all() == text


@given(st.text('abST', max_size=40), st.integers(1, 4))
def test_nothing_of_a_stop_text_is_told(text, size):
    told: list[str] = []
    answer = AnswerText(('STOP',), told.append)
    data = (text + 'STOP' + text).encode()
    for start in range(0, len(data), size):
        if answer.add(data[start : start + size]):
            break
    answer.finish()
    assert ''.join(told) == answer.all() == text
