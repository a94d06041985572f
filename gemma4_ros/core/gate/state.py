# SPDX-License-Identifier: Apache-2.0
"""What the gate knows of this moment: latch, epoch, signals with the steady time of their receipt, signs of life."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from gemma4_ros.core.gate.codes import Code

__all__ = ['Latch', 'State', 'Value', 'is_fresh']


class Latch(IntEnum):
    """What only people change, but for a stop; ACTIVE and HOLD follow from the rest."""

    DISARMED = 0
    ARMED = 1
    STOPPED = 4


@dataclass(frozen=True, slots=True)
class Value:
    """A signal's last value and when it came, s of the steady clock."""

    value: str | bool | None
    at_s: float


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


def is_fresh(at_s: float | None, now: float, limit_s: float) -> bool:
    """Say whether something came within the limit; a time from the future or no time is not fresh."""
    return at_s is not None and 0.0 <= now - at_s <= limit_s
