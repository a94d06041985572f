# SPDX-License-Identifier: Apache-2.0
"""Sequence, fallback, parallel, repeat and if, in the order that the plan says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Ref, Repeat, Sequence, Step
from gemma4_ros.core.tree.plan_tree import TreeStatus
from gemma4_ros.core.tree.ports import Answer, Outcome, StepLimits, TreeLimits
from gemma4_ros.core.tree.scripted import ScriptedTree

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


def test_a_sequence_runs_in_order_and_keeps_what_steps_return() -> None:
    bench = bench_of(Sequence((step(1), step(2))))
    assert bench.running == ['s1']
    bench.answer('s1', Answer(Outcome.SUCCEEDED, returns={'value': 3.7}))
    assert bench.running == ['s2']
    assert bench.answer('s2', GOOD) is TreeStatus.SUCCEEDED
    assert bench.tree.results == {'s1': {'value': 3.7}, 's2': {}}
    assert bench.tree.failure is None
    assert (bench.tree.steps_done, bench.tree.steps_total) == (2, 2)
    assert bench.states() == [('s1', 'started'), ('s1', 'succeeded'), ('s2', 'started'), ('s2', 'succeeded')]
    assert bench.tree.wake_s == math.inf


def test_a_single_step_is_a_plan() -> None:
    bench = bench_of(step(1))
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED


def test_a_failed_step_ends_the_sequence_with_its_reason() -> None:
    bench = bench_of(Sequence((step(1), step(2), step(3))))
    bench.answer('s1', GOOD)
    assert bench.answer('s2', BAD) is TreeStatus.FAILED
    assert bench.tree.failure == ('s2', BAD)
    assert bench.phases() == {'/': 'FAILED', 's1': 'SUCCEEDED', 's2': 'FAILED', 's3': 'SKIPPED'}
    assert bench.gate.log == ['s1', 's2']


def test_a_fallback_takes_the_next_child_and_remembers_the_failed_one() -> None:
    bench = bench_of(Fallback((Sequence((step(1), step(2))), step(3), step(4))))
    bench.answer('s1', BAD)
    assert bench.running == ['s3']
    bench.tick()
    assert bench.phases()['/0'] == 'FAILED'
    assert bench.answer('s3', GOOD) is TreeStatus.SUCCEEDED
    assert bench.phases() == {
        '/': 'SUCCEEDED', '/0': 'FAILED', 's1': 'FAILED', 's2': 'SKIPPED', 's3': 'SUCCEEDED', 's4': 'SKIPPED',
    }  # fmt: skip


def test_a_fallback_fails_when_every_child_failed() -> None:
    bench = bench_of(Fallback((step(1), step(2))))
    bench.answer('s1', BAD)
    assert bench.answer('s2', Answer(Outcome.LOST, 403, 'gone')) is TreeStatus.FAILED
    assert bench.tree.failure == ('s2', Answer(Outcome.LOST, 403, 'gone'))


def test_all_of_a_parallel_run_at_once() -> None:
    bench = bench_of(Parallel((step(1), step(2), step(3)), 'all'))
    assert bench.running == ['s1', 's2', 's3']
    for node_id in ('s3', 's1'):
        assert bench.answer(node_id, GOOD) is TreeStatus.RUNNING
    assert bench.answer('s2', GOOD) is TreeStatus.SUCCEEDED


def test_the_first_failure_of_all_cancels_the_others_and_waits_for_them() -> None:
    bench = bench_of(Parallel((step(1), Sequence((step(2), step(3))), step(4, 'pick')), 'all'))
    assert bench.answer('s4', BAD) is TreeStatus.RUNNING
    assert bench.running == ['s1', 's2', 's4']  # s4 has more tries
    bench.answer('s4', BAD)
    runs = dict(bench.gate.open)
    assert bench.answer('s4', BAD) is TreeStatus.RUNNING
    assert [runs[name].is_cancelled for name in ('s1', 's2')] == [True, True]
    assert bench.answer('s1', CANCELLED) is TreeStatus.RUNNING
    assert bench.answer('s2', GOOD) is TreeStatus.FAILED  # it came to its end before the cancel did
    assert bench.gate.log == ['s1', 's2', 's4', 's4', 's4']
    assert bench.tree.failure == ('s4', BAD)
    assert bench.phases()['s3'] == 'SKIPPED'


def test_the_first_success_of_any_ends_the_others() -> None:
    bench = bench_of(Sequence((Parallel((step(1), step(2), step(3)), 'any'), step(4))))
    bench.answer('s1', BAD)
    run = bench.gate.open['s3']
    assert bench.answer('s2', GOOD) is TreeStatus.RUNNING
    assert run.is_cancelled
    assert bench.running == ['s3']
    bench.answer('s3', CANCELLED)
    assert bench.running == ['s4']
    assert bench.phases()['s3'] == 'CANCELLED'


def test_any_fails_when_every_child_failed() -> None:
    bench = bench_of(Parallel((step(1), step(2)), 'any'))
    bench.answer('s1', BAD)
    assert bench.answer('s2', BAD) is TreeStatus.FAILED


def test_a_repeat_runs_its_rounds_and_no_more() -> None:
    bench = bench_of(Repeat(Sequence((step(1), step(2))), 3))
    for round_number in range(3):
        assert {row.id: row.attempt for row in bench.tree.rows()}['/'] == round_number + 1
        bench.answer('s1', GOOD)
        bench.answer('s2', GOOD)
    assert bench.tree.status is TreeStatus.SUCCEEDED
    assert bench.gate.log == ['s1', 's2'] * 3


def test_a_repeat_fails_with_its_first_failed_round() -> None:
    bench = bench_of(Repeat(step(1), 3))
    bench.answer('s1', GOOD)
    assert bench.answer('s1', BAD) is TreeStatus.FAILED


def test_a_repeat_in_a_repeat_begins_anew() -> None:
    bench = bench_of(Repeat(Sequence((Repeat(step(1), 2), step(2))), 2))
    for _ in range(2):
        for node_id in ('s1', 's1', 's2'):
            bench.answer(node_id, GOOD)
    assert bench.tree.status is TreeStatus.SUCCEEDED
    assert bench.gate.log == ['s1', 's1', 's2'] * 2


@pytest.mark.parametrize(('decision', 'chosen', 'other'), [(Outcome.TRUE, 's2', 's3'), (Outcome.FALSE, 's3', 's2')])
def test_the_gate_chooses_the_branch_once(decision: Outcome, chosen: str, other: str) -> None:
    bench = bench_of(Sequence((step(1), If(when(), step(2), step(3)))))
    bench.answer('s1', GOOD)
    assert bench.running == ['/1']
    bench.answer('/1', Answer(decision, text='3.72 bar < 4.0 bar'))
    assert bench.running == [chosen]
    assert bench.phases()[other] == 'SKIPPED'
    bench.tick(1.0)
    assert bench.answer(chosen, GOOD) is TreeStatus.SUCCEEDED
    assert bench.gate.log == ['s1', '/1', chosen]


def test_an_if_without_else_succeeds_when_false() -> None:
    bench = bench_of(If(when(), step(2)))
    assert bench.answer('/', Answer(Outcome.FALSE)) is TreeStatus.SUCCEEDED
    assert bench.phases() == {'/': 'SUCCEEDED', 's2': 'SKIPPED'}


def test_an_if_is_decided_anew_in_every_round() -> None:
    bench = bench_of(Repeat(If(when(), step(2)), 2))
    bench.answer('/0', Answer(Outcome.FALSE))
    assert bench.running == ['/0']
    bench.answer('/0', Answer(Outcome.TRUE))
    assert bench.answer('s2', GOOD) is TreeStatus.SUCCEEDED


def test_an_unknown_condition_is_asked_again_until_the_deadline() -> None:
    bench = bench_of(If(when(), step(2)), hold_deadline_s=2.0, hold_retry_s=0.5)
    for _ in range(4):
        bench.answer('/', HELD)
        assert bench.running == []
        assert bench.tree.wake_s == pytest.approx(bench.now_s + 0.5)
        bench.tick(0.5)
        assert bench.running == ['/']
    assert bench.answer('/', HELD) is TreeStatus.FAILED
    assert bench.tree.failure == ('/', Answer(Outcome.HELD, 610, 'held for 2 s: pose is stale'))


def test_a_condition_that_is_not_allowed_ends_the_plan() -> None:
    bench = bench_of(Fallback((If(when(), step(2)), step(3))))
    assert bench.answer('/0', DENIED) is TreeStatus.FAILED
    assert bench.gate.log == ['/0']


def test_a_condition_that_nobody_answers_is_lost() -> None:
    bench = bench_of(If(when(), step(2)), cancel_grace_s=3.0)
    assert bench.tick(2.9) is TreeStatus.RUNNING
    assert bench.tick(0.2) is TreeStatus.FAILED
    assert bench.tree.failure is not None
    assert bench.tree.failure[1].outcome is Outcome.LOST


def test_a_denial_beside_others_waits_whether_the_parallel_is_decided() -> None:
    bench = bench_of(Parallel((step(1), step(2, 'pick')), 'any'), settle_s=1.0)
    bench.answer('s2', BAD)
    assert bench.answer('s2', DENIED) is TreeStatus.RUNNING
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED
    late = bench_of(Parallel((step(1), step(2, 'pick')), 'any'), settle_s=1.0)
    late.answer('s2', DENIED)
    assert late.tick(0.9) is TreeStatus.RUNNING
    late.tick(0.2)
    assert late.answer('s1', CANCELLED) is TreeStatus.FAILED
    assert late.tree.failure == ('s2', DENIED)
