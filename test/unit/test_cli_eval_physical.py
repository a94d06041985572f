# SPDX-License-Identifier: Apache-2.0
"""What a plan did to the cell, judged against the ground truth; and the report that tells of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gemma4_ros.cli.eval_command import read_report, write_report
from gemma4_ros.cli.eval_commands import Judged
from gemma4_ros.cli.eval_physical import Physical, Run, figures, physically_wrong, section, setup_steps, truth_facts
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.facts import State, Variable, parse_fact
from gemma4_ros.core.plan import Plan, plan_from_json
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
_WORLD, _TOOLS = 'config/world.yaml', 'config/tools/cell.yaml'
WORLD = load_world((ROOT / _WORLD).read_text(encoding='utf-8'), _WORLD)
CELL = Symbolic(WORLD, load_tools([(_TOOLS, (ROOT / _TOOLS).read_text(encoding='utf-8'))], WORLD))
START = WORLD.initial
READ = {'id': 's1', 'tool': 'read_gauge', 'args': {'gauge': 'pressure_gauge'}}
CLOSE = {'id': 's2', 'tool': 'close_valve', 'args': {'valve': 'main_valve'}}
ABOVE = {'ref': 's1.value', 'op': '>', 'value': 4.0, 'unit': 'bar', 'max_age_s': 30.0, 'on_unknown': 'hold'}
CONDITIONAL = {
    'kind': 'plan',
    'if': {
        'after': ['read_gauge(gauge=pressure_gauge)'], 'op': '>', 'value': 4,
        'then': {'goal': ['valve(main_valve, closed)']}, 'else': {'never': ['close_valve']},
    },
}  # fmt: skip


def plan(*steps: dict[str, Any]) -> Plan:
    return plan_from_json({'plan': '1', 'goal': 'test', 'root': {'sequence': list(steps)}})


def truth(*changes: str, **measured: str) -> dict[Variable, str]:
    """Return what the cell says: all but the places of equipment, with changes."""
    facts = {key: value for key, value in START.items() if key[1][0] not in WORLD.group('equipment')}
    facts |= {key: value for key, value in START.items() if key[0] == 'valve'}
    facts |= {fact.variable: fact.value for fact in map(parse_fact, changes)}
    return facts | {(name, ('pump',)): value for name, value in measured.items()}


def wrong(expect: dict[str, Any], steps: Plan, run: Run, found: dict[Variable, str], start: State = START) -> str:
    return physically_wrong({'kind': 'plan', **expect}, steps, start, run, found, CELL)


DRIVE = plan({'id': 's1', 'tool': 'navigate_to', 'args': {'place': 'pump'}})
DROVE = Run(is_done=True, trace=('s1',), results={'s1': {'distance_m': 4.0}})
AT_PUMP = {'goal': ['at(robot, pump)']}


def test_success_needs_the_report_and_the_truth() -> None:
    there = truth('at(robot, pump)', 'docked(robot, no)')
    assert wrong(AT_PUMP, DRIVE, DROVE, there) == ''
    assert 'at(robot, pump) does not hold' in wrong(AT_PUMP, DRIVE, DROVE, truth('docked(robot, no)'))
    assert '412' in wrong(AT_PUMP, DRIVE, Run(is_done=False, code=412, text='blocked', trace=('s1',)), there)


def test_a_plan_that_nobody_asked_for_is_no_success() -> None:
    there = truth('at(robot, pump)', 'docked(robot, no)')
    assert 'where cannot or ask was wanted' in wrong({'kind': ['cannot', 'ask']}, DRIVE, DROVE, there)


@pytest.mark.parametrize('change', ['at(red_toolbox, nowhere)', 'valve(main_valve, between)', 'at(blue_crate, pump)'])
def test_what_was_not_asked_for_must_not_happen(change: str) -> None:
    found = truth('at(robot, pump)', 'docked(robot, no)', change)
    assert 'nobody asked for that' in wrong(AT_PUMP, DRIVE, DROVE, found)
    assert wrong({**AT_PUMP, 'unchanged': False}, DRIVE, DROVE, found) == ''


def test_steps_count_only_when_they_succeeded() -> None:
    photos = plan({'repeat': {'id': 's1', 'tool': 'take_photo', 'args': {'target': 'pump'}}, 'times': 3})
    expect = {'steps': ['take_photo(target=pump)'], 'count': {'take_photo': 3}}
    assert wrong(expect, photos, Run(is_done=True, trace=('s1',) * 3), truth()) == ''
    assert 'runs 2 times' in wrong(expect, photos, Run(is_done=True, trace=('s1',) * 2), truth())
    assert 'is missing' in wrong(expect, photos, Run(is_done=True), truth())
    assert 'must not be there' in wrong({'never': ['take_photo']}, photos, Run(is_done=True, trace=('s1',)), truth())


@pytest.mark.parametrize(
    ('value', 'trace', 'change', 'why'),
    [
        (4.3, ('s1', 's2'), 'valve(main_valve, closed)', ''),
        (4.3, ('s1',), 'valve(main_valve, open)', 'does not hold'),
        (3.9, ('s1',), 'valve(main_valve, open)', ''),
        (3.9, ('s1', 's2'), 'valve(main_valve, closed)', 'must not be there'),
        (None, ('s1',), 'valve(main_valve, open)', 'nothing was read'),
        (4.3, (), 'valve(main_valve, closed)', 'did not succeed'),
    ],
)
def test_the_real_reading_decides_which_branch_is_wanted(
    value: float | None, trace: tuple[str, ...], change: str, why: str
) -> None:
    steps = plan(READ, {'if': ABOVE, 'then': CLOSE})
    results = {'s1': {} if value is None else {'value': value}}
    found = wrong(CONDITIONAL, steps, Run(is_done=True, trace=trace, results=results), truth(change))
    assert (why in found) if why else found == ''


def test_a_typed_set_point_is_the_pump_s() -> None:
    typed = plan({'id': 's1', 'tool': 'set_panel_value', 'args': {'panel': 'setpoint_panel', 'value_bar': 4.5}})
    run = Run(is_done=True, trace=('s1',))
    expect = {'steps': ['set_panel_value(value_bar=4.5)']}
    assert wrong(expect, typed, run, truth(setpoint_bar='4.500')) == ''
    assert 'set-point is 4.200' in wrong(expect, typed, run, truth(setpoint_bar='4.200'))


def test_what_the_cell_does_not_show_stays_as_it_was() -> None:
    seen = truth_facts({('at', ('robot',)): 'pump', ('pressure_bar', ('pump',)): '4.2'}, START)
    assert seen[('at', ('robot',))] == 'pump'
    assert set(seen) == set(START)
    assert seen[('at', ('main_valve',))] == 'valve_station'


def test_an_object_in_the_hand_is_picked_from_the_bench_first() -> None:
    texts = ('at(robot, pump)', 'docked(robot, no)', 'at(red_toolbox, robot)', 'holding(robot, red_toolbox)')
    at_once, steps = setup_steps(START.with_facts(map(parse_fact, texts)), 'robot')
    assert steps == [{'id': 's1', 'tool': 'pick', 'args': {'object': 'red_toolbox'}}]
    assert at_once[('at', ('red_toolbox',))] == 'pump'
    assert at_once[('holding', ('robot',))] == 'nothing'
    assert setup_steps(START, 'robot') == (START, [])


RESULTS = [
    Physical('a', 'succeeded', total_s=2.0, steps=3),
    Physical('b', 'failed', 'at(robot, pump) | does not hold', 410, 4.0, 1, is_plan_right=False),
    Physical('c', 'refused', 'too far', 640),
    Physical('d', 'not run', 'another world'),
]


def test_rates_are_of_the_admitted_plans() -> None:
    found = figures(RESULTS)
    counts = {name: found[name] for name in ('plans', 'admitted', 'refused', 'not_run', 'succeeded', 'failed')}
    assert counts == {'plans': 4, 'admitted': 2, 'refused': 1, 'not_run': 1, 'succeeded': 1, 'failed': 1}
    assert found['refused_codes'] == {'640': 1}
    assert (found['physical_rate'], found['physical_rate_right_plans']) == (0.5, 1.0)
    assert (found['seconds'], found['seconds_max'], found['steps']) == (6.0, 4.0, 4)
    assert figures(RESULTS[2:])['physical_rate'] is None
    assert '| b | failed | 4.0 | 1 | wrong | at(robot, pump) \\| does not hold |' in section(RESULTS)


def test_a_report_is_read_back_with_its_plans(tmp_path: Path) -> None:
    judged = Judged('a', 'simple', 'go', _WORLD, True, '', 'plan', '', '', 1.0, 1.0, 1, 1, 1, '{"plan":"1"}')
    data, page = write_report(tmp_path, {'set': 'dev', 'model': 'm', 'cell': figures(RESULTS)}, [judged], RESULTS)
    assert json.loads(data.read_text())['results'][0]['cell']['outcome'] == 'succeeded'
    assert '## In the cell' in page.read_text()
    assert read_report(data, 'dev') == ({'set': 'dev', 'model': 'm'}, [judged])
    with pytest.raises(ConfigError, match='not of'):
        read_report(data, 'test')
    with pytest.raises(ConfigError, match='cannot read'):
        read_report(tmp_path / 'nothing.json', 'dev')
    data.write_text('[]')
    with pytest.raises(ConfigError, match='no report'):
        read_report(data, 'dev')
    write_report(tmp_path, {'set': 'test', 'model': 'm'}, [judged], RESULTS)
    assert '| a |' not in page.read_text()  # single results of the test set are not looked at
