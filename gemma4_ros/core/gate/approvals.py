# SPDX-License-Identifier: Apache-2.0
"""Requests for people: the proposer confirms, distinct others approve; one open request a plan, with a time to live."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.permits import Candidate
from gemma4_ros.core.gate.policy import Person
from gemma4_ros.core.gate.signing import approval_text, is_signed
from gemma4_ros.core.gate.verdict import refuse

__all__ = ['Answer', 'Approvals', 'Request', 'check_person']

MAX_OPEN = 4
_PERSON = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}')


def check_person(person: str) -> None:
    """Raise Refused where a name is empty or has letters that could hide what it is."""
    if not _PERSON.fullmatch(person):
        raise refuse(Code.BAD_PROPOSER, 'people.name', 'a person is named by 1 to 64 of A-Z a-z 0-9 _ . @ -')


@dataclass(slots=True)
class Request:
    """What people are asked; ``confirm`` and ``people`` are what is needed, the rest is what has come."""

    id: str
    candidate: Candidate
    confirm: bool
    people: int
    expires_s: float
    roles: frozenset[str] = frozenset()
    hashes: Mapping[str, str] = field(default_factory=dict)
    is_confirmed: bool = False
    approved_by: set[str] = field(default_factory=set)

    @property
    def wants_confirmation(self) -> bool:
        """Say whether the proposer is asked now; others come after."""
        return self.confirm and not self.is_confirmed

    @property
    def people_needed(self) -> int:
        """Return how many people are still needed in this turn."""
        return 1 if self.wants_confirmation else self.people - len(self.approved_by)

    @property
    def is_complete(self) -> bool:
        """Say whether everybody needed has agreed."""
        return not self.wants_confirmation and len(self.approved_by) >= self.people

    @property
    def asked(self) -> dict[str, str]:
        """Return what a signature names beside the person and the words: ids and hashes."""
        ids = {'approval': self.id, 'plan': self.candidate.sha256, 'goals': self.candidate.goals_sha256}
        return {**self.hashes, **ids}

    def agree(self, person: str) -> None:
        """Take a yes; raise Refused where this person's does not count now."""
        proposer = self.candidate.case.proposer
        if self.is_complete:  # said already; a hold kept the permit back
            return
        if self.wants_confirmation:
            if person != proposer:
                raise refuse(Code.APPROVER_REFUSED, 'approvals.confirm', f'{proposer} proposed it and must confirm it')
            self.is_confirmed = True
        elif person == proposer:
            raise refuse(Code.APPROVER_REFUSED, 'approvals.people', 'a proposer does not approve the own plan')
        elif person in self.approved_by:
            raise refuse(Code.APPROVER_REFUSED, 'approvals.people', f'{person} approved already; another must')
        else:
            self.approved_by.add(person)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person says about a request: the plan is the one that the person saw."""

    approval_id: str
    person: str
    approve: bool
    plan_sha256: str
    signature: bytes = b''


class Approvals:
    """
    The open requests, oldest first.

    Parameters
    ----------
    people : mapping of str to Person
        Whose signatures count; empty: names are taken at their word, and nobody signs.

    """

    def __init__(self, people: Mapping[str, Person]) -> None:
        self._people = people
        self._open: OrderedDict[str, Request] = OrderedDict()

    def open(self, request: Request) -> list[Request]:
        """Add a request; return those that it pushed out: the same plan's older one, and more than MAX_OPEN."""
        same = [item for item in self._open.values() if item.candidate.sha256 == request.candidate.sha256]
        pushed = [self._open.pop(item.id) for item in same]
        while len(self._open) >= MAX_OPEN:
            pushed.append(self._open.popitem(last=False)[1])
        self._open[request.id] = request
        return pushed

    def find(self, approval_id: str, now: float) -> Request:
        """Return an open request; raise Refused where it is unknown or too old."""
        request = self._open.get(approval_id)
        if request is None:
            raise refuse(Code.APPROVAL_UNKNOWN, 'approvals.id', 'there is no such open request')
        if not now <= request.expires_s:
            raise refuse(Code.APPROVAL_EXPIRED, 'approvals.time_to_live', 'the request has expired; ask again')
        return request

    def take(self, answer: Answer, now: float) -> Request:
        """Take a yes, or close the request for a no; raise Refused where the answer does not count."""
        check_person(answer.person)
        request = self.find(answer.approval_id, now)
        if answer.plan_sha256 != request.candidate.sha256:
            raise refuse(Code.APPROVAL_MISMATCH, 'approvals.plan', 'the answer is about another plan')
        if answer.approve:
            self._check_signature(request, answer)
            request.agree(answer.person)
        else:
            self.close(request.id)
        return request

    def _check_signature(self, request: Request, answer: Answer) -> None:
        """Raise Refused where a yes is not signed as the policy wants; a proposer confirms without, also by voice."""
        person, where = self._people.get(answer.person), 'approvals.signature'
        if not self._people and answer.signature:
            raise refuse(Code.SIGNATURE_REFUSED, where, 'the policy names no keys; send no signature')
        if not self._people or (request.wants_confirmation and not answer.signature):
            return
        if person is None:
            raise refuse(Code.APPROVER_REFUSED, 'policy.people', f'the policy lists no {answer.person}')
        text = approval_text(request.asked, answer.person, request.candidate.rendering)
        if not is_signed(person.key, answer.signature, text):
            said = f'not signed by the key of {answer.person}: gemma4 gate approve --key'
            raise refuse(Code.SIGNATURE_REFUSED, where, said)
        if not request.wants_confirmation and not request.roles <= person.roles:
            lacking = ', '.join(sorted(request.roles - person.roles))
            raise refuse(Code.APPROVER_REFUSED, 'policy.people', f'{answer.person} lacks the role {lacking}')

    def close(self, approval_id: str) -> None:
        """Forget a request."""
        self._open.pop(approval_id, None)

    def expired(self, now: float) -> list[Request]:
        """Take out what is too old."""
        old = [item for item in self._open.values() if not now <= item.expires_s]
        for item in old:
            del self._open[item.id]
        return old

    def clear(self) -> list[Request]:
        """Take out everything: the epoch has risen."""
        gone, self._open = list(self._open.values()), OrderedDict()
        return gone
