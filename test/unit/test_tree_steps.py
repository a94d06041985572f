# SPDX-License-Identifier: Apache-2.0
"""One step: tries, recoveries, holds, pause, cancel, and the watchdog."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gemma4_ros.core.errors import ControllerLostError, PlanError
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Plan, Ref, Sequence, Step
from gemma4_ros.core.tree.plan_tree import PlanTree, TreeStatus
from gemma4_ros.core.tree.ports import Answer, Outcome, StepLimits, TreeLimits
from gemma4_ros.core.tree.scripted import ScriptedGate, ScriptedTree

LIMITS = {
    'go': StepLimits(timeout_s=10.0),
    'pick': StepLimits(timeout_s=5.0, retry_times=2),
    'drive': StepLimits(timeout_s=10.0, retry_times=1, recover=('clear', 'back')),
    'clear': StepLimits(timeout_s=1.0),
    'back': StepLimits(timeout_s=2.0),
}
GOOD, BAD, DENIED, HELD = (
    Answer(Outcome.SUCCEEDED),
    Answer(Outcome.FAILED, 401, 'blocked'),
    Answer(Outcome.DENIED, 601, 'zone'),
    Answer(Outcome.HELD, 610, 'pose is stale'),
)
CANCELLED = Answer(Outcome.CANCELLED, 410, 'was cancelled')


def bench_of(root: Node, **limits: float) -> ScriptedTree:
    return ScriptedTree(root, LIMITS, TreeLimits(**limits))


def step(number: int | str, tool: str = 'go', **args: Any) -> Step:
    return Step(f's{number}', tool, args)


def when(value: float = 4.0) -> Condition:
    return Condition(Ref('s1', 'value'), '<', value, 5.0, 'hold', 'bar')


def test_a_failed_step_is_tried_again_as_often_as_its_tool_allows() -> None:
    bench = bench_of(step(1, 'pick'))
    bench.answer('s1', BAD)
    bench.answer('s1', Answer(Outcome.TIMED_OUT, 404))
    assert {row.id: row.attempt for row in bench.tree.rows()} == {'s1': 3}
    assert bench.answer('s1', Answer(Outcome.LOST, 403)) is TreeStatus.FAILED
    assert bench.gate.log == ['s1'] * 3
    assert bench.states() == [('s1', 'started'), ('s1', 'retrying'), ('s1', 'retrying'), ('s1', 'failed')]


def test_recoveries_run_in_order_between_two_tries_whatever_they_end_with() -> None:
    bench = bench_of(step(1, 'drive'))
    bench.answer('s1', BAD)
    assert bench.running == ['s1/recover/clear']
    bench.answer('s1/recover/clear', BAD)
    assert bench.running == ['s1/recover/back']
    bench.answer('s1/recover/back', GOOD)
    assert bench.phases() == {'s1': 'RUNNING', 's1/recover/clear': 'FAILED', 's1/recover/back': 'SUCCEEDED'}
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED
    assert [state for _, state in bench.states()] == ['started', 'recovering', 'recovering', 'retrying', 'succeeded']


def test_a_denied_step_ends_the_plan_even_in_a_fallback() -> None:
    bench = bench_of(Fallback((step(1, 'pick'), step(2))))
    assert bench.answer('s1', DENIED) is TreeStatus.FAILED
    assert bench.gate.log == ['s1']
    assert bench.tree.failure == ('s1', DENIED)
    assert bench.phases()['s2'] == 'SKIPPED'


def test_a_step_that_somebody_else_cancelled_is_not_tried_again() -> None:
    bench = bench_of(step(1, 'pick'))
    assert bench.answer('s1', CANCELLED) is TreeStatus.FAILED
    assert bench.tree.failure == ('s1', CANCELLED)


def test_a_held_step_is_asked_for_again_and_costs_no_try() -> None:
    bench = bench_of(step(1), hold_retry_s=0.5)
    bench.answer('s1', HELD)
    assert bench.running == []
    assert bench.tree.wake_s == bench.now_s + 0.5
    bench.tick(0.4)
    assert bench.running == []
    bench.tick(0.1)
    assert bench.running == ['s1']
    bench.answer('s1', HELD)
    bench.tick(0.5)
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED
    assert bench.states() == [('s1', 'started'), ('s1', 'held'), ('s1', 'succeeded')]


def test_a_step_is_not_held_for_ever() -> None:
    bench = bench_of(Fallback((step(1), step(2))), hold_deadline_s=1.0, hold_retry_s=0.5)
    for _ in range(2):
        bench.answer('s1', HELD)
        bench.tick(0.5)
    assert bench.answer('s1', HELD) is TreeStatus.FAILED
    assert bench.tree.failure == ('s1', Answer(Outcome.HELD, 610, 'held for 1 s: pose is stale'))
    assert bench.gate.log == ['s1'] * 3


def test_pause_lets_what_runs_end_and_starts_nothing() -> None:
    bench = bench_of(Sequence((step(1, 'pick'), step(2))))
    bench.tree.pause()
    bench.tree.pause()
    assert bench.tick() is TreeStatus.PAUSED
    bench.answer('s1', BAD)
    assert bench.running == []
    assert bench.tick(1000.0) is TreeStatus.PAUSED
    assert bench.tree.wake_s == math.inf
    bench.tree.resume()
    bench.tick()
    assert bench.running == ['s1']
    bench.tree.pause()
    bench.answer('s1', GOOD)
    assert (bench.tick(), bench.running) == (TreeStatus.PAUSED, [])
    bench.tree.resume()
    bench.tick()
    assert bench.answer('s2', GOOD) is TreeStatus.SUCCEEDED
    assert [state for node, state in bench.states() if not node] == ['paused', 'resumed', 'paused', 'resumed']


def test_a_condition_is_not_asked_for_during_a_pause() -> None:
    bench = bench_of(Sequence((step(1), If(when(), step(2)))))
    bench.tree.pause()
    bench.answer('s1', GOOD)
    assert (bench.running, bench.tree.wake_s) == ([], math.inf)
    bench.tree.resume()
    bench.tick()
    assert bench.running == ['/1']


def test_the_time_of_a_pause_does_not_count_as_held() -> None:
    bench = bench_of(step(1), hold_deadline_s=1.0, hold_retry_s=0.5)
    bench.answer('s1', HELD)
    bench.tree.pause()
    bench.tick(60.0)
    bench.tree.resume()
    bench.tick()
    assert bench.answer('s1', HELD) is TreeStatus.RUNNING


def test_cancel_ends_when_everything_that_ran_has_ended() -> None:
    bench = bench_of(Sequence((Parallel((step(1), step(2)), 'all'), step(3))))
    runs = dict(bench.gate.open)
    bench.tree.cancel()
    assert bench.tick() is TreeStatus.RUNNING
    assert all(run.is_cancelled for run in runs.values())
    assert bench.tree.is_step_running
    assert bench.answer('s1', CANCELLED) is TreeStatus.RUNNING
    assert bench.answer('s2', CANCELLED) is TreeStatus.CANCELLED
    assert not bench.tree.is_step_running
    assert bench.gate.log == ['s1', 's2']
    assert bench.phases() == {'/': 'FAILED', '/0': 'FAILED', 's1': 'CANCELLED', 's2': 'CANCELLED', 's3': 'SKIPPED'}


def test_cancel_during_a_hold_or_a_pause_ends_at_once() -> None:
    bench = bench_of(Fallback((step(1), step(2))))
    bench.answer('s1', HELD)
    bench.tree.cancel()
    assert bench.tick() is TreeStatus.CANCELLED
    paused = bench_of(Sequence((step(1), step(2))))
    paused.tree.pause()
    paused.answer('s1', GOOD)
    paused.tree.cancel()
    assert paused.tick() is TreeStatus.CANCELLED
    assert paused.gate.log == ['s1']


def test_the_last_step_may_win_over_a_cancel() -> None:
    bench = bench_of(step(1))
    bench.tree.cancel()
    bench.tick()
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED


def test_a_step_without_an_answer_is_cancelled_then_lost() -> None:
    bench = bench_of(Fallback((step(1), step(2))), watchdog_margin_s=5.0, cancel_grace_s=3.0)
    run = bench.gate.open['s1']
    assert bench.tree.wake_s == bench.now_s + 15.0
    bench.tick(14.9)
    assert not run.is_cancelled
    bench.tick(0.1)
    assert run.is_cancelled
    assert bench.tree.wake_s == bench.now_s + 3.0
    assert bench.tick(3.0) is TreeStatus.FAILED
    assert bench.tree.failure is not None
    assert bench.tree.failure[1].outcome is Outcome.LOST
    assert bench.gate.log == ['s1']


def test_ticking_an_ended_tree_changes_nothing() -> None:
    bench = bench_of(step(1))
    bench.answer('s1', GOOD)
    bench.tree.take_change()
    assert bench.tick(5.0) is TreeStatus.SUCCEEDED
    bench.tree.pause()
    assert not bench.tree.take_change()
    assert bench.gate.log == ['s1']


def test_rows_change_only_when_something_happened() -> None:
    bench = bench_of(Sequence((step(1), step(2))))
    assert bench.tree.take_change()
    bench.tick(1.0)
    assert not bench.tree.take_change()
    bench.answer('s1', GOOD)
    assert bench.tree.take_change()


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(PlanError, match="step s1: the executor has no tool 'fly'"):
        PlanTree(Plan('goal', step(1, 'fly')), LIMITS, ScriptedGate())


def test_a_step_that_the_gate_cancelled_for_a_stale_signal_is_tried_again() -> None:
    stale = Answer(Outcome.CANCELLED, 644, 'odom is too old')
    bench = bench_of(step(1, 'pick'))
    bench.answer('s1', stale)
    assert bench.answer('s1', HELD) is TreeStatus.RUNNING
    bench.tick(0.5)
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED
    once = bench_of(step(1))
    assert once.answer('s1', stale) is TreeStatus.FAILED
    assert once.tree.failure == ('s1', stale)


ARM = {
    'grip': StepLimits(5.0, resources=('arm',)),
    'wave': StepLimits(5.0, resources=('arm',)),
    'turn': StepLimits(5.0, retry_times=1, is_cancelled_by_pause=True),
    'slow': StepLimits(5.0, is_cancelled_by_pause=True),
}


def test_one_arm_never_serves_two_branches() -> None:
    bench = ScriptedTree(Parallel((Step('a', 'grip', {}), Step('b', 'wave', {})), 'all'), ARM, TreeLimits())
    assert bench.running == ['a']
    assert ('b', 'waiting') in bench.states()
    assert bench.answer('a', GOOD) is TreeStatus.RUNNING and bench.running == ['b']
    assert bench.answer('b', GOOD) is TreeStatus.SUCCEEDED


def test_what_waits_for_an_arm_ends_with_a_cancel() -> None:
    bench = ScriptedTree(Parallel((Step('a', 'grip', {}), Step('b', 'wave', {})), 'all'), ARM, TreeLimits())
    bench.tree.cancel()
    bench.tick()
    assert bench.answer('a', CANCELLED) is TreeStatus.CANCELLED
    assert bench.gate.log == ['a'] and bench.phases()['b'] == 'SKIPPED'


def test_a_pause_cancels_what_its_tool_says_and_resume_tries_it_again() -> None:
    bench = ScriptedTree(Step('a', 'turn', {}), ARM, TreeLimits())
    bench.tree.pause()
    bench.tick()
    assert bench.gate.open['a'].is_cancelled
    assert bench.answer('a', CANCELLED) is TreeStatus.PAUSED and bench.running == []
    bench.tree.resume()
    bench.tick()
    assert bench.running == ['a'] and not bench.gate.open['a'].is_cancelled
    assert bench.answer('a', GOOD) is TreeStatus.SUCCEEDED


def test_a_stop_during_a_pause_ends_the_plan() -> None:
    bench = ScriptedTree(Step('a', 'turn', {}), ARM, TreeLimits())
    bench.tree.pause()
    bench.tick()
    assert bench.answer('a', Answer(Outcome.CANCELLED, 641, 'stopped by a button')) is TreeStatus.FAILED


def test_waiting_for_an_arm_is_not_being_held() -> None:
    bench = ScriptedTree(Parallel((Step('a', 'grip', {}), Step('b', 'wave', {})), 'all'), ARM, TreeLimits())
    bench.answer('a', HELD)
    assert bench.running == ['b']
    bench.tick(60.0)
    bench.answer('b', GOOD)
    bench.tick(1.0)
    bench.answer('a', HELD)
    assert bench.tick(1.0) is TreeStatus.RUNNING and bench.running == ['a']


def test_a_lost_step_fails_a_parallel_that_has_succeeded() -> None:
    bench = ScriptedTree(Parallel((Step('a', 'grip', {}), step(2)), 'any'), {**ARM, **LIMITS}, TreeLimits())
    bench.answer('s2', GOOD)
    lost = Answer(Outcome.LOST, ControllerLostError.code, 'the cancel was not acknowledged')
    assert bench.answer('a', lost) is TreeStatus.FAILED and bench.tree.failure == ('a', lost)


def test_a_pause_never_takes_the_last_try() -> None:
    bench = ScriptedTree(Step('a', 'slow', {}), ARM, TreeLimits())
    bench.tree.pause()
    bench.tick()
    assert not bench.gate.open['a'].is_cancelled
    assert bench.answer('a', GOOD) is TreeStatus.SUCCEEDED


def test_a_cancel_during_a_pause_is_no_pause_any_more() -> None:
    bench = ScriptedTree(Step('a', 'turn', {}), ARM, TreeLimits())
    bench.tree.pause()
    bench.tick()
    bench.tree.cancel()
    bench.tick()
    assert bench.answer('a', CANCELLED) is TreeStatus.CANCELLED and bench.gate.log == ['a']


def test_a_running_step_shows_how_far_it_is_and_never_goes_back() -> None:
    bench = bench_of(step(1))
    seen = []
    for stage in ('admitted', 'running', 'sent', 'nonsense', 'cancelling'):
        bench.gate.open['s1'].stage = stage
        bench.tick()
        seen.append(bench.tree.rows()[0].stage)
    assert seen == ['admitted', 'running', 'running', 'running', 'cancelling']
    bench.answer('s1', GOOD)
    assert bench.tree.rows()[0].stage == ''
