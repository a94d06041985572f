# SPDX-License-Identifier: Apache-2.0
"""The tree for people: rows, terminal lines, DOT; and one tick's cost."""

from __future__ import annotations

import time
from typing import Any

import pytest
from py_trees.behaviour import Behaviour
from py_trees.common import ParallelPolicy, Status
from py_trees.composites import Parallel as PyParallel
from py_trees.composites import Sequence as PySequence

from gemma4_ros.core.plan import Condition, If, Node, Parallel, Plan, Ref, Repeat, Sequence, Step
from gemma4_ros.core.tree.plan_tree import PlanTree
from gemma4_ros.core.tree.ports import Answer, Outcome, StepLimits
from gemma4_ros.core.tree.rows import Row, plan_rows, to_dot, to_text
from gemma4_ros.core.tree.session import Phase


class Gate:
    """Answers at once from a script; what is not in it goes on for ever."""

    def __init__(self, **script: Answer) -> None:
        self.script = script

    def start(self, node_id: str) -> Any:
        return Run(self.script.get(node_id.replace('/', '_')))

    ask = start


class Run:
    stage = 'running'

    def __init__(self, answer: Answer | None) -> None:
        self.answer = answer

    def poll(self) -> Answer | None:
        return self.answer

    def cancel(self) -> None:
        """Stay silent."""


LIMITS = {'go': StepLimits(10.0), 'drive': StepLimits(10.0, 1, ('go',))}
IF = If(Condition(Ref('s1', 'value'), '<', 4.0, 5.0, 'hold', 'bar'), Step('s2', 'go', {}), Step('s3', 'go', {}))
PLAN = Plan('goal', Sequence((Step('s1', 'drive', {'place': 'storage'}), IF, Repeat(Step('s4', 'go', {}), 2))))


def test_a_plan_that_nobody_carries_out_has_rows() -> None:
    assert [(row.id, row.parent_id, row.kind, row.label) for row in plan_rows(PLAN)] == [
        ('/', '', 'sequence', 'sequence'),
        ('s1', '/', 'step', 'drive(place=storage)'),
        ('/1', '/', 'if', 'if s1.value < 4.0 bar'),
        ('s2', '/1', 'step', 'go()'),
        ('s3', '/1', 'step', 'go()'),
        ('/2', '/', 'repeat', 'repeat 2 times'),
        ('s4', '/2', 'step', 'go()'),
    ]


def test_lines_for_a_terminal_show_what_became_of_each_node() -> None:
    gate = Gate(
        s1=Answer(Outcome.SUCCEEDED), _1=Answer(Outcome.FALSE), s3=Answer(Outcome.FAILED, 401, 'blocked\x1b[31m')
    )
    tree = PlanTree(PLAN, LIMITS, gate)
    tree.tick(0.0)
    assert to_text(tree.rows()) == [
        '✗ sequence',
        '  ✓ drive(place=storage)  [s1]',
        '    – go',
        '  ✗ if s1.value < 4.0 bar',
        '    – go()  [s2]',
        '    ✗ go()  [s3]  401 blocked?[31m',
        '  – repeat 2 times',
        '    – go()  [s4]',
    ]


def test_a_running_step_shows_its_time_and_try() -> None:
    gate = Gate(s1=Answer(Outcome.TIMED_OUT, 404, 'late'), s1_recover_go=Answer(Outcome.SUCCEEDED))
    tree = PlanTree(Plan('goal', Step('s1', 'drive', {})), LIMITS, gate)
    gate.script['s1_recover_go'] = Answer(Outcome.SUCCEEDED)
    gate.script.pop('s1')
    tree.tick(0.0)
    tree.tick(2.5)
    assert to_text(tree.rows())[0] == '▶ drive()  [s1]  2.5 s  running'


def test_dot_quotes_what_comes_from_plans() -> None:
    hostile = Row('s1', '/', 'step', 'go(place="];evil->x")', Phase.RUNNING, text='\n')
    dot = to_dot([Row('/', '', 'sequence', 'sequence'), hostile, Row('s1/recover/go', 's1', 'recover', 'go')])
    assert 'n1 [label="go(place=\\"];evil->x\\")\\ns1", fillcolor="#fff2b3"];' in dot
    assert 'n0 -> n1;' in dot
    assert 'n1 -> n2 [style=dashed];' in dot
    assert dot.count('\n') == 8


class Waiting(Behaviour):
    """What py_trees itself needs at least for a leaf that waits for an answer."""

    def __init__(self, run: Run) -> None:
        super().__init__('waiting')
        self.run = run

    def update(self) -> Status:
        return Status.RUNNING if self.run.poll() is None else Status.SUCCESS


def wide(count: int) -> tuple[Node, Behaviour]:
    leaves = tuple(Step(f's{index}', 'go', {}) for index in range(count))
    policy = ParallelPolicy.SuccessOnAll(synchronise=True)
    plain = PyParallel('parallel', policy, [Waiting(Run(None)) for _ in range(count)])
    return Parallel(leaves, 'all'), plain


def deep(count: int) -> tuple[Node, Behaviour]:
    """Build ten branches at once, each a sequence whose first leaf waits."""
    each = count // 10
    branches = tuple(Sequence(tuple(Step(f's{b}_{i}', 'go', {}) for i in range(each))) for b in range(10))
    policy = ParallelPolicy.SuccessOnAll(synchronise=True)
    plain = [PySequence('sequence', True, [Waiting(Run(None)) for _ in range(each)]) for _ in range(10)]
    return Parallel(branches, 'all'), PyParallel('parallel', policy, plain)


def cost_of(tick: Any, times: int) -> float:
    start = time.thread_time()  # tests beside this one take the other cores
    for _ in range(times):
        tick()
    return (time.thread_time() - start) / times


@pytest.mark.parametrize('shape', [wide, deep])
def test_a_tick_of_1000_leaves_costs_no_more_than_in_plain_py_trees(shape: Any) -> None:
    root, plain = shape(1000)
    tree = PlanTree(Plan('goal', root), LIMITS, Gate())
    tree.tick(0.0)

    def tick_plain() -> None:
        for _ in plain.tick():
            pass

    tick_plain()
    ratios = sorted(cost_of(lambda: tree.tick(1.0), 15) / cost_of(tick_plain, 15) for _ in range(7))
    assert ratios[3] <= 1.2, f'ratios {ratios}'
    print(f'{shape.__name__}: ours / plain py_trees, 7 runs: {[round(ratio, 2) for ratio in ratios]}')
