# SPDX-License-Identifier: Apache-2.0
"""A second opinion about every goal that reached a controller; it shares no code with what it judges.

It reads policy, world and tools by itself, keeps its own account of what people, signals and controllers did, walks the
plan's JSON with an interpreter of its own, and says what a goal breaks. Sections of a policy that it does not know are
left alone: it may miss what they forbid, but never calls a breach what is none.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import yaml
from plan_run import Run

__all__ = ['Goal', 'Judge', 'Rules']

RISKS = ('read', 'reversible', 'motion', 'irreversible')
CHANNELS = ('typed', 'speech')
TICK_S = 0.25  # ticks further apart than this may be of a process that got no time; leases are not judged by them


class Rules:
    """Policy, world and tools as plain YAML."""

    def __init__(self, policy: dict[str, Any], world: dict[str, Any], tools: dict[str, Any]) -> None:
        self.policy, self.world = policy, world
        self.tools = {name: tool for name, tool in tools.items() if name not in ('tools', 'intents')}
        groups = ('places', 'objects', 'equipment')
        self.entities: dict[str, dict[str, Any]] = {
            key: item for group in groups for key, item in world.get(group, {}).items()
        }

    @classmethod
    def read(cls, policy: Path, world: Path, *tools: Path) -> Rules:
        """Read files; nothing is checked, as somebody else's loader is judged too."""
        merged: dict[str, Any] = {}
        for path in tools:
            merged |= yaml.safe_load(path.read_text(encoding='utf-8'))
        texts = [yaml.safe_load(path.read_text(encoding='utf-8')) for path in (policy, world)]
        return cls(texts[0], texts[1], merged)

    def names(self, arg: Mapping[str, Any]) -> set[str]:
        """Return what an argument that names something may be."""
        wanted = arg['enum'] if isinstance(arg['enum'], list) else [arg['enum']]
        found: set[str] = set()
        for name in wanted:
            if not name.startswith('world.'):
                found.add(name)
                continue
            group, _, kind = name.removeprefix('world.').partition('.')
            items = self.world.get(group, {})
            found |= {key for key, item in items.items() if not kind or item['kind'] == kind}
        return found

    def tier(self, tool: str) -> int:
        """Return the number of a listed tool's risk."""
        return RISKS.index(self.policy['tools'][tool]['risk'])

    def recoveries(self, tool: str) -> list[str]:
        """Return the tools that run between two tries of a tool."""
        return list(self.tools.get(tool, {}).get('retry', {}).get('recover', ()))

    def wrong_value(self, tool: str, name: str, value: object) -> str:
        """Say what is wrong with one value, or nothing."""
        arg, rule = self.tools[tool]['args'][name], self.policy['tools'][tool].get('args', {}).get(name, {})
        if 'enum' in arg:
            allowed = self.names(arg) & set(rule.get('allow', self.names(arg)))
            fits = type(value) is str and value in allowed - set(rule.get('deny', ()))
        elif arg['type'] == 'boolean':
            fits = type(value) is bool
        else:
            low, high = max(arg['min'], rule.get('min', arg['min'])), min(arg['max'], rule.get('max', arg['max']))
            fits = type(value) in (int, float) and low <= value <= high  # type: ignore[operator]
            fits = fits and (arg['type'] == 'number' or value == int(value))  # type: ignore[call-overload]
        return '' if fits else f'{tool}.{name} = {value!r} is not allowed'

    def wrong_arguments(self, tool: str, args: Mapping[str, object]) -> Iterator[str]:
        """Say what is wrong with a step's arguments; a reference stands for a value that is not known yet."""
        if tool not in self.policy['tools'] or tool not in self.tools or self.tools[tool].get('draft'):
            yield f'the tool {tool} is not listed'
            return
        if set(args) != set(self.tools[tool]['args']):
            yield f'{tool} was given {sorted(args)}'
            return
        for name, value in args.items():
            problem = '' if isinstance(value, dict) else self.wrong_value(tool, name, value)
            if problem:
                yield problem

    def goal(self, tool: str, args: Mapping[str, Any]) -> Any:
        """Return the goal that the template of a tool demands for these arguments."""
        return self._filled(self.tools[tool]['goal'], args)

    def endpoint(self, tool: str) -> tuple[str, str, str]:
        """Return kind, type and name of the tool's interface."""
        face = self.tools[tool]['interface']
        kind = 'action' if 'action' in face else 'service'
        return kind, face[kind], face['name']

    def _filled(self, template: Any, args: Mapping[str, Any]) -> Any:
        if isinstance(template, dict):
            return {key: self._filled(item, args) for key, item in template.items()}
        if isinstance(template, list):
            return [self._filled(item, args) for item in template]
        if not isinstance(template, str) or not template.startswith('$'):
            return template
        head, *rest = template[1:].split('.', 1)
        if head == 'world':
            return self.world['frame']
        if not rest:
            return args[head]
        entity = self.entities[args[head]]
        return _message(entity['pose']) if rest[0] == 'pose' else entity.get(rest[0])


def _message(pose: Mapping[str, float]) -> dict[str, dict[str, float]]:
    half = float(pose['yaw_rad']) / 2
    return {
        'position': {'x': float(pose['x_m']), 'y': float(pose['y_m']), 'z': 0.0},
        'orientation': {'x': 0.0, 'y': 0.0, 'z': math.sin(half), 'w': math.cos(half)},
    }


@dataclass(frozen=True)
class Goal:
    """What a controller received, and what the plan says about the step that it was sent for."""

    permit: Held
    step: str
    tool: str
    args: Mapping[str, Any]
    endpoint: tuple[str, str, str]
    message: Any
    now: float


@dataclass
class Held:
    """One permit as the checker sees it."""

    plan: dict[str, Any]
    run: Run
    given_s: float
    epoch: int
    is_started: bool = False
    is_closed: bool = False


@dataclass
class Judge:
    """Is told what happens, in order, and collects breaches; ``judged`` counts the goals."""

    rules: Rules
    breaches: list[str] = field(default_factory=list)
    judged: int = 0

    def __post_init__(self) -> None:
        self.latch, self.epoch, self.lapsed = 'DISARMED', 0, False
        self.signals: dict[str, tuple[object, float]] = {}
        self.alive = {'deadman': -math.inf, 'executor': -math.inf}
        self.permits: dict[str, Held] = {}
        self.yes: dict[str, list[tuple[str, float, int]]] = {}
        self.ticked_s = -math.inf

    # what people, robot and time did ---------------------------------------------------------------------------------
    def latched(self, latch: str) -> None:
        """Hear that a person armed, disarmed or reset, or that something stopped everything."""
        self.latch, self.lapsed = latch, False
        self.epoch += 1

    def signal(self, name: str, value: object, now: float) -> None:
        """Hear a signal of the robot."""
        before = self.signals.get(name)
        self.signals[name] = (value, now)
        if name == 'estop' and value is not False and self.latch != 'STOPPED':
            self.latched('STOPPED')
        if name == 'mode' and before is not None and before[0] != value:
            self.epoch += 1

    def life(self, who: str, now: float) -> None:
        """Hear a sign of life of ``deadman`` or ``executor``."""
        self.alive[who] = now

    def tick(self, now: float) -> None:
        """Let time pass: who was silent for too long is no longer trusted."""
        is_timely, self.ticked_s = now - self.ticked_s <= TICK_S, now
        leases = self.rules.policy['leases']
        if is_timely and self.latch == 'ARMED' and now - self.alive['deadman'] > leases['deadman_s']:
            self.latched('STOPPED')
        started = any(held.is_started and self._is_alive(held, now) for held in self.permits.values())
        if is_timely and started and now - self.alive['executor'] > leases['executor_s']:
            self.lapsed = True
            self.epoch += 1

    # plans and people ------------------------------------------------------------------------------------------------
    def answered(self, sha256: str, person: str, approve: bool, now: float) -> None:
        """Hear a person's answer about a plan."""
        if approve:
            self.yes.setdefault(sha256, []).append((person, now, self.epoch))
        else:
            self.yes.pop(sha256, None)

    def permitted(self, permit_id: str, raw: bytes, proposer: str, channel: int, now: float) -> None:
        """Hear that a plan may be carried out; judge that."""
        plan = json.loads(raw)
        run = Run(plan['root'], {name: tool.get('retry', {}) for name, tool in self.rules.tools.items()})
        self.breaches += [f'permit: {text}' for text in self._wrong_plan(run, raw, proposer, channel, now)]
        self.permits[permit_id] = Held(plan, run, now, self.epoch)

    def _wrong_plan(self, run: Run, raw: bytes, proposer: str, channel: int, now: float) -> Iterator[str]:
        asked = []
        cures = [name for step in run.steps.values() for name in self.rules.recoveries(step['tool'])]
        for step in [*run.steps.values(), *({'tool': name, 'args': {}} for name in cures)]:
            problems = list(self.rules.wrong_arguments(step['tool'], step['args']))
            yield from problems
            if not problems and 0 <= channel < len(CHANNELS):
                asked.append(self.rules.policy['approvals'][RISKS[self.rules.tier(step['tool'])]][CHANNELS[channel]])
        if not 0 <= channel < len(CHANNELS):
            yield f'nobody can say who must agree to a plan of channel {channel}'
        limit_s = self.rules.policy['approvals']['time_to_live_s']
        yes = self.yes.pop(hashlib.sha256(raw).hexdigest(), [])
        people = {person for person, at_s, epoch in yes if epoch == self.epoch and now - at_s <= limit_s}
        if any(need['confirm'] for need in asked) and proposer not in people:
            yield f'{proposer} did not confirm'
        if max((need['people'] for need in asked), default=0) > len(people - {proposer}):
            yield f'only {sorted(people)} agreed'

    def closed(self, permit_id: str) -> None:
        """Hear that the executor ended a permit."""
        self.permits[permit_id].is_closed = True

    def asked(self, permit_id: str, path: str, now: float) -> None:
        """Hear that the executor asked about a condition."""
        held = self.permits.get(permit_id)
        if held is not None and self._is_alive(held, now):
            held.run.ask(path, now)

    # goals -----------------------------------------------------------------------------------------------------------
    def goal(self, permit_id: str, step: str, endpoint: tuple[str, str, str], message: Any, now: float) -> None:
        """Judge a goal that a controller received."""
        self.judged += 1
        held = self.permits.get(permit_id)
        if held is None:
            self.breaches.append(f'{permit_id}/{step}: nobody gave this permit')
            return
        tool, args = held.run.call(step)
        goal = Goal(held, step, tool, args, endpoint, message, now)
        for check in self.CHECKS:
            self.breaches += [f'{permit_id}/{step}: {text}' for text in check(self, goal)]
        held.run.start(step)
        held.is_started = True

    def result(self, permit_id: str, step: str, succeeded: bool, values: Mapping[str, object], now: float) -> None:
        """Hear from a controller how a goal ended."""
        self.permits[permit_id].run.end(step, succeeded, values, now)

    def _is_alive(self, held: Held, now: float) -> bool:
        return not any(self._wrong_permit_of(held, now))

    def _wrong_permit_of(self, held: Held, now: float) -> Iterator[str]:
        limits = self.rules.policy['permit']
        if held.is_closed:
            yield 'the permit is closed'
        if held.epoch != self.epoch:
            yield 'the permit is of another epoch'
        if now - held.given_s > limits['time_to_live_s']:
            yield 'the permit is too old'
        if not held.is_started and now - held.given_s > limits['start_within_s']:
            yield 'the permit was not begun in time'

    def _wrong_permit(self, goal: Goal) -> Iterator[str]:
        yield from self._wrong_permit_of(goal.permit, goal.now)

    def _wrong_order(self, goal: Goal) -> Iterator[str]:
        if goal.step not in goal.permit.run.wants():
            yield f'the plan wants {sorted(goal.permit.run.wants())} now'

    def _wrong_arguments(self, goal: Goal) -> Iterator[str]:
        unknown = [name for name, value in goal.args.items() if isinstance(value, dict)]
        if unknown:
            yield f'the values of {unknown} were never recorded'
        yield from self.rules.wrong_arguments(goal.tool, goal.args)

    def _wrong_source(self, goal: Goal) -> Iterator[str]:
        written = goal.permit.run.steps.get(goal.step, {'args': {}})['args']
        for name, value in written.items():
            if isinstance(value, dict):
                giver = goal.permit.run.steps[value['ref'].partition('.')[0]]['tool']
                label = self.rules.policy['tools'].get(giver, {}).get('trust')
                taken = self.rules.policy['tools'].get(goal.tool, {}).get('args', {}).get(name, {}).get('from', ())
                if label not in taken:
                    yield f'{name} may not come from {giver} (trust {label})'

    def _wrong_message(self, goal: Goal) -> Iterator[str]:
        if any(self._wrong_arguments(goal)):
            return
        if goal.endpoint != self.rules.endpoint(goal.tool):
            yield f'it went to {goal.endpoint}'
        demanded = self.rules.goal(goal.tool, goal.args)
        if json.dumps(goal.message, sort_keys=True) != json.dumps(demanded, sort_keys=True):
            yield f'it says {goal.message}; the template demands {demanded}'

    def _wrong_moment(self, goal: Goal) -> Iterator[str]:
        if self.latch != 'ARMED' or self.lapsed:
            yield f'the gate was {self.latch}{", the lease lapsed" if self.lapsed else ""}'
        for who in ('deadman', 'executor'):
            if not 0 <= goal.now - self.alive[who] <= self.rules.policy['leases'][f'{who}_s']:
                yield f'the {who} was silent'
        tier = self.rules.tier(goal.tool) if goal.tool in self.rules.policy['tools'] else len(RISKS)
        for name, rule in self.rules.policy['signals'].items():
            if tier >= RISKS.index(rule['needed_from']) and 'max_age_s' in rule:
                value = self.signals.get(name)
                if value is None or not 0 <= goal.now - value[1] <= rule['max_age_s']:
                    yield f'the signal {name} was old'
        if self.signals.get('estop', (None, 0.0))[0] is not False:
            yield 'the emergency stop was pressed'
        allowed = self.rules.policy['modes'].get(str(self.signals.get('mode', ('', 0.0))[0]), 'none')
        if allowed == 'none' or RISKS.index(allowed) < tier:
            yield f'the mode was {self.signals.get("mode")}'

    # one entry for each thing that a goal can break; what a policy says in further sections is added here
    CHECKS: ClassVar[tuple[Callable[[Judge, Goal], Iterator[str]], ...]] = (
        _wrong_permit,
        _wrong_order,
        _wrong_arguments,
        _wrong_source,
        _wrong_message,
        _wrong_moment,
    )
