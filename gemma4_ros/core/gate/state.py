# SPDX-License-Identifier: Apache-2.0
"""What the gate knows of this moment: latch, epoch, signals with the steady time of their receipt, signs of life."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.zones import Point

__all__ = ['Latch', 'Lock', 'Past', 'State', 'Use', 'Value', 'is_fresh']


class Latch(IntEnum):
    """What only people change, but for a stop; ACTIVE and HOLD follow from the rest."""

    DISARMED = 0
    ARMED = 1
    STOPPED = 4


@dataclass(frozen=True, slots=True)
class Value:
    """A signal's last value, when it came, and when its stamp last moved (None: with it), s of the steady clock."""

    value: str | bool | float | Point | None
    at_s: float
    moved_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """A software lock-out: while a person's lock is on, nothing moves."""

    person: str
    reason: str


@dataclass(frozen=True, slots=True)
class Use:
    """A step that was sent: its tool, when, and the numbers of its arguments and results."""

    tool: str
    at_s: float
    amounts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Past:
    """What was sent and asked since the gate started, as far as limits, sequences and rates look back."""

    uses: tuple[Use, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)
    due_s: Mapping[str, float] = field(default_factory=dict)
    plans: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Everything of the moment that decisions look at."""

    latch: Latch = Latch.DISARMED
    epoch: int = 1
    signals: Mapping[str, Value] = field(default_factory=dict)
    deadman_at_s: float | None = None
    deadman_tripped: bool = False
    executor_at_s: float | None = None
    lease_lapsed: bool = False
    audit_ok: bool = True
    stop_code: Code = Code.STOPPED
    stop_text: str = ''
    locks: tuple[Lock, ...] = ()
    expires_s: float = math.inf
    past: Past = field(default_factory=Past)


def is_fresh(at_s: float | None, now: float, limit_s: float) -> bool:
    """Say whether something came within the limit; a time from the future or no time is not fresh."""
    return at_s is not None and 0.0 <= now - at_s <= limit_s
