# SPDX-License-Identifier: Apache-2.0
"""Any tree under any gate: a state machine of hypothesis plays early, late, twice, never and out of order.

Regressions that it holds the tree against: trees that hang in RUNNING (py_trees_ros#213, #234), a cancel reported as
success (ros_bt_py#188), a halt that orphans what it has just started (navigation2#6426, BehaviorTree.ROS2#18).
"""

from __future__ import annotations

import math
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gemma4_ros.core.errors import ControllerLostError, StepCancelledError
from gemma4_ros.core.gate.automaton import Automaton, Progress
from gemma4_ros.core.gate.automaton import Outcome as Recorded
from gemma4_ros.core.gate.automaton import Status as Verdict
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Plan, Ref, Repeat, Sequence, Step, walk
from gemma4_ros.core.tree.plan_tree import PlanTree, TreeStatus
from gemma4_ros.core.tree.ports import STAGES, Answer, Outcome, StepLimits, TreeLimits
from gemma4_ros.core.tree.scripted import ScriptedRun

LIMITS = {
    'look': StepLimits(10.0),
    'drive': StepLimits(10.0, 1, ('clear',), ('base',), is_cancelled_by_pause=True),
    'pick': StepLimits(5.0, 2, (), ('arm',), is_cancelled_by_pause=True),
    'carry': StepLimits(5.0, 0, (), ('base', 'arm')),
    'clear': StepLimits(1.0, 0, (), ('base',)),
}
RETRIES = {name: (limits.retry_times, limits.recover) for name, limits in LIMITS.items()}
EXAMPLES = int(os.environ.get('GEMMA4_TREE_EXAMPLES', '60'))
TIMES = TreeLimits(hold_deadline_s=30.0, hold_retry_s=0.5, watchdog_margin_s=20.0, cancel_grace_s=15.0, settle_s=1.0)
ENDS = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT, Outcome.HELD, Outcome.LOST)


@st.composite
def plans(draw: Any, depth: int = 0) -> Node:
    """A plan's shape; ids come later."""
    kind = draw(st.sampled_from(('step', 'step', 'sequence', 'fallback', 'parallel', 'repeat', 'if')))
    if kind == 'step' or depth > 2:
        return Step('', draw(st.sampled_from(('look', 'drive', 'pick', 'carry'))), {})
    if kind == 'repeat':
        return Repeat(draw(plans(depth + 1)), draw(st.integers(1, 3)))
    if kind == 'if':
        condition = Condition(Ref('s1', 'value'), '<', 4.0, 5.0, 'hold', 'bar')
        return If(condition, draw(plans(depth + 1)), draw(plans(depth + 1)))
    children = tuple(draw(plans(depth + 1)) for _ in range(draw(st.integers(1, 3))))
    if kind == 'parallel':
        return Parallel(children, draw(st.sampled_from(('all', 'any'))))
    return (Sequence if kind == 'sequence' else Fallback)(children)


def numbered(root: Node) -> Node:
    """Give every step an id of its own."""
    count = iter(range(1, 1000))

    def build(node: Node) -> Node:
        if isinstance(node, Step):
            return Step(f's{next(count)}', node.tool, {})
        if isinstance(node, Repeat):
            return Repeat(build(node.child), node.times)
        if isinstance(node, If):
            return If(node.condition, build(node.then), None if node.otherwise is None else build(node.otherwise))
        children = tuple(map(build, node.children))
        return Parallel(children, node.policy) if isinstance(node, Parallel) else type(node)(children)

    return build(root)


class Gate:
    """Takes every dispatch, and holds the tree to what the gate's automaton allows and what resources there are."""

    def __init__(self, root: Node) -> None:
        self.automaton = Automaton(root, RETRIES)
        self.tools = {node.id: node.tool for _, node in walk(root) if isinstance(node, Step)}
        self.progress = Progress()
        self.open: dict[str, ScriptedRun] = {}
        self.starts = 0
        self.may_start = True
        self.was_lost = False

    def resources(self, node_id: str) -> tuple[str, ...]:
        step, _, recovery = node_id.partition('/recover/')
        return LIMITS[recovery or self.tools[step]].resources if step in self.tools else ()

    def start(self, node_id: str) -> ScriptedRun:
        assert self.may_start, f'{node_id} was started during a pause or after a cancel'
        assert not self.was_lost, f'{node_id} was started although a step is lost and may still move'
        assert node_id not in self.open, f'{node_id} runs already'
        taken = [name for other in self.open for name in self.resources(other)]
        assert not set(taken) & set(self.resources(node_id)), f'{node_id} needs what another step has'
        self.progress = self.automaton.record(self.progress, node_id, Recorded.STARTED)
        return self._take(node_id)

    def ask(self, node_id: str) -> ScriptedRun:
        assert self.may_start, f'{node_id} was asked during a pause or after a cancel'
        assert node_id in self.automaton.enabled(self.progress)
        return self._take(node_id)

    def _take(self, node_id: str) -> ScriptedRun:
        self.starts += 1
        self.open[node_id] = ScriptedRun(node_id)
        return self.open[node_id]

    def end(self, node_id: str, outcome: Outcome) -> None:
        run = self.open.pop(node_id)
        if node_id.startswith('/') and node_id not in self.automaton.enabled(self.progress):
            outcome = Outcome.DENIED  # the parallel around it was decided meanwhile
        codes = {
            Outcome.LOST: ControllerLostError.code,
            Outcome.CANCELLED: StepCancelledError.code,
            Outcome.FAILED: 401,
        }
        self.was_lost = self.was_lost or outcome is Outcome.LOST
        run.answer = Answer(outcome, codes.get(outcome, 0), 'said')
        if node_id.startswith('/'):
            if outcome in (Outcome.TRUE, Outcome.FALSE):
                recorded = Recorded.TRUE if outcome is Outcome.TRUE else Recorded.FALSE
                self.progress = self.automaton.record(self.progress, node_id, recorded)
            return
        recorded = {Outcome.SUCCEEDED: Recorded.SUCCEEDED, Outcome.HELD: Recorded.WITHDRAWN}.get(
            outcome, Recorded.FAILED
        )
        self.progress = self.automaton.record(self.progress, node_id, recorded)


class AnyTree(RuleBasedStateMachine):
    """The tree, its gate and a clock."""

    @initialize(root=plans())
    def begin(self, root: Node) -> None:
        root = numbered(root)
        self.gate = Gate(root)
        self.tree = PlanTree(Plan('any', root), LIMITS, self.gate, TIMES)
        self.now_s = 100.0
        self.is_cancelled = self.was_cancelled_by_us = False
        self.stages: dict[int, int] = {}
        self.tick()

    def tick(self, after_s: float = 0.0) -> None:
        self.now_s += after_s
        self.tree.tick(self.now_s)

    @property
    def is_over(self) -> bool:
        return self.tree.status not in (TreeStatus.RUNNING, TreeStatus.PAUSED)

    @precondition(lambda self: self.gate.open)
    @rule(data=st.data())
    def the_gate_answers(self, data: Any) -> None:
        node_id = data.draw(st.sampled_from(sorted(self.gate.open)))
        run = self.gate.open[node_id]
        if node_id.startswith('/'):
            outcome = data.draw(st.sampled_from((Outcome.TRUE, Outcome.FALSE, Outcome.HELD)))
        else:
            outcome = data.draw(st.sampled_from((*ENDS, *((Outcome.CANCELLED,) * 3 if run.is_cancelled else ()))))
        self.gate.end(node_id, outcome)
        self.tick()
        again = run.answer
        run.answer = Answer(Outcome.SUCCEEDED, 0, 'twice')  # a second answer changes nothing
        self.tick()
        run.answer = again

    @precondition(lambda self: self.gate.open)
    @rule(data=st.data())
    def the_gate_says_how_far_it_is(self, data: Any) -> None:
        run = self.gate.open[data.draw(st.sampled_from(sorted(self.gate.open)))]
        run.stage = data.draw(st.sampled_from((*STAGES, 'nonsense', '')))
        self.tick()

    @precondition(lambda self: not self.is_cancelled)
    @rule()
    def somebody_pauses(self) -> None:
        self.tree.pause()
        self.gate.may_start = False
        self.tick()

    @precondition(lambda self: not self.is_cancelled)
    @rule()
    def somebody_resumes(self) -> None:
        self.tree.resume()
        self.gate.may_start = True
        self.tick()

    @rule()
    def somebody_cancels(self) -> None:
        self.tree.cancel()
        self.is_cancelled, self.gate.may_start = True, False
        self.tick()

    @rule(seconds=st.sampled_from((0.0, 0.3, 0.5, 1.0, 5.0)))
    def time_passes(self, seconds: float) -> None:
        self.tick(seconds)

    @invariant()
    def stages_never_go_back(self) -> None:
        if not hasattr(self, 'tree'):
            return
        for row in self.tree.rows():
            if row.stage in STAGES:
                key = hash((row.id, row.attempt, self.gate.starts))
                assert STAGES.index(row.stage) >= self.stages.get(key, 0)
                self.stages[key] = STAGES.index(row.stage)

    @invariant()
    def it_does_not_wait_for_nothing(self) -> None:
        if hasattr(self, 'tree') and self.tree.status is TreeStatus.RUNNING:
            assert self.gate.open or not math.isinf(self.tree.wake_s), 'RUNNING, and nothing can ever change that'

    @invariant()
    def what_has_ended_leaves_nothing_running(self) -> None:
        if not hasattr(self, 'tree') or not self.is_over:
            return
        assert not self.tree.is_step_running
        left = [node_id for node_id in self.gate.open if not node_id.startswith('/')]
        if left:  # the gate answered neither the step nor its cancel: then it is said, and is no success or cancel
            assert self.tree.failure is not None and self.tree.failure[1].outcome is Outcome.LOST
            assert self.tree.status is TreeStatus.FAILED

    @invariant()
    def the_gate_agrees_on_the_end(self) -> None:
        if hasattr(self, 'tree') and self.tree.status is TreeStatus.SUCCEEDED:
            assert self.gate.automaton.status(self.gate.progress) is Verdict.SUCCEEDED

    @invariant()
    def nothing_is_fine_beside_a_lost_step(self) -> None:
        if hasattr(self, 'tree') and self.is_over and self.gate.was_lost:
            assert self.tree.status is TreeStatus.FAILED

    def teardown(self) -> None:
        """Cancelled, and every cancel obeyed: it ends, and never as a success that the gate has not seen."""
        if not hasattr(self, 'tree'):
            return
        self.tree.cancel()
        self.gate.may_start = False
        self.tick()
        for node_id in sorted(self.gate.open):
            if not node_id.startswith('/'):
                assert self.gate.open[node_id].is_cancelled, f'{node_id} was not cancelled'
            self.gate.end(node_id, Outcome.TRUE if node_id.startswith('/') else Outcome.CANCELLED)
        self.tick()
        assert self.is_over
        self.what_has_ended_leaves_nothing_running()
        self.the_gate_agrees_on_the_end()


AnyTree.TestCase.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAnyTree = AnyTree.TestCase
