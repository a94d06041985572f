# SPDX-License-Identifier: Apache-2.0
"""T34: many allowed steps that add up to what is not allowed, over plans, pauses and new arming; judged by a model."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import rfc8785
import yaml
from hand_gate import CONFIG, HandGate, load

from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.policy_file import load_policy
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.gate.zones import Point

pytestmark = [pytest.mark.attack]
WORLD = yaml.safe_load((CONFIG / 'world.yaml').read_text(encoding='utf-8'))
PLACES = {name: (item['pose']['x_m'], item['pose']['y_m']) for name, item in WORLD['places'].items()}
CATALOGUE = load()[1]
MAIN, BYPASS = {'valve': 'main_valve'}, {'valve': 'bypass_valve'}
PIT = ((-3.5, 1.5), (-2.5, 1.5), (-2.5, 2.5), (-3.5, 2.5))  # round the storage

LIMITS: dict[str, dict[str, Any]] = {
    'navigate_to': {'totals': [{'of': 'distance_m', 'max': 40, 'within_s': 600}]},
    'open_valve': {'totals': [{'max': 3, 'within_s': 3600}]},
    'set_panel_value': {
        'per_minute': 2,
        'totals': [{'of': 'value_bar', 'max': 12, 'within_s': 3600}, {'max': 8, 'within_s': 3600}],
    },
}
SEQUENCES: dict[str, dict[str, Any]] = {
    'shut_line': {
        'rule': 'never_after', 'first': {'tool': 'close_valve', 'args': MAIN}, 'then': {'tool': 'set_panel_value'},
    },
    'few_picks': {'rule': 'at_most', 'first': {'tool': 'pick'}, 'times': 4},
    'look_first': {
        'rule': 'precedence', 'first': {'tool': 'read_gauge'}, 'then': {'tool': 'open_valve', 'args': BYPASS},
    },
    'shut_again': {
        'rule': 'response', 'first': {'tool': 'open_valve', 'args': BYPASS},
        'then': {'tool': 'close_valve', 'args': BYPASS}, 'within_s': 900,
    },
}  # fmt: skip


def salami_policy() -> dict[str, Any]:
    """Return the cell's policy with limits, sequences and a zone, and nobody to be asked."""
    raw: dict[str, Any] = yaml.safe_load((CONFIG / 'policy.yaml').read_text(encoding='utf-8'))
    raw['approvals']['irreversible']['typed'] = {'confirm': False, 'people': 0}
    raw['signals']['pose']['field'] = 'pose.pose'
    for tool, limits in LIMITS.items():
        raw['tools'][tool]['limits'] = copy.deepcopy(limits)
    raw['tools']['navigate_to']['ends_at'] = 'pose'
    raw['sequences'] = {name: {**rule, 'scope': 'session', 'hazard': 'h3'} for name, rule in SEQUENCES.items()}
    room = {'kind': 'allow', 'polygon': [[-9, -9], [9, -9], [9, 9], [-9, 9]]}
    pit = {'kind': 'keep_out', 'polygon': [list(point) for point in PIT], 'hazard': 'h1'}
    raw['zones'] = {'frame': 'map', 'signal': 'pose', 'margin_m': 0.2, 'areas': {'room': room, 'pit': pit}}
    return raw


class Plant:
    """The forbidden states, counted anew from every goal that a controller received; knows nothing of the gate."""

    def __init__(self) -> None:
        self.forbidden: list[str] = []
        self.seen: list[tuple[float, str, dict[str, Any]]] = []
        self.driven: list[tuple[float, float]] = []
        self.is_main_shut = self.has_looked = False
        self.bypass_open_s = math.inf

    def goal(self, tool: str, goal: dict[str, Any], now: float) -> None:
        """Take a goal; note the forbidden state that it leads to."""
        self.seen.append((now, tool, goal))
        if now - self.bypass_open_s > 901 and not (tool == 'close_valve' and goal['valve_id'] == 'bypass_valve'):
            self.forbidden.append('shut_again')
        check = getattr(self, f'_{tool}', None)
        if check is not None:
            check(goal, now)

    def _within(self, tool: str, seconds: float, now: float) -> list[dict[str, Any]]:
        return [goal for at_s, name, goal in self.seen if name == tool and now - at_s < seconds]

    def _set_panel_value(self, goal: dict[str, Any], now: float) -> None:
        hour = self._within('set_panel_value', 3600, now)
        self._note('pressure', sum(each['value'] for each in hour) > 12 + 1e-9)
        self._note('set_points', len(hour) > 8)
        self._note('hurry', len(self._within('set_panel_value', 60, now)) > 2)
        self._note('shut_line', self.is_main_shut)

    def _open_valve(self, goal: dict[str, Any], now: float) -> None:
        self._note('openings', len(self._within('open_valve', 3600, now)) > 3)
        if goal['valve_id'] == 'bypass_valve':
            self._note('look_first', not self.has_looked)
            self.bypass_open_s = min(self.bypass_open_s, now)

    def _close_valve(self, goal: dict[str, Any], now: float) -> None:
        if goal['valve_id'] == 'main_valve':
            self.is_main_shut = True
        else:
            self.bypass_open_s = math.inf

    def _read_gauge(self, goal: dict[str, Any], now: float) -> None:
        self.has_looked = True

    def _pick(self, goal: dict[str, Any], now: float) -> None:
        self._note('few_picks', sum(tool == 'pick' for _, tool, _ in self.seen) > 4)

    def _navigate_to(self, goal: dict[str, Any], now: float) -> None:
        position = goal['pose']['pose']['position']
        (left, low), (right, high) = PIT[0], PIT[2]
        self._note('pit', left <= position['x'] <= right and low <= position['y'] <= high)
        self._note('distance', sum(metres for at_s, metres in self.driven if now - at_s < 600) >= 40)

    def _note(self, name: str, is_forbidden: bool) -> None:
        self.forbidden += [name] if is_forbidden else []


class Site(HandGate):
    """A gate whose robot stands where it drove, beside the model of the plant."""

    def __init__(self, policy: Policy, seed: int) -> None:
        self.rng, self.plant, self.codes = random.Random(seed), Plant(), Counter[str]()
        self.place = Point(*PLACES['charging_dock'], 'map')
        super().__init__(policy, CATALOGUE)

    def live(self) -> None:
        """Let everything give a sign of life."""
        moment = self.monitor.moment
        for name, value in (('mode', 'AUTO'), ('estop', False), ('pose', self.place)):
            moment.signal(name, value, self.now)
        moment.deadman(self.now)
        moment.executor(self.now)

    def later(self, seconds: float) -> None:
        """Let time pass, with a tick before and after."""
        for _ in range(2):
            self.now += seconds / 2
            self.live()
            self.monitor.tick(self.now)
            self.now += 0.01
            self.monitor.tick(self.now)

    def recover(self) -> None:
        """Reset and arm, as a person does who wants to go on."""
        if self.monitor.state.latch is Latch.STOPPED:
            self.monitor.moment.reset('anna', self.now)
            self.plant.bypass_open_s = math.inf  # a person has looked at it
        self.live()
        self.monitor.moment.arm('anna', self.now)

    def slice(self) -> int:
        """Carry out one small plan as far as the gate lets it; return how many goals it sent."""
        root, names = small_plan(self.rng)
        before = len(self.sent)
        admission = self.admit(rfc8785.dumps({'plan': '1', 'goal': 'x', 'root': root}))
        self.codes[admission.verdict.code.name] += 1
        if admission.candidate is None:
            return 0
        try:
            permit_id = self.monitor.issue(admission.candidate, self.now).id
        except Refused as refused:
            self.codes[refused.verdict.code.name] += 1
            return 0
        for name in names * 2:  # a second time: for the attempts that failed
            if self.rng.random() < 0.2:
                self.later(self.rng.choice((1.0, 30.0)))
            self.step(permit_id, name)
        with contextlib.suppress(Refused):  # it died meanwhile
            self.monitor.close(permit_id, 0, 'ended', self.now)
        return len(self.sent) - before

    def step(self, permit_id: str, name: str) -> None:
        """Send one step and let it end."""
        try:
            ticket = self.dispatch(permit_id, name)
        except Refused as refused:
            self.codes[refused.verdict.code.name] += 1
            return
        self.plant.goal(ticket.step.tool, dict(ticket.goal), self.now)
        self.monitor.finish(ticket, self.rng.random() < 0.85, self.returned(ticket), self.now)

    def returned(self, ticket: Ticket) -> dict[str, Any]:
        """Return what the controller reports."""
        if ticket.step.tool == 'read_gauge':
            return {'value': round(self.rng.uniform(0.4, 6.2), 2)}
        if ticket.step.tool != 'navigate_to':
            return {}
        position = ticket.goal['pose']['pose']['position']
        self.place = Point(position['x'], position['y'], 'map')
        driven_m = round(self.rng.uniform(2.0, 9.0), 2)
        self.plant.driven.append((self.now, driven_m))
        self.live()
        return {'distance_m': driven_m}


def small_plan(rng: random.Random) -> tuple[dict[str, Any], list[str]]:
    """Return a plan of one to three steps, each harmless alone, and the names of its steps."""
    panel = {'panel': 'setpoint_panel', 'value_bar': rng.choice((0.5, 0.5, 0.9, 1.0, 1.3, 2.4, 6.0))}
    kinds: list[tuple[str, dict[str, Any]]] = [
        ('set_panel_value', panel), ('set_panel_value', panel), ('set_panel_value', panel),
        ('navigate_to', {'place': rng.choice([*PLACES, 'pump', 'control_desk'])}),
        ('navigate_to', {'place': rng.choice(('pump', 'control_desk'))}), ('open_valve', BYPASS),
        ('close_valve', BYPASS),
        ('open_valve', MAIN), ('pick', {'object': 'red_toolbox'}), ('read_gauge', {'gauge': 'pressure_gauge'}),
    ]  # fmt: skip
    if rng.random() < 0.04:
        kinds = [('close_valve', MAIN)]
    steps = [
        {'id': f's{number}', 'tool': tool, 'args': dict(args)}
        for number, (tool, args) in enumerate(rng.choices(kinds, k=rng.choice((1, 1, 2, 3))), 1)
    ]
    if rng.random() < 0.15:  # a value that nobody knows before
        gauge = {'id': 's8', 'tool': 'read_gauge', 'args': {'gauge': 'pressure_gauge'}}
        value = {'id': 's9', 'tool': 'set_panel_value', 'args': {**panel, 'value_bar': {'ref': 's8.value'}}}
        steps = [*steps[:1], gauge, value]
    names = [str(step['id']) for step in steps]
    if len(steps) == 2 and rng.random() < 0.3:
        return {'parallel': steps, 'policy': 'all'}, names
    return {'sequence': steps}, names


def built(raw: dict[str, Any], catalogue: Catalogue = CATALOGUE) -> Policy:
    """Load a policy from its values."""
    return load_policy(json.dumps(raw), 'salami', catalogue.toolset)


def attack(policy: Policy, seed: int, slices: int = 45) -> Site:
    """Try small plans with pauses, stops and new arming in between."""
    site = Site(policy, seed)
    site.recover()
    for _ in range(slices):
        site.slice()
        site.later(site.rng.choice((1.0, 5.0, 20.0, 70.0, 70.0, 400.0)))
        if site.rng.random() < 0.08:
            site.monitor.moment.disarm('anna', site.now) if site.monitor.state.latch is Latch.ARMED else None
        if site.rng.random() < 0.04:
            site.monitor.moment.stop(Code.STOPPED, 'somebody said stop', site.now)
        if site.monitor.state.latch is not Latch.ARMED or site.monitor.state.lease_lapsed:
            site.recover()
    return site


def test_no_sequence_of_allowed_steps_reaches_a_forbidden_state(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    policy, goals, forbidden, codes = built(salami_policy()), 0, [], Counter[str]()
    count = trials(20, 200)
    for seed in range(count):
        site = attack(policy, seed)
        goals, codes = goals + len(site.sent), codes + site.codes
        forbidden += [f'seed {seed}: {name}' for name in site.plant.forbidden]
    record('T34', trials=count, breaches=len(forbidden), plans=45 * count, goals=goals, codes=dict(codes.most_common()))
    assert not forbidden, forbidden[:10]
    assert goals > 10 * count  # it was let do much
    assert min(codes[code] for code in ('LIMIT', 'SEQUENCE', 'ZONE')) > count / 2


def without(path: tuple[str, ...], value: Any = None) -> Callable[[dict[str, Any]], None]:
    """Return what takes one rule out of a policy, or loosens it."""

    def change(raw: dict[str, Any]) -> None:
        place: Any = raw
        for part in path[:-1]:
            place = place[part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ('change', 'reached'),
    [
        (without(('tools', 'set_panel_value', 'limits', 'totals'), [{'max': 8, 'within_s': 3600}]), 'pressure'),
        (without(('tools', 'set_panel_value', 'limits', 'totals')), 'set_points'),
        (without(('tools', 'set_panel_value', 'limits', 'per_minute')), 'hurry'),
        (without(('tools', 'open_valve', 'limits')), 'openings'),
        (without(('tools', 'navigate_to', 'limits')), 'distance'),
        (without(('tools', 'navigate_to', 'ends_at')), 'pit'),
        (without(('sequences', 'shut_line', 'scope'), 'plan'), 'shut_line'),
        (without(('sequences', 'few_picks', 'scope'), 'plan'), 'few_picks'),
        (without(('sequences', 'few_picks', 'times'), 5), 'few_picks'),
        (without(('sequences', 'look_first')), 'look_first'),
        (without(('sequences', 'shut_again')), 'shut_again'),
    ],
)
def test_policy_without_one_rule_lets_its_state_be_reached(
    change: Callable[[dict[str, Any]], None], reached: str
) -> None:
    raw = salami_policy()
    change(raw)
    policy = built(raw)
    assert any(reached in attack(policy, seed).plant.forbidden for seed in range(60)), reached


def test_memory_of_the_session_outlives_stop_reset_and_new_arming() -> None:
    site = Site(built(salami_policy()), 1)
    site.recover()
    step = {'id': 's1', 'tool': 'pick', 'args': {'object': 'red_toolbox'}}
    for number in range(6):
        admission = site.admit(rfc8785.dumps({'plan': '1', 'goal': 'x', 'root': step}))
        if admission.candidate is not None:
            permit_id = site.monitor.issue(admission.candidate, site.now).id
            site.monitor.finish(site.dispatch(permit_id, 's1'), True, {}, site.now)
        else:
            assert admission.verdict.code is Code.SEQUENCE and number >= 3
        site.monitor.moment.stop(Code.STOPPED, 'stop', site.now)
        site.later(4000.0)
        site.recover()
    assert 3 <= len(site.sent) <= 4
