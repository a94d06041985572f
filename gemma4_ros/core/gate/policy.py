# SPDX-License-Identifier: Apache-2.0
"""The policy: what a person allowed, as values. `policy_file` reads it from YAML."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from gemma4_ros.core.gate.zones import Zones
from gemma4_ros.core.plan import Ref, Step

__all__ = [
    'CHANNELS', 'MOTION', 'Approval', 'ArgumentRule', 'Event', 'Limit', 'Person', 'Policy', 'Post', 'SequenceRule',
    'SignalRule', 'Test', 'ToolRule', 'When',
]  # fmt: skip

CHANNELS = ('typed', 'speech')  # the SOURCE_* of Utterance.msg, in order
MOTION = 2  # the tier from which on something moves


@dataclass(frozen=True, slots=True)
class SignalRule:
    """
    A signal of the robot; steps of tier ``needed_from`` and above want it fresh.

    Fresh by ``age``: a message within ``max_age_s``, and its stamp moved within ``frozen_after_s``. By ``liveliness``:
    its publisher renewed its lease of ``max_age_s``. ``publishers``: the only nodes that it is taken from; empty: all.
    """

    name: str
    topic: str
    type: str
    field: str
    max_age_s: float
    needed_from: int
    fresh_by: str = 'age'
    frozen_after_s: float = math.inf
    publishers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Test:
    """What a signal must be: equal to ``equals``, or between ``low`` and ``high``."""

    signal: str
    equals: str | bool | None = None
    low: float = -math.inf
    high: float = math.inf

    def holds(self, value: object) -> bool:
        """Say whether a value passes; one of another type, or none, does not."""
        if self.equals is not None:
            return type(value) is type(self.equals) and value == self.equals
        return isinstance(value, float) and self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class When:
    """A precondition: the test holds, or else (where there are caps) arguments stay at or below their cap."""

    test: Test
    caps: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Post:
    """What an independent signal must show within ``within_s`` after a success: the test, or a pose near the goal's."""

    test: Test
    near_end_m: float
    within_s: float


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` of an argument or result ``of`` (empty: of uses) within ``within_s``."""

    of: str
    most: float
    within_s: float
    is_rate: bool = False


@dataclass(frozen=True, slots=True)
class ArgumentRule:
    """
    What one argument may be: among ``allow`` (None: all), not among ``deny``, between ``low`` and ``high``.

    ``sources``: labels of the results that it may be taken from; empty: only what stands in the plan itself.
    """

    allow: frozenset[str] | None
    deny: frozenset[str]
    low: float
    high: float
    unit: str
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ToolRule:
    """A tool that may be used, with its tier and the hazard that it brings; ``trust`` labels what it returns."""

    name: str
    tier: int
    hazard: str
    args: Mapping[str, ArgumentRule]
    trust: str = ''
    ends_at: str = ''
    when: tuple[When, ...] = ()
    limits: tuple[Limit, ...] = ()
    at_once: int = 256
    post: Post | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """The dispatch of a tool, with these arguments if any are given."""

    tool: str
    args: Mapping[str, str | float | bool] = field(default_factory=dict)

    def matches(self, step: Step) -> bool:
        """Say whether a step is this event; an argument that is not known yet may be anything."""
        given = ((step.args.get(name), value) for name, value in self.args.items())
        return step.tool == self.tool and all(not isinstance(have, str | float | int) or have == v for have, v in given)

    def surely_matches(self, step: Step) -> bool:
        """Say whether a step is this event whatever the results are that its arguments refer to."""
        return self.matches(step) and not any(isinstance(step.args.get(name), Ref) for name in self.args)


@dataclass(frozen=True, slots=True)
class SequenceRule:
    """A rule over the order of events; see `sequences`."""

    name: str
    kind: str
    first: Event
    then: Event | None
    times: int
    within_s: float
    is_session: bool
    hazard: str


@dataclass(frozen=True, slots=True)
class Approval:
    """Who must agree: the proposer confirms what is read back, ``people`` distinct others (of ``role``) approve."""

    confirm: bool
    people: int
    role: str = ''


@dataclass(frozen=True, slots=True)
class Person:
    """A person's Ed25519 public key (32 bytes) and roles."""

    name: str
    key: bytes
    roles: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policy:
    """All rules; ``sha256`` is that of the file's bytes."""

    name: str
    version: int
    sha256: str
    hazards: Mapping[str, str]
    signals: Mapping[str, SignalRule]
    modes: Mapping[str, int]
    tools: Mapping[str, ToolRule]
    approvals: Mapping[tuple[int, str], Approval]
    approval_ttl_s: float
    permit_ttl_s: float
    start_within_s: float
    executor_lease_s: float
    deadman_lease_s: float
    zones: Zones | None = None
    sequences: tuple[SequenceRule, ...] = ()
    people: Mapping[str, Person] = field(default_factory=dict)
    plans_per_minute: float = math.inf
    plans_per_person: float = math.inf
    expires: str = ''
