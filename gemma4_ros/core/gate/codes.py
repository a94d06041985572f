# SPDX-License-Identifier: Apache-2.0
"""Reason codes of the gate, 6xx: stable numbers, one sentence each (docs/gate.md and docs/safety.md list them)."""

from __future__ import annotations

from enum import IntEnum

__all__ = ['Code']


class Code(IntEnum):
    """Why the gate did not simply allow something."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Code:
        """Attach the sentence to the number."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    # whole gate
    NONE = 0, 'Nothing speaks against it.'
    INTERNAL = 601, 'The gate itself failed while deciding; it stopped everything and wants a person.'
    # admission, in this order
    TOO_LARGE = 610, 'The plan has more than 65,536 bytes.'
    NOT_UTF8 = 611, 'The plan is not strict UTF-8.'
    TOO_DEEP = 612, 'The plan nests brackets deeper than 16.'
    TOO_MANY_STEPS = 613, 'The plan has more than 256 steps or 8,192 values.'
    NOT_JSON = 614, 'The plan is not one JSON document as RFC 8259 defines it.'
    DUPLICATE_KEY = 615, 'An object of the plan names the same key twice.'
    NUMBER_REFUSED = 616, 'A number is NaN, infinite, minus zero or beyond 2^53 - 1.'
    NOT_CANONICAL = 617, 'The bytes are not the RFC 8785 form of the document.'
    SCHEMA = 618, 'The document does not satisfy config/schema/plan-1.json.'
    TYPES = 619, 'The document cannot be rebuilt as a typed plan without loss: unknown field or wrong type.'
    TEXT_REFUSED = 620, 'A text has control or invisible characters or is not in Unicode form NFC.'
    REFERENCE = 621, 'A reference names no earlier step, no such result, or one of another type or unit.'
    UNKNOWN_TOOL = 622, 'The gate has no such tool.'
    BAD_ARGUMENT = (
        623,
        "An argument is missing, unknown, of the wrong type, out of the tool's bounds or names nothing in the world.",
    )
    TOOL_NOT_ALLOWED = 624, 'The policy does not list the tool.'
    ARGUMENT_NOT_ALLOWED = 625, 'The policy does not allow this value of an argument.'
    UNTRUSTED = 626, 'An argument refers to a result from a source that the policy does not take there.'
    ZONE = 627, 'A step ends in a keep-out zone, outside of the allowed ones, or in a frame that they are not given in.'
    SEQUENCE = 628, 'A rule over the order of steps forbids it.'
    LIMIT = 629, 'A limit on how often, how much or how many at once is used up.'
    # people
    BAD_PROPOSER = 630, 'The proposer or the channel is not named as it must be.'
    NEEDS_CONFIRMATION = 631, 'The proposer must confirm what was read back.'
    NEEDS_APPROVAL = 632, 'Other people must approve.'
    APPROVAL_UNKNOWN = 633, 'There is no such open request for approval.'
    APPROVAL_EXPIRED = 634, 'Nobody decided in time.'
    APPROVER_REFUSED = 635, 'This person may not give this approval.'
    APPROVAL_MISMATCH = 636, 'The approval is for another plan than the stored one.'
    SIGNATURE_REFUSED = (
        637,
        "The signature is missing, wrong, not by this person's key, or sent where the policy names no keys.",
    )
    RATE = 638, 'Too many plans were asked for within a minute.'
    RENDERING_TOO_LONG = 639, 'The plan is too long to be shown whole to a person, so nobody can approve it.'
    # state of the moment
    DISARMED = 640, 'The gate is disarmed; a person must arm it.'
    STOPPED = 641, 'The gate is stopped; a person must reset it.'
    ESTOP = 642, 'The emergency stop is pressed.'
    SIGNAL_MISSING = 643, 'A signal that the policy asks for has not been seen.'
    SIGNAL_STALE = 644, 'A signal that the policy asks for is too old.'
    MODE = 645, 'The mode of the robot does not allow steps of this risk.'
    DEADMAN = 646, 'The deadman does not send signs of life, or it has tripped.'
    EXECUTOR_LEASE = 647, 'The executor did not send signs of life in time.'
    BUSY = 648, 'Another plan holds the permit.'
    AUDIT = 649, 'The audit log cannot be made durable.'
    ARM_REFUSED = 650, 'The gate cannot be armed, disarmed, reset, locked or unlocked like this now.'
    LOCKED_OUT = 651, 'A person has locked the robot out; only that person takes the lock off.'
    POLICY_EXPIRED = 652, 'The policy has expired.'
    SIGNAL_FROZEN = 653, 'A signal comes, but its stamp stands still.'
    PLACE = 654, 'The robot stands in a keep-out zone, outside of the allowed ones, or nobody knows where.'
    PRECONDITION = 655, 'What the policy wants of a signal before this step, or else a lower argument, is not given.'
    CLOCK = 656, 'The clock of the computer jumped.'
    # permits
    PERMIT_UNKNOWN = 660, 'There is no such permit.'
    PERMIT_EXPIRED = 661, 'The permit has outlived its time.'
    PERMIT_EPOCH = 662, 'The safety epoch has risen since the permit was given.'
    PERMIT_CLOSED = 663, 'The permit was closed; it is good for one run.'
    STEP_UNKNOWN = 664, 'The plan of the permit has no such step or condition.'
    STEP_NOT_ENABLED = 665, 'The plan does not allow this step now: order, branch, attempts or recoveries.'
    STEP_RUNNING = 666, 'The step is running already.'
    REFERENCE_UNRESOLVED = 667, 'The result that an argument refers to was not recorded.'
    CONDITION_UNKNOWN = 668, 'The result that a condition asks for is missing or too old, and the plan says hold.'
    STEP_INTERRUPTED = 669, 'The gate cancelled the running step because it may not go on.'
    POSTCONDITION = 670, 'The controller reported success, and an independent signal does not show it.'
