# SPDX-License-Identifier: Apache-2.0
"""The policy's file: loaded strictly, every name held against the tools, the hazards and the signals."""

from __future__ import annotations

import base64
import calendar
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import shapely

from gemma4_ros.core import documents
from gemma4_ros.core.errors import PolicyError
from gemma4_ros.core.gate.policy import (
    CHANNELS,
    Approval,
    ArgumentRule,
    Event,
    Limit,
    Person,
    Policy,
    Post,
    SequenceRule,
    SignalRule,
    Test,
    ToolRule,
    When,
)
from gemma4_ros.core.gate.policy_schema import POLICY
from gemma4_ros.core.gate.zones import Area, Zones
from gemma4_ros.core.nearest import suggest
from gemma4_ros.core.schemas import RISKS
from gemma4_ros.core.tools import Arg, Tool, Toolset

__all__ = ['load_policy', 'make_area', 'tier_of']

_SEGMENTS = 16  # of a quarter circle: a rounded corner is at most 0.13 % of the margin too small
RATE_WINDOW_S = 60.0
_TWO_EVENTS = ('precedence', 'response', 'never_after', 'exclusive')


def load_policy(text: str, source: str, toolset: Toolset) -> Policy:
    """Build a policy from YAML; raise PolicyError with file, line, path, what is wrong and the nearest right name."""
    return _Reader(text, source, toolset).policy()


class _Reader:
    """One document on its way to a policy."""

    def __init__(self, text: str, source: str, toolset: Toolset) -> None:
        self._document = documents.load(text, source, POLICY, PolicyError)
        self._raw: dict[str, Any] = self._document.root
        self._sha256 = hashlib.sha256(text.encode('utf-8')).hexdigest()
        self._toolset = toolset

    def policy(self) -> Policy:
        raw, rates = self._raw, self._raw.get('rates', {})
        return Policy(
            name=raw['name'],
            version=raw['version'],
            sha256=self._sha256,
            hazards=raw['hazards'],
            signals={name: self._signal(name, item) for name, item in raw['signals'].items()},
            modes={name: tier_of(risk) for name, risk in raw['modes'].items()},
            tools={name: self._tool(name, item) for name, item in raw['tools'].items()},
            approvals={
                (tier_of(risk), channel): self._approval(risk, channel) for risk in RISKS for channel in CHANNELS
            },
            approval_ttl_s=float(raw['approvals']['time_to_live_s']),
            permit_ttl_s=float(raw['permit']['time_to_live_s']),
            start_within_s=float(raw['permit']['start_within_s']),
            executor_lease_s=float(raw['leases']['executor_s']),
            deadman_lease_s=float(raw['leases']['deadman_s']),
            zones=self._zones(raw['zones']) if 'zones' in raw else None,
            sequences=tuple(self._sequence(name, item) for name, item in raw.get('sequences', {}).items()),
            people={name: self._person(name, item) for name, item in raw.get('people', {}).items()},
            plans_per_minute=float(rates.get('plans_per_minute', math.inf)),
            plans_per_person=float(rates.get('plans_per_person', math.inf)),
            expires=self._date(raw.get('expires', '')),
        )

    def _wrong(self, path: tuple[str, ...], text: str) -> PolicyError:
        return PolicyError(f'{self._document.at(path)}: {text}')

    def _known(self, path: tuple[str, ...], what: str, name: str, known: Mapping[str, object]) -> str:
        if name not in known:
            raise self._wrong(path, f'unknown {what} {name!r}{suggest(name, list(known))}')
        return name

    def _hazard(self, path: tuple[str, ...], name: str) -> str:
        return self._known(path, 'hazard', name, self._raw['hazards']) if name else ''

    def _date(self, text: str) -> str:
        year, month, day = (int(part) for part in (text or '2000-01-01').split('-'))
        if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
            raise self._wrong(('expires',), f'{text!r} is no day of the calendar')
        return text

    # signals, zones, people ------------------------------------------------------------------------------------------
    def _signal(self, name: str, item: dict[str, Any]) -> SignalRule:
        if name in ('mode', 'estop') and 'field' not in item:
            raise self._wrong(('signals', name), "'field' is missing; the gate needs its value")
        return SignalRule(
            name,
            item['topic'],
            item['type'],
            item.get('field', ''),
            float(item['max_age_s']),
            tier_of(item['needed_from']),
            item['fresh_by'],
            float(item.get('frozen_after_s', math.inf)),
            frozenset(item.get('publishers', ())),
        )

    def _zones(self, raw: dict[str, Any]) -> Zones:
        signal = self._known(('zones', 'signal'), 'signal', raw['signal'], self._raw['signals'])
        areas = []
        for name, item in raw['areas'].items():
            where = ('zones', 'areas', name)
            hazard = self._hazard(where, item.get('hazard', ''))
            margin_m, is_keep_out = float(item.get('margin_m', raw['margin_m'])), item['kind'] == 'keep_out'
            try:
                areas.append(make_area(name, item['polygon'], margin_m, hazard, is_keep_out=is_keep_out))
            except ValueError as error:
                raise self._wrong(where, str(error)) from None
        return Zones(raw['frame'], signal, tuple(areas))

    def _person(self, name: str, item: dict[str, Any]) -> Person:
        key = base64.b64decode(item['key'])
        others = [other for other, entry in self._raw['people'].items() if entry['key'] == item['key']]
        if others != [name]:
            raise self._wrong(('people', name), f'{" and ".join(others)} have the same key; each person has an own one')
        return Person(name, key, frozenset(item['roles']))

    def _approval(self, risk: str, channel: str) -> Approval:
        approval = Approval(**self._raw['approvals'][risk][channel])
        where, people = ('approvals', risk, channel), self._raw.get('people')
        fit = [name for name, item in (people or {}).items() if not approval.role or approval.role in item['roles']]
        if approval.role and people is None:
            raise self._wrong(where, "a role is asked for and 'people' lists nobody")
        if people is not None and len(fit) < approval.people:
            raise self._wrong(
                where, f'{approval.people} people of role {approval.role!r} must agree; {len(fit)} are listed'
            )
        return approval

    # tools -----------------------------------------------------------------------------------------------------------
    def _tool(self, name: str, item: dict[str, Any]) -> ToolRule:
        where = ('tools', name)
        self._known(where, 'tool', name, self._toolset.tools)
        tool, tier = self._toolset.tools[name], tier_of(item['risk'])
        hazard = self._hazard(where, item.get('hazard', ''))
        if tier < tier_of(tool.risk):
            raise self._wrong(where, f'{item["risk"]!r} is below {tool.risk!r} of the tools file')
        if tier >= tier_of('motion') and not hazard:
            raise self._wrong(where, f"'hazard' is missing; a risk of {item['risk']!r} has a hazard")
        limits = item.get('limits', {})
        ends_at = self._ends_at(tool, item.get('ends_at', ''))
        return ToolRule(
            name,
            tier,
            hazard,
            {key: self._argument(tool, key, rule) for key, rule in item.get('args', {}).items()},
            item.get('trust', ''),
            ends_at,
            tuple(self._when(tool, index, entry) for index, entry in enumerate(item.get('when', ()))),
            self._limits(tool, limits),
            limits.get('at_once', 256),
            self._post(tool, item['post'], ends_at) if 'post' in item else None,
        )

    def _ends_at(self, tool: Tool, path: str) -> str:
        value: Any = tool.goal
        for part in path.split('.') if path else ():
            value = value.get(part) if isinstance(value, Mapping) else None
        if path and not (isinstance(value, Mapping) and {'header', 'pose'} <= set(value)):
            raise self._wrong(
                ('tools', tool.name, 'ends_at'), f'the goal has no PoseStamped (header, pose) at {path!r}'
            )
        return path

    def _argument(self, tool: Tool, name: str, item: dict[str, Any]) -> ArgumentRule:
        where = ('tools', tool.name, 'args', name)
        arg = tool.args.get(name)
        if arg is None:
            raise self._wrong(where, f'{tool.name} takes no such argument{suggest(name, list(tool.args))}')
        numeric = arg.type in ('number', 'integer')
        wrong = {'allow', 'deny'} & set(item) if numeric else {'min', 'max', 'unit'} & set(item)
        if wrong or not item or (arg.type == 'boolean' and set(item) != {'from'}):
            raise self._wrong(where, 'names take allow or deny, numbers take min, max and unit; all take from')
        bounded = bool({'min', 'max', 'unit'} & set(item))
        if numeric and bounded and item.get('unit') != arg.unit:
            raise self._wrong(where, f'the unit is {item.get("unit")!r}; the tool wants {arg.unit!r}')
        for value in (*item.get('allow', ()), *item.get('deny', ())):
            self._known(where, 'name', value, dict.fromkeys(arg.values))
        low, high = self._bounds(where, arg, item)
        allow = frozenset(item['allow']) if 'allow' in item else None
        unit, sources = item.get('unit', ''), frozenset(item.get('from', ()))
        return ArgumentRule(allow, frozenset(item.get('deny', ())), low, high, unit, sources)

    def _bounds(self, where: tuple[str, ...], arg: Arg, item: dict[str, Any]) -> tuple[float, float]:
        low, high = float(item.get('min', -math.inf)), float(item.get('max', math.inf))
        if max(low, arg.low) > min(high, arg.high):
            raise self._wrong(where, f'nothing between {low} and {high} {arg.unit} fits the tool')
        return low, high

    def _test(self, where: tuple[str, ...], item: dict[str, Any]) -> Test:
        signal = self._known(where, 'signal', item['signal'], self._raw['signals'])
        has_bounds = 'min' in item or 'max' in item
        if ('is' in item) == has_bounds:
            raise self._wrong(where, 'write either is, or min and max')
        if 'field' not in self._raw['signals'][signal]:
            raise self._wrong(where, f'the signal {signal!r} has no field, so it has no value to look at')
        low, high = float(item.get('min', -math.inf)), float(item.get('max', math.inf))
        if low > high:
            raise self._wrong(where, f'nothing lies between {low:g} and {high:g}')
        return Test(signal, item.get('is'), low, high)

    def _when(self, tool: Tool, index: int, item: dict[str, Any]) -> When:
        where = ('tools', tool.name, 'when')
        caps = item.get('else_cap', {})
        for name in caps:
            if name not in tool.args or tool.args[name].type not in ('number', 'integer'):
                raise self._wrong(where, f'entry {index + 1} caps {name!r}; {tool.name} has no such number')
        return When(self._test(where, item), {name: float(cap) for name, cap in caps.items()})

    def _limits(self, tool: Tool, item: dict[str, Any]) -> tuple[Limit, ...]:
        where = ('tools', tool.name, 'limits')
        rate = [Limit('', item['per_minute'], RATE_WINDOW_S, is_rate=True)] if 'per_minute' in item else []
        numbers = {name for name, arg in tool.args.items() if arg.type in ('number', 'integer')}
        numbers |= {name for name, value in tool.returns.items() if value.type in ('number', 'integer')}
        for total in item.get('totals', ()):
            if total.get('of', '') not in {'', *numbers}:
                what = f'{tool.name} has no number {total["of"]!r}{suggest(total["of"], sorted(numbers))}'
                raise self._wrong(where, what)
        return (
            *rate,
            *(Limit(t.get('of', ''), float(t['max']), float(t['within_s'])) for t in item.get('totals', ())),
        )

    def _post(self, tool: Tool, item: dict[str, Any], ends_at: str) -> Post:
        where = ('tools', tool.name, 'post')
        if 'near_end_m' not in item:
            return Post(self._test(where, item), math.inf, float(item['within_s']))
        if not ends_at or {'is', 'min', 'max'} & set(item):
            raise self._wrong(where, 'near_end_m needs ends_at, and stands alone')
        signal = self._known(where, 'signal', item['signal'], self._raw['signals'])
        return Post(Test(signal), float(item['near_end_m']), float(item['within_s']))

    # sequences -------------------------------------------------------------------------------------------------------
    def _sequence(self, name: str, item: dict[str, Any]) -> SequenceRule:
        where, kind = ('sequences', name), item['rule']
        wanted = {'first', *(['then'] if kind in _TWO_EVENTS else ())}
        wanted |= {'times'} if kind == 'at_most' else {'within_s'} if kind == 'response' else set()
        given = {'first', 'then', 'times', 'within_s'} & set(item)
        if given != wanted:
            raise self._wrong(where, f'{kind} takes {", ".join(sorted(wanted))}, not {", ".join(sorted(given))}')
        return SequenceRule(
            name,
            kind,
            self._event(where, item['first']),
            self._event(where, item['then']) if 'then' in item else None,
            item.get('times', 0),
            float(item.get('within_s', 0.0)),
            item.get('scope', 'plan') == 'session',
            self._hazard(where, item.get('hazard', '')),
        )

    def _event(self, where: tuple[str, ...], item: dict[str, Any]) -> Event:
        tool = self._toolset.tools[self._known(where, 'tool', item['tool'], self._raw['tools'])]
        args = item.get('args', {})
        for name, value in args.items():
            self._known(where, 'argument', name, tool.args)
            kind = tool.args[name].type
            if kind == 'enum':
                self._known(where, 'name', str(value), dict.fromkeys(tool.args[name].values))
            elif isinstance(value, bool) is not (kind == 'boolean') or isinstance(value, str):
                what = 'neither true nor false' if kind == 'boolean' else 'no number'
                raise self._wrong(where, f'{value!r} is {what}; {name} is{"" if kind == "boolean" else " one"}')
        return Event(item['tool'], args)


def tier_of(risk: str) -> int:
    """Return 0 read, 1 reversible, 2 motion, 3 irreversible or near people; -1 none."""
    return -1 if risk == 'none' else RISKS.index(risk)


def make_area(
    name: str, polygon: Sequence[Sequence[float]], margin_m: float, hazard: str, *, is_keep_out: bool
) -> Area:
    """Build an area; raise ValueError where the polygon is none, or the margin leaves nothing of it."""
    shape = shapely.Polygon(polygon)
    if not shape.is_valid or shape.area <= 0.0:
        raise ValueError(f'no simple polygon: {shapely.is_valid_reason(shape)}')
    grown = shape.buffer(margin_m if is_keep_out else -margin_m, quad_segs=_SEGMENTS)
    if grown.is_empty:
        raise ValueError(f'nothing is left of it with a margin of {margin_m:g} m')
    shapely.prepare(grown)
    return Area(name, is_keep_out, grown, hazard)
