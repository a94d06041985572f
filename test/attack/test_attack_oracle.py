# SPDX-License-Identifier: Apache-2.0
"""T5: an attacker who may send any plan and answer any permit; every goal is judged by a checker of its own."""

from __future__ import annotations

import ast
import copy
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import oracle_checker
import plan_run
import pytest
import yaml
from hand_gate import CONFIG, HandGate, load
from oracle_checker import Judge, Rules
from plan_grammar import Grammar, nasty_number, nasty_text

from gemma4_ros.core.gate.approvals import Answer
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.verdict import Allow, NeedsApproval, Refused
from gemma4_ros.core.plan import Step

pytestmark = [pytest.mark.attack]
TOOLS = CONFIG / 'tools/cell.yaml'
RULES = Rules.read(CONFIG / 'policy.yaml', CONFIG / 'world.yaml', TOOLS)
PEOPLE = ('anna', 'bob', 'carl', 'dora')

# A tool with every type of argument and result and a recovery, as the cell has none.
JOG = """
tools: "1"
settle:
  doc: let everything come to rest
  interface: {action: gemma4_ros/action/MoveArm, name: settle}
  args: {}
  goal: {posture: ready}
  needs: []
  gives: []
  duration_s: {typical: 1, timeout: 5}
  risk: motion
jog:
  doc: move the arm by steps
  interface: {action: gemma4_ros/action/MoveArm, name: jog}
  args:
    steps: {type: integer, min: -9, max: 9, unit: "1"}
    slow: {type: boolean}
    posture: {enum: [stowed, ready]}
  goal: {posture: $posture, nested: [{steps: $steps}, {slow: $slow, frame: $world.frame}]}
  returns:
    steps: {field: steps, type: integer, unit: "1"}
    touched: {field: touched, type: boolean}
    posture: {field: posture, type: string}
  needs: []
  gives: []
  duration_s: {typical: 1, timeout: 5}
  retry: {times: 2, recover: [settle]}
  risk: motion
"""


def hard_files(folder: Path) -> tuple[Path, Path]:
    """Write a stricter policy than the cell's, over more tools."""
    policy = yaml.safe_load((CONFIG / 'policy.yaml').read_text(encoding='utf-8'))
    del policy['tools']['open_valve']
    policy['tools']['settle'] = {'risk': 'motion', 'hazard': 'h2'}
    policy['tools']['jog'] = {'risk': 'motion', 'hazard': 'h2', 'trust': 'signal', 'args': {}}
    policy['tools']['jog']['args'] = {'steps': {'min': -2, 'max': 5, 'unit': '1', 'from': ['signal']}}
    policy['tools']['jog']['args'] |= {'slow': {'from': ['signal']}, 'posture': {'from': ['camera', 'signal']}}
    policy['tools']['navigate_to']['args'] = {'place': {'deny': ['storage'], 'from': ['camera']}}
    policy['tools']['take_photo']['trust'] = 'camera'
    policy['tools']['take_photo']['args'] = {'target': {'allow': ['pump', 'main_valve', 'red_toolbox']}}
    policy['tools']['pick']['risk'] = 'irreversible'
    policy['approvals']['irreversible']['typed'] = {'confirm': True, 'people': 2}
    policy['approvals']['motion']['speech'] = {'confirm': False, 'people': 1}
    policy['modes']['MAINTENANCE'] = 'motion'
    tools = folder / 'jog.yaml'
    tools.write_text(JOG, encoding='utf-8')
    path = folder / 'policy.yaml'
    path.write_text(yaml.safe_dump(policy, sort_keys=False), encoding='utf-8')
    return path, tools


class Cell(HandGate):
    """The gate, the robot and the people around it, told to the judge as to the gate; what it sends goes to both."""

    def __init__(self, policy: Policy, catalogue: Catalogue, judge: Judge, seed: int, **changes: Any) -> None:
        self.judge, self.rng = judge, random.Random(seed)
        self.mode: object = 'AUTO'
        self.estop: object = False
        self.codes: Counter[str] = Counter()
        self.luck = 0.8
        super().__init__(policy, catalogue, **changes)

    def live(self) -> None:
        moment = self.monitor.moment
        for name in self.monitor.policy.signals:
            if name not in self.silent:
                value = {'mode': self.mode, 'estop': self.estop}.get(name)
                moment.signal(name, value, self.now)  # type: ignore[arg-type]
                self.judge.signal(name, value, self.now)
        for who, sign in (('deadman', moment.deadman), ('executor', moment.executor)):
            if who not in self.silent:
                sign(self.now)
                self.judge.life(who, self.now)

    def later(self, seconds: float) -> None:
        self.now += seconds
        self.live()
        self.monitor.tick(self.now)
        self.judge.tick(self.now)

    def latch(self, change: Callable[[str, float], None], latch: str) -> None:
        try:
            change(self.rng.choice(PEOPLE), self.now)
        except Refused:
            return
        self.judge.latched(latch)

    def recover(self) -> None:
        """Let people clear whatever is latched and arm again."""
        self.mode, self.estop = 'AUTO', False
        self.silent.clear()
        self.live()
        self.latch(self.monitor.moment.reset, 'DISARMED')
        self.latch(self.monitor.moment.arm, 'ARMED')

    def disturb(self) -> None:
        """Let something happen that has nothing to do with the plan."""
        rng, moment = self.rng, self.monitor.moment
        match rng.randrange(8):
            case 0:
                self.mode = rng.choice(('AUTO', 'MANUAL', 'MAINTENANCE', 'BOGUS', ''))
            case 1:
                self.estop = rng.choice((True, False, None))
            case 2:
                self.latch(moment.disarm, 'DISARMED')
            case 3:
                moment.stop(Code.STOPPED, 'somebody said stop', self.now)
                self.judge.latched('STOPPED')
            case 4 | 5:
                self.silent ^= {rng.choice((*self.monitor.policy.signals, 'deadman', 'executor'))}
            case 6:
                self.latch(moment.reset, 'DISARMED')
            case 7:
                self.recover()
        for _ in range(rng.choice((1, 1, 8))):
            self.later(rng.choice((0.02, 0.1, 0.2, 0.6, 2.5)))

    # the hijacked executor -------------------------------------------------------------------------------------------
    def dispatch(self, permit_id: str, step_id: str) -> Ticket:
        ticket = self.monitor.authorise(permit_id, step_id, self.now)
        if self.rng.random() < 0.05:  # while the record is made durable
            self.disturb()
        self.monitor.confirm(ticket, self.now)
        self.send(permit_id, step_id, ticket.step.tool, dict(ticket.goal))
        return ticket

    def send(self, permit_id: str, step_id: str, tool: str, goal: dict[str, Any]) -> None:
        """Deliver a goal to the controller."""
        face = self.monitor.catalogue.toolset.tools[tool].interface
        self.sent.append((permit_id, step_id, goal))
        self.judge.goal(permit_id, step_id, (face.kind, face.type, face.name), goal, self.now)

    def end(self, ticket: Ticket) -> None:
        """Let a controller report whatever it likes."""
        rng = self.rng
        succeeded = rng.random() < self.luck
        returns = self.monitor.catalogue.toolset.tools[ticket.step.tool].returns
        values = {name: self.reported(item.type) for name, item in returns.items() if rng.random() < self.luck}
        self.monitor.finish(ticket, succeeded, values, self.now, 'done\n\x1b[2J')
        self.judge.result(ticket.permit_id, ticket.step.id, succeeded, values, self.now)

    def reported(self, kind: str) -> Any:
        rng = self.rng
        if rng.random() < 0.2:
            return rng.choice((float('nan'), float('inf'), -0.0, 2**70, '4.0', True, 'x' * 2000, '', 1e308))
        if kind == 'boolean':
            return rng.random() < 0.5
        if kind == 'string':
            return nasty_text(rng, [*self.judge.rules.entities, 'ready', 'stowed'])
        value = nasty_number(rng, 0.5, 6.0)
        return int(value) if kind == 'integer' else value


class Attack:
    """One seed's plans through one gate, with everything that a hijacked executor may try."""

    def __init__(self, cell: Cell, grammar: Grammar) -> None:
        self.cell, self.rng, self.grammar = cell, cell.rng, grammar
        self.plans = self.admitted = 0
        self.known: list[str] = ['id1', '', 'gate', '../id1']

    def once(self) -> None:
        """Send one plan and do with it what can be done."""
        self.plans += 1
        self.cell.luck = self.rng.choice((0.95, 0.8, 0.2))
        if self.rng.random() < 0.05:
            self.cell.mode = self.rng.choice(('MANUAL', 'MAINTENANCE'))
            self.cell.later(0.1)
        elif self.rng.random() < 0.05:
            self.cell.disturb()
        raw, rng = self.grammar.raw(), self.rng
        proposer, channel = rng.choice(PEOPLE), rng.choice((0, 0, 0, 1, 1))
        if rng.random() < 0.04:
            proposer, channel = rng.choice((('a b', 0), ('', 1), ('anna', 2), ('bob', -1)))
        admission = self.cell.admit(raw, proposer, channel)
        self.cell.codes[admission.verdict.code.name] += 1
        if admission.candidate is not None:
            permit_id = self.permit(admission, raw, proposer, channel)
            if permit_id:
                self.admitted += 1
                self.known.append(permit_id)
                self.misuse(permit_id)
        self.cell.recover()

    def permit(self, admission: Any, raw: bytes, proposer: str, channel: int) -> str:
        """Get the permit, with people's yes where it is needed or as far as the attacker gets without."""
        cell = self.cell
        try:
            if isinstance(admission.verdict, NeedsApproval):
                permit = self.approved(admission, proposer)
            else:
                permit = cell.monitor.issue(admission.candidate, cell.now)
        except Refused as refused:
            cell.codes[refused.verdict.code.name] += 1
            return ''
        cell.judge.permitted(permit.id, raw, proposer, channel, cell.now)
        return permit.id

    def approved(self, admission: Any, proposer: str) -> Any:
        cell, rng = self.cell, self.rng
        request, _ = cell.monitor.ask(admission.candidate, admission.verdict, cell.now)
        who = [proposer, *PEOPLE] if rng.random() < 0.7 else rng.sample(PEOPLE, 4)
        for person in [*who, proposer]:
            sha256 = admission.sha256 if rng.random() < 0.95 else 'f' * 64
            if rng.random() < 0.03:
                cell.disturb()
            approve = rng.random() < 0.98
            cell.judge.answered(sha256, person, approve, cell.now)
            try:
                cell.monitor.answer(Answer(request.id, person, approve, sha256), cell.now)
                return cell.monitor.grant(request, cell.now)
            except Refused as refused:
                cell.codes[refused.verdict.code.name] += 1
        return cell.monitor.grant(request, cell.now)

    def misuse(self, permit_id: str) -> None:
        """Carry the plan out, rightly and wrongly."""
        cell, rng, running = self.cell, self.rng, list[Ticket]()
        run = cell.judge.permits[permit_id].run
        for _ in range(rng.randint(3, 14)):
            move = rng.random()
            if move < 0.04:
                cell.disturb()
            elif move < 0.08:
                cell.later(rng.choice((0.05, 0.3, 0.9, 6.0, 31.0)))
            elif running and move < 0.45:
                cell.end(running.pop(rng.randrange(len(running))))
            else:
                self.ask(permit_id, run, running)
            if run.is_over() and rng.random() < 0.6:
                break
        while running:
            cell.end(running.pop())
        self.close(permit_id)

    def close(self, permit_id: str) -> None:
        cell = self.cell
        try:
            cell.monitor.close(permit_id, 0, 'ended', cell.now)
        except Refused:  # it died before
            cell.judge.closed(permit_id)
            return
        cell.judge.closed(permit_id)
        if self.rng.random() < 0.2:
            self.ask(permit_id, cell.judge.permits[permit_id].run, [])

    def ask(self, permit_id: str, run: plan_run.Run, running: list[Ticket]) -> None:
        """Ask for a step or a condition: mostly the next one, else any other, of this permit or another."""
        cell, rng = self.cell, self.rng
        name = rng.choice(sorted(run.wants()) or ['s1'])
        if rng.random() < 0.25:
            name = rng.choice((*run.steps, *run.steps, 's1/recover/settle', '/', '/0', '/1/then', 's99', 'S1', 'dock'))
        if rng.random() < 0.05:
            permit_id = rng.choice(self.known)
        try:
            if name.startswith('/'):
                cell.monitor.evaluate(permit_id, name, cell.now)
            else:
                running.append(cell.dispatch(permit_id, name))
        except Refused as refused:
            cell.codes[refused.verdict.code.name] += 1
        if name.startswith('/'):
            cell.judge.asked(permit_id, name, cell.now)


def attack(cell: Cell, plans: int, seed: int) -> Attack:
    """Send ``plans`` plans through one gate."""
    run = Attack(cell, Grammar(random.Random(seed), cell.judge.rules))
    cell.recover()
    for _ in range(plans):
        run.once()
        cell.records.clear()
    return run


def test_checker_shares_no_code_with_what_it_judges() -> None:
    folder = Path(oracle_checker.__file__).parent
    for module in (oracle_checker, plan_run):
        tree = ast.parse(Path(module.__file__ or '').read_text(encoding='utf-8'))
        names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or '.' for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not any(name.startswith(('gemma4_ros', '.', 'importlib', 'hand_gate')) for name in names), names
    code = 'import sys, oracle_checker; print([name for name in sys.modules if name.startswith("gemma4")])'
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == '[]', done.stdout + done.stderr


@pytest.mark.timeout(0)
def test_no_plan_and_no_misuse_of_a_permit_gets_an_unallowed_goal_sent(
    tmp_path: Path, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    policy_path, jog = hard_files(tmp_path)
    hard = Rules.read(policy_path, CONFIG / 'world.yaml', TOOLS, jog)
    kinds = [(load(), RULES), (load(str(policy_path), 'world.yaml', str(TOOLS), str(jog)), hard)]
    wanted, plans, admitted, sent, breaches = trials(2000, 100_000), 0, 0, 0, 0
    codes: Counter[str] = Counter()
    first: list[str] = []
    start = time.process_time()
    for seed in range(wanted // 50):
        (policy, catalogue), rules = kinds[seed % 2]
        cell = Cell(policy, catalogue, Judge(rules), seed)
        run = attack(cell, 50, seed)
        assert cell.judge.judged == len(cell.sent)
        assert Code.INTERNAL.name not in cell.codes
        plans, admitted, sent = plans + run.plans, admitted + run.admitted, sent + len(cell.sent)
        breaches += len(cell.judge.breaches)
        first += [f'seed {seed}: {text}' for text in cell.judge.breaches][:5]
        codes += cell.codes
    cpu_s = time.process_time() - start
    figures = {'admitted': admitted, 'goals_judged': sent, 'cpu_s': round(cpu_s, 1), 'codes': dict(codes.most_common())}
    record('T5', trials=plans, breaches=breaches, **figures)
    assert not first, first[:10]
    assert plans >= wanted and admitted > 0.1 * plans and sent > 0.2 * plans
    assert len(codes) >= 20, codes  # it leant on many rules, not on one


# the checker can fail ------------------------------------------------------------------------------------------------
IGNORED = [
    Code.STEP_NOT_ENABLED, Code.STEP_RUNNING, Code.PERMIT_CLOSED, Code.PERMIT_EPOCH, Code.STOPPED,
    Code.SIGNAL_STALE, Code.EXECUTOR_LEASE, Code.PERMIT_EXPIRED,
    Code.ARGUMENT_NOT_ALLOWED, Code.BAD_ARGUMENT, Code.REFERENCE_UNRESOLVED,
]  # fmt: skip


class FailOpen(Cell):
    """A gate that forgot one of its rules: where that one refuses, it sends."""

    forgotten = Code.NONE

    def dispatch(self, permit_id: str, step_id: str) -> Ticket:
        try:
            return super().dispatch(permit_id, step_id)
        except Refused as refused:
            held = self.judge.permits.get(permit_id)
            if refused.verdict.code is not self.forgotten or held is None or step_id not in held.run.steps:
                raise
            verdict = refused.verdict
        tool, args = held.run.call(step_id)
        values = {name: 99.5 if isinstance(value, dict) else value for name, value in args.items()}
        wrong = any(self.judge.rules.wrong_arguments(tool, values))
        goal = {} if wrong else self.judge.rules.goal(tool, values)
        self.send(permit_id, step_id, tool, goal)
        raise Refused(verdict)


@pytest.mark.parametrize('code', IGNORED, ids=lambda code: code.name)
def test_gate_that_forgets_a_rule_is_caught(code: Code) -> None:
    for seed in range(40):
        cell = FailOpen(*load(), Judge(RULES), seed)
        cell.forgotten = code
        attack(cell, 25, seed)
        if cell.judge.breaches:
            return
    pytest.fail(f'a gate without {code.name} was never caught')


def loosened(change: Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], None], folder: Path) -> tuple[Any, Any]:
    """Load a gate from files of which one was changed; the checker reads the true ones."""
    paths = (CONFIG / 'policy.yaml', CONFIG / 'world.yaml', TOOLS)
    values = [yaml.safe_load(path.read_text(encoding='utf-8')) for path in paths]
    change(*values)
    copies = [folder / name for name in ('policy.yaml', 'world.yaml', 'tools.yaml')]
    for path, value in zip(copies, values, strict=True):
        path.write_text(yaml.safe_dump(value, sort_keys=False), encoding='utf-8')
    return load(*(str(path) for path in copies))


def put(where: int, path: tuple[str, ...], value: object) -> Callable[..., None]:
    """Return what sets one value in policy (0), world (1) or tools (2)."""

    def change(*files: dict[str, Any]) -> None:
        place = files[where]
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = copy.deepcopy(value)

    return change


@pytest.mark.parametrize(
    'change',
    [
        put(0, ('tools', 'set_panel_value', 'args', 'value_bar', 'max'), 6.3),
        put(0, ('tools', 'set_panel_value', 'args', 'value_bar', 'min'), 0.4),
        put(0, ('modes', 'MANUAL'), 'irreversible'),
        put(0, ('signals', 'pose', 'max_age_s'), 600),
        put(0, ('leases', 'executor_s'), 5),
        put(0, ('permit', 'start_within_s'), 600),
        put(0, ('approvals', 'irreversible', 'typed', 'confirm'), False),
        put(0, ('approvals', 'motion', 'speech', 'confirm'), False),
        put(1, ('places', 'pump', 'pose', 'x_m'), 3.0001),
        put(1, ('places', 'storage', 'pose', 'yaw_rad'), 1.57),
        put(1, ('frame',), 'odom'),
        put(2, ('close_valve', 'goal', 'command'), 1),
        put(2, ('dock', 'goal', 'undock'), True),
        put(2, ('set_panel_value', 'goal', 'unit'), 'psi'),
        put(2, ('navigate_to', 'retry', 'times'), 3),
        put(2, ('pick', 'interface', 'name'), 'place_object'),
        put(2, ('move_arm', 'goal'), {'posture': '$posture', 'speed': 1.0}),
    ],
)
def test_gate_with_one_changed_value_is_caught(change: Callable[..., None], tmp_path: Path) -> None:
    policy, catalogue = loosened(change, tmp_path)
    for seed in range(60):
        cell = Cell(policy, catalogue, Judge(RULES), seed)
        attack(cell, 25, seed)
        if cell.judge.breaches:
            return
    pytest.fail('it was never caught')


def test_gate_that_takes_a_value_from_anywhere_is_caught() -> None:
    strict = copy.deepcopy(RULES)
    del strict.policy['tools']['set_panel_value']['args']['value_bar']['from']  # the gate's own policy has it
    for seed in range(40):
        cell = Cell(*load(), Judge(strict), seed)
        attack(cell, 25, seed)
        if any('may not come from read_gauge' in text for text in cell.judge.breaches):
            return
    pytest.fail('it was never caught')


def honest() -> tuple[Cell, str]:
    """Return a gate with a permit for two steps."""
    cell = Cell(*load(), Judge(RULES), 1)
    cell.recover()
    permit_id = cell.permit(Step('s1', 'navigate_to', {'place': 'pump'}), Step('s2', 'take_photo', {'target': 'pump'}))
    cell.judge.permitted(permit_id, cell.monitor.plan_bytes(permit_id), 'anna', 0, cell.now)
    return cell, permit_id


@pytest.mark.parametrize(
    ('what', 'words'),
    [
        (lambda judge, now: judge.latched('DISARMED'), 'DISARMED'),
        (lambda judge, now: judge.signal('estop', True, now), 'emergency stop'),
        (lambda judge, now: judge.signal('estop', None, now), 'emergency stop'),
        (lambda judge, now: judge.signal('mode', 'MANUAL', now), 'the mode was'),
        (lambda judge, now: judge.signal('mode', 'BOGUS', now), 'the mode was'),
        (lambda judge, now: judge.signal('pose', None, now - 0.6), 'pose was old'),
        (lambda judge, now: judge.signal('pose', None, now + 0.6), 'pose was old'),
        (lambda judge, now: judge.life('deadman', now - 0.6), 'deadman was silent'),
        (lambda judge, now: judge.life('executor', now - 1.1), 'executor was silent'),
        (lambda judge, now: judge.closed('id1'), 'closed'),
        (lambda judge, now: judge.permits.clear(), 'nobody gave'),
    ],
)
def test_checker_sees_what_stood_against_a_goal(what: Callable[[Judge, float], None], words: str) -> None:
    cell, permit_id = honest()
    assert permit_id == 'id1'
    what(cell.judge, cell.now)
    cell.dispatch(permit_id, 's1')  # the gate was not told
    assert any(words in text for text in cell.judge.breaches), cell.judge.breaches


def test_honest_run_of_a_plan_is_no_breach() -> None:
    cell, permit_id = honest()
    for name in ('s1', 's2'):
        ticket = cell.dispatch(permit_id, name)
        cell.monitor.finish(ticket, True, {}, cell.now)
        cell.judge.result(permit_id, name, True, {}, cell.now)
    assert isinstance(cell.monitor.view(cell.now).verdict, Allow)
    assert (cell.judge.breaches, len(cell.sent)) == ([], 2)
