# SPDX-License-Identifier: Apache-2.0
"""The real monitor as a state machine, explored breadth first from every event to every state that it leads to."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gemma4_ros.core.gate import monitor as monitor_module
from gemma4_ros.core.gate.approvals import Answer, Request
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.moment import Moment
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.permits import Candidate, Permit, Ticket
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import NeedsApproval, Refused
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_sha256, plan_to_bytes
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

POLICY, CATALOGUE = load_gate(GateFiles())
NOW, OLD = 1000.0, 500.0
DRIVE = Step('a', 'navigate_to', {'place': 'pump'})
TURN = Step('b', 'open_valve', {'valve': 'main_valve'})
PLANS = {
    'drive': plan_to_bytes(Plan('test', Sequence((DRIVE, replace(DRIVE, id='c'))))),
    'turn': plan_to_bytes(Plan('test', TURN)),
}
STEPS = {'drive': ('a', 'c'), 'turn': ('b',)}
LIMIT = 1_000_000 if os.environ.get('GEMMA4_ATTACK') == 'full' else 24_000


@dataclass(frozen=True)
class Ghost:
    """What must be true, by the events alone; ``era`` rises with all that voids permits, ``held`` is era and plan."""

    armed: bool = False
    stopped: bool = False
    pressed: bool = False
    mode: str = 'AUTO'
    stale: frozenset[str] = frozenset()
    tripped: bool = False
    audit: bool = True
    lapsed: bool = False
    locked: bool = False
    era: int = 0
    held: tuple[int, str] | None = None
    is_over: bool = False
    asked: tuple[int, str, bool] | None = None
    reserved: str = ''
    running: str = ''
    done: tuple[str, ...] = ()
    tried: int = 0
    started: bool = False

    def may_move(self) -> bool:
        """Say whether any goal may be sent or go on."""
        bad = self.stopped or self.pressed or not self.armed or not self.audit or self.tripped or self.lapsed
        return not (bad or self.locked or self.mode != 'AUTO' or self.stale - {'executor'})

    def may_send(self, step: str) -> bool:
        """Say whether this step's goal may be sent now."""
        if self.held is None or self.is_over or self.held[0] != self.era or not self.may_move():
            return False
        order = STEPS[self.held[1]]
        turn = step in order and self.reserved == step and self.done == order[: order.index(step)] and self.tried < 2
        return turn and 'executor' not in self.stale

    def next_era(self, **changes: Any) -> Ghost:
        return replace(self, era=self.era + 1, asked=None, **changes)

    def stop(self) -> Ghost:
        return self if self.stopped else self.next_era(stopped=True, armed=False)


NEW: dict[str, Any] = {'reserved': '', 'running': '', 'done': (), 'tried': 0, 'started': False}


class Silent:
    """A journal that keeps nothing."""

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        return


@dataclass
class World:
    """A monitor and what its surroundings hold: candidate, request, tickets; can be frozen and thawed."""

    monitor: Monitor
    candidate: Candidate | None = None
    request: Request | None = None
    permit: str = ''
    reserved: Ticket | None = None
    running: Ticket | None = None
    sent: str = ''

    def freeze(self) -> tuple[Any, ...]:
        monitor = self.monitor
        permits = tuple(_frozen(permit) for permit in monitor._permits._all.values())
        requests = tuple(_frozen(request) for request in monitor._approvals._open.values())
        rest = (self.candidate, self.request and self.request.id, self.permit, self.reserved, self.running)
        return monitor.moment.state, permits, requests, rest

    def thaw(self, frozen: tuple[Any, ...]) -> None:
        monitor = self.monitor
        monitor.moment.state, permits, requests, rest = frozen
        monitor._permits._all = OrderedDict((items[0], _thawed(Permit, items)) for items in permits)
        monitor._approvals._open = OrderedDict((items[0], _thawed(Request, items)) for items in requests)
        monitor._closed_requests, monitor._last_tick_s, self.sent = [], NOW, ''
        self.candidate, name, self.permit, self.reserved, self.running = rest
        self.request = monitor._approvals._open.get(name)


@functools.cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(cls))


def _frozen(item: Permit | Request) -> tuple[Any, ...]:
    values = (getattr(item, name) for name in _names(type(item)))
    return tuple(value.copy() if isinstance(value, dict | set) else value for value in values)


def _thawed(cls: type, values: tuple[Any, ...]) -> Any:
    copies = (value.copy() if isinstance(value, dict | set) else value for value in values)
    return cls(**dict(zip(_names(cls), copies, strict=True)))


def key_of(world: World, ghost: Ghost) -> tuple[Any, ...]:
    """Return what makes two states the same: no ids, and epochs only as far as they are the present one."""
    state, monitor = world.monitor.moment.state, world.monitor
    epoch = state.epoch
    permit = monitor._permits.find(world.permit)
    request = world.request
    return (
        (state.latch, state.deadman_tripped, state.lease_lapsed, state.audit_ok, bool(state.locks)),
        tuple((name, value.value, value.at_s) for name, value in sorted(state.signals.items())),
        (state.deadman_at_s, state.executor_at_s),
        world.candidate and (world.candidate.sha256, world.candidate.epoch == epoch),
        request and (request.id in monitor._approvals._open, request.is_confirmed, request.expires_s < NOW),
        permit
        and (permit.candidate.sha256, permit.epoch == epoch, permit.dead, permit.is_started, permit.expires_s < NOW),
        permit and (tuple(sorted(permit.running)), repr(permit.progress)),
        (world.reserved and world.reserved.step.id, world.running and world.running.step.id),
        replace(
            ghost,
            era=0,
            held=ghost.held and (int(ghost.held[0] == ghost.era), ghost.held[1]),
            asked=ghost.asked and (int(ghost.asked[0] == ghost.era), *ghost.asked[1:]),
        ),
    )


# events: what happens to the monitor, and what the ghost makes of it --------------------------------------------------
Event = Callable[[World, Ghost], Ghost]
EVENTS: dict[str, Event] = {}


def event(name: str) -> Callable[[Event], Event]:
    def add(made: Event) -> Event:
        EVENTS[name] = made
        return made

    return add


@event('arm')
def _arm(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.arm('anna', NOW)
    return ghost.next_era(armed=True, lapsed=False)


@event('disarm')
def _disarm(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.disarm('anna', NOW)
    return ghost.next_era(armed=False, lapsed=False)


@event('reset')
def _reset(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.reset('anna', NOW)
    return ghost.next_era(stopped=False, armed=False, lapsed=False)


@event('stop')
def _stop(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.stop(Code.STOPPED, 'test', NOW)
    return ghost.stop()


@event('estop pressed')
def _pressed(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.signal('estop', True, NOW)
    return replace(ghost.stop(), pressed=True, stale=ghost.stale - {'estop'})


@event('estop released')
def _released(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.signal('estop', False, NOW)
    return replace(ghost, pressed=False, stale=ghost.stale - {'estop'})


def _mode(mode: str) -> Event:
    def change(world: World, ghost: Ghost) -> Ghost:
        world.monitor.moment.signal('mode', mode, NOW)
        ghost = replace(ghost, stale=ghost.stale - {'mode'})
        return ghost if ghost.mode == mode else ghost.next_era(mode=mode)

    return change


def _silence(name: str, stale: bool) -> Event:
    def change(world: World, ghost: Ghost) -> Ghost:
        at_s = OLD if stale else NOW
        moment = world.monitor.moment
        if name == 'deadman':
            moment.deadman(at_s)
        elif name == 'executor':
            moment.executor(at_s)
        else:
            value = moment.state.signals[name].value
            moment.signal(name, value, at_s)
        return replace(ghost, stale=ghost.stale | {name} if stale else ghost.stale - {name})

    return change


EVENTS['mode AUTO'], EVENTS['mode MANUAL'] = _mode('AUTO'), _mode('MANUAL')
for _name in ('mode', 'pose', 'deadman', 'executor'):
    EVENTS[f'{_name} silent'], EVENTS[f'{_name} alive'] = _silence(_name, True), _silence(_name, False)
EVENTS['reset by nobody'] = lambda world, ghost: world.monitor.moment.reset('', NOW) or ghost
EVENTS['deadman watches'] = lambda world, ghost: (
    world.monitor.moment.deadman(NOW, tripped=False) or replace(ghost, tripped=False)
)
EVENTS['estop silent'] = _silence('estop', True)


@event('deadman trips')
def _trips(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.deadman(NOW, tripped=True)
    return replace(ghost.stop() if ghost.armed else ghost, tripped=True)


def _audit(is_ok: bool) -> Event:
    def change(world: World, ghost: Ghost) -> Ghost:
        world.monitor.moment.audit(is_ok)
        return replace(ghost, audit=is_ok)

    return change


EVENTS['audit fails'], EVENTS['audit returns'] = _audit(False), _audit(True)


@event('locked')
def _lock(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.lock('bert', 'inside', NOW)
    return ghost.next_era(locked=True)


@event('unlocked')
def _unlock(world: World, ghost: Ghost) -> Ghost:
    world.monitor.moment.unlock('bert', NOW)
    return ghost.next_era(locked=False)


@event('tick')
def _tick(world: World, ghost: Ghost) -> Ghost:
    world.monitor.tick(NOW)
    if ghost.armed and 'deadman' in ghost.stale:
        ghost = ghost.stop()
    is_live = ghost.held is not None and ghost.held[0] == ghost.era and not ghost.is_over
    if is_live and ghost.started and 'executor' in ghost.stale:
        ghost = replace(ghost, lapsed=True, is_over=True)
    return ghost


def _admit(plan: str) -> Event:
    def ask(world: World, ghost: Ghost) -> Ghost:
        admission = world.monitor.admit(PLANS[plan], 'anna', 0, NOW)
        world.candidate = admission.candidate
        if admission.candidate is not None and isinstance(admission.verdict, NeedsApproval):
            world.request, _ = world.monitor.ask(admission.candidate, admission.verdict, NOW)
            world.candidate = None
            return replace(ghost, asked=(ghost.era, plan, False))
        return ghost

    return ask


EVENTS['admit a drive'], EVENTS['admit a turn'] = _admit('drive'), _admit('turn')


@event('issue')
def _issue(world: World, ghost: Ghost) -> Ghost:
    if world.candidate is None:
        raise Skipped
    plan = next(name for name, raw in PLANS.items() if raw == world.candidate.raw)
    world.permit = world.monitor.issue(world.candidate, NOW).id
    return replace(ghost, held=(ghost.era, plan), is_over=False, **NEW)


def _answer(person: str, approve: bool) -> Event:
    def say(world: World, ghost: Ghost) -> Ghost:
        if world.request is None:
            raise Skipped
        seen = plan_sha256(world.request.candidate.raw)
        world.monitor.answer(Answer(world.request.id, person, approve, seen), NOW)
        if not approve:
            return replace(ghost, asked=None)
        return replace(ghost, asked=ghost.asked and (*ghost.asked[:2], True)) if person == 'anna' else ghost

    return say


EVENTS['the proposer says yes'], EVENTS['a stranger says yes'] = _answer('anna', True), _answer('eve', True)
EVENTS['somebody says no'] = _answer('eve', False)


@event('grant')
def _grant(world: World, ghost: Ghost) -> Ghost:
    if world.request is None:
        raise Skipped
    world.permit = world.monitor.grant(world.request, NOW).id
    if ghost.asked is None or not ghost.asked[2] or ghost.asked[0] != ghost.era:
        raise Broken('a permit was granted without a yes')
    return replace(ghost, held=(ghost.era, ghost.asked[1]), is_over=False, asked=None, **NEW)


def _authorise(step: str) -> Event:
    def ask(world: World, ghost: Ghost) -> Ghost:
        if world.reserved is not None or world.running is not None:
            raise Skipped
        world.reserved = world.monitor.authorise(world.permit, step, NOW)
        return replace(ghost, reserved=step, started=True)

    return ask


for _name in ('a', 'b', 'c'):
    EVENTS[f'authorise {_name}'] = _authorise(_name)


@event('confirm and send')
def _confirm(world: World, ghost: Ghost) -> Ghost:
    ticket, world.reserved = world.reserved, None
    if ticket is None:
        raise Skipped
    try:
        world.monitor.confirm(ticket, NOW)
    except Refused:
        return replace(ghost, reserved='')
    world.running, world.sent = ticket, ticket.step.id
    return replace(ghost, reserved='', running=ghost.reserved)


def _finish(good: bool) -> Event:
    def end(world: World, ghost: Ghost) -> Ghost:
        ticket, world.running = world.running, None
        if ticket is None:
            raise Skipped
        world.monitor.finish(ticket, good, {}, NOW)
        if ghost.running != ticket.step.id:  # of an older permit
            return ghost
        done = (*ghost.done, ticket.step.id) if good else ghost.done
        return replace(ghost, running='', done=done, tried=0 if good else ghost.tried + 1)

    return end


EVENTS['ends well'], EVENTS['fails'] = _finish(True), _finish(False)


@event('close')
def _close(world: World, ghost: Ghost) -> Ghost:
    world.monitor.close(world.permit, 0, '', NOW)
    return replace(ghost, is_over=True)


@event('the permit grows old')
def _expire(world: World, ghost: Ghost) -> Ghost:
    permit = world.monitor._permits.find(world.permit)
    if permit is None or permit.expires_s < NOW:
        raise Skipped
    permit.expires_s = permit.start_before_s = OLD
    return replace(ghost, is_over=True)


class Broken(Exception):
    """An invariant does not hold."""


class Skipped(Exception):
    """The surroundings cannot do this now."""


# the search ----------------------------------------------------------------------------------------------------------
@dataclass
class Found:
    """What an exploration saw."""

    states: int = 0
    transitions: int = 0
    goals: int = 0
    withheld: int = 0
    seconds: float = 0.0
    events: set[str] = field(default_factory=set)
    broken: list[str] = field(default_factory=list)


def broken_by(world: World, before: Ghost, after: Ghost, name: str, latch: Latch) -> str:
    """Say which invariant a transition broke."""
    now = world.monitor.moment.state.latch
    if world.sent and not before.may_send(world.sent):
        return 'a goal was sent that nothing allowed'
    if latch is Latch.STOPPED and now is not Latch.STOPPED and (name != 'reset' or before.pressed):
        return 'a latched stop was cleared'
    if after.stopped and now is not Latch.STOPPED:
        return 'a stop did not latch'
    if now is Latch.ARMED and not after.armed:
        return 'armed without a person'
    may_go_on = after.may_move() and after.held is not None and after.held[0] == after.era
    if world.running is not None and not may_go_on and world.monitor.must_end(world.running, NOW) is None:
        return 'a goal goes on that must end'
    return ''


def fresh_world(made: type[Monitor]) -> tuple[World, Ghost]:
    ids = map('id{}'.format, itertools.count())
    policy = replace(POLICY, plans_per_minute=1e9, plans_per_person=1e9)
    world = World(made(policy, CATALOGUE, 'boot', ids.__next__, Silent()))
    moment = world.monitor.moment
    for name, value in (('mode', 'AUTO'), ('estop', False), ('pose', None)):
        moment.signal(name, value, NOW)
    moment.deadman(NOW)
    moment.executor(NOW)
    return world, Ghost()


def step(world: World, ghost: Ghost, name: str, found: Found) -> Ghost | None:
    """Let one event happen; None where the surroundings cannot."""
    latch, world.sent = world.monitor.moment.state.latch, ''
    try:
        after = EVENTS[name](world, ghost)
    except Refused:
        after = ghost
    except Skipped:
        return None
    except Broken as broken:
        found.broken.append(str(broken))
        return ghost
    world.monitor.moment.state = replace(world.monitor.moment.state, past=type(world.monitor.state.past)())
    found.transitions += 1
    found.events.add(name)
    found.goals += bool(world.sent)
    found.withheld += name == 'confirm and send' and not world.sent
    problem = broken_by(world, ghost, after, name, latch)
    if problem:
        found.broken.append(f'{problem}: {name} in {ghost}')
    return after


def explore(made: type[Monitor], limit: int, first: tuple[tuple[str, ...], ...] = ((),)) -> Found:
    """Search breadth first, from the states that each of ``first`` leads to, until so many transitions were taken."""
    world, ghost = fresh_world(made)
    found, seen, queue, start = Found(), set(), [], world.freeze()
    for names in first:
        world.thaw(start)
        here: Ghost | None = ghost
        for name in names:
            here = step(world, here, name, found) if here is not None else None
            assert here is not None, name
        seen.add(key_of(world, here))
        queue.append((world.freeze(), here))
    begin = time.perf_counter()
    for frozen, here in queue:
        if found.transitions >= limit or found.broken:
            break
        for name in EVENTS:
            world.thaw(frozen)
            after = step(world, here, name, found)
            if after is None:
                continue
            key = key_of(world, after)
            if key not in seen:
                seen.add(key)
                queue.append((world.freeze(), after))
    found.states, found.seconds = len(seen), time.perf_counter() - begin
    return found


FIRST = (
    (),
    ('arm', 'admit a drive', 'issue'),
    ('arm', 'admit a drive', 'issue', 'authorise a'),
    ('arm', 'admit a drive', 'issue', 'authorise a', 'confirm and send'),
    ('arm', 'admit a drive', 'issue', 'authorise a', 'confirm and send', 'ends well', 'authorise c'),
    ('arm', 'admit a turn', 'the proposer says yes'),
    ('arm', 'admit a turn', 'the proposer says yes', 'grant', 'authorise b'),
    ('stop',),
)


@pytest.fixture(autouse=True)
def _decode_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode and render the two plans once: both are pure, and have tests of their own."""
    monkeypatch.setattr(monitor_module, 'decode', functools.cache(monitor_module.decode))
    render = monitor_module.render
    texts: dict[str, str] = {}

    def once(plan: Plan, tools: Any) -> str:
        name = repr(plan)
        texts[name] = texts.get(name) or render(plan, tools)
        return texts[name]

    monkeypatch.setattr(monitor_module, 'render', once)


@pytest.mark.timeout(900)
def test_no_event_in_any_state_sends_a_goal_or_clears_a_stop_that_it_must_not(record_property: Any) -> None:
    found = explore(Monitor, LIMIT, FIRST)
    rate = found.transitions / found.seconds
    summary = f'{found.transitions} transitions, {found.states} states, {found.goals} goals sent and '
    summary += f'{found.withheld} withheld, {rate:.0f} transitions/s'
    record_property('explored', summary)
    print(f'\n{summary}')
    assert found.broken == []
    assert found.transitions >= LIMIT and found.goals >= 5 and found.withheld > 200
    assert found.events == set(EVENTS)


# a search that finds nothing is worth something only if it can find something ---------------------------------------
class ForgetfulMoment(Moment):
    """Forgets a stop when the emergency stop is released."""

    def signal(self, name: str, *rest: Any) -> None:
        super().signal(name, *rest)
        if name == 'estop' and rest[0] is False and self.state.latch is Latch.STOPPED:
            self.state = replace(self.state, latch=Latch.DISARMED)


class Forgetful(Monitor):
    """Has such a moment."""

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.moment = ForgetfulMoment(self.policy, Silent(), self._on_epoch)


class Immortal(Monitor):
    """Lets permits outlive their epoch."""

    def _on_epoch(self) -> None:
        for permit in self._permits._all.values():
            permit.epoch = self.state.epoch


class Hasty(Monitor):
    """Does not look again before the goal is sent."""

    def confirm(self, ticket: Ticket, now: float) -> None:
        return


class Blind(Monitor):
    """Does not watch what runs."""

    def must_end(self, ticket: Ticket, now: float) -> None:
        return


class Deaf(Monitor):
    """Grants without people."""

    def grant(self, request: Request, now: float) -> Permit:
        request.is_confirmed = True
        return super().grant(request, now)


class Untiring(Monitor):
    """Takes an executor that is silent for one that lives."""

    def tick(self, now: float) -> list[Request]:
        self.moment.executor(now)
        return super().tick(now)


@pytest.mark.parametrize('made', [Forgetful, Immortal, Hasty, Blind, Deaf, Untiring])
def test_a_broken_monitor_is_caught(made: type[Monitor]) -> None:
    assert explore(made, 24_000, FIRST).broken
