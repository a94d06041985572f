# SPDX-License-Identifier: Apache-2.0
"""What the nodes of one tree share while it is carried out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from gemma4_ros.core.tree.ports import Answer, StepRunner, TreeLimits

__all__ = ['Event', 'Phase', 'Session']


class Phase(Enum):
    """Where a node of the tree stands, for people."""

    IDLE = 0
    RUNNING = 1
    SUCCEEDED = 2
    FAILED = 3
    CANCELLED = 4
    SKIPPED = 5


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a step: started, held, retrying, recovering, succeeded, failed, cancelled, paused, resumed."""

    step_id: str
    state: str
    text: str = ''


@dataclass(slots=True)
class Session:
    """
    State of one execution.

    Parameters
    ----------
    now_s : float
        Time of this tick, steady; set by the tree, read by its nodes.
    wake_s : float
        The earliest time at which a tick is needed although nothing happened.
    is_cancelled, is_paused : bool
        Nothing new is started.
    final : Answer
        An answer after which no other step may follow: denied, cancelled by somebody else, held too long, lost.
    failure : (str, Answer)
        The last step that failed, and why.
    holders : dict of str to object
        The leaf that has each resource: one arm never serves two branches.

    """

    runner: StepRunner
    limits: TreeLimits
    now_s: float = 0.0
    wake_s: float = math.inf
    is_cancelled: bool = False
    is_paused: bool = False
    is_changed: bool = True
    again: bool = False
    final: Answer | None = None
    failure: tuple[str, Answer] | None = None
    events: list[Event] = field(default_factory=list)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    holders: dict[str, object] = field(default_factory=dict)

    @property
    def is_ending(self) -> bool:
        """Whether nothing new may start any more."""
        return self.is_cancelled or self.final is not None

    def take(self, holder: object, resources: Sequence[str]) -> str:
        """Reserve all resources for `holder`, or none; return the first that somebody else has, or nothing."""
        taken = next((name for name in resources if self.holders.get(name, holder) is not holder), '')
        if not taken:
            self.holders.update(dict.fromkeys(resources, holder))
        return taken

    def release(self, holder: object) -> None:
        """Free what `holder` has; who waits for it is asked again in this tick."""
        had = [name for name, other in self.holders.items() if other is holder]
        for name in had:
            del self.holders[name]
        self.again = self.again or bool(had)

    def wake_at(self, time_s: float) -> None:
        """Ask for a tick at `time_s`."""
        self.wake_s = min(self.wake_s, time_s)

    def tell(self, step_id: str, state: str, text: str = '') -> None:
        """Record an event; the tree has changed."""
        self.events.append(Event(step_id, state, text))
        self.is_changed = True

    def fail(self, node_id: str, answer: Answer, *, for_good: bool) -> None:
        """Remember why a node failed; `for_good`: the whole plan fails."""
        if self.final is None:
            self.failure = (node_id, answer)
            if for_good:
                self.final = answer
