# SPDX-License-Identifier: Apache-2.0
"""Every expectation of the command sets has a witness plan, found by a small search of this file's own.

The search knows the YAML files alone and nothing of the planner: what an entry asks for can be had with the tools of
its world, within its step limit, without what it forbids, and with everything else as it was.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SETS = [ROOT / 'config/eval' / f'commands_{name}.yaml' for name in ('dev', 'dev2', 'dev3', 'test')]
FREE_OF_ROBOT = ('at', 'arm', 'docked')  # what may differ at the end without being asked for
MAX_STATES = 200_000

Fact = tuple[str, ...]  # ('at', 'red_toolbox', 'storage'): the value stands last
State = dict[Fact, str]  # ('at', 'red_toolbox') -> 'storage'


@functools.cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def fact_of(text: str) -> Fact:
    """Parse ``at(red_toolbox, storage)``."""
    match = re.fullmatch(r'(\w+)\((.*)\)', text)
    assert match, f'not a fact: {text!r}'
    return (match[1], *(word.strip() for word in match[2].split(',')))


def pattern_of(text: str) -> tuple[str, dict[str, str | float]]:
    """Parse ``set_panel_value(value_bar=4.5)`` into a tool and the arguments that it fixes."""
    match = re.fullmatch(r'(\w+)(?:\((.*)\))?', text)
    assert match, f'not a step pattern: {text!r}'
    args = dict(part.split('=', 1) for part in (match[2] or '').split(',') if part.strip())
    return match[1], {name.strip(): number_or_word(value.strip()) for name, value in args.items()}


def number_or_word(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text


@dataclass(frozen=True)
class Action:
    """A tool with all its arguments."""

    tool: str
    args: tuple[tuple[str, str | float], ...]
    needs: tuple[str, ...]
    gives: tuple[str, ...]

    def matches(self, text: str) -> bool:
        tool, wanted = pattern_of(text)
        mine = dict(self.args)
        return tool == self.tool and all(mine[name] == value for name, value in wanted.items())


class Setting:
    """A world with its tools: what can be done, and the facts at the start."""

    def __init__(self, world: Path, tools: list[Path]) -> None:
        self.world = load(world)
        files = [load(path) for path in tools]
        self.tools = {k: v for file in files for k, v in file.items() if k not in ('tools', 'intents')}
        self.things = {**self.world['objects'], **self.world['equipment']}
        self.initial: State = {('at', name): thing['place'] for name, thing in self.things.items()}
        self.initial.update(states(self.world['initial']))

    def values(self, enum: Any) -> list[str]:
        """Ids that an argument may take: ``world.places``, ``world.equipment.valve``, a literal, or a list of these."""
        if isinstance(enum, list):
            return [value for part in enum for value in self.values(part)]
        section, _, kind = enum.removeprefix('world.').partition('.')
        if not enum.startswith('world.'):
            return [enum]
        return [name for name, entry in self.world[section].items() if not kind or entry['kind'] == kind]

    def actions(self, tool: str, fixed: dict[str, str | float] | None = None) -> list[Action]:
        """All groundings of a tool; a number that is not fixed stands at its lower bound."""
        spec = self.tools[tool]
        choices = []
        for name, arg in spec['args'].items():
            ids = self.values(arg['enum']) if 'enum' in arg else [arg['min']]
            choices.append([(name, value) for value in ([fixed[name]] if fixed and name in fixed else ids)])
        return [
            Action(tool, args, *(tuple(bind(t, dict(args)) for t in spec[k]) for k in ('needs', 'gives')))
            for args in itertools.product(*choices)
        ]

    def term(self, text: str, state: State) -> str:
        """Value of a term now: an id, ``at(x)``, or ``place_of(x)``."""
        call = re.fullmatch(r'(\w+)\((\w+)\)', text)
        if not call:
            return text
        if call[1] == 'place_of':
            return call[2] if call[2] in self.world['places'] else state[('at', call[2])]
        return state[(call[1], call[2])]

    def resolve(self, text: str, state: State) -> Fact:
        """The fact that a need or an effect speaks of, with nested terms replaced by their values now."""
        inner = re.sub(r'(?<=[(,])\s*\w+\(\w+\)', lambda m: self.term(m[0].strip(), state), text)
        return fact_of(inner)

    def runs(self, action: Action, state: State) -> bool:
        return all(state.get(f[:-1]) == f[-1] for f in (self.resolve(need, state) for need in action.needs))

    def after(self, action: Action, state: State) -> State:
        given = [self.resolve(give, state) for give in action.gives]
        return {**state, **{f[:-1]: f[-1] for f in given}}


def states(facts: list[str]) -> State:
    return {f[:-1]: f[-1] for f in map(fact_of, facts)}


def bind(text: str, args: dict[str, Any]) -> str:
    return re.sub(r'\$(\w+)', lambda match: str(args[match[1]]), text)


@dataclass
class Witness:
    """A plan that grows as the parts of an expectation are met."""

    setting: Setting
    moves: list[Action]  # what the search may use to get from one part to the next
    state: State
    plan: list[Action]

    def do(self, pattern: str) -> None:
        """Come to where a step can be done, and do it."""
        tool, fixed = pattern_of(pattern)
        steps = self.setting.actions(tool, fixed)

        def doable(state: State) -> bool:
            return any(self.setting.runs(step, state) for step in steps)

        self.search(doable, {})
        step = next(step for step in steps if self.setting.runs(step, self.state))
        self.plan.append(step)
        self.state = self.setting.after(step, self.state)

    def reach(self, goal: State) -> None:
        self.search(lambda state: all(state.get(k) == v for k, v in goal.items()), goal)

    def search(self, done: Any, goal: State) -> None:
        """A* over the moves; a step makes at most two wanted facts true, so half of those left is a lower bound."""

        def left(state: State) -> float:
            return sum(state.get(k) != v for k, v in goal.items()) / 2

        order = itertools.count()
        heap = [(left(self.state), next(order), self.state, [])]
        seen: set[frozenset[Any]] = set()
        while heap and len(seen) < MAX_STATES:
            _, _, state, path = heapq.heappop(heap)
            if done(state):
                self.state, self.plan = state, self.plan + path
                return
            key = frozenset(state.items())
            if key in seen:
                continue
            seen.add(key)
            for move in self.moves:
                if self.setting.runs(move, state):
                    new = self.setting.after(move, state)
                    heapq.heappush(heap, (len(path) + 1 + left(new), next(order), new, [*path, move]))
        told = [action.tool for action in self.plan]
        pytest.fail(f'cannot reach {goal or "the step"} within {len(seen)} states; so far {told}')


def moves_of(setting: Setting, entry: dict[str, Any], never: list[str]) -> list[Action]:
    """Actions that change a fact, are not forbidden, and touch no object that the expectation does not name."""
    spoken = str(entry['expect']) + ' '.join(f'{k} {v}' for k, v in states(entry.get('state', [])).items())
    idle = {name for name in setting.world['objects'] if not re.search(rf'\b{name}\b', spoken)}
    every = [action for tool in setting.tools for action in setting.actions(tool) if action.gives]
    return [a for a in every if not idle & {v for _, v in a.args} and not any(a.matches(bad) for bad in never)]


def kept(start: State, goal: State, robot: str) -> State:
    """What stays as it was: all but the goal and the robot's own place, posture and docking."""
    return {k: v for k, v in start.items() if k not in goal and not (k[0] in FREE_OF_ROBOT and k[1] == robot)}


def with_repeats(steps: list[str], count: dict[str, int]) -> list[str]:
    """The steps, with counted ones that are listed fewer times than counted repeated where they stand first."""
    out = list(steps)
    for pattern, wanted in count.items():
        listed = [step for step in out if pattern_of(step)[0] == pattern_of(pattern)[0]]
        at = out.index(listed[0]) if listed else len(out)
        out[at:at] = [listed[0] if listed else pattern] * (wanted - len(listed))
    return out


def branches(expect: dict[str, Any]) -> list[tuple[list[str], dict[str, Any]]]:
    """(steps before, expectation) pairs: one of a plain command, two of a conditional one."""
    if 'if' not in expect:
        return [([], expect)]
    return [(expect['if']['after'], expect['if'][side]) for side in ('then', 'else')]


def entries() -> list[Any]:
    found = [entry for path in SETS if path.exists() for entry in load(path)['commands']]
    return [pytest.param(entry, id=entry['id']) for entry in found if 'plan' in entry['expect']['kind']]


@pytest.mark.parametrize('entry', entries())
def test_an_expectation_has_a_witness_plan(entry: dict[str, Any]) -> None:
    setting = Setting(ROOT / entry['world'], [ROOT / path for path in entry['tools']])
    expect = entry['expect']
    start = {**setting.initial, **states(entry.get('state', []))}
    for before, part in branches(expect):
        never = expect.get('never', []) + part.get('never', [])
        witness = Witness(setting, moves_of(setting, entry, never), start, [])
        listed = [*before, *expect.get('steps', []), *(part.get('steps', []) if part is not expect else [])]
        for step in with_repeats(listed, expect.get('count', {})):
            witness.do(step)
        goal = states(expect.get('goal', []) + part.get('goal', []))
        robot = setting.world['robot']['id']
        witness.reach(goal | (kept(start, goal, robot) if expect.get('unchanged', True) else {}))
        told = [(a.tool, *dict(a.args).values()) for a in witness.plan]
        assert witness.plan or 'if' in expect, 'holds already: an empty plan would pass'
        assert len(witness.plan) <= expect.get('max_steps', 24), told
        assert not [a for a in witness.plan for bad in never if a.matches(bad)], told
        for pattern, wanted in expect.get('count', {}).items():
            assert sum(a.matches(pattern) for a in witness.plan) == wanted, told
