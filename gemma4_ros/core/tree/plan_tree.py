# SPDX-License-Identifier: Apache-2.0
"""One plan that is being carried out. It is ticked when something happened or `wake_s` has come; nothing polls."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

from py_trees.common import Status

from gemma4_ros.core.plan import Plan
from gemma4_ros.core.tree.build import build
from gemma4_ros.core.tree.leaves import StepLeaf
from gemma4_ros.core.tree.ports import Answer, StepLimits, StepRunner, TreeLimits
from gemma4_ros.core.tree.rows import Row, rows
from gemma4_ros.core.tree.session import Event, Session

__all__ = ['PlanTree', 'TreeStatus']


class TreeStatus(Enum):
    """As in TreeState.msg."""

    RUNNING = 0
    PAUSED = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4


class PlanTree:
    """
    A plan's behaviour tree.

    Parameters
    ----------
    plan : Plan
        What the gate has admitted.
    limits : mapping of str to StepLimits
        For each tool; see `limits_of`.
    runner : StepRunner
        Dispatches through the gate.
    tree_limits : TreeLimits
        Times of the tree.

    Raises
    ------
    PlanError
        A step's tool is not known here.

    """

    def __init__(
        self,
        plan: Plan,
        limits: Mapping[str, StepLimits],
        runner: StepRunner,
        tree_limits: TreeLimits | None = None,
    ) -> None:
        self._plan = plan
        self._session = Session(runner, tree_limits or TreeLimits())
        self._root = build(plan.root, limits, self._session)
        self._leaves = [node for node in self._root.iterate() if isinstance(node, StepLeaf)]
        self._ended: TreeStatus | None = None

    def tick(self, now_s: float) -> TreeStatus:
        """Go on as far as possible; `now_s` is steady time."""
        session = self._session
        session.now_s = now_s
        session.again = self._ended is None
        while session.again:
            session.again = False
            session.wake_s = math.inf
            for _ in self._root.tick():
                pass
            if self._root.status != Status.RUNNING:
                self._ended = self._verdict()
                session.is_changed = True
                break
        return self.status

    def cancel(self) -> None:
        """Start nothing more and cancel what runs; the next ticks end the tree once all of it has ended."""
        self._session.is_cancelled = True
        self._session.is_changed = True

    def pause(self) -> None:
        """Start nothing more; what runs goes on to its end."""
        self._set_paused('paused', is_paused=True)

    def resume(self) -> None:
        """Go on."""
        self._set_paused('resumed', is_paused=False)

    @property
    def status(self) -> TreeStatus:
        """Where the plan stands."""
        if self._ended is not None:
            return self._ended
        return TreeStatus.PAUSED if self._session.is_paused else TreeStatus.RUNNING

    @property
    def wake_s(self) -> float:
        """The time of the next tick if nothing happens before; infinite: none is needed."""
        return math.inf if self._ended is not None else self._session.wake_s

    @property
    def is_step_running(self) -> bool:
        """Whether the gate works on a step."""
        return any(leaf.is_running for leaf in self._leaves)

    @property
    def results(self) -> Mapping[str, Mapping[str, Any]]:
        """What each step returned."""
        return self._session.results

    @property
    def failure(self) -> tuple[str, Answer] | None:
        """The step that failed last, and why."""
        return self._session.failure

    @property
    def steps_done(self) -> int:
        """How many steps have ended, each counted once."""
        return len(self._session.done)

    @property
    def steps_total(self) -> int:
        """How many steps the plan has."""
        return len(self._leaves)

    def take_events(self) -> list[Event]:
        """Return what happened since the last call."""
        events = self._session.events
        self._session.events = []
        return events

    def take_change(self) -> bool:
        """Say whether the rows are not as they were at the last call."""
        changed = self._session.is_changed
        self._session.is_changed = False
        return changed

    def rows(self) -> tuple[Row, ...]:
        """Return every node for displays, depth first."""
        return rows(self._plan.root, self._root, self._session.now_s, is_over=self._ended is not None)

    def _set_paused(self, state: str, *, is_paused: bool) -> None:
        if self._session.is_paused is not is_paused and self._ended is None:
            self._session.is_paused = is_paused
            self._session.tell('', state)

    def _verdict(self) -> TreeStatus:
        if self._session.final is not None:  # also where a parallel has succeeded beside a step that was lost
            return TreeStatus.FAILED
        if self._root.status == Status.SUCCESS:
            return TreeStatus.SUCCEEDED
        return TreeStatus.CANCELLED if self._session.is_cancelled else TreeStatus.FAILED
