# SPDX-License-Identifier: Apache-2.0
"""How a call of a controller ended: always exactly one outcome, named as in DispatchStep.action."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from gemma4_ros.core import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ['CallOutcome', 'Outcome']


class Outcome(IntEnum):
    """The outcomes of DispatchStep.action, same names and numbers."""

    SUCCEEDED = 0
    FAILED = 1
    CANCELLED = 2
    DENIED = 3
    HELD = 4
    LOST = 5
    TIMED_OUT = 6


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """
    The one end of a call.

    Parameters
    ----------
    outcome : Outcome
        SUCCEEDED (the controller's word; no success condition was checked), FAILED, CANCELLED, LOST or TIMED_OUT.
    code : int
        0 or a 4xx code of core/errors.py.
    text : str
        What happened, the limit, and what is known of the controller now.
    result : mapping
        The result or response as JSON; empty where none came.
    status : str
        Last word of an action server: SUCCEEDED, ABORTED, CANCELED; empty where none came.
    duration_s : float
        From the request to the end.
    stopped : bool
        Whether the controller is known not to work on this any more (never accepted counts only if it was refused).

    """

    outcome: Outcome
    code: int
    text: str
    result: Mapping[str, Any] = field(default_factory=dict)
    status: str = ''
    duration_s: float = 0.0
    stopped: bool = True

    @classmethod
    def of(cls, outcome: Outcome, error: type[errors.Gemma4Error], text: str, **known: Any) -> CallOutcome:
        """Make an outcome with the code of an error class."""
        return cls(outcome, error.code, text, **known)
