# SPDX-License-Identifier: Apache-2.0
"""What the tree asks of the outside: the gate's answers to single steps and conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Protocol

__all__ = ['STAGES', 'Answer', 'Outcome', 'Running', 'StepLimits', 'StepRunner', 'TreeLimits']


class Outcome(IntEnum):
    """How a step or condition ended; the first seven are the outcomes of DispatchStep.action."""

    SUCCEEDED = 0
    FAILED = 1
    CANCELLED = 2
    DENIED = 3
    HELD = 4
    LOST = 5
    TIMED_OUT = 6
    TRUE = 7
    FALSE = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """
    The gate's one answer.

    Parameters
    ----------
    outcome : Outcome
        How it ended.
    code : int
        4xx or 6xx; 0: fine.
    text : str
        The gate's words.
    returns : mapping
        What the tool returned, by name.
    is_final : bool
        Nothing can follow: the gate itself is lost.

    """

    outcome: Outcome
    code: int = 0
    text: str = ''
    returns: Mapping[str, Any] = field(default_factory=dict)
    is_final: bool = False


STAGES = ('requested', 'admitted', 'sent', 'accepted', 'running', 'cancelling')
"""How far a dispatched step is, as the gate says; never back. What it ends as is its `Answer`."""


class Running(Protocol):
    """One dispatched step, or one question; ``stage`` is one of `STAGES`."""

    @property
    def stage(self) -> str:
        """How far it is."""
        ...

    def poll(self) -> Answer | None:
        """Return the answer once it is there; never blocks."""
        ...

    def cancel(self) -> None:
        """Ask for the end; the answer still comes."""
        ...


class StepRunner(Protocol):
    """Dispatches through the gate."""

    def start(self, node_id: str) -> Running:
        """Dispatch a step (``s3``) or a recovery (``s3/recover/clear_costmaps``)."""
        ...

    def ask(self, node_id: str) -> Running:
        """Ask for the decision of an ``if`` by its path (``/1``): TRUE, FALSE, HELD or DENIED."""
        ...


@dataclass(frozen=True, slots=True)
class StepLimits:
    """
    What a tool allows its steps.

    Parameters
    ----------
    timeout_s : float
        Time for one try.
    retry_times : int
        Tries after the first.
    recover : tuple of str
        Tools that run in between.
    resources : tuple of str
        What it needs for itself while it runs: ``arm``. Another step that needs the same waits.
    is_cancelled_by_pause : bool
        A pause cancels it, and it is tried again afterwards; else it goes on to its end.

    """

    timeout_s: float
    retry_times: int = 0
    recover: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    is_cancelled_by_pause: bool = False


@dataclass(frozen=True, slots=True)
class TreeLimits:
    """
    Times of the tree.

    Parameters
    ----------
    hold_deadline_s : float
        How long a step may be held by the gate before the plan fails.
    hold_retry_s : float
        How long to wait before a held step is asked for again.
    watchdog_margin_s : float
        The gate ends a step within its tool's timeout; this much later the tree cancels it by itself.
    cancel_grace_s : float
        How long after that cancel the answer may still come before it counts as lost.
    settle_s : float
        In a parallel, the gate may deny a step because it knows already that the parallel is decided; how long the tree
        waits to learn of that before the denial ends the plan.

    """

    hold_deadline_s: float = 30.0
    hold_retry_s: float = 0.5
    watchdog_margin_s: float = 20.0
    cancel_grace_s: float = 15.0
    settle_s: float = 1.0
