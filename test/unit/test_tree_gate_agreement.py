# SPDX-License-Identifier: Apache-2.0
"""The tree never starts what the gate's automaton does not allow, and both agree on the end."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.automaton import Automaton, Progress, Status
from gemma4_ros.core.gate.automaton import Outcome as GateOutcome
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Plan, Ref, Repeat, Sequence, Step
from gemma4_ros.core.tree.plan_tree import PlanTree, TreeStatus
from gemma4_ros.core.tree.ports import Answer, Outcome, StepLimits, TreeLimits
from gemma4_ros.core.tree.scripted import ScriptedGate, ScriptedRun

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


def step(number: int | str, tool: str = 'go', **args: Any) -> Step:
    return Step(f's{number}', tool, args)


def when(value: float = 4.0) -> Condition:
    return Condition(Ref('s1', 'value'), '<', value, 5.0, 'hold', 'bar')


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


class CheckedGate(ScriptedGate):
    """The gate's automaton behind a slow wire: what it knows already may still be on its way to the tree."""

    def __init__(self, root: Node) -> None:
        super().__init__()
        self.automaton = Automaton(
            root, {name: (limits.retry_times, limits.recover) for name, limits in LIMITS.items()}
        )
        self.progress = Progress()
        self.on_the_way: list[tuple[ScriptedRun, Answer]] = []
        self.denied: list[str] = []

    def start(self, node_id: str) -> ScriptedRun:
        run = super().start(node_id)
        if node_id in self.automaton.enabled(self.progress):
            self.progress = self.automaton.record(self.progress, node_id, GateOutcome.STARTED)
        else:
            self.denied.append(node_id)
            self.on_the_way.append((self.open.pop(node_id), DENIED))
        return run

    def ask(self, node_id: str) -> ScriptedRun:
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


@settings(max_examples=300, deadline=None)
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
    agreed = gate.automaton.status(gate.progress)
    if tree.status is TreeStatus.SUCCEEDED:
        assert agreed is Status.SUCCEEDED
    elif not gate.denied:
        # a retry that crosses the decision of a parallel on the wire may count for the next round of a repeat above it:
        # the gate then denies what the tree starts later, and the plan fails safely
        assert agreed is Status.FAILED
    assert all(row.phase.name != 'RUNNING' for row in tree.rows())


def answers(run: ScriptedRun) -> st.SearchStrategy[Answer]:
    if run.node_id.startswith('/'):
        return st.sampled_from([Answer(outcome) for outcome in (Outcome.TRUE, Outcome.FALSE, Outcome.HELD)])
    if run.is_cancelled:
        return st.sampled_from([CANCELLED, GOOD, BAD])
    return st.sampled_from([GOOD, GOOD, BAD, HELD, Answer(Outcome.TIMED_OUT, 404)])
