# SPDX-License-Identifier: Apache-2.0
"""Permits: the gate's own records, one live at a time, good for one run of one stored plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gemma4_ros.core.gate.automaton import Automaton, Outcome, Progress
from gemma4_ros.core.gate.bind import Result
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.decide import Case, PermitFacts
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.plan import Plan, Step

__all__ = ['Candidate', 'Permit', 'Permits', 'Ticket']

KEPT = 16  # dead permits that are still known, for clear answers and for displays


@dataclass(frozen=True, slots=True)
class Candidate:
    """A plan that was read and judged: its stored bytes, what they say, and at which epoch the judgement was made."""

    raw: bytes
    sha256: str
    plan: Plan
    case: Case
    epoch: int
    rendering: str
    goals_sha256: str = ''


@dataclass(frozen=True, slots=True)
class Ticket:
    """One step that may be sent: the goal is the gate's own rebuild."""

    permit_id: str
    step: Step
    goal: Mapping[str, Any]
    end: Point | None = None


@dataclass(slots=True)
class Permit:
    """One run of one plan. The fields above ``progress`` never change."""

    id: str
    candidate: Candidate
    epoch: int
    expires_s: float
    start_before_s: float
    automaton: Automaton
    progress: Progress = field(default_factory=Progress)
    results: dict[str, Result] = field(default_factory=dict)
    running: dict[str, Ticket] = field(default_factory=dict)
    is_started: bool = False
    states: dict[str, int] = field(default_factory=dict)
    dead: Code = Code.NONE

    def facts(self, step_id: str) -> PermitFacts:
        """Return what decisions about a step look at."""
        enabled = self.automaton.enabled(self.progress)
        known = self.automaton.knows(step_id)
        running = {step_id: ticket.step for step_id, ticket in self.running.items()}
        lives = (self.epoch, self.expires_s, self.dead)
        return PermitFacts(*lives, enabled, frozenset(running), known, tuple(running.values()), self.states)

    def begin(self, ticket: Ticket) -> None:
        """Reserve the step: from here on it is running."""
        self.progress = self.automaton.record(self.progress, ticket.step.id, Outcome.STARTED)
        self.running[ticket.step.id] = ticket
        self.is_started = True

    def end(self, ticket: Ticket, outcome: Outcome, result: Result | None = None) -> None:
        """Record how it ended; WITHDRAWN where it was never sent."""
        self.progress = self.automaton.record(self.progress, ticket.step.id, outcome)
        del self.running[ticket.step.id]
        if result is not None and outcome is Outcome.SUCCEEDED:
            self.results[ticket.step.id] = result


class Permits:
    """The live permit and the last dead ones."""

    def __init__(self) -> None:
        self._all: OrderedDict[str, Permit] = OrderedDict()

    @property
    def live(self) -> Permit | None:
        """Return the permit that is not dead, if any."""
        return next((permit for permit in reversed(self._all.values()) if permit.dead is Code.NONE), None)

    def add(self, permit: Permit) -> None:
        """Keep a new permit; the caller made sure that none is live."""
        self._all[permit.id] = permit
        while len(self._all) > KEPT:
            self._all.popitem(last=False)

    def find(self, permit_id: str) -> Permit | None:
        """Return a permit, dead or alive."""
        return self._all.get(permit_id)

    def kill(self, code: Code) -> Permit | None:
        """Let the live permit die, and return it."""
        permit = self.live
        if permit is not None:
            permit.dead = code
        return permit
