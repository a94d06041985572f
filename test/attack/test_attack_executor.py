# SPDX-License-Identifier: Apache-2.0
"""A hijacked executor: random misuse of permits, judged by an interpreter of plans that shares nothing with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hand_gate import HandGate, load

from gemma4_ros.core.gate import monitor
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.plan import Condition, Fallback, If, Node, Parallel, Ref, Repeat, Sequence, Step, walk

pytestmark = [pytest.mark.attack]

Retries = Mapping[str, tuple[int, tuple[str, ...]]]
RETRIES: Retries = {
    'navigate_to': (1, ('undock',)),
    'pick': (1, ('undock', 'dock')),
    'read_gauge': (2, ()),
    'take_photo': (0, ()),
}
ARGS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    'navigate_to': ({'place': 'pump'}, {'place': 'storage'}),
    'pick': ({'object': 'red_toolbox'},),
    'read_gauge': ({'gauge': 'pressure_gauge'},),
    'take_photo': ({'target': 'pump'},),
}
TTL_S = 60.0
OPS = {
    '<': lambda one, two: one < two,
    '<=': lambda one, two: one <= two,
    '>': lambda one, two: one > two,
    '>=': lambda one, two: one >= two,
    '==': lambda one, two: one == two,
    '!=': lambda one, two: one != two,
}


# the reference: a tree of objects that change, one for every node ----------------------------------------------------
class OneStep:
    """Everything that a step may ever ask for, written down at the start and crossed off one by one."""

    def __init__(self, step: Step, retries: Retries) -> None:
        times, repairs = retries[step.tool]
        again = [*(f'{step.id}/recover/{name}' for name in repairs), step.id]
        self.script = [step.id, *again * times]
        self.at, self.runs = 0, False
        self.over: bool | None = None

    def may(self) -> set[str]:
        return set() if self.runs or self.over is not None else {self.script[self.at]}

    def parts(self) -> Iterator[OneStep]:
        yield self

    def settle(self) -> None:
        """Nothing follows from a step alone."""

    def end(self, good: bool | None) -> None:
        self.runs = False
        if good is None:
            return
        if good and self.script[self.at] == self.script[0]:
            self.over = True
            return
        self.at += 1
        if self.at == len(self.script):
            self.over = False


class Several:
    """Children of a sequence, a fallback or a parallel node."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items

    def parts(self) -> Iterator[OneStep]:
        for item in self.items:
            yield from item.parts()

    def settle(self) -> None:
        for item in self.items:
            item.settle()


class Row(Several):
    """One after the other, until one ends in another way than ``goes_on``."""

    def __init__(self, items: list[Any], goes_on: bool) -> None:
        super().__init__(items)
        self.goes_on = goes_on

    def _first(self) -> Any:
        return next((item for item in self.items if item.over is not self.goes_on), None)

    @property
    def over(self) -> bool | None:
        item = self._first()
        return self.goes_on if item is None else item.over

    def may(self) -> set[str]:
        item = self._first()
        return set() if item is None else item.may()


class Side(Several):
    """All at once, until one ends in the way that decides; then what runs must end and nothing new may start."""

    def __init__(self, items: list[Any], decides: bool) -> None:
        super().__init__(items)
        self.decides = decides

    def _decision(self) -> bool | None:
        ends = [item.over for item in self.items]
        if self.decides in ends:
            return self.decides
        return None if None in ends else not self.decides

    @property
    def over(self) -> bool | None:
        return None if any(part.runs for part in self.parts()) else self._decision()

    def may(self) -> set[str]:
        if self._decision() is not None:
            return set()
        return {name for item in self.items for name in item.may()}


class Rounds:
    """A child that is made anew for every round."""

    def __init__(self, make: Callable[[], Any], times: int) -> None:
        self.make, self.left, self.child = make, times, make()

    @property
    def over(self) -> bool | None:
        return None if self.child.over and self.left > 1 else self.child.over

    def parts(self) -> Iterator[OneStep]:
        yield from self.child.parts()

    def settle(self) -> None:
        self.child.settle()
        if self.child.over and self.left > 1:
            self.left, self.child = self.left - 1, self.make()

    def may(self) -> set[str]:
        return self.child.may()


class Fork:
    """Two ways, one of which is there after the question was answered."""

    def __init__(self, path: str, ways: dict[bool, Callable[[], Any] | None]) -> None:
        self.path, self.ways = path, ways
        self.taken: bool | None = None
        self.child: Any = None

    def take(self, way: bool) -> None:
        make = self.ways[way]
        self.taken, self.child = way, make() if make else None

    @property
    def over(self) -> bool | None:
        if self.taken is None:
            return None
        return True if self.child is None else self.child.over

    def parts(self) -> Iterator[OneStep]:
        yield from self.child.parts() if self.child else ()

    def settle(self) -> None:
        if self.child:
            self.child.settle()

    def may(self) -> set[str]:
        if self.taken is None:
            return {self.path}
        return self.child.may() if self.child else set()


def reference(node: Node, path: str, retries: Retries, forks: dict[str, Fork]) -> Any:
    """Build the reference of a node; forks register themselves when they come to life."""
    below = path.rstrip('/')

    def child(inner: Node, name: str) -> Any:
        return reference(inner, f'{below}/{name}', retries, forks)

    if isinstance(node, Step):
        return OneStep(node, retries)
    if isinstance(node, Repeat):
        return Rounds(lambda: child(node.child, '0'), node.times)
    if isinstance(node, If):
        other = node.otherwise
        ways = {True: lambda: child(node.then, 'then'), False: None if other is None else lambda: child(other, 'else')}
        forks[path] = Fork(path, ways)
        return forks[path]
    items = [child(inner, str(index)) for index, inner in enumerate(node.children)]
    if isinstance(node, Parallel):
        return Side(items, decides=node.policy == 'any')
    return Row(items, goes_on=isinstance(node, Sequence))


# plans at random -----------------------------------------------------------------------------------------------------
class Shapes:
    """Makes random plans; ids carry the plan's number, so that no two plans share one."""

    def __init__(self, random: Random, plan: int) -> None:
        self.random, self.plan, self.count = random, plan, 0
        self.readings: list[str] = []

    def step(self, tool: str = '') -> Step:
        tool = tool or self.random.choice(tuple(ARGS))
        self.count += 1
        step_id = f'p{self.plan}s{self.count}'
        if tool == 'read_gauge':
            self.readings.append(step_id)
        return Step(step_id, tool, dict(self.random.choice(ARGS[tool])))

    def node(self, depth: int) -> Node:
        kinds = ['step', 'sequence', 'fallback', 'all', 'any', 'repeat', *(['if', 'if'] if self.readings else [])]
        kind = self.random.choice(kinds) if depth else 'step'
        if kind == 'step':
            return self.step()
        if kind == 'repeat':
            return Repeat(self.node(depth - 1), self.random.randint(1, 3))
        if kind == 'if':
            return self.fork(depth)
        inner = tuple(self.node(depth - 1) for _ in range(self.random.randint(1, 3)))
        if kind in ('all', 'any'):
            return Parallel(inner, kind)
        return Sequence(inner) if kind == 'sequence' else Fallback(inner)

    def fork(self, depth: int) -> If:
        ref = Ref(self.random.choice(self.readings), 'value')
        unknown = self.random.choice(('hold', 'true', 'false'))
        op, value = self.random.choice(tuple(OPS)), self.random.choice((3.0, 4.0, 5.0))
        condition = Condition(ref, op, value, self.random.choice((1.0, 30.0)), unknown, 'bar')
        then = self.node(depth - 1)
        return If(condition, then, self.node(depth - 1) if self.random.random() < 0.7 else None)


def random_plan(random: Random, number: int) -> tuple[Node, ...]:
    """Return the children of a plan's root; the first reads, so that there is something to ask about."""
    shapes = Shapes(random, number)
    return (shapes.step('read_gauge'), *(shapes.node(3) for _ in range(random.randint(1, 3))))


# the attack -----------------------------------------------------------------------------------------------------------
def hijacked(policy: Policy, catalogue: Catalogue, retries: Retries) -> HandGate:
    """Return an armed gate whose tools are tried again and recovered as ``retries`` says."""
    tools = dict(catalogue.toolset.tools)
    for name, (times, recover) in retries.items():
        tools[name] = replace(tools[name], retry_times=times, recover=recover)
    changed = replace(catalogue, toolset=replace(catalogue.toolset, tools=tools))
    return HandGate(policy, changed, permit_ttl_s=TTL_S, start_within_s=TTL_S).arm()


class Siege:
    """One permit under attack: what is asked, what reaches the controller, and what the reference says to it."""

    def __init__(self, gate: HandGate, nodes: tuple[Node, ...], old: str, random: Random, retries: Retries) -> None:
        self.gate, self.random, self.old = gate, random, old
        self.forks: dict[str, Fork] = {}
        root = Sequence(nodes)
        self.model = reference(root, '/', retries, self.forks)
        self.conditions = {path: node.condition for path, node in walk(root) if isinstance(node, If)}
        steps = [node for _, node in walk(root) if isinstance(node, Step)]
        names = [f'{step.id}/recover/{name}' for step in steps for name in ('dock', 'undock', 'pick')]
        self.known = [*(step.id for step in steps), *names, *self.conditions]
        self.tools = {step.id: step for step in steps}
        self.permit = gate.permit(*nodes)
        self.running: dict[str, Ticket] = {}
        self.results: dict[str, tuple[float, float]] = {}
        self.misuses: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.wrongly_refused: list[str] = []
        self.sent_rightly = 0

    def ask(self, permit: str, step_id: str) -> tuple[Ticket | None, Code]:
        """Ask for a step; return its ticket where a goal reached the controller."""
        before = len(self.gate.sent)
        try:
            ticket = self.gate.dispatch(permit, step_id)
        except Refused as refused:
            assert len(self.gate.sent) == before
            return None, refused.verdict.code
        return ticket, Code.NONE

    def proceed(self) -> None:
        """Do what an honest executor does."""
        may = sorted(self.model.may())
        if not may:
            return
        node_id = self.random.choice(may)
        if node_id in self.conditions:
            self.answer(node_id)
            return
        ticket, code = self.ask(self.permit, node_id)
        if ticket is None:
            self.wrongly_refused.append(f'{node_id}: {code.name}')
            return
        self.sent_rightly += 1
        self.running[node_id] = ticket
        self.leaf(node_id).runs = True
        tool = self.tools[node_id].tool if node_id in self.tools else node_id.rpartition('/')[2]
        if ticket.step.tool != tool:
            self.breaches.append(f'{node_id} sent {ticket.step.tool}, not {tool}')

    def leaf(self, node_id: str) -> OneStep:
        return next(part for part in self.model.parts() if node_id in part.script)

    def answer(self, path: str) -> None:
        """Ask a question whose turn it is, and hold the answer against the reference's own."""
        value, _ = self.gate.monitor.evaluate(self.permit, path, self.gate.now)
        if value is not self.expected(self.conditions[path]):
            self.breaches.append(f'{path} decided {value}')
        if value is not None:
            self.forks[path].take(value)
            self.model.settle()

    def expected(self, condition: Condition) -> bool | None:
        found = self.results.get(condition.ref.step)
        if found is None or self.gate.now - found[1] > condition.max_age_s:
            return {'hold': None, 'true': True, 'false': False}[condition.on_unknown]
        return OPS[condition.op](found[0], condition.value)

    def end(self, good: bool | None = None) -> None:
        """Let one running step end."""
        if not self.running:
            return
        node_id = self.random.choice(sorted(self.running))
        value = self.random.choice((2.0, 3.0, 3.5, 4.0, 5.0, 6.0))
        reads = node_id in self.tools and self.tools[node_id].tool == 'read_gauge'
        good = self.random.random() < (0.75 if reads else 0.35) if good is None else good
        values = {'value': value} if reads else {}
        self.gate.monitor.finish(self.running.pop(node_id), good, values, self.gate.now)
        if good and values:
            self.results[node_id] = (value, self.gate.now)
        self.leaf(node_id).end(good)
        self.model.settle()

    def kind(self, permit: str, node_id: str) -> str:
        """Name a misuse; empty where the plan allows it."""
        if permit != self.permit:
            return 'permit of another plan' if permit == self.old else 'permit that exists nowhere'
        if node_id in self.conditions:
            return 'condition dispatched as a step'
        if node_id not in self.known:
            return 'step that exists nowhere'
        if node_id in self.model.may():
            return ''
        part = next((part for part in self.model.parts() if node_id in part.script), None)
        if part is None:
            return 'branch not taken, or a tool that is no recovery here'
        if part.runs:
            return 'step running already'
        return {True: 'repeated step', False: 'one attempt too many', None: 'wrong order'}[part.over]

    def misuse(self, when: str = '') -> None:
        """Ask for something at random; whatever the plan does not allow must reach nothing."""
        random = self.random
        permit = random.choice([self.permit] * 15 + [self.old, self.permit[:-1], f'{self.permit} ', '', 'id0'])
        node_id = self.tempting() if random.random() < 0.85 else self.mangled()
        kind = when or self.kind(permit, node_id)
        if not kind:
            return
        self.misuses[kind] += 1
        ticket, _ = self.ask(permit, node_id)
        if ticket is not None:
            self.breaches.append(f'{kind}: {node_id}')
            self.gate.monitor.finish(ticket, False, {}, self.gate.now)
        if node_id not in self.model.may() or permit != self.permit or when:
            self.ask_out_of_turn(permit, node_id)

    def ask_out_of_turn(self, permit: str, node_id: str) -> None:
        before = dict(self.gate.monitor.moment.state.signals)
        try:
            self.gate.monitor.evaluate(permit, node_id, self.gate.now)
        except Refused:
            assert before == dict(self.gate.monitor.moment.state.signals)
        else:
            self.breaches.append(f'{node_id} was decided out of turn')

    def tempting(self) -> str:
        """Return an id of the plan; steps that are spent, done or running, and conditions, more often than others."""
        parts = list(self.model.parts())
        spent = [name for part in parts if part.over is False for name in dict.fromkeys(part.script)]
        lively = [part.script[0] for part in parts if part.over or part.runs]
        pools = [self.known, self.known, spent, spent, lively, list(self.conditions)]
        return self.random.choice(self.random.choice([pool for pool in pools if pool]))

    def mangled(self) -> str:
        name = self.random.choice(self.known)
        foreign = 'p0s1'
        return self.random.choice(
            (
                f'{name}/recover/',
                f'{name} ',
                name.upper() + '\0',
                f'{name}/recover/rm',
                '',
                '/',
                '/0',
                '/9/then',
                foreign,
            )
        )

    def finish_all(self) -> None:
        while self.running:
            self.end(good=False)


def _closed(siege: Siege) -> None:
    siege.gate.monitor.close(siege.permit, siege.random.randint(0, 2), '', siege.gate.now)


def _stopped(siege: Siege) -> None:
    moment = siege.gate.monitor.moment
    moment.stop(Code.STOPPED, 'test', siege.gate.now)
    if siege.random.random() < 0.5:
        moment.reset('anna', siege.gate.now)
        moment.arm('anna', siege.gate.now)


def _expired(siege: Siege) -> None:
    siege.gate.now += TTL_S + 1.0
    siege.gate.live()
    if siege.random.random() < 0.5:
        siege.gate.monitor.tick(siege.gate.now)


def _disarmed(siege: Siege) -> None:
    siege.gate.monitor.moment.disarm('anna', siege.gate.now)
    if siege.random.random() < 0.5:
        siege.gate.arm()


def _mode(siege: Siege) -> None:
    for mode in ('MANUAL', 'AUTO'):
        siege.gate.monitor.moment.signal('mode', mode, siege.gate.now)


def _silent(siege: Siege) -> None:
    siege.gate.silent.add('executor')
    siege.gate.later(1.5)
    siege.gate.silent.clear()
    siege.gate.live()


ENDS = {
    'after close': _closed,
    'after stop': _stopped,
    'after expiry': _expired,
    'after disarming': _disarmed,
    'after a change of mode': _mode,
    'after the executor was silent': _silent,
}


def besiege(gate: HandGate, number: int, old: str, random: Random, retries: Retries) -> Siege:
    """Run one permit from its beginning to its end and beyond, honest and hijacked by turns."""
    siege = Siege(gate, random_plan(random, number), old, random, retries)
    for _ in range(random.randint(20, 100)):
        random.choices((siege.proceed, siege.end, siege.misuse), (8, 6, 5))[0]()
        if random.random() < 0.1:
            gate.later(0.2)
    end = random.choice([name for name in ENDS if siege.sent_rightly or 'executor' not in name])
    if end in ('after close', 'after expiry'):
        siege.finish_all()
    ENDS[end](siege)
    for _ in range(10):
        siege.misuse(when=end)
    siege.finish_all()
    for _ in range(3):
        siege.misuse(when=end)
    return siege


def ready(gate: HandGate) -> HandGate:
    """Put the gate back to armed, as people would."""
    moment = gate.monitor.moment
    if moment.state.latch.name == 'STOPPED':
        moment.reset('anna', gate.now)
    gate.live()
    return gate.arm()


def campaign(wanted: int, seed: int, gate: HandGate, retries: Retries) -> tuple[Counter[str], list[Siege], int]:
    """Attack one random plan after the other until there were ``wanted`` misuses."""
    random, total, sieges, old, refused = Random(seed), Counter[str](), [], 'id0', 0
    for number in range(1, 100 * wanted):
        if total.total() >= wanted:
            break
        try:
            siege = besiege(ready(gate), number, old, random, retries)
        except Refused:  # a rule about whole plans does not like this one
            refused += 1
            continue
        total += siege.misuses
        sieges.append(siege)
        old = siege.permit
    return total, sieges, refused


def test_hijacked_executor_gets_no_goal_that_the_plan_does_not_allow(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    total, sieges, refused = campaign(trials(2500, 10_000), 41, hijacked(*load(), RETRIES), RETRIES)
    breaches = [text for siege in sieges for text in siege.breaches]
    wrongly = [text for siege in sieges for text in siege.wrongly_refused]
    rightly = sum(siege.sent_rightly for siege in sieges)
    record(
        'T-executor',
        trials=total.total(),
        breaches=len(breaches),
        kinds=dict(total),
        plans=len(sieges),
        allowed=rightly,
    )
    assert breaches == []
    assert min(total.values()) >= 20 and len(total) >= 13, total
    assert rightly > 500 and refused < len(sieges)
    automaton = [text for text in wrongly if text.endswith(('STEP_NOT_ENABLED', 'STEP_UNKNOWN', 'STEP_RUNNING'))]
    assert automaton == []


@pytest.mark.parametrize('tool', ['navigate_to', 'read_gauge', 'pick'])
def test_a_gate_that_grants_one_attempt_more_is_caught(tool: str) -> None:
    wide = {**RETRIES, tool: (RETRIES[tool][0] + 1, RETRIES[tool][1])}
    _, sieges, _ = campaign(1500, 42, hijacked(*load(), wide), RETRIES)
    assert any('one attempt too many' in text for siege in sieges for text in siege.breaches)


def test_a_gate_that_takes_both_branches_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, 'evaluate', lambda *_: (True, 'yes'))
    _, sieges, _ = campaign(500, 43, hijacked(*load(), RETRIES), RETRIES)
    assert any('decided True' in text for siege in sieges for text in siege.breaches)
