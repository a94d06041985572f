# SPDX-License-Identifier: Apache-2.0
"""An interpreter of a plan's JSON for the checker of goals: what may come next, given what controllers reported.

Nodes are objects that change, unlike the gate's automaton; it shares no code with it.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

__all__ = ['Run']

_COMPARE = {
    '<': operator.lt,
    '<=': operator.le,
    '>': operator.gt,
    '>=': operator.ge,
    '==': operator.eq,
    '!=': operator.ne,
}


class _Leaf:
    """A step with its tries and, between two tries, its recoveries."""

    def __init__(self, step: dict[str, Any], retry: Mapping[str, Any]) -> None:
        self.id, self.tries, self.cures = step['id'], 1 + retry.get('times', 0), list(retry.get('recover', ()))
        self.reset()

    def reset(self) -> None:
        self.failures, self.cured, self.running, self.done = 0, 0, '', False

    def state(self) -> bool | None:
        if self.done:
            return True
        return False if not self.running and self.failures >= self.tries else None

    def busy(self) -> bool:
        return bool(self.running)

    def wants(self) -> set[str]:
        if self.running or self.state() is not None:
            return set()
        if self.failures and self.cured < len(self.cures):
            return {f'{self.id}/recover/{self.cures[self.cured]}'}
        return {self.id}

    def settle(self) -> None:
        """Do nothing: a step changes by what happens to it."""

    def end(self, name: str, succeeded: bool) -> None:
        self.running = ''
        if name != self.id:
            self.cured += 1
        elif succeeded:
            self.done = True
        else:
            self.failures, self.cured = self.failures + 1, 0


class _Row:
    """Children in order, until one fails (``until`` False: a sequence) or succeeds (True: a fallback)."""

    def __init__(self, parts: list[Any], until: bool) -> None:
        self.parts, self.until = parts, until

    def reset(self) -> None:
        for part in self.parts:
            part.reset()

    def state(self) -> bool | None:
        for part in self.parts:
            state = part.state()
            if state is None or state is self.until:
                return state
        return not self.until

    def busy(self) -> bool:
        return any(part.busy() for part in self.parts)

    def wants(self) -> set[str]:
        for part in self.parts:
            state = part.state()
            if state is None:
                return part.wants()
            if state is self.until:
                break
        return set()

    def settle(self) -> None:
        for part in self.parts:
            part.settle()


class _Side(_Row):
    """Children at once: ``until`` is the outcome of one child that decides for all."""

    def decided(self) -> bool | None:
        states = [part.state() for part in self.parts]
        if self.until in states:
            return self.until
        return None if None in states else not self.until

    def state(self) -> bool | None:
        return None if self.busy() else self.decided()

    def wants(self) -> set[str]:
        return set() if self.decided() is not None else set().union(*(part.wants() for part in self.parts))


class _Loop(_Row):
    """One child, ``times`` times."""

    def __init__(self, part: Any, times: int) -> None:
        super().__init__([part], until=False)
        self.times, self.rounds = times, 1

    def reset(self) -> None:
        super().reset()
        self.rounds = 1

    def settle(self) -> None:
        super().settle()
        if self.parts[0].state() is True and self.rounds < self.times:
            self.parts[0].reset()
            self.rounds += 1


class _Choice(_Row):
    """Two branches, of which an answer, given once, opens one."""

    def __init__(self, path: str, condition: dict[str, Any], branches: dict[bool, Any]) -> None:
        super().__init__(list(branches.values()), until=False)
        self.path, self.condition, self.branches, self.answer = path, condition, branches, None

    answer: bool | None

    def reset(self) -> None:
        super().reset()
        self.answer = None

    def state(self) -> bool | None:
        if self.answer is None:
            return None
        return self.branches[self.answer].state() if self.answer in self.branches else True

    def wants(self) -> set[str]:
        if self.answer is None:
            return {self.path}
        return self.branches[self.answer].wants() if self.answer in self.branches else set()


class Run:
    """
    One run of a plan.

    Parameters
    ----------
    root : dict
        The plan's root node, as JSON.
    retries : mapping
        ``retry`` of each tool of the tools file.

    """

    def __init__(self, root: dict[str, Any], retries: Mapping[str, Mapping[str, Any]]) -> None:
        self.steps: dict[str, dict[str, Any]] = {}
        self._retries = retries
        self._leaves: dict[str, _Leaf] = {}
        self._choices: dict[str, _Choice] = {}
        self._results: dict[str, tuple[Mapping[str, Any], float]] = {}
        self._root = self._built(root, '')

    def _built(self, node: dict[str, Any], path: str) -> Any:
        if 'tool' in node:
            self.steps[node['id']] = node
            self._leaves[node['id']] = _Leaf(node, self._retries.get(node['tool'], {}))
            return self._leaves[node['id']]
        for kind, until in (('sequence', False), ('fallback', True)):
            if kind in node:
                return _Row([self._built(item, f'{path}/{n}') for n, item in enumerate(node[kind])], until)
        if 'parallel' in node:
            parts = [self._built(item, f'{path}/{n}') for n, item in enumerate(node['parallel'])]
            return _Side(parts, until=node['policy'] == 'any')
        if 'repeat' in node:
            return _Loop(self._built(node['repeat'], f'{path}/0'), node['times'])
        names = {True: 'then', False: 'else'}
        branches = {key: self._built(node[name], f'{path}/{name}') for key, name in names.items() if name in node}
        choice = _Choice(path or '/', node['if'], branches)
        self._choices[choice.path] = choice
        return choice

    def wants(self) -> set[str]:
        """Return the steps and recoveries that may be sent and the conditions that may be asked now."""
        return self._root.wants()

    def is_over(self) -> bool:
        """Say whether nothing can follow."""
        return self._root.state() is not None

    def call(self, name: str) -> tuple[str, dict[str, Any]]:
        """Return tool and arguments of a step or recovery with recorded values in the place of references."""
        owner, _, cure = name.partition('/recover/')
        if owner not in self.steps:
            return f'none for {name}', {}
        if cure:
            return cure, {}
        args = dict(self.steps[name]['args'])
        for key, value in args.items():
            if isinstance(value, dict):
                step, _, result = value['ref'].partition('.')
                args[key] = self._results.get(step, ({}, 0.0))[0].get(result, value)
        return self.steps[name]['tool'], args

    def start(self, name: str) -> None:
        """Hear that a step was sent."""
        leaf = self._leaves.get(name.partition('/')[0])
        if leaf is not None:
            leaf.running = name

    def end(self, name: str, succeeded: bool, values: Mapping[str, object], now: float) -> None:
        """Hear how it ended."""
        leaf = self._leaves.get(name.partition('/')[0])
        if leaf is None or leaf.running != name:
            return
        leaf.end(name, succeeded)
        if succeeded:
            self._results[name] = (dict(values), now)
        self._root.settle()

    def ask(self, path: str, now: float) -> None:
        """Decide a condition, if it is its turn and its value is known."""
        if path not in self._choices or path not in self.wants():
            return
        choice = self._choices[path]
        choice.answer = self._answer(choice.condition, now)
        self._root.settle()

    def _answer(self, condition: dict[str, Any], now: float) -> bool | None:
        step, _, name = condition['ref'].partition('.')
        values, at_s = self._results.get(step, ({}, -math.inf))
        value, wanted = values.get(name), condition['value']
        plain = isinstance(value, bool | str) or isinstance(wanted, bool | str)
        known = type(value) is type(wanted) if plain else value is not None and math.isfinite(value)
        if not known or not 0 <= now - at_s <= condition['max_age_s']:
            return {'hold': None, 'true': True, 'false': False}[condition['on_unknown']]
        return bool(_COMPARE[condition['op']](value, wanted))
