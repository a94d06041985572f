# SPDX-License-Identifier: Apache-2.0
"""What the gate can answer. In conflict: deny over hold over needs-approval over allow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from gemma4_ros.core.errors import GateError
from gemma4_ros.core.gate.codes import Code

__all__ = ['Allow', 'Deny', 'Hold', 'NeedsApproval', 'Refused', 'Verdict', 'demand', 'refuse', 'worst']


@dataclass(frozen=True, slots=True)
class Verdict:
    """One decision: a stable code, the rule that decided, the hazard that it answers, and the gate's own words."""

    decision: ClassVar[int] = 3
    name: ClassVar[str] = 'deny'
    code: Code
    rule: str
    text: str
    hazard: str = ''


@dataclass(frozen=True, slots=True)
class Allow(Verdict):
    """Go on."""

    decision: ClassVar[int] = 0
    name: ClassVar[str] = 'allow'
    code: Code = Code.NONE
    rule: str = ''
    text: str = ''


@dataclass(frozen=True, slots=True)
class Hold(Verdict):
    """Not now; ask again when the reason has gone."""

    decision: ClassVar[int] = 1
    name: ClassVar[str] = 'hold'


@dataclass(frozen=True, slots=True)
class NeedsApproval(Verdict):
    """People are asked: the proposer confirms, ``people`` distinct others who have all ``roles`` approve."""

    decision: ClassVar[int] = 2
    name: ClassVar[str] = 'needs_approval'
    confirm: bool = False
    people: int = 0
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deny(Verdict):
    """No."""


# deny 3, hold 2, needs-approval 1, allow 0; the numbers of Verdict.msg are in another order
_WEIGHT = {0: 0, 2: 1, 1: 2, 3: 3}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the first of the gravest; approvals that several ask for add up to the greatest of each kind."""
    chosen: Verdict = Allow()
    for verdict in verdicts:
        if _WEIGHT[verdict.decision] > _WEIGHT[chosen.decision]:
            chosen = verdict
        elif isinstance(chosen, NeedsApproval) and isinstance(verdict, NeedsApproval):
            chosen = _stricter(chosen, verdict)
    return chosen


def _stricter(one: NeedsApproval, two: NeedsApproval) -> NeedsApproval:
    lead = two if two.people > one.people else one
    confirm, people = one.confirm or two.confirm, max(one.people, two.people)
    return NeedsApproval(lead.code, lead.rule, lead.text, lead.hazard, confirm, people, one.roles | two.roles)


class Refused(GateError):
    """Carry a verdict out of a rule that cannot go on."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f'{verdict.rule}: {verdict.text}')
        self.verdict = verdict


def refuse(code: Code, rule: str, text: str, hazard: str = '') -> Refused:
    """Make the exception that denies."""
    return Refused(Deny(code, rule, text, hazard))


def demand(verdict: Verdict) -> None:
    """Raise Refused unless the verdict allows."""
    if not isinstance(verdict, Allow):
        raise Refused(verdict)
