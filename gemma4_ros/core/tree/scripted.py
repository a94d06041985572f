# SPDX-License-Identifier: Apache-2.0
"""A gate and a clock turned by hand, for tests and dry runs of plans."""

from __future__ import annotations

from collections.abc import Mapping

from gemma4_ros.core.plan import Node, Plan
from gemma4_ros.core.tree.plan_tree import PlanTree, TreeStatus
from gemma4_ros.core.tree.ports import Answer, StepLimits, TreeLimits

__all__ = ['ScriptedGate', 'ScriptedRun', 'ScriptedTree']


class ScriptedRun:
    """One dispatch or question that ends when somebody sets its answer."""

    def __init__(self, node_id: str) -> None:
        self.node_id = node_id
        self.answer: Answer | None = None
        self.is_cancelled = False
        self.stage = 'requested'

    def poll(self) -> Answer | None:
        """Return the answer once it is set."""
        return self.answer

    def cancel(self) -> None:
        """Remember that a cancel was asked for."""
        self.is_cancelled = True


class ScriptedGate:
    """Takes every dispatch and question, and answers when `answer` is called."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.open: dict[str, ScriptedRun] = {}

    def start(self, node_id: str) -> ScriptedRun:
        """Take a dispatch; the same one twice at a time is an error of the tree."""
        if node_id in self.open:
            raise AssertionError(f'{node_id} runs already')
        self.log.append(node_id)
        run = self.open[node_id] = ScriptedRun(node_id)
        return run

    def ask(self, node_id: str) -> ScriptedRun:
        """Take a question."""
        return ScriptedGate.start(self, node_id)

    def answer(self, node_id: str, answer: Answer) -> None:
        """End a dispatch or question."""
        self.open.pop(node_id).answer = answer


class ScriptedTree:
    """A tree with a scripted gate and its own time, ticked once at the start."""

    def __init__(self, root: Node, limits: Mapping[str, StepLimits], tree_limits: TreeLimits) -> None:
        self.gate = ScriptedGate()
        self.now_s = 100.0
        self.tree = PlanTree(Plan('scripted', root), limits, self.gate, tree_limits)
        self.tick()

    def tick(self, after_s: float = 0.0) -> TreeStatus:
        """Let time pass, then tick."""
        self.now_s += after_s
        return self.tree.tick(self.now_s)

    def answer(self, node_id: str, answer: Answer) -> TreeStatus:
        """End a dispatch or question, then tick."""
        self.gate.answer(node_id, answer)
        return self.tick()

    @property
    def running(self) -> list[str]:
        """What the gate works on."""
        return sorted(self.gate.open)

    def phases(self) -> dict[str, str]:
        """Return the phase of every node by id."""
        return {row.id: row.phase.name for row in self.tree.rows()}

    def states(self) -> list[tuple[str, str]]:
        """Return the events since the last call."""
        return [(event.step_id, event.state) for event in self.tree.take_events()]
