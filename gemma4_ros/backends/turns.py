# SPDX-License-Identifier: Apache-2.0
"""Whose turn it is: one request at a time, the more urgent first."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ['Ticket', 'Turns']


@dataclass(frozen=True, slots=True)
class Ticket:
    """A place in the queue."""

    priority: int
    number: int


class Turns:
    """A queue of tickets; for one thread."""

    def __init__(self) -> None:
        self._waiting: list[Ticket] = []
        self._serving: Ticket | None = None
        self._issued = 0

    @property
    def is_busy(self) -> bool:
        """Say whether a request is being served."""
        return self._serving is not None

    def enter(self, priority: int) -> Ticket:
        """Let a request wait."""
        self._issued += 1
        ticket = Ticket(priority, self._issued)
        self._waiting.append(ticket)
        self._waiting.sort(key=lambda t: (-t.priority, t.number))
        return ticket

    def start(self, ticket: Ticket) -> bool:
        """Begin to serve a ticket if it is its turn; say whether it is."""
        if self._serving is not None or not self._waiting or self._waiting[0] != ticket:
            return False
        self._serving = self._waiting.pop(0)
        return True

    def leave(self, ticket: Ticket) -> None:
        """Forget a ticket that was served or gave up."""
        if self._serving == ticket:
            self._serving = None
        elif ticket in self._waiting:
            self._waiting.remove(ticket)
