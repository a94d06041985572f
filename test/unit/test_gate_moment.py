# SPDX-License-Identifier: Apache-2.0
"""What changes the moment: stamps that stand still, jumps of the clock, lock-outs, and what a restart keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from hand_gate import load
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.moment import MAX_LOCKS, Moment
from gemma4_ros.core.gate.state import Latch, Lock
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.gate.zones import Point

POLICY, _ = load()


class Watched(Moment):
    """A moment whose journal and epochs are looked at."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, Mapping[str, Any]]] = []
        self.epochs = 0
        super().__init__(POLICY, self, self._epoch)  # type: ignore[arg-type]

    def note(self, kind: str, *data: Any, **more: Any) -> None:  # type: ignore[override]
        if len(data) == 1:
            self.notes.append((kind, data[0]))
        else:
            super().note(kind, *data, **more)

    def _epoch(self) -> None:
        self.epochs += 1


def moved_s(moment: Moment, name: str = 'pose') -> float | None:
    return moment.state.signals[name].moved_at_s


def code_of(ask: Any, *arguments: Any) -> Code:
    try:
        ask(*arguments)
    except Refused as refused:
        return refused.verdict.code
    return Code.NONE


# Signals -------------------------------------------------------------------------------------------------------------
def test_stamp_that_stands_still_shows_and_one_that_moves_again_heals() -> None:
    moment = Watched()
    for now, stamp_s, moved_at_s in (
        (1.0, 50.0, 1.0),
        (2.0, 50.0, 1.0),
        (3.0, 50.0, 1.0),
        (4.0, 50.1, 4.0),
        (5.0, 50.1, 4.0),
    ):
        moment.signal('pose', None, now, stamp_s)
        assert (moment.state.signals['pose'].at_s, moved_s(moment)) == (now, moved_at_s)


def test_stamp_that_goes_back_a_little_stands_still_and_one_that_goes_back_far_is_a_new_start() -> None:
    moment = Watched()
    moment.signal('pose', None, 1.0, 50.0)
    moment.signal('pose', None, 2.0, 49.5)
    moment.signal('pose', None, 3.0, 49.0)  # exactly as far as the clock may jump
    moment.signal('pose', None, 3.5, 49.9)  # forward from there, and yet not past the greatest
    assert moved_s(moment) == 1.0
    moment.signal('pose', None, 4.0, 48.9)
    assert moved_s(moment) == 4.0
    moment.signal('pose', None, 5.0, 48.9)
    assert moved_s(moment) == 4.0
    moment.signal('pose', None, 6.0, 49.0)
    assert moved_s(moment) == 6.0


def test_signal_without_a_stamp_moves_with_every_message() -> None:
    moment = Watched()
    for now in (1.0, 2.0):
        moment.signal('mode', 'AUTO', now)
        assert moved_s(moment, 'mode') == now
    assert moment.epochs == 0


def test_publisher_that_lives_keeps_a_signal_fresh_but_does_not_move_its_stamp() -> None:
    moment = Watched()
    moment.alive('estop', 1.0)
    assert moment.state.signals == {}
    moment.signal('estop', False, 2.0, 7.0)
    moment.alive('estop', 3.0)
    value = moment.state.signals['estop']
    assert (value.value, value.at_s, value.moved_at_s) == (False, 3.0, 2.0)


def test_change_of_mode_raises_the_epoch_and_the_same_mode_does_not() -> None:
    moment = Watched()
    for now, mode, epochs in ((1.0, 'AUTO', 0), (2.0, 'AUTO', 0), (3.0, 'MANUAL' * 20, 1), (4.0, None, 2)):
        moment.signal('mode', mode, now)
        assert moment.epochs == epochs
    kind, data = moment.notes[0]
    assert (kind, data['before'], data['after'], data['epoch']) == ('mode', 'AUTO', ('MANUAL' * 20)[:32], 2)


@pytest.mark.parametrize('value', [True, None, 0.0, 'False'])
def test_emergency_stop_that_is_not_clearly_released_stops_once(value: Any) -> None:
    moment = Watched()
    moment.signal('estop', value, 1.0)
    moment.signal('estop', value, 2.0)
    assert (moment.state.latch, moment.state.stop_code, moment.epochs) == (Latch.STOPPED, Code.ESTOP, 1)
    assert [kind for kind, _ in moment.notes] == ['stop']


def test_inputs_are_shown_with_their_age() -> None:
    moment = Watched()
    moment.signal('pose', Point(1.0, 2.0, 'map'), 1.0)
    moment.signal('mode', 'AUTO', 1.5)
    assert moment.inputs(2.0) == {'pose': [[1.0, 2.0, 'map'], 1.0], 'mode': ['AUTO', 0.5]}


# The clock -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize('jump_s', [1.1, -1.1, 3600.0, -1e9])
def test_jump_counts_when_two_readings_see_it(jump_s: float) -> None:
    moment = Watched()
    assert not moment.clock(1e9, 1.0) and not moment.clock(1e9 + 0.9, 2.0)
    assert not moment.clock(1e9 + jump_s, 3.0) and moment.epochs == 0
    assert moment.clock(1e9 + jump_s, 4.0) and moment.epochs == 1
    kind, data = moment.notes[-1]
    assert (kind, data['code'], data['rule'], data['epoch']) == ('clock', Code.CLOCK, 'state.clock', 2)
    assert data['text'] == f'the clock jumped by {jump_s:.1f} s'
    assert not moment.clock(1e9 + jump_s, 5.0) and not moment.clock(1e9 + jump_s, 6.0)
    assert not moment.clock(1e9, 7.0) and moment.clock(1e9, 8.0)  # back again is a second one


def test_single_reading_out_of_line_is_no_jump() -> None:
    moment = Watched()
    for offset_s in (0.0, 5.0, 0.0, 5.0, 0.0, 3.0, 4.5, 7.0, 0.5, 1.0, -1.0):
        assert not moment.clock(offset_s, 1.0)
    assert moment.epochs == 0 and moment.notes == []


def test_second_reading_may_differ_by_as_much_as_is_no_jump() -> None:
    moment = Watched()
    assert not moment.clock(0.0, 1.0) and not moment.clock(5.0, 2.0)
    assert moment.clock(6.0, 3.0)
    assert not moment.clock(6.5, 4.0) and not moment.clock(7.0, 5.0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-0.5, 0.5), max_size=20))
def test_clock_that_is_slewed_within_half_a_second_never_jumps(offsets: list[float]) -> None:
    moment = Watched()
    assert not any(moment.clock(offset, 1.0) for offset in [0.0, *offsets, math.nan])


# Lock-outs -----------------------------------------------------------------------------------------------------------
def test_only_the_own_lock_comes_off_and_each_change_raises_the_epoch() -> None:
    moment = Watched()
    moment.lock('anna', 'new\x1b seal', 1.0)
    moment.lock('bob', 'x' * 300, 2.0)
    assert moment.state.locks == (Lock('anna', 'new\\x1b seal'), Lock('bob', 'x' * 200)) and moment.epochs == 2
    for person in ('carl', 'Anna', '', 'anna\n'):
        assert code_of(moment.unlock, person, 3.0) is Code.ARM_REFUSED
    with pytest.raises(Refused, match='no lock of carl is on; locks are on of anna, bob'):
        moment.unlock('carl', 3.0)
    moment.unlock('anna', 4.0)
    assert [lock.person for lock in moment.state.locks] == ['bob'] and moment.epochs == 3
    with pytest.raises(Refused, match='locks are on of bob'):
        moment.unlock('anna', 5.0)
    moment.unlock('bob', 6.0)
    assert moment.state.locks == () and moment.epochs == 4
    with pytest.raises(Refused, match='locks are on of nobody'):
        moment.unlock('bob', 7.0)
    assert [data['locks'] for kind, data in moment.notes if kind == 'lockout'][-1] == []
    assert [data['person'] for _, data in moment.notes] == ['anna', 'bob', 'anna', 'bob']


def test_second_lock_of_a_person_replaces_the_first() -> None:
    moment = Watched()
    moment.lock('anna', 'a', 1.0)
    moment.lock('bob', 'b', 2.0)
    moment.lock('anna', 'c', 3.0)
    assert moment.state.locks == (Lock('bob', 'b'), Lock('anna', 'c'))


def test_locks_need_a_plain_name_and_are_bounded() -> None:
    moment = Watched()
    assert code_of(moment.lock, 'a b', 'x', 1.0) is Code.BAD_PROPOSER and moment.epochs == 0
    for number in range(MAX_LOCKS):
        moment.lock(f'p{number}', 'x', 1.0)
    assert code_of(moment.lock, 'one_more', 'x', 1.0) is Code.ARM_REFUSED
    moment.lock('p0', 'again', 1.0)
    assert len(moment.state.locks) == MAX_LOCKS


def test_what_outlived_the_last_start_is_taken_and_nothing_else_changes() -> None:
    moment = Watched()
    moment.restore((Lock('anna', 'x'),), 55.0)
    assert (moment.state.locks, moment.state.expires_s) == ((Lock('anna', 'x'),), 55.0)
    assert moment.state.latch is Latch.DISARMED and moment.epochs == 0
    moment.unlock('anna', 1.0)
    assert moment.state.locks == ()


# Arming --------------------------------------------------------------------------------------------------------------
def alive() -> Watched:
    moment = Watched()
    moment.signal('mode', 'MANUAL', 1.0)
    moment.signal('estop', False, 1.0)
    moment.deadman(1.0)
    return moment


def test_gate_is_armed_in_any_mode_and_under_a_lock_but_not_expired() -> None:
    moment = alive()
    moment.lock('bob', 'x', 1.0)
    moment.arm('anna', 1.0)
    assert moment.state.latch is Latch.ARMED
    moment.disarm('anna', 1.0)
    moment.restore((), 0.5)
    assert code_of(moment.arm, 'anna', 1.0) is Code.POLICY_EXPIRED
    assert code_of(moment.arm, 'a b', 1.0) is Code.BAD_PROPOSER
    assert moment.state.latch is Latch.DISARMED


def test_gate_that_is_not_armed_is_left_alone_when_the_deadman_trips_or_the_process_ends() -> None:
    moment = alive()
    moment.deadman(1.0, tripped=True)
    assert moment.state.deadman_tripped and moment.state.latch is Latch.DISARMED
    assert code_of(moment.arm, 'anna', 1.0) is Code.DEADMAN
    moment.check_deadman(99.0)
    moment.shut(99.0)
    assert moment.state.latch is Latch.DISARMED and moment.epochs == 0
    moment.deadman(99.0, tripped=False)
    assert not moment.state.deadman_tripped


def test_audit_that_fails_is_learnt_once_and_heals() -> None:
    moment = alive()
    moment.audit(True)
    before = moment.state
    moment.audit(True)
    assert moment.state is before
    moment.audit(False)
    assert not moment.state.audit_ok
    moment.audit(True)
    assert moment.state.audit_ok


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(['lock', 'unlock']), st.sampled_from(['anna', 'bob', 'carl'])), max_size=12))
def test_locks_are_those_of_the_people_who_put_them_on(events: list[tuple[str, str]]) -> None:
    moment, on = Watched(), set()
    for event, person in events:
        code = code_of(moment.lock, person, '', 1.0) if event == 'lock' else code_of(moment.unlock, person, 1.0)
        assert (code is Code.NONE) == (event == 'lock' or person in on)
        on = on | {person} if event == 'lock' else on - {person}
        assert {lock.person for lock in moment.state.locks} == on and len(moment.state.locks) == len(on)
