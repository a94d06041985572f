# SPDX-License-Identifier: Apache-2.0
"""People with keys: whose yes counts, for what exactly, and what is signed when nothing fits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hand_gate import HandGate, load
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.approvals import Answer, Request
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.policy import Approval, Person, Policy, SignalRule, ToolRule
from gemma4_ros.core.gate.signing import approval_text, is_signed, sha256
from gemma4_ros.core.gate.verdict import NeedsApproval, Refused
from gemma4_ros.core.plan import Plan, Sequence, Step

SHIPPED, CATALOGUE = load()
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)) for name in ('anna', 'bob', 'carl', 'dora')}
ROLES = {'anna': {'operator'}, 'bob': {'lead'}, 'carl': {'lead', 'safety'}, 'dora': {'operator'}}
PEOPLE = {name: Person(name, key.public_key().public_bytes_raw(), frozenset(ROLES[name])) for name, key in KEYS.items()}
DRIVE = Step('d', 'navigate_to', {'place': 'pump'})
VALVE = Step('v', 'open_valve', {'valve': 'main_valve'})
APPROVALS = {(tier, channel): Approval(False, 0) for tier in range(4) for channel in ('typed', 'speech')}
POLICY: Policy = replace(
    SHIPPED,
    tools={
        'navigate_to': ToolRule('navigate_to', 2, 'h1', {}),
        'open_valve': ToolRule('open_valve', 3, 'h3', {}),
        'take_photo': ToolRule('take_photo', 0, '', {}),
    },
    signals={
        'mode': SignalRule('mode', 'mode', 'std_msgs/msg/String', 'data', 2.0, 0),
        'estop': SignalRule('estop', 'estop', 'std_msgs/msg/Bool', 'data', 1.0, 0),
    },
    approvals={**APPROVALS, (2, 'typed'): Approval(True, 1, 'lead'), (3, 'typed'): Approval(False, 1, 'safety')},
    zones=None,
    sequences=(),
    people=PEOPLE,
)


class Desk(HandGate):
    """A gate with one open question."""

    def __init__(self, *steps: Step, **changes: Any) -> None:
        super().__init__(POLICY, CATALOGUE, **changes)
        self.arm()
        self.request = self.ask(*(steps or (DRIVE,)))

    def ask(self, *steps: Step) -> Request:
        admission = self.admit(Plan('test', Sequence(steps)))
        assert admission.candidate is not None and isinstance(admission.verdict, NeedsApproval)
        return self.monitor.ask(admission.candidate, admission.verdict, self.now)[0]

    def text(self, person: str, **changes: str) -> bytes:
        rendering = changes.pop('rendering', self.request.candidate.rendering)
        return approval_text({**self.request.asked, **changes}, changes.pop('person', person), rendering)

    def say(self, person: str, signature: bytes = b'', *, approve: bool = True, plan: str = '') -> Code:
        answer = Answer(self.request.id, person, approve, plan or self.request.candidate.sha256, signature)
        try:
            self.monitor.grant(self.monitor.answer(answer, self.now), self.now)
        except Refused as refused:
            return refused.verdict.code
        return Code.NONE

    def signed(self, person: str) -> Code:
        return self.say(person, KEYS[person].sign(self.text(person)))


def confirmed(**changes: Any) -> Desk:
    desk = Desk(**changes)
    assert desk.say('anna') is Code.NEEDS_APPROVAL
    return desk


def test_proposer_confirms_without_a_signature_and_another_signs() -> None:
    desk = confirmed()
    assert desk.request.people_needed == 1 and not desk.request.wants_confirmation
    assert desk.signed('bob') is Code.NONE
    assert desk.monitor.view(desk.now).permit_id


def test_proposer_may_sign_the_confirmation_and_then_it_must_be_right() -> None:
    desk = Desk()
    assert desk.say('anna', KEYS['bob'].sign(desk.text('anna'))) is Code.SIGNATURE_REFUSED
    assert desk.request.wants_confirmation
    assert desk.signed('anna') is Code.NEEDS_APPROVAL and not desk.request.wants_confirmation


def test_somebody_else_does_not_confirm_with_or_without_a_signature() -> None:
    desk = Desk()
    assert desk.say('bob') is Code.APPROVER_REFUSED and desk.signed('bob') is Code.APPROVER_REFUSED
    assert desk.request.wants_confirmation and desk.request.approved_by == set()


def test_signature_of_nobody_or_of_another_key_does_not_count() -> None:
    desk = confirmed()
    assert desk.say('bob') is Code.SIGNATURE_REFUSED
    assert desk.say('bob', bytes(64)) is Code.SIGNATURE_REFUSED
    assert desk.say('bob', b'x') is Code.SIGNATURE_REFUSED
    assert desk.say('bob', KEYS['carl'].sign(desk.text('bob'))) is Code.SIGNATURE_REFUSED
    assert desk.say('bob', KEYS['bob'].sign(desk.text('carl'))) is Code.SIGNATURE_REFUSED
    assert desk.say('mallory', KEYS['bob'].sign(desk.text('mallory'))) is Code.APPROVER_REFUSED
    assert desk.request.approved_by == set()
    assert desk.signed('bob') is Code.NONE


@pytest.mark.parametrize(
    'changes',
    [
        {'rendering': 'drive to the dock'},
        {'plan': '0' * 64},
        {'boot': 'other'},
        {'approval': 'id99'},
        {'policy': '0' * 64},
        {'goals': '0' * 64},
        {'world': '0' * 64},
        {'tools': '0' * 64},
        {'what': 'other'},
        {'more': ''},
    ],
)
def test_signature_over_anything_else_than_what_was_asked_does_not_count(changes: dict[str, str]) -> None:
    desk = confirmed()
    if 'what' in changes:
        text = desk.text('bob').replace(b'gemma4_ros approval 1', b'gemma4_ros approval 2')
        assert text != desk.text('bob')
    else:
        text = desk.text('bob', **changes)
    assert desk.say('bob', KEYS['bob'].sign(text)) is Code.SIGNATURE_REFUSED
    assert desk.signed('bob') is Code.NONE


def test_signature_names_all_that_could_change_under_a_yes() -> None:
    asked = Desk().request.asked
    assert set(asked) == {'approval', 'boot', 'goals', 'plan', 'policy', 'tools', 'world'}
    assert all(asked.values()) and asked['policy'] == POLICY.sha256 and asked['boot'] == 'boot'
    one, two = Desk().request.asked, Desk(replace(DRIVE, args={'place': 'storage'})).request.asked
    assert one['goals'] != two['goals'] and one['plan'] != two['plan']


def test_yes_of_another_request_of_the_same_plan_is_worth_nothing() -> None:
    desk = Desk()
    text = desk.text('bob')
    desk.request = desk.ask(DRIVE)
    assert desk.say('anna') is Code.NEEDS_APPROVAL
    assert desk.say('bob', KEYS['bob'].sign(text)) is Code.SIGNATURE_REFUSED


def test_other_boot_asks_for_another_signature() -> None:
    desk = confirmed()
    signature = KEYS['bob'].sign(desk.text('bob'))
    after = Desk()
    other = Monitor(after.monitor.policy, CATALOGUE, 'boot2', iter(f'id{n}' for n in range(1, 9)).__next__, after)
    other.moment.state = after.monitor.state
    after.monitor = other
    after.request = after.ask(DRIVE)
    after.request.id = desk.request.id
    other._approvals.open(after.request)
    assert after.say('anna') is Code.NEEDS_APPROVAL
    assert after.say('bob', signature) is Code.SIGNATURE_REFUSED


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 63), st.integers(0, 7))
def test_no_flipped_bit_of_a_signature_passes(place: int, bit: int) -> None:
    text = b'yes'
    signature = bytearray(KEYS['bob'].sign(text))
    assert is_signed(PEOPLE['bob'].key, bytes(signature), text)
    signature[place] ^= 1 << bit
    assert not is_signed(PEOPLE['bob'].key, bytes(signature), text)


def test_every_flipped_byte_of_a_signature_is_refused_by_the_gate() -> None:
    desk = confirmed()
    good = KEYS['bob'].sign(desk.text('bob'))
    for place in range(64):
        bad = bytearray(good)
        bad[place] ^= 0x01
        assert desk.say('bob', bytes(bad)) is Code.SIGNATURE_REFUSED
    for bad_length in (good[:63], good + b'\0', good * 2):
        assert desk.say('bob', bad_length) is Code.SIGNATURE_REFUSED
    assert desk.say('bob', good) is Code.NONE


@pytest.mark.parametrize('key', [b'', b'x' * 31, b'x' * 33, b'\xff' * 32])
def test_key_that_is_none_signs_nothing(key: bytes) -> None:
    assert not is_signed(key, bytes(64), b'yes')


def test_text_that_is_signed_names_person_words_and_purpose() -> None:
    text = approval_text({'plan': 'p'}, 'bob', 'drive')
    words = f'"person":"bob","plan":"p","rendering":"{sha256("drive")}","what":"gemma4_ros approval 1"'
    assert text == b'{' + words.encode() + b'}'


# Roles ---------------------------------------------------------------------------------------------------------------
def test_person_without_the_role_does_not_approve() -> None:
    desk = confirmed()
    assert desk.signed('dora') is Code.APPROVER_REFUSED and desk.request.approved_by == set()
    assert desk.signed('bob') is Code.NONE


def test_roles_that_several_steps_ask_for_add_up() -> None:
    desk = Desk(DRIVE, VALVE)
    assert (desk.request.roles, desk.request.people) == (frozenset({'lead', 'safety'}), 1)
    assert desk.say('anna') is Code.NEEDS_APPROVAL
    signature = KEYS['bob'].sign(desk.text('bob'))
    with pytest.raises(Refused, match='bob lacks the role safety'):
        desk.monitor.answer(Answer(desk.request.id, 'bob', True, desk.request.candidate.sha256, signature), desk.now)
    assert desk.signed('dora') is Code.APPROVER_REFUSED
    assert desk.signed('carl') is Code.NONE


def test_role_is_not_wanted_of_the_proposer_who_confirms() -> None:
    desk = Desk()
    assert not ROLES['anna'] & {'lead'} and desk.signed('anna') is Code.NEEDS_APPROVAL


def test_proposer_with_a_role_does_not_approve_the_own_plan() -> None:
    desk = Desk(VALVE)
    assert not desk.request.confirm
    admission = desk.admit(Plan('own', Sequence((VALVE,))), proposer='carl')
    assert admission.candidate is not None and isinstance(admission.verdict, NeedsApproval)
    desk.request = desk.monitor.ask(admission.candidate, admission.verdict, desk.now)[0]
    assert desk.signed('carl') is Code.APPROVER_REFUSED and desk.signed('bob') is Code.APPROVER_REFUSED


def test_needs_name_the_role_and_the_person() -> None:
    typed = {**APPROVALS, (2, 'typed'): Approval(False, 2, 'lead')}
    admission = Desk(VALVE, approvals={**POLICY.approvals, **typed, (3, 'typed'): Approval(False, 1)}).admit(
        Plan('two', Sequence((DRIVE,)))
    )
    assert '2 other people (lead)' in admission.verdict.text
    assert (admission.verdict.rule, admission.verdict.hazard) == ('policy.approvals.motion.typed', 'h1')


# Answers -------------------------------------------------------------------------------------------------------------
def test_no_of_anybody_closes_the_question_without_a_signature() -> None:
    desk = confirmed()
    assert desk.say('dora', approve=False) is Code.NEEDS_APPROVAL  # nothing is granted
    assert desk.signed('bob') is Code.APPROVAL_UNKNOWN


def test_yes_to_another_plan_or_after_the_time_does_not_count() -> None:
    desk = confirmed(approval_ttl_s=10.0)
    signature = KEYS['bob'].sign(desk.text('bob'))
    assert desk.say('bob', signature, plan='0' * 64) is Code.APPROVAL_MISMATCH
    desk.now += 10.001
    desk.live()
    assert desk.say('bob', signature) is Code.APPROVAL_EXPIRED


def test_two_people_means_two_different_ones() -> None:
    desk = confirmed(approvals={**APPROVALS, (2, 'typed'): Approval(True, 2, 'lead')})
    assert desk.signed('bob') is Code.NEEDS_APPROVAL
    assert desk.signed('bob') is Code.APPROVER_REFUSED and desk.request.people_needed == 1
    assert desk.signed('carl') is Code.NONE


def test_without_listed_people_a_signature_is_refused_and_a_name_is_enough() -> None:
    desk = Desk(people={}, approvals={**APPROVALS, (2, 'typed'): Approval(False, 1)})
    assert desk.say('bob', b'x' * 64) is Code.SIGNATURE_REFUSED
    assert desk.say('bob') is Code.NONE


def test_yes_that_a_hold_kept_back_is_said_again_by_anybody_who_agreed() -> None:
    desk = confirmed()
    desk.monitor.moment.signal('mode', 'MANUAL', desk.now)
    assert desk.signed('bob') is Code.APPROVAL_UNKNOWN  # the epoch rose: the question is closed
    desk = confirmed()
    desk.silent.add('mode')
    desk.later(2.5)
    assert desk.signed('bob') is Code.SIGNAL_STALE and desk.request.is_complete
    desk.silent.clear()
    desk.live()
    assert desk.signed('bob') is Code.NONE


# Lines that are new to people ----------------------------------------------------------------------------------------
def test_lines_that_the_last_agreed_plan_did_not_have_are_named() -> None:
    desk = confirmed()
    assert desk.monitor.changed_lines(desk.request.candidate.rendering) == ()
    assert desk.signed('bob') is Code.NONE
    first = desk.request.candidate.rendering
    assert desk.monitor.changed_lines(first) == ()
    photo = Step('t', 'take_photo', {'target': 'pump'})
    rendering = desk.admit(Plan('more', Sequence((DRIVE, photo)))).rendering
    assert desk.monitor.changed_lines(rendering) == (1,)
