# SPDX-License-Identifier: Apache-2.0
"""The plan's control flow as an automaton over outcomes that the gate recorded itself.

A behaviour tree with memory (Colledanchise and Ogren, "Behavior Trees in Robotics and AI", 2018), bounded: attempts of
every step, rounds of every repeat, and each ``if`` decided once at entry. What it does not enable is not dispatched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from gemma4_ros.core.errors import GateError
from gemma4_ros.core.plan import If, Node, Parallel, Repeat, Sequence, Step, children

__all__ = ['Automaton', 'NotEnabledError', 'Outcome', 'Progress', 'Status']


class NotEnabledError(GateError):
    """The plan does not allow this now."""


class Outcome(Enum):
    """What happened to a step or a condition."""

    STARTED = 'started'  # a step was sent, or is about to be
    WITHDRAWN = 'withdrawn'  # it was not sent after all: no attempt
    SUCCEEDED = 'succeeded'
    FAILED = 'failed'  # cancelled, lost and timed out count as failed
    TRUE = 'true'
    FALSE = 'false'


class Status(Enum):
    """Where a node stands."""

    OPEN = 'open'
    SUCCEEDED = 'succeeded'
    FAILED = 'failed'


@dataclass(frozen=True, slots=True)
class Leaf:
    """Ended attempts of a step, recoveries done since, and what runs now (0 nothing, 1 step, 2 recovery)."""

    attempts: int = 0
    recovered: int = 0
    running: int = 0
    succeeded: bool = False


_FRESH = Leaf()


@dataclass(frozen=True, slots=True)
class Progress:
    """What has happened so far; never changed in place."""

    leaves: Mapping[str, Leaf] = field(default_factory=dict)
    choices: Mapping[str, bool] = field(default_factory=dict)
    rounds: Mapping[str, int] = field(default_factory=dict)


class Automaton:
    """
    What a plan allows next.

    Parameters
    ----------
    root : Node
        The plan's tree.
    retries : mapping of str to (int, tuple of str)
        For each tool: how often a step is tried again, and the tools that run between two tries, in order, once each.

    """

    def __init__(self, root: Node, retries: Mapping[str, tuple[int, tuple[str, ...]]]) -> None:
        self._root = root
        self._retries = retries
        self._steps: dict[str, Step] = {}
        self._paths: dict[str, Node] = {}
        self._parents: dict[str, str] = {}
        self._index(root, '/')

    def _index(self, node: Node, path: str) -> None:
        self._paths[path] = node
        if isinstance(node, Step):
            self._steps[node.id] = node
            self._paths[node.id] = node
            self._parents[node.id] = path
        for name, child in children(node):
            below = f'{path.rstrip("/")}/{name}'
            self._parents[below] = path
            self._index(child, below)

    def knows(self, node_id: str) -> bool:
        """Say whether the plan has this step, recovery or condition at all."""
        step, _, recovery = node_id.partition('/recover/')
        if step in self._steps:
            return (not recovery and step == node_id) or recovery in self._retries[self._steps[step].tool][1]
        return isinstance(self._paths.get(node_id), If)

    def status(self, progress: Progress) -> Status:
        """Return where the whole plan stands."""
        return self._status(self._root, '/', progress)

    def enabled(self, progress: Progress) -> frozenset[str]:
        """Return the ids of steps and recoveries and the paths of conditions that may come next."""
        return frozenset(self._enabled(self._root, '/', progress))

    def record(self, progress: Progress, node_id: str, outcome: Outcome) -> Progress:
        """Return the progress after an outcome; raise NotEnabledError where it cannot follow."""
        if outcome in (Outcome.TRUE, Outcome.FALSE):
            self._require(progress, node_id, isinstance(self._paths.get(node_id), If))
            changed = replace(progress, choices={**progress.choices, node_id: outcome is Outcome.TRUE})
            return self._advance(changed, node_id)
        step_id, _, recovery = node_id.partition('/recover/')
        leaf = progress.leaves.get(step_id, _FRESH)
        if outcome is Outcome.STARTED:
            self._require(progress, node_id, step_id in self._steps)
            leaf = replace(leaf, running=2 if recovery else 1)
        else:
            leaf = self._ended(node_id, leaf, outcome, bool(recovery))
        changed = replace(progress, leaves={**progress.leaves, step_id: leaf})
        return self._advance(changed, self._parents[step_id])

    def _require(self, progress: Progress, node_id: str, known: bool) -> None:
        if not known or node_id not in self._enabled(self._root, '/', progress):
            raise NotEnabledError(f'{node_id} is not allowed now')

    @staticmethod
    def _ended(node_id: str, leaf: Leaf, outcome: Outcome, recovery: bool) -> Leaf:
        if leaf.running != (2 if recovery else 1):
            raise NotEnabledError(f'{node_id} does not run')
        if outcome is Outcome.WITHDRAWN:
            return replace(leaf, running=0)
        if recovery:
            return replace(leaf, running=0, recovered=leaf.recovered + 1)
        return replace(leaf, running=0, attempts=leaf.attempts + 1, recovered=0, succeeded=outcome is Outcome.SUCCEEDED)

    def _advance(self, progress: Progress, path: str) -> Progress:
        """Start the next round of every repeat above ``path`` whose round has succeeded, innermost first."""
        while True:
            node = self._paths[path]
            if isinstance(node, Repeat):
                done = progress.rounds.get(path, 0)
                below = f'{path.rstrip("/")}/0'
                if done + 1 < node.times and self._status(node.child, below, progress) is Status.SUCCEEDED:
                    progress = self._forget(
                        replace(progress, rounds={**progress.rounds, path: done + 1}), node.child, below
                    )
            if path == '/':
                return progress
            path = self._parents[path]

    def _forget(self, progress: Progress, node: Node, path: str) -> Progress:
        leaves, choices, rounds = dict(progress.leaves), dict(progress.choices), dict(progress.rounds)
        pending = [(node, path)]
        while pending:
            item, place = pending.pop()
            if isinstance(item, Step):
                leaves.pop(item.id, None)
            choices.pop(place, None)
            rounds.pop(place, None)
            pending += [(child, f'{place.rstrip("/")}/{name}') for name, child in children(item)]
        return Progress(leaves, choices, rounds)

    def _status(self, node: Node, path: str, progress: Progress) -> Status:
        if isinstance(node, Step):
            return self._leaf_status(node, progress)
        if isinstance(node, If):
            choice = progress.choices.get(path)
            if choice is None:
                return Status.OPEN
            branch = node.then if choice else node.otherwise
            return Status.SUCCEEDED if branch is None else self._status(branch, _branch(path, choice), progress)
        if isinstance(node, Repeat):
            return self._status(node.child, f'{path.rstrip("/")}/0', progress)
        found = [self._status(child, f'{path.rstrip("/")}/{name}', progress) for name, child in children(node)]
        if isinstance(node, Parallel):
            return Status.OPEN if self._is_busy(node, progress) else _joined(node, found)
        goes_on = Status.SUCCEEDED if isinstance(node, Sequence) else Status.FAILED
        return next((status for status in found if status is not goes_on), goes_on)

    def _leaf_status(self, step: Step, progress: Progress) -> Status:
        leaf = progress.leaves.get(step.id, _FRESH)
        if leaf.succeeded:
            return Status.SUCCEEDED
        out = not leaf.running and leaf.attempts > self._retries[step.tool][0]
        return Status.FAILED if out else Status.OPEN

    def _is_busy(self, node: Node, progress: Progress) -> bool:
        if isinstance(node, Step):
            return progress.leaves.get(node.id, _FRESH).running > 0
        return any(self._is_busy(child, progress) for _, child in children(node))

    def _enabled(self, node: Node, path: str, progress: Progress) -> set[str]:
        if self._status(node, path, progress) is not Status.OPEN:
            return set()
        if isinstance(node, Step):
            return self._enabled_leaf(node, progress)
        if isinstance(node, If):
            choice = progress.choices.get(path)
            branch = node.then if choice else node.otherwise
            if choice is None or branch is None:
                return {path}
            return self._enabled(branch, _branch(path, choice), progress)
        parts = [(child, f'{path.rstrip("/")}/{name}') for name, child in children(node)]
        if isinstance(node, Parallel):
            found = [self._status(child, below, progress) for child, below in parts]
            if _joined(node, found) is not Status.OPEN:  # decided; what still runs must end first
                return set()
            return set().union(*(self._enabled(child, below, progress) for child, below in parts))
        current = next(part for part in parts if self._status(*part, progress) is Status.OPEN)
        return self._enabled(*current, progress)

    def _enabled_leaf(self, step: Step, progress: Progress) -> set[str]:
        leaf = progress.leaves.get(step.id, _FRESH)
        recoveries = self._retries[step.tool][1]
        if leaf.running:
            return set()
        if leaf.attempts and leaf.recovered < len(recoveries):
            return {f'{step.id}/recover/{recoveries[leaf.recovered]}'}
        return {step.id}


def _branch(path: str, choice: bool) -> str:
    return f'{path.rstrip("/")}/{"then" if choice else "else"}'


def _joined(node: Parallel, found: list[Status]) -> Status:
    """Decide a parallel node: ``all`` fails with the first failure, ``any`` succeeds with the first success."""
    decisive = Status.FAILED if node.policy == 'all' else Status.SUCCEEDED
    if decisive in found:
        return decisive
    if Status.OPEN in found:
        return Status.OPEN
    return Status.SUCCEEDED if node.policy == 'all' else Status.FAILED
