# SPDX-License-Identifier: Apache-2.0
"""A plan that is carried out: order, retries, holds, pause, cancel, and agreement with the gate's automaton."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.gate.automaton import Automaton, Progress, Status
from gemma4_ros.core.gate.automaton import Outcome as GateOutcome
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Plan, Ref, Repeat, Sequence, Step
from gemma4_ros.core.tree.plan_tree import PlanTree, TreeStatus
from gemma4_ros.core.tree.ports import Answer, Outcome, StepLimits, TreeLimits

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


class FakeRun:
    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.answer: Answer | None = None
        self.is_cancelled = False

    def poll(self) -> Answer | None:
        return self.answer

    def cancel(self) -> None:
        self.is_cancelled = True


class FakeGate:
    """Takes dispatches and answers when the test says so."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.open: dict[str, FakeRun] = {}

    def start(self, node_id: str) -> FakeRun:
        assert node_id not in self.open, f'{node_id} runs already'
        self.log.append(node_id)
        run = self.open[node_id] = FakeRun(node_id)
        return run

    ask = start

    def answer(self, node_id: str, answer: Answer) -> None:
        self.open.pop(node_id).answer = answer


class Bench:
    """A tree, its gate and a hand-turned clock."""

    def __init__(self, root: Node, **limits: float) -> None:
        self.gate = FakeGate()
        self.now_s = 100.0
        self.tree = PlanTree(Plan('goal', root), LIMITS, self.gate, TreeLimits(**limits))
        self.tick()

    def tick(self, after_s: float = 0.0) -> TreeStatus:
        self.now_s += after_s
        return self.tree.tick(self.now_s)

    def answer(self, node_id: str, answer: Answer) -> TreeStatus:
        self.gate.answer(node_id, answer)
        return self.tick()

    @property
    def running(self) -> list[str]:
        return sorted(self.gate.open)

    def phases(self) -> dict[str, str]:
        return {row.id: row.phase.name for row in self.tree.rows()}

    def states(self) -> list[tuple[str, str]]:
        return [(event.step_id, event.state) for event in self.tree.take_events()]


def step(number: int | str, tool: str = 'go', **args: Any) -> Step:
    return Step(f's{number}', tool, args)


def when(value: float = 4.0) -> Condition:
    return Condition(Ref('s1', 'value'), '<', value, 5.0, 'hold', 'bar')


def test_a_sequence_runs_in_order_and_keeps_what_steps_return() -> None:
    bench = Bench(Sequence((step(1), step(2))))
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
    bench = Bench(step(1))
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED


def test_a_failed_step_ends_the_sequence_with_its_reason() -> None:
    bench = Bench(Sequence((step(1), step(2), step(3))))
    bench.answer('s1', GOOD)
    assert bench.answer('s2', BAD) is TreeStatus.FAILED
    assert bench.tree.failure == ('s2', BAD)
    assert bench.phases() == {'/': 'FAILED', 's1': 'SUCCEEDED', 's2': 'FAILED', 's3': 'SKIPPED'}
    assert bench.gate.log == ['s1', 's2']


def test_a_fallback_takes_the_next_child_and_remembers_the_failed_one() -> None:
    bench = Bench(Fallback((Sequence((step(1), step(2))), step(3), step(4))))
    bench.answer('s1', BAD)
    assert bench.running == ['s3']
    bench.tick()
    assert bench.phases()['/0'] == 'FAILED'
    assert bench.answer('s3', GOOD) is TreeStatus.SUCCEEDED
    assert bench.phases() == {
        '/': 'SUCCEEDED', '/0': 'FAILED', 's1': 'FAILED', 's2': 'SKIPPED', 's3': 'SUCCEEDED', 's4': 'SKIPPED',
    }  # fmt: skip


def test_a_fallback_fails_when_every_child_failed() -> None:
    bench = Bench(Fallback((step(1), step(2))))
    bench.answer('s1', BAD)
    assert bench.answer('s2', Answer(Outcome.LOST, 403, 'gone')) is TreeStatus.FAILED
    assert bench.tree.failure == ('s2', Answer(Outcome.LOST, 403, 'gone'))


def test_all_of_a_parallel_run_at_once() -> None:
    bench = Bench(Parallel((step(1), step(2), step(3)), 'all'))
    assert bench.running == ['s1', 's2', 's3']
    for node_id in ('s3', 's1'):
        assert bench.answer(node_id, GOOD) is TreeStatus.RUNNING
    assert bench.answer('s2', GOOD) is TreeStatus.SUCCEEDED


def test_the_first_failure_of_all_cancels_the_others_and_waits_for_them() -> None:
    bench = Bench(Parallel((step(1), Sequence((step(2), step(3))), step(4, 'pick')), 'all'))
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
    bench = Bench(Sequence((Parallel((step(1), step(2), step(3)), 'any'), step(4))))
    bench.answer('s1', BAD)
    run = bench.gate.open['s3']
    assert bench.answer('s2', GOOD) is TreeStatus.RUNNING
    assert run.is_cancelled
    assert bench.running == ['s3']
    bench.answer('s3', CANCELLED)
    assert bench.running == ['s4']
    assert bench.phases()['s3'] == 'CANCELLED'


def test_any_fails_when_every_child_failed() -> None:
    bench = Bench(Parallel((step(1), step(2)), 'any'))
    bench.answer('s1', BAD)
    assert bench.answer('s2', BAD) is TreeStatus.FAILED


def test_a_repeat_runs_its_rounds_and_no_more() -> None:
    bench = Bench(Repeat(Sequence((step(1), step(2))), 3))
    for round_number in range(3):
        assert {row.id: row.attempt for row in bench.tree.rows()}['/'] == round_number + 1
        bench.answer('s1', GOOD)
        bench.answer('s2', GOOD)
    assert bench.tree.status is TreeStatus.SUCCEEDED
    assert bench.gate.log == ['s1', 's2'] * 3


def test_a_repeat_fails_with_its_first_failed_round() -> None:
    bench = Bench(Repeat(step(1), 3))
    bench.answer('s1', GOOD)
    assert bench.answer('s1', BAD) is TreeStatus.FAILED


def test_a_repeat_in_a_repeat_begins_anew() -> None:
    bench = Bench(Repeat(Sequence((Repeat(step(1), 2), step(2))), 2))
    for _ in range(2):
        for node_id in ('s1', 's1', 's2'):
            bench.answer(node_id, GOOD)
    assert bench.tree.status is TreeStatus.SUCCEEDED
    assert bench.gate.log == ['s1', 's1', 's2'] * 2


@pytest.mark.parametrize(('decision', 'chosen', 'other'), [(Outcome.TRUE, 's2', 's3'), (Outcome.FALSE, 's3', 's2')])
def test_the_gate_chooses_the_branch_once(decision: Outcome, chosen: str, other: str) -> None:
    bench = Bench(Sequence((step(1), If(when(), step(2), step(3)))))
    bench.answer('s1', GOOD)
    assert bench.running == ['/1']
    bench.answer('/1', Answer(decision, text='3.72 bar < 4.0 bar'))
    assert bench.running == [chosen]
    assert bench.phases()[other] == 'SKIPPED'
    bench.tick(1.0)
    assert bench.answer(chosen, GOOD) is TreeStatus.SUCCEEDED
    assert bench.gate.log == ['s1', '/1', chosen]


def test_an_if_without_else_succeeds_when_false() -> None:
    bench = Bench(If(when(), step(2)))
    assert bench.answer('/', Answer(Outcome.FALSE)) is TreeStatus.SUCCEEDED
    assert bench.phases() == {'/': 'SUCCEEDED', 's2': 'SKIPPED'}


def test_an_if_is_decided_anew_in_every_round() -> None:
    bench = Bench(Repeat(If(when(), step(2)), 2))
    bench.answer('/0', Answer(Outcome.FALSE))
    assert bench.running == ['/0']
    bench.answer('/0', Answer(Outcome.TRUE))
    assert bench.answer('s2', GOOD) is TreeStatus.SUCCEEDED


def test_an_unknown_condition_is_asked_again_until_the_deadline() -> None:
    bench = Bench(If(when(), step(2)), hold_deadline_s=2.0, hold_retry_s=0.5)
    for _ in range(4):
        bench.answer('/', HELD)
        assert bench.running == []
        assert bench.tree.wake_s == pytest.approx(bench.now_s + 0.5)
        bench.tick(0.5)
        assert bench.running == ['/']
    assert bench.answer('/', HELD) is TreeStatus.FAILED
    assert bench.tree.failure == ('/', Answer(Outcome.HELD, 610, 'held for 2 s: pose is stale'))


def test_a_condition_that_is_not_allowed_ends_the_plan() -> None:
    bench = Bench(Fallback((If(when(), step(2)), step(3))))
    assert bench.answer('/0', DENIED) is TreeStatus.FAILED
    assert bench.gate.log == ['/0']


def test_a_condition_that_nobody_answers_is_lost() -> None:
    bench = Bench(If(when(), step(2)), cancel_grace_s=3.0)
    assert bench.tick(2.9) is TreeStatus.RUNNING
    assert bench.tick(0.2) is TreeStatus.FAILED
    assert bench.tree.failure is not None
    assert bench.tree.failure[1].outcome is Outcome.LOST


def test_a_failed_step_is_tried_again_as_often_as_its_tool_allows() -> None:
    bench = Bench(step(1, 'pick'))
    bench.answer('s1', BAD)
    bench.answer('s1', Answer(Outcome.TIMED_OUT, 404))
    assert {row.id: row.attempt for row in bench.tree.rows()} == {'s1': 3}
    assert bench.answer('s1', Answer(Outcome.LOST, 403)) is TreeStatus.FAILED
    assert bench.gate.log == ['s1'] * 3
    assert bench.states() == [('s1', 'started'), ('s1', 'retrying'), ('s1', 'retrying'), ('s1', 'failed')]


def test_recoveries_run_in_order_between_two_tries_whatever_they_end_with() -> None:
    bench = Bench(step(1, 'drive'))
    bench.answer('s1', BAD)
    assert bench.running == ['s1/recover/clear']
    bench.answer('s1/recover/clear', BAD)
    assert bench.running == ['s1/recover/back']
    bench.answer('s1/recover/back', GOOD)
    assert bench.phases() == {'s1': 'RUNNING', 's1/recover/clear': 'FAILED', 's1/recover/back': 'SUCCEEDED'}
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED
    assert [state for _, state in bench.states()] == ['started', 'recovering', 'recovering', 'retrying', 'succeeded']


def test_a_denied_step_ends_the_plan_even_in_a_fallback() -> None:
    bench = Bench(Fallback((step(1, 'pick'), step(2))))
    assert bench.answer('s1', DENIED) is TreeStatus.FAILED
    assert bench.gate.log == ['s1']
    assert bench.tree.failure == ('s1', DENIED)
    assert bench.phases()['s2'] == 'SKIPPED'


def test_a_step_that_somebody_else_cancelled_is_not_tried_again() -> None:
    bench = Bench(step(1, 'pick'))
    assert bench.answer('s1', CANCELLED) is TreeStatus.FAILED
    assert bench.tree.failure == ('s1', CANCELLED)


def test_a_held_step_is_asked_for_again_and_costs_no_try() -> None:
    bench = Bench(step(1), hold_retry_s=0.5)
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
    bench = Bench(Fallback((step(1), step(2))), hold_deadline_s=1.0, hold_retry_s=0.5)
    for _ in range(2):
        bench.answer('s1', HELD)
        bench.tick(0.5)
    assert bench.answer('s1', HELD) is TreeStatus.FAILED
    assert bench.tree.failure == ('s1', Answer(Outcome.HELD, 610, 'held for 1 s: pose is stale'))
    assert bench.gate.log == ['s1'] * 3


def test_pause_lets_what_runs_end_and_starts_nothing() -> None:
    bench = Bench(Sequence((step(1, 'pick'), step(2))))
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
    bench = Bench(Sequence((step(1), If(when(), step(2)))))
    bench.tree.pause()
    bench.answer('s1', GOOD)
    assert (bench.running, bench.tree.wake_s) == ([], math.inf)
    bench.tree.resume()
    bench.tick()
    assert bench.running == ['/1']


def test_the_time_of_a_pause_does_not_count_as_held() -> None:
    bench = Bench(step(1), hold_deadline_s=1.0, hold_retry_s=0.5)
    bench.answer('s1', HELD)
    bench.tree.pause()
    bench.tick(60.0)
    bench.tree.resume()
    bench.tick()
    assert bench.answer('s1', HELD) is TreeStatus.RUNNING


def test_cancel_ends_when_everything_that_ran_has_ended() -> None:
    bench = Bench(Sequence((Parallel((step(1), step(2)), 'all'), step(3))))
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
    bench = Bench(Fallback((step(1), step(2))))
    bench.answer('s1', HELD)
    bench.tree.cancel()
    assert bench.tick() is TreeStatus.CANCELLED
    paused = Bench(Sequence((step(1), step(2))))
    paused.tree.pause()
    paused.answer('s1', GOOD)
    paused.tree.cancel()
    assert paused.tick() is TreeStatus.CANCELLED
    assert paused.gate.log == ['s1']


def test_the_last_step_may_win_over_a_cancel() -> None:
    bench = Bench(step(1))
    bench.tree.cancel()
    bench.tick()
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED


def test_a_step_without_an_answer_is_cancelled_then_lost() -> None:
    bench = Bench(Fallback((step(1), step(2))), watchdog_margin_s=5.0, cancel_grace_s=3.0)
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
    bench = Bench(step(1))
    bench.answer('s1', GOOD)
    bench.tree.take_change()
    assert bench.tick(5.0) is TreeStatus.SUCCEEDED
    bench.tree.pause()
    assert not bench.tree.take_change()
    assert bench.gate.log == ['s1']


def test_rows_change_only_when_something_happened() -> None:
    bench = Bench(Sequence((step(1), step(2))))
    assert bench.tree.take_change()
    bench.tick(1.0)
    assert not bench.tree.take_change()
    bench.answer('s1', GOOD)
    assert bench.tree.take_change()


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(PlanError, match="step s1: the executor has no tool 'fly'"):
        PlanTree(Plan('goal', step(1, 'fly')), LIMITS, FakeGate())


# Agreement with the gate ---------------------------------------------------------------------------------------------
TOOLS = ('go', 'pick', 'drive')


def nodes() -> st.SearchStrategy[Any]:
    """Draw the shape of a plan; ids are given afterwards."""
    leaves = st.sampled_from(TOOLS)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(['sequence', 'fallback', 'all', 'any']), st.lists(inner, min_size=1, max_size=3)),
            st.tuples(st.just('repeat'), inner, st.integers(1, 3)),
            st.tuples(st.just('if'), inner, st.none() | inner),
        ),
        max_leaves=7,
    )


def made(shape: Any, count: list[int]) -> Node:
    if isinstance(shape, str):
        count[0] += 1
        return step(count[0], shape)
    kind = shape[0]
    if kind == 'repeat':
        return Repeat(made(shape[1], count), shape[2])
    if kind == 'if':
        otherwise = None if shape[2] is None else made(shape[2], count)
        return If(when(), made(shape[1], count), otherwise)
    inner = tuple(made(child, count) for child in shape[1])
    if kind in ('all', 'any'):
        return Parallel(inner, kind)
    return Sequence(inner) if kind == 'sequence' else Fallback(inner)


class CheckedGate(FakeGate):
    """The gate's automaton behind a slow wire: what it knows already may still be on its way to the tree."""

    def __init__(self, root: Node) -> None:
        super().__init__()
        self.automaton = Automaton(
            root, {name: (limits.retry_times, limits.recover) for name, limits in LIMITS.items()}
        )
        self.progress = Progress()
        self.on_the_way: list[tuple[FakeRun, Answer]] = []
        self.denied: list[str] = []

    def start(self, node_id: str) -> FakeRun:
        run = super().start(node_id)
        if node_id in self.automaton.enabled(self.progress):
            self.progress = self.automaton.record(self.progress, node_id, GateOutcome.STARTED)
        else:
            self.denied.append(node_id)
            self.on_the_way.append((self.open.pop(node_id), DENIED))
        return run

    def ask(self, node_id: str) -> FakeRun:
        return super().start(node_id)

    def answer(self, node_id: str, answer: Answer) -> None:
        run = self.open.pop(node_id)
        if node_id.startswith('/') and node_id not in self.automaton.enabled(self.progress):
            self.denied.append(node_id)
            answer = DENIED
        elif answer.outcome is not Outcome.HELD or not node_id.startswith('/'):
            self.progress = self.automaton.record(
                self.progress, node_id, RECORDED.get(answer.outcome, GateOutcome.FAILED)
            )
        self.on_the_way.append((run, answer))

    def deliver(self) -> None:
        run, answer = self.on_the_way.pop(0)
        run.answer = answer


RECORDED = {
    Outcome.SUCCEEDED: GateOutcome.SUCCEEDED,
    Outcome.TRUE: GateOutcome.TRUE,
    Outcome.FALSE: GateOutcome.FALSE,
    Outcome.HELD: GateOutcome.WITHDRAWN,
}


def has_parallel(shape: Any) -> bool:
    return not isinstance(shape, str) and (
        shape[0] in ('all', 'any') or any(has_parallel(child) for child in _inner(shape))
    )


def _inner(shape: Any) -> list[Any]:
    if shape[0] == 'repeat':
        return [shape[1]]
    return list(shape[1]) if isinstance(shape[1], list) else [child for child in shape[1:] if child is not None]


@settings(max_examples=500, deadline=None)
@given(shape=nodes(), data=st.data())
def test_the_gate_enables_whatever_the_tree_starts_and_agrees_on_the_end(shape: Any, data: Any) -> None:
    root = made(shape, [0])
    gate = CheckedGate(root)
    tree = PlanTree(Plan('goal', root), LIMITS, gate, TreeLimits(hold_deadline_s=1e6, hold_retry_s=0.5))
    now_s = 0.0
    tree.tick(now_s)
    for _ in range(400):
        if tree.status is not TreeStatus.RUNNING:
            break
        choices = sorted(gate.open) + ['deliver'] * bool(gate.on_the_way)
        if not choices:
            now_s += 0.5  # everything is held
        elif (choice := data.draw(st.sampled_from(choices))) == 'deliver':
            gate.deliver()
        else:
            gate.answer(choice, data.draw(answers(gate.open[choice])))
        tree.tick(now_s)
    if tree.status is TreeStatus.RUNNING:
        return
    assert not gate.open
    assert has_parallel(shape) or not gate.denied
    expected = Status.SUCCEEDED if tree.status is TreeStatus.SUCCEEDED else Status.FAILED
    assert gate.automaton.status(gate.progress) is expected
    assert all(row.phase.name != 'RUNNING' for row in tree.rows())


def answers(run: FakeRun) -> st.SearchStrategy[Answer]:
    if run.node_id.startswith('/'):
        return st.sampled_from([Answer(outcome) for outcome in (Outcome.TRUE, Outcome.FALSE, Outcome.HELD)])
    if run.is_cancelled:
        return st.sampled_from([CANCELLED, GOOD, BAD])
    return st.sampled_from([GOOD, GOOD, BAD, HELD, Answer(Outcome.TIMED_OUT, 404)])


def test_a_denial_beside_others_waits_whether_the_parallel_is_decided() -> None:
    bench = Bench(Parallel((step(1), step(2, 'pick')), 'any'), settle_s=1.0)
    bench.answer('s2', BAD)
    assert bench.answer('s2', DENIED) is TreeStatus.RUNNING
    assert bench.answer('s1', GOOD) is TreeStatus.SUCCEEDED
    late = Bench(Parallel((step(1), step(2, 'pick')), 'any'), settle_s=1.0)
    late.answer('s2', DENIED)
    assert late.tick(0.9) is TreeStatus.RUNNING
    late.tick(0.2)
    assert late.answer('s1', CANCELLED) is TreeStatus.FAILED
    assert late.tree.failure == ('s2', DENIED)
