# SPDX-License-Identifier: Apache-2.0
"""Control nodes that py_trees lacks: a parallel that lets its children end, a bounded repeat, and the gate's ``if``.

The sequence is py_trees' own, with memory; its selector forgets what failed before, which displays need. All follow the
gate's automaton: a decided parallel starts nothing more and is done when its last running child has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from py_trees.behaviour import Behaviour
from py_trees.common import Status
from py_trees.composites import Composite
from py_trees.decorators import Decorator

from gemma4_ros.core.errors import ControllerLostError
from gemma4_ros.core.tree.leaves import Scope
from gemma4_ros.core.tree.ports import Answer, Outcome, Running
from gemma4_ros.core.tree.session import Session

__all__ = ['Draining', 'FallbackNode', 'IfNode', 'RepeatNode']


class Draining(Composite):
    """Parallel: ``all`` fails with its first failure, ``any`` succeeds with its first success; others are cancelled."""

    def __init__(self, name: str, policy: Literal['all', 'any'], session: Session) -> None:
        super().__init__(name)
        self._session = session
        self.is_draining = False
        self._decisive = Status.FAILURE if policy == 'all' else Status.SUCCESS
        self._otherwise = Status.SUCCESS if policy == 'all' else Status.FAILURE

    def tick(self) -> Iterator[Behaviour]:
        """Tick every child that has not ended."""
        if self.status != Status.RUNNING:
            self.is_draining = False
            for child in self.children:
                if child.status != Status.INVALID:
                    child.stop(Status.INVALID)
        for child in self.children:
            if child.status is Status.RUNNING or (child.status is Status.INVALID and not self.is_draining):
                yield from child.tick()
                if child.status == self._decisive and not self.is_draining:
                    self.is_draining = True
                    self._session.again = True  # those before it learn of it now
        is_open = any(child.status == Status.RUNNING for child in self.children)
        if is_open:
            self.status = Status.RUNNING
        else:
            self.stop(self._decisive if self.is_draining else self._otherwise)
        yield self


class FallbackNode(Composite):
    """Children in order, with memory, until one succeeds."""

    def __init__(self, name: str, children: Sequence[Behaviour]) -> None:
        super().__init__(name, children)
        self._index = 0

    def tick(self) -> Iterator[Behaviour]:
        """Tick the current child; go on to the next when it failed."""
        if self.status != Status.RUNNING:
            self._index = 0
            for child in self.children:
                if child.status != Status.INVALID:
                    child.stop(Status.INVALID)
        while True:
            self.current_child = child = self.children[self._index]
            yield from child.tick()
            if child.status != Status.FAILURE or self._index + 1 == len(self.children):
                break
            self._index += 1
        if child.status == Status.RUNNING:
            self.status = Status.RUNNING
        else:
            self.stop(child.status)
        yield self


class RepeatNode(Decorator):
    """The child `times` times; fails with the first round that fails."""

    def __init__(self, name: str, child: Behaviour, times: int, session: Session) -> None:
        super().__init__(name, child)
        self.round = 0
        self.started_s = 0.0
        self._times = times
        self._session = session

    def initialise(self) -> None:
        """Begin with the first round."""
        self.round = 1
        self.started_s = self._session.now_s

    def update(self) -> Status:
        """Begin the next round when one has succeeded."""
        if self.decorated.status != Status.SUCCESS:
            return self.decorated.status
        if self.round >= self._times:
            return Status.SUCCESS
        self.round += 1
        for node in self.decorated.iterate():
            reset = getattr(node, 'reset', None)
            if reset is not None:
                reset()
        self.decorated.stop(Status.INVALID)
        self._session.again = True
        return Status.RUNNING


class IfNode(Composite):
    """One of two branches, chosen by the gate once at entry."""

    def __init__(
        self,
        path: str,
        name: str,
        session: Session,
        branches: Sequence[Behaviour],
        scopes: Sequence[Scope] = (),
    ) -> None:
        super().__init__(name, branches)
        self.node_id = path
        self._session = session
        self._scopes = tuple(scopes)
        self.reset()

    def reset(self) -> None:
        """Forget the decision."""
        self.choice: bool | None = None
        self.answer: Answer | None = None
        self._asked: Running | None = None
        self._denied: Answer | None = None
        self._held_since_s: float | None = None
        self._ask_again_s = 0.0
        self._give_up_s = 0.0

    def tick(self) -> Iterator[Behaviour]:
        """Decide, then tick the branch."""
        if self.status != Status.RUNNING:
            self.reset()
            for child in self.children:
                if child.status != Status.INVALID:
                    child.stop(Status.INVALID)
        status = self._decide() if self.choice is None else Status.SUCCESS
        if status is Status.SUCCESS:
            branch = self.branch()
            if branch is not None:
                self.current_child = branch
                yield from branch.tick()
                status = branch.status
        if status is Status.RUNNING:
            self.status = status
        else:
            self.stop(status)
        yield self

    def branch(self) -> Behaviour | None:
        """Return the chosen branch; None while undecided, or where there is no else."""
        if self.choice is None:
            return None
        index = 0 if self.choice else 1
        return self.children[index] if index < len(self.children) else None

    def _decide(self) -> Status:
        """SUCCESS: decided; RUNNING: not yet; FAILURE: cannot be."""
        session = self._session
        if self._denied is not None:
            return self._settle(self._denied)
        if self._asked is None:
            if self._should_end():
                return Status.FAILURE
            if session.is_paused:
                return Status.RUNNING
            if session.now_s < self._ask_again_s:
                session.wake_at(self._ask_again_s)
                return Status.RUNNING
            self._give_up_s = session.now_s + session.limits.cancel_grace_s
            self._asked = session.runner.ask(self.node_id)
        answer = self._asked.poll()
        if answer is None:
            if session.now_s < self._give_up_s:
                session.wake_at(self._give_up_s)
                return Status.RUNNING
            answer = Answer(Outcome.LOST, ControllerLostError.code, 'the gate did not decide the condition in time')
        self._asked = None
        return self._take(answer)

    def _take(self, answer: Answer) -> Status:
        session = self._session
        self.answer = answer
        session.is_changed = True
        if answer.outcome in (Outcome.TRUE, Outcome.FALSE):
            self.choice = answer.outcome is Outcome.TRUE
            return Status.SUCCESS
        if answer.outcome is Outcome.DENIED:
            self._denied = answer
            self._give_up_s = session.now_s + (session.limits.settle_s if self._scopes else 0.0)
            return self._settle(answer)
        if answer.outcome is Outcome.HELD:
            if self._should_end():
                return Status.FAILURE
            if self._held_since_s is None:
                self._held_since_s = session.now_s
                session.tell(self.node_id, 'held', answer.text)
            if session.now_s - self._held_since_s < session.limits.hold_deadline_s:
                self._ask_again_s = session.now_s + session.limits.hold_retry_s
                session.wake_at(self._ask_again_s)
                return Status.RUNNING
            answer = Answer(
                answer.outcome, answer.code, f'held for {session.limits.hold_deadline_s:g} s: {answer.text}'
            )
        session.fail(self.node_id, answer, for_good=True)
        return Status.FAILURE

    def _should_end(self) -> bool:
        return self._session.is_ending or any(scope.is_draining for scope in self._scopes)

    def _settle(self, denied: Answer) -> Status:
        if self._should_end():
            return Status.FAILURE
        if self._session.now_s < self._give_up_s:
            self._session.wake_at(self._give_up_s)
            return Status.RUNNING
        self._session.fail(self.node_id, denied, for_good=True)
        return Status.FAILURE
