# SPDX-License-Identifier: Apache-2.0
"""What was right a moment ago: flips between approval and dispatch (T11), replays (T12), spoofed all-clears (T14)."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
from hand_gate import HandGate, load

from gemma4_ros.core.gate.approvals import Answer, Request
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.policy_file import make_area
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Allow, NeedsApproval, Refused
from gemma4_ros.core.gate.zones import Point, Zones
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_sha256, plan_to_bytes

pytestmark = [pytest.mark.attack]

TYPED, SPEECH = 0, 1
PLAN = plan_to_bytes(
    Plan(
        'test',
        Sequence((Step('s1', 'navigate_to', {'place': 'pump'}), Step('s2', 'navigate_to', {'place': 'storage'}))),
    )
)
OTHER = plan_to_bytes(Plan('test', Sequence((Step('x1', 'navigate_to', {'place': 'storage'}),))))
FILES = load()
TTL_S = 20.0
TIMES = {'permit_ttl_s': TTL_S, 'start_within_s': TTL_S, 'approval_ttl_s': TTL_S}


PIT = make_area('pit', [(9.0, -9.0), (12.0, -9.0), (12.0, 9.0), (9.0, 9.0)], 0.5, 'h1', is_keep_out=True)
ZONES = Zones('map', 'pose', (PIT,))


class Gate(HandGate):
    """A gate with a keep-out zone, whose ids cannot be guessed and are never used again, as the node's."""

    random = Random(12)

    def live(self) -> None:
        super().live()
        self.monitor.moment.signal('pose', Point(3.0, 2.0, 'map'), self.now)

    def _new_id(self) -> str:
        return f'{self.random.getrandbits(128):032x}'


def new_gate(policy: Policy | None = None) -> Gate:
    gate = Gate(policy or FILES[0], FILES[1], **{**TIMES, 'zones': ZONES})
    gate.arm()
    return gate


def rearm(gate: HandGate) -> None:
    """Do what people do after a stop."""
    moment = gate.monitor.moment
    moment.signal('estop', False, gate.now)
    moment.deadman(gate.now, tripped=False)
    if moment.state.latch is Latch.STOPPED:
        moment.reset('anna', gate.now)
    moment.audit(True)
    gate.silent.clear()
    gate.live()
    gate.arm()


# T11: from the admission to the goal, one call after the other --------------------------------------------------------
@dataclass
class Race:
    """One plan on its way to a goal; a flip happens before the call that is named."""

    gate: HandGate
    channel: int
    raw: bytes = PLAN
    step: str = 's1'
    seen: str = plan_sha256(PLAN)
    candidate: Any = None
    verdict: Any = None
    request: Request | None = None
    permit: str = ''
    ticket: Ticket | None = None
    sent: list[str] = field(default_factory=list)

    def stages(self) -> Iterator[tuple[str, Callable[[], None]]]:
        yield 'admit', self.admit
        if self.channel == SPEECH:
            yield 'ask', self.ask
            yield 'answer', self.answer
            yield 'grant', self.grant
        else:
            yield 'issue', self.issue
        yield 'authorise', self.authorise
        yield 'confirm', self.confirm
        yield 'send', self.send

    def admit(self) -> None:
        admission = self.gate.admit(self.raw, channel=self.channel)
        self.candidate, self.verdict = admission.candidate, admission.verdict
        if self.candidate is None:
            raise Refused(admission.verdict)

    def issue(self) -> None:
        self.permit = self.gate.monitor.issue(self.candidate, self.gate.now).id

    def ask(self) -> None:
        assert isinstance(self.verdict, NeedsApproval)
        self.request, _ = self.gate.monitor.ask(self.candidate, self.verdict, self.gate.now)

    def answer(self) -> None:
        assert self.request is not None
        self.request = self.gate.monitor.answer(Answer(self.request.id, 'anna', True, self.seen), self.gate.now)

    def grant(self) -> None:
        assert self.request is not None
        self.permit = self.gate.monitor.grant(self.request, self.gate.now).id

    def authorise(self) -> None:
        self.ticket = self.gate.monitor.authorise(self.permit, self.step, self.gate.now)

    def confirm(self) -> None:
        assert self.ticket is not None
        self.gate.monitor.confirm(self.ticket, self.gate.now)

    def send(self) -> None:
        """Look once more as the node does just before it sends."""
        assert self.ticket is not None
        verdict = self.gate.monitor.must_end(self.ticket, self.gate.now)
        if verdict is not None:
            raise Refused(verdict)
        self.sent.append(self.step)


ALL = ('admit', 'ask', 'answer', 'grant', 'issue', 'authorise', 'confirm', 'send')
BEFORE_STEP = ALL[:6]
AFTER_ADMISSION = ALL[1:]
OUTSIDE = ('answer', 'grant', 'authorise', 'confirm')  # what others hold; a candidate never leaves the process
WITH_PERMIT = ('authorise', 'confirm', 'send')


def _stop(race: Race) -> None:
    race.gate.monitor.moment.stop(Code.STOPPED, 'test', race.gate.now)


def _stop_and_clear(race: Race) -> None:
    _stop(race)
    rearm(race.gate)


def _estop(race: Race) -> None:
    race.gate.monitor.moment.signal('estop', True, race.gate.now)


def _estop_and_clear(race: Race) -> None:
    _estop(race)
    rearm(race.gate)


def _mode(race: Race) -> None:
    race.gate.monitor.moment.signal('mode', 'MANUAL', race.gate.now)


def _mode_and_back(race: Race) -> None:
    _mode(race)
    race.gate.monitor.moment.signal('mode', 'AUTO', race.gate.now)


def _disarm(race: Race) -> None:
    race.gate.monitor.moment.disarm('bert', race.gate.now)


def _disarm_and_arm(race: Race) -> None:
    _disarm(race)
    race.gate.arm()


def _pose_lost(race: Race) -> None:
    race.gate.monitor.moment.signal('pose', None, race.gate.now - 5.0)


def _keep_out(race: Race) -> None:
    race.gate.monitor.moment.signal('pose', Point(10.0, 0.0, 'map'), race.gate.now)


def _locked(race: Race) -> None:
    race.gate.monitor.moment.lock('bert', 'I am inside', race.gate.now)


def _locked_and_unlocked(race: Race) -> None:
    _locked(race)
    race.gate.monitor.moment.unlock('bert', race.gate.now)


def _clock_jumps(race: Race) -> None:
    for offset_s in (0.0, 3600.0, 3600.0):
        race.gate.monitor.moment.clock(offset_s, race.gate.now)


def _deadman_trips(race: Race) -> None:
    race.gate.monitor.moment.deadman(race.gate.now, tripped=True)


def _deadman_silent(race: Race) -> None:
    race.gate.monitor.moment.deadman(race.gate.now - 5.0)


def _executor_silent(race: Race) -> None:
    race.gate.monitor.moment.executor(race.gate.now - 5.0)


def _audit_fails(race: Race) -> None:
    race.gate.monitor.moment.audit(False)


def _too_late(race: Race) -> None:
    race.gate.now += TTL_S + 0.5
    race.gate.live()


def _other_plan(race: Race) -> None:
    """Let the people see, and the executor ask for, another plan than the one that was judged."""
    race.seen, race.step = plan_sha256(OTHER), 'x1'


def _other_policy(race: Race) -> None:
    """Start the gate again with another policy."""
    race.gate = new_gate(replace(FILES[0], sha256='0' * 64, version=FILES[0].version + 1))


def _restart(race: Race) -> None:
    race.gate = new_gate()


def _closed(race: Race) -> None:
    race.gate.monitor.close(race.permit, 2, '', race.gate.now)


def _said_no(race: Race) -> None:
    assert race.request is not None
    race.gate.monitor.answer(Answer(race.request.id, 'anna', False, race.seen), race.gate.now)


# what flips, and before which calls it must be in the way
FLIPS: dict[str, tuple[Callable[[Race], None], tuple[str, ...]]] = {
    'stop': (_stop, ALL),
    'stop, cleared by a person': (_stop_and_clear, AFTER_ADMISSION),
    'emergency stop': (_estop, ALL),
    'emergency stop, cleared by a person': (_estop_and_clear, AFTER_ADMISSION),
    'mode': (_mode, ALL),
    'mode, there and back': (_mode_and_back, AFTER_ADMISSION),
    'disarmed': (_disarm, ALL),
    'disarmed and armed': (_disarm_and_arm, AFTER_ADMISSION),
    'pose lost': (_pose_lost, ALL),
    'in a keep-out zone': (_keep_out, ALL),
    'locked out': (_locked, ALL),
    'locked and unlocked': (_locked_and_unlocked, AFTER_ADMISSION),
    'the wall clock jumps': (_clock_jumps, AFTER_ADMISSION),
    'deadman tripped': (_deadman_trips, ALL),
    'deadman silent': (_deadman_silent, ALL),
    'executor silent': (_executor_silent, ALL[:-1]),
    'audit fails': (_audit_fails, ALL),
    'time to live over': (_too_late, ('answer', 'grant', 'authorise', 'confirm')),
    'another plan': (_other_plan, BEFORE_STEP),
    'another policy': (_other_policy, OUTSIDE),
    'restart': (_restart, OUTSIDE),
    'permit closed': (_closed, WITH_PERMIT),
    'a person says no': (_said_no, ('answer', 'grant')),
}


def run_race(channel: int, flip: Callable[[Race], None] | None, before: str, random: Random) -> list[str]:
    """Return the steps that were sent though something had flipped; without a flip, those that were sent."""
    race = Race(new_gate(), channel)
    try:
        for name, call in race.stages():
            if name == before and flip is not None:
                flip(race)
            call = getattr(race, call.__name__)
            call()
            if random.random() < 0.5:
                race.gate.now += random.uniform(0.0, 0.045)
    except Refused:
        assert race.sent == []
    return race.sent


def combinations() -> list[tuple[int, str, str]]:
    """Return every channel, flip and call that belong together."""
    found = []
    for channel, (name, (_, befores)) in itertools.product((TYPED, SPEECH), FLIPS.items()):
        there = {stage for stage, _ in Race(new_gate(), channel).stages()}
        found += [(channel, name, before) for before in befores if before in there]
    return found


def test_nothing_that_was_judged_before_a_flip_is_sent_after_it(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    random, every = Random(11), combinations()
    wanted, stale = max(len(every), trials(400, 1000)), []
    for _, (channel, name, before) in zip(range(wanted), itertools.cycle(every), strict=False):
        if run_race(channel, FLIPS[name][0], before, random):
            stale.append(f'{name} before {before}, channel {channel}')
    record('T11', trials=wanted, breaches=len(stale), combinations=len(every))
    assert stale == [] and len(every) > 150


@pytest.mark.parametrize('channel', [TYPED, SPEECH])
def test_without_a_flip_the_goal_is_sent(channel: int) -> None:
    assert run_race(channel, None, '', Random(1)) == ['s1']


def test_a_gate_that_looks_only_once_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('gemma4_ros.core.gate.monitor.Monitor.confirm', lambda *_: None)
    monkeypatch.setattr('gemma4_ros.core.gate.monitor.Monitor.must_end', lambda *_: None)
    late = [name for _, name, before in combinations() if before == 'confirm']
    assert late and all(run_race(TYPED, FLIPS[name][0], 'confirm', Random(1)) for name in set(late))


# T12: replays --------------------------------------------------------------------------------------------------------
@dataclass
class Captured:
    """Everything that somebody who listened to a finished session could send again."""

    answers: list[Answer]
    request: Request
    permit: str
    steps: tuple[str, ...] = ('s1', 's2')


def session(gate: HandGate, end: str) -> Captured:
    """Carry a spoken plan out and let it end; return what was heard."""
    race = Race(gate, SPEECH)
    for _, call in race.stages():
        call()
    assert race.request is not None and race.ticket is not None
    gate.monitor.finish(race.ticket, True, {}, gate.now)
    answer = Answer(race.request.id, 'anna', True, race.seen)
    heard = Captured(
        [answer, replace(answer, person='bert'), replace(answer, approve=False)], race.request, race.permit
    )
    if end == 'close':
        gate.monitor.close(race.permit, 0, '', gate.now)
    elif end == 'expiry':
        gate.later(TTL_S + 1.0)
    elif end == 'stop':
        _stop(race)
    return heard


def replay(gate: HandGate, heard: Captured, kind: str, random: Random) -> bool:
    """Send something again; say whether the gate gave a permit or sent a goal for it."""
    goals, permits = len(gate.sent), sum(kind == 'permit' for kind, _ in gate.records)
    try:
        if kind == 'answer':
            request = gate.monitor.answer(random.choice(heard.answers), gate.now)
            gate.monitor.grant(request, gate.now)
        elif kind == 'grant':
            gate.monitor.grant(heard.request, gate.now)
        elif kind == 'step':
            gate.dispatch(heard.permit, random.choice(heard.steps))
        elif kind == 'plan':
            admission = gate.admit(PLAN, channel=SPEECH)
            if isinstance(admission.verdict, Allow):
                gate.monitor.issue(admission.candidate, gate.now)
        else:
            gate.monitor.evaluate(heard.permit, '/', gate.now)
    except Refused:
        pass
    return len(gate.sent) > goals or sum(kind == 'permit' for kind, _ in gate.records) > permits


def aftermath(gate: HandGate, what: str, random: Random) -> HandGate:
    """Return the gate that the replays meet."""
    if what == 'restart':
        return new_gate()
    rearm(gate)
    if what == 'clock back':
        gate.now -= random.uniform(0.1, 90.0)
        gate.live()
        gate.monitor.tick(gate.now)
    elif what == 'clock ahead':
        gate.now += random.uniform(0.1, 1e6)
        gate.live()
    if gate.monitor.state.latch is not Latch.ARMED:  # the clock's jump looked like silence
        rearm(gate)
    return gate


AFTERMATHS = ('at once', 'restart', 'clock back', 'clock ahead', 'another plan is open')
REPLAYS = ('answer', 'grant', 'step', 'plan', 'condition')


def test_no_replay_gets_a_permit_or_a_goal(trials: Callable[[int, int], int], record: Callable[..., None]) -> None:
    random, counted, breaches = Random(12), Counter[str](), []
    wanted = trials(2000, 10_000)
    while counted.total() < wanted:
        gate, end, what = new_gate(), random.choice(('close', 'expiry', 'stop')), random.choice(AFTERMATHS)
        heard = session(gate, end)
        after = aftermath(gate, what, random)
        if what == 'another plan is open':
            admission = after.admit(OTHER, channel=SPEECH)
            after.monitor.ask(admission.candidate, admission.verdict, after.now)
        for _ in range(40):
            kind = random.choice(REPLAYS)
            counted[kind] += 1
            if replay(after, heard, kind, random):
                breaches.append(f'{kind} after {end}, {what}')
        assert after.monitor.state.latch is Latch.ARMED  # it was the replay that failed, not the gate that slept
    record('T12', trials=counted.total(), breaches=len(breaches), kinds=dict(counted))
    assert breaches == []


def test_the_answer_of_a_live_request_is_no_replay() -> None:
    gate = new_gate()
    race = Race(gate, SPEECH)
    race.admit()
    race.ask()
    assert race.request is not None
    heard = Captured([Answer(race.request.id, 'anna', True, race.seen)], race.request, '')
    assert replay(gate, heard, 'answer', Random(1))


def flips_of(text: str) -> Iterator[str]:
    """Yield a hexadecimal text with one bit of its characters, or of the number that it stands for, turned over."""
    for index, bit in itertools.product(range(len(text)), range(8)):
        yield text[:index] + chr(ord(text[index]) ^ (1 << bit)) + text[index + 1 :]
    for bit in range(4 * len(text)):
        yield f'{int(text, 16) ^ (1 << bit):0{len(text)}x}'


def test_every_single_bit_of_hash_and_ids_counts(record: Callable[..., None]) -> None:
    gate, tried, accepted = new_gate(), 0, []
    race = Race(gate, SPEECH)
    race.admit()
    race.ask()
    assert race.request is not None
    name = race.request.id
    for answer in (
        *(Answer(name, 'anna', True, wrong) for wrong in flips_of(race.seen)),
        *(Answer(wrong, 'anna', True, race.seen) for wrong in flips_of(name)),
    ):
        tried += 1
        with pytest.raises(Refused):
            accepted.append(gate.monitor.answer(answer, gate.now))
    race.answer()
    race.grant()
    for wrong in flips_of(race.permit):
        tried += 1
        with pytest.raises(Refused):
            gate.dispatch(wrong, 's1')
    record('T12', trials=tried, breaches=len(accepted) + len(gate.sent))
    assert tried == 768 + 2 * 384 and gate.sent == [] and accepted == []
    gate.dispatch(race.permit, 's1')
    assert len(gate.sent) == 1


# T14: spoofed all-clears ----------------------------------------------------------------------------------------------
def latched(random: Random) -> tuple[HandGate, bool, str]:
    """Return a stopped gate, whether the emergency stop is what stopped it, and the permit that died of it."""
    gate, way = new_gate(), random.choice((_stop, _estop, _deadman_trips, 'silence', 'failure'))
    race = Race(gate, TYPED)
    race.admit()
    race.issue()
    if way == 'silence':
        gate.silent.add('deadman')
        gate.later(1.0)
    elif way == 'failure':
        gate.monitor.moment.stop(Code.INTERNAL, 'test', gate.now)
    else:
        way(race)
    assert gate.monitor.state.latch is Latch.STOPPED
    return gate, way is _estop, race.permit


def spoof(gate: HandGate, random: Random) -> str:
    """Send one message that somebody could send who is no person; return what it was."""
    moment, now = gate.monitor.moment, gate.now + random.uniform(-2.0, 2.0)
    kind = random.choice(
        ('estop', 'mode', 'pose', 'deadman', 'untripped', 'executor', 'audit', 'arm', 'nobody', 'tick')
    )
    odd: list[Any] = [False, True, None, '', 'False', 'AUTO', 'MANUAL', 'auto', '0' * 64, '\u202eOTUA']
    calls: dict[str, Callable[[], Any]] = {
        'deadman': lambda: moment.deadman(now),
        'untripped': lambda: moment.deadman(now, tripped=False),
        'executor': lambda: moment.executor(now),
        'audit': lambda: moment.audit(random.random() < 0.5),
        'arm': lambda: moment.arm(random.choice(('mallory', 'anna', '')), now),
        'nobody': lambda: moment.reset(random.choice(('', ' ', '\u200banna', 'a' * 65, 'an na', '-', 'anna\n')), now),
        'tick': lambda: gate.monitor.tick(now),
    }
    with contextlib.suppress(Refused):
        calls.get(kind, lambda: moment.signal(kind, random.choice(odd), now))()
    return kind


def test_no_spoofed_message_clears_a_latched_stop(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    random, counted, cleared, goals = Random(14), Counter[str](), 0, 0
    while counted.total() < trials(500, 5000):
        gate, pressed, permit = latched(random)
        for _ in range(25):
            counted[spoof(gate, random)] += 1
            cleared += gate.monitor.state.latch is not Latch.STOPPED
            for step in ('s1', 's2'):
                with pytest.raises(Refused):
                    gate.dispatch(permit, step)
        goals += len(gate.sent)
        gate.monitor.moment.signal('estop', pressed, gate.now)
        if pressed:  # not even by a person, while it is pressed
            with pytest.raises(Refused):
                gate.monitor.moment.reset('anna', gate.now)
        gate.monitor.moment.signal('estop', False, gate.now)
        gate.monitor.moment.reset('anna', gate.now)
        assert gate.monitor.state.latch is Latch.DISARMED
    record('T14', trials=counted.total(), breaches=cleared + goals, kinds=dict(counted))
    assert cleared == 0 and goals == 0
