# SPDX-License-Identifier: Apache-2.0
"""
Ordinary plans against the policies of three robots: admitted, carried out to the end, every refusal explained.

A working day for each robot, on one gate: plan after plan, with the time that they take, so that limits, rates and
rules of the whole session count. People agree where the policy asks them. Controllers succeed, but for one in ten first
attempts.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).resolve().parent / 'lib'))
from benign_plans import JOBS, LEAST, MOST, write_plan
from hand_gate import HandGate, load

from gemma4_ros.core.gate.approvals import Answer
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.ordinary import ordinary_value
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.signing import approval_text
from gemma4_ros.core.gate.verdict import NeedsApproval, Refused, Verdict
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.plan import (
    Fallback,
    If,
    Node,
    Parallel,
    Plan,
    Repeat,
    Scalar,
    Sequence,
    Step,
    children,
    plan_to_bytes,
)
from gemma4_ros.core.planning.checks import check_plan
from gemma4_ros.core.planning.symbolic import Symbolic

if TYPE_CHECKING:
    from collections.abc import Callable

    from gemma4_ros.core.gate.bind import Catalogue
    from gemma4_ros.core.gate.monitor import Admission

pytestmark = [pytest.mark.attack]

ROBOTS = tuple(JOBS)
FAILS = 0.1  # of first attempts, where the tool is tried again
RETURNED: Mapping[str, tuple[float, float]] = {  # what controllers give back on an ordinary day
    'temperature_degc': (2.0, 12.0), 'duration_s': (120, 600), 'charge_percent': (15.0, 100.0), 'value': (1.5, 5.5),
    'low': (1.4, 5.4), 'high': (1.6, 5.6), 'width_m': (0.01, 0.08), 'force_kn': (1.0, 6.0), 'distance_m': (1.0, 12.0),
    'battery_percent': (30.0, 100.0), 'grip_force_n': (20.0, 30.0), 'angle_rad': (1.4, 1.6),
}  # fmt: skip
EFFECTS: Mapping[str, Mapping[str, Scalar]] = {  # what independent signals say after a success
    'lamp_on': {'lamp_lit': True}, 'lamp_off': {'lamp_lit': False}, 'lock_drawer': {'drawer_locked': True},
    'unlock_drawer': {'drawer_locked': False}, 'grasp': {'part_in_gripper': True},
    'release': {'part_in_gripper': False}, 'close_clamp': {'clamp_shut': True}, 'open_clamp': {'clamp_shut': False},
}  # fmt: skip


def files(robot: str) -> tuple[str, str, str]:
    return f'robots/{robot}/policy.yaml', f'robots/{robot}/world.yaml', f'robots/{robot}/tools.yaml'


@dataclass
class Tally:
    """What became of one robot's plans."""

    plans: int = 0
    admitted: int = 0
    asked: int = 0
    sent: int = 0
    refused: list[tuple[str, Verdict]] = field(default_factory=list)
    refused_later: list[tuple[str, Verdict]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Day(HandGate):
    """A robot on an ordinary day: its signals follow what its controllers do."""

    def __init__(self, policy: Policy, catalogue: Catalogue, random: Random) -> None:
        self.random, self.tally = random, Tally()
        self._start = {name: ordinary_value(policy, catalogue.world, name) for name in policy.signals}
        self._start |= {name: False for name in ('lamp_lit', 'part_in_gripper', 'clamp_shut') if name in policy.signals}
        self.values: dict[str, Any] = dict(self._start)
        self.keys = {name: Ed25519PrivateKey.generate() for name in policy.people}
        people = {
            name: replace(person, key=self.keys[name].public_key().public_bytes_raw())
            for name, person in policy.people.items()
        }
        rates = {'plans_per_minute': policy.plans_per_minute, 'plans_per_person': policy.plans_per_person}
        super().__init__(policy, catalogue, people=people, **rates)

    def live(self) -> None:
        """Let every signal say what it says now, with a stamp that moves."""
        moment = self.monitor.moment
        for name, value in self.values.items():
            moment.signal(name, value, self.now, self.now)
        moment.deadman(self.now)
        moment.executor(self.now)

    def passes(self, seconds: float) -> None:
        """Let time pass, and everything be seen again at its end."""
        self.now += seconds
        self.live()
        self.monitor.tick(self.now)

    def begin(self) -> None:
        """Put the robot back to where every plan of the day begins."""
        self.passes(self.random.uniform(60.0, 600.0))
        self.values = {**self._start, 'battery': self.random.uniform(0.35, 1.0)}
        self.values = {name: value for name, value in self.values.items() if name in self.monitor.policy.signals}
        self.live()

    # one plan -------------------------------------------------------------------------------------------------------
    def carry_out(self, plan: Plan) -> None:
        """Bring a plan before the gate and do all of it."""
        self.begin()
        self.tally.plans += 1
        proposer, channel = self.random.choice(('anna', 'ben', 'carla')), int(self.random.random() < 0.3)
        try:
            permit_id = self._permit(self.admit(plan_to_bytes(plan), proposer, channel), proposer)
        except Refused as refused:
            self.tally.refused.append((plan.goal, refused.verdict))
            return
        self.tally.admitted += 1
        try:
            if not self._do(permit_id, plan.root, '/'):
                self.tally.failed.append(plan.goal)
        except Refused as refused:
            self.tally.refused_later.append((plan.goal, refused.verdict))
        self.monitor.close(permit_id, 0, 'ended', self.now)

    def _permit(self, admission: Admission, proposer: str) -> str:
        if admission.candidate is None:
            raise Refused(admission.verdict)
        if not isinstance(admission.verdict, NeedsApproval):
            return self.monitor.issue(admission.candidate, self.now).id
        self.tally.asked += 1
        request, _ = self.monitor.ask(admission.candidate, admission.verdict, self.now)
        if request.wants_confirmation:
            self._yes(request, proposer)
        for person in list(self.keys)[: request.people]:
            self._yes(request, person)
        return self.monitor.grant(request, self.now).id

    def _yes(self, request: Any, person: str) -> None:
        self.passes(self.random.uniform(2.0, 40.0))
        text = approval_text(request.asked, person, request.candidate.rendering)
        signature = self.keys[person].sign(text) if person in self.keys else b''
        self.monitor.answer(Answer(request.id, person, True, request.candidate.sha256, signature), self.now)

    # an interpreter of plans of its own -----------------------------------------------------------------------------
    def _do(self, permit_id: str, node: Node, path: str) -> bool:
        parts = [(child, f'{path.rstrip("/")}/{name}') for name, child in children(node)]
        match node:
            case Step():
                return self._step(permit_id, node)
            case Sequence():
                return all(self._do(permit_id, child, below) for child, below in parts)
            case Fallback():
                return any(self._do(permit_id, child, below) for child, below in parts)
            case Repeat():
                return all(self._do(permit_id, *parts[0]) for _ in range(node.times))
            case Parallel():
                return self._at_once(permit_id, [child for child, _ in parts if isinstance(child, Step)])
            case If():
                return self._branch(permit_id, node, path)

    def _branch(self, permit_id: str, node: If, path: str) -> bool:
        value, text = self.monitor.evaluate(permit_id, path, self.now)
        assert value is not None, text
        branch = node.then if value else node.otherwise
        return branch is None or self._do(permit_id, branch, f'{path.rstrip("/")}/{"then" if value else "else"}')

    def _step(self, permit_id: str, step: Step) -> bool:
        tool = self.monitor.catalogue.toolset.tools[step.tool]
        if tool.retry_times and self.random.random() < FAILS:
            self._end(self._send(permit_id, step.id), succeeded=False)
            for recovery in tool.recover:
                self._end(self._send(permit_id, f'{step.id}/recover/{recovery}'), succeeded=True)
        return self._end(self._send(permit_id, step.id), succeeded=True)

    def _at_once(self, permit_id: str, steps: list[Step]) -> bool:
        tickets = [self._send(permit_id, step.id) for step in steps]
        ends = [self._end(ticket, succeeded=True) for ticket in tickets]  # all of them end, also after one that failed
        return all(ends)

    def _send(self, permit_id: str, step_id: str) -> Ticket:
        ticket = self.dispatch(permit_id, step_id)
        self.tally.sent += 1
        return ticket

    def _end(self, ticket: Ticket, *, succeeded: bool) -> bool:
        """Let the controller work; hold its success against the signals as the node does."""
        tool = self.monitor.catalogue.toolset.tools[ticket.step.tool]
        self.passes(tool.typical_s * self.random.uniform(0.6, 1.4))
        verdict = self.monitor.must_end(ticket, self.now)
        if verdict is not None:
            raise Refused(verdict)
        ended_s, values = self.now, {}
        if succeeded:
            self._effect(ticket)
            values = {name: self._returned(name, returned.type) for name, returned in tool.returns.items()}
            self.passes(0.1)
            problem = self.monitor.post_problem(ticket, ended_s)
            succeeded = not problem
            self.tally.failed += [f'{ticket.step}: {problem}'] if problem else []
        self.monitor.finish(ticket, succeeded, values, self.now)
        return succeeded

    def _returned(self, name: str, kind: str) -> Scalar:
        if kind == 'string':
            return 'photo.png'
        low, high = RETURNED[name]
        return self.random.randint(int(low), int(high)) if kind == 'integer' else self.random.uniform(low, high)

    def _effect(self, ticket: Ticket) -> None:
        step, zones = ticket.step, self.monitor.policy.zones
        self.values |= EFFECTS.get(step.tool, {})
        place = self.monitor.catalogue.world.entities.get(str(step.args.get('place')))
        moves = step.tool in ('go_to', 'navigate_to', 'move_above', 'lower', 'lift')
        if moves and place is not None and place.pose is not None and zones is not None:
            self.values[zones.signal] = Point(place.pose.x_m, place.pose.y_m, zones.frame)


def spend_a_day(robot: str, plans: int) -> Day:
    policy, catalogue = load(*files(robot))
    day = Day(policy, catalogue, Random(f'day of {robot}'))
    day.arm()
    for number in range(plans):
        day.carry_out(write_plan(robot, Random(f'{robot} {number}')))
    return day


def explain(robot: str, day: Day) -> None:
    for when, refused in (('at once', day.tally.refused), ('on the way', day.tally.refused_later)):
        for goal, verdict in refused:
            hazard = day.monitor.policy.hazards.get(verdict.hazard, '')
            print(f'{robot}: {goal!r} refused {when}: {int(verdict.code)} {verdict.rule}: {verdict.text} ({hazard})')


# What is asked of it -------------------------------------------------------------------------------------------------
def test_ordinary_plans_are_admitted_and_carried_out_to_the_end(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    each = math.ceil(trials(159, 1200) / len(ROBOTS))
    days = {robot: spend_a_day(robot, each) for robot in ROBOTS}
    for robot, day in days.items():
        explain(robot, day)
    tallies = [day.tally for day in days.values()]
    plans, admitted = sum(tally.plans for tally in tallies), sum(tally.admitted for tally in tallies)
    sent, later = sum(tally.sent for tally in tallies), sum(len(tally.refused_later) for tally in tallies)
    refused = [[robot, goal, int(v.code), v.rule, v.text] for robot, d in days.items() for goal, v in d.tally.refused]
    unexplained = [entry for entry in refused if not all(entry[2:])]
    record(
        'T5',
        trials=plans,
        breaches=len(unexplained),  # of the promise that every refusal says why
        benign_admitted=admitted / plans,
        plans={robot: [day.tally.plans, day.tally.admitted] for robot, day in days.items()},
        asked_of_people=sum(tally.asked for tally in tallies),
        steps_sent=sent,
        steps_refused=later,
        refused=refused,
    )
    print(f'{admitted} of {plans} plans admitted, {sent} steps sent, {later} plans refused on the way')
    assert admitted >= 0.99 * plans
    assert later == 0
    assert not [text for tally in tallies for text in tally.failed]
    assert sent == sum(len(day.sent) for day in days.values())
    assert not unexplained
    assert all(tally.asked for tally in tallies)  # people were needed, and agreed


@pytest.mark.parametrize('robot', ROBOTS)
def test_ordinary_plans_could_be_carried_out_and_differ(robot: str, trials: Callable[[int, int], int]) -> None:
    _, catalogue = load(*files(robot))
    symbolic, seen, tools = Symbolic(catalogue.world, catalogue.toolset), set(), set()
    for number in range(trials(60, 400)):
        plan = write_plan(robot, Random(f'{robot} {number}'))
        check_plan(plan, symbolic, catalogue.world.initial)
        assert LEAST <= len(plan.steps()) <= MOST
        seen.add(plan_to_bytes(plan))
        tools |= {step.tool for step in plan.steps()}
    assert len(seen) >= 0.65 * trials(60, 400)  # the same is wanted again on some days
    only_between = {name for tool in catalogue.toolset.tools.values() for name in tool.recover}
    assert tools >= set(catalogue.toolset.tools) - only_between


THOUGHTLESS = {
    'mobile_base': (Step('a', 'go_to', {'place': 'waste_room'}), Step('b', 'go_to', {'place': 'kitchen'})),
    'arm': (Step('a', 'press', {'force_kn': 2.0}),),
    'mobile_manipulator': (Step('a', 'undock', {}), Step('b', 'open_valve', {'valve': 'bypass_valve'})),
}  # fmt: skip


@pytest.mark.parametrize('robot', ROBOTS)
def test_a_refusal_names_code_rule_hazard_and_reason(robot: str) -> None:
    policy, catalogue = load(*files(robot))
    day = Day(policy, catalogue, Random(1))
    day.arm()
    day.carry_out(Plan('thoughtless', Sequence(THOUGHTLESS[robot])))
    ((_, verdict),) = day.tally.refused
    assert verdict.code is Code.SEQUENCE
    assert verdict.rule.removeprefix('policy.sequences.') in {rule.name for rule in policy.sequences}
    assert verdict.hazard in policy.hazards
    assert verdict.text
    assert not day.sent
