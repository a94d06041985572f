# SPDX-License-Identifier: Apache-2.0
"""One request at a time, the more urgent first."""

from __future__ import annotations

from gemma4_ros.backends.turns import Turns


def test_the_more_urgent_goes_first_and_equals_in_order():
    turns = Turns()
    first, late, urgent = turns.enter(1), turns.enter(1), turns.enter(2)
    assert not turns.start(first)
    assert turns.start(urgent)
    assert not turns.start(first)
    turns.leave(urgent)
    assert not turns.start(late)
    assert turns.start(first)
    assert turns.is_busy
    turns.leave(first)
    assert turns.start(late)


def test_one_that_gives_up_does_not_hold_the_others():
    turns = Turns()
    first, second = turns.enter(2), turns.enter(1)
    turns.leave(first)
    assert turns.start(second)
    turns.leave(second)
    turns.leave(second)
    assert not turns.is_busy
