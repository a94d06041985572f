# SPDX-License-Identifier: Apache-2.0
"""Whatever answers people send, in whatever order, a permit follows only from the yes of everybody who is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from engine import instrumented, run

with instrumented():
    from gemma4_ros.core.gate.approvals import Answer, Request
    from gemma4_ros.core.gate.verdict import Refused

from bad_documents import GOOD
from hand_gate import HandGate, load

POLICY, CATALOGUE = load()
NAMES = ('anna', 'bob', 'carl', 'ANNA', 'anna ', 'bob\n', '')
PLAIN = re.compile('[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}')
# a record: flags, length of a text, the text
SEEDS = (
    b'\x87\x04anna\x87\x03bob\x87\x04carl',
    b'\x87\x04anna\x87\x03bob\x87\x03bob\x86\x03bob\x87\x04carl',
    b'\x87\x04anna\x8f\x03bob\x07\x00\x85\x03bob\x83\x04carl\x97\x01x',
    b'\xa7\x04anna\x87\x03bob\xa7\x04carl',
)


@dataclass
class Expected:
    """Who has agreed, by an account of its own."""

    confirmed: bool = False
    others: set[str] = field(default_factory=set)
    is_open: bool = True

    def hear(self, answer: Answer, is_right: bool) -> None:
        """Take an answer to the right request about the right plan, without a signature; others count for nothing."""
        counts = is_right and self.is_open and PLAIN.fullmatch(answer.person) is not None
        if counts and not answer.approve:
            self.is_open = False
        elif counts and not answer.signature:
            if self.confirmed and answer.person != 'anna' and len(self.others) < 2:
                self.others.add(answer.person)
            self.confirmed = self.confirmed or answer.person == 'anna'

    @property
    def is_complete(self) -> bool:
        return self.is_open and self.confirmed and len(self.others) == 2


def records(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield flags and text of every record."""
    index = 0
    while index + 1 < len(data):
        length = data[index + 1]
        yield data[index], data[index + 2 : index + 2 + length].decode('utf-8', 'surrogateescape')
        index += 2 + length


def check(data: bytes) -> bool:
    """Answer one request with every record; say whether a permit came of it."""
    approvals = {key: replace(need, confirm=True, people=2) for key, need in POLICY.approvals.items()}
    gate = HandGate(POLICY, CATALOGUE, approvals=approvals).arm()
    admission = gate.admit(GOOD)
    assert admission.candidate is not None
    request, _ = gate.monitor.ask(admission.candidate, admission.verdict, gate.now)  # type: ignore[arg-type]
    expected = Expected()
    for flags, text in records(data):
        if flags & 0x20:
            gate.later(0.1)
        answer = Answer(
            request.id if flags & 2 else text,
            text if flags & 0x80 else NAMES[flags >> 4 & 3],
            bool(flags & 1),
            admission.sha256 if flags & 4 else text,
            text.encode('utf-8', 'surrogateescape') if flags & 8 else b'',
        )
        is_right = answer.approval_id == request.id and answer.plan_sha256 == admission.sha256
        expected.hear(answer, is_right)
        if is_granted(gate, answer):
            assert expected.is_complete, 'a permit without the yes of everybody'
            return True
        assert not expected.is_complete, 'everybody said yes, and no permit came'
    return False


def is_granted(gate: HandGate, answer: Answer) -> bool:
    """Do what the node does with an answer."""
    try:
        request: Request = gate.monitor.answer(answer, gate.now)
        if answer.approve:
            gate.monitor.grant(request, gate.now)
    except Refused:
        return False
    return answer.approve


if __name__ == '__main__':
    run(check, SEEDS)
