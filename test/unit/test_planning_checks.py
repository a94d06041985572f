# SPDX-License-Identifier: Apache-2.0
"""Checks over a whole plan, completion of a draft, and the judge that evaluates both: what is wrong and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gemma4_ros.core.errors import CheckError, CompletionError, PlanError
from gemma4_ros.core.facts import State, parse_fact
from gemma4_ros.core.gate.decode import decode
from gemma4_ros.core.plan import (
    Condition,
    Fallback,
    If,
    Node,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Sequence,
    Step,
    plan_to_bytes,
    walk,
)
from gemma4_ros.core.planning import surface
from gemma4_ros.core.planning.checks import Budgets, check_plan, simulate
from gemma4_ros.core.planning.completion import complete
from gemma4_ros.core.planning.draft import Call, Draft, Item, Loop, Together
from gemma4_ros.core.planning.judge import judge
from gemma4_ros.core.planning.planner import Outcome
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
_WORLD, _TOOLS = 'config/world.yaml', 'config/tools/cell.yaml'
WORLD = load_world((ROOT / _WORLD).read_text(encoding='utf-8'), _WORLD)
CELL = Symbolic(WORLD, load_tools([(_TOOLS, (ROOT / _TOOLS).read_text(encoding='utf-8'))], WORLD))
IF_STORE = 'if read_gauge(pressure_gauge) > 4 {\nnavigate_to(storage)\n}'
IF_HIGH = 'if read_gauge(pressure_gauge) > 4 {\nclose_valve(main_valve)\n}'


def state(*facts: str) -> State:
    """Return the state at the start with other facts."""
    return WORLD.initial.with_facts(parse_fact(text) for text in facts)


# Checks --------------------------------------------------------------------------------------------------------------
FREE = ('docked(robot, no)', 'at(robot, pump)')
GAUGE = Step('s1', 'read_gauge', {'gauge': 'pressure_gauge'})
ABOVE = Condition(Ref('s1', 'value'), '>', 4.0, 30.0, 'hold', 'bar')


def arm(number: int, posture: str) -> Step:
    """Return a step of the arm."""
    return Step(f's{number}', 'move_arm', {'posture': posture})


def drive(number: int, place: str) -> Step:
    """Return a step of the base."""
    return Step(f's{number}', 'navigate_to', {'place': place})


def check(*nodes: Node, facts: tuple[str, ...] = FREE, budgets: Budgets | None = None) -> State:
    """Check a sequence."""
    return check_plan(Plan('g', Sequence(nodes)), CELL, state(*facts), budgets or Budgets())


@pytest.mark.parametrize(
    ('nodes', 'saying'),
    [
        ((Step('s1', 'fly', {}),), "unknown tool 'fly'"),
        ((Step('s1', 'navigate_to', {'place': 'pmup'}),), "did you mean 'pump'?"),
        ((Step('s1', 'navigate_to', {'plaec': 'pump'}),), "did you mean 'place'?"),
        ((Step('s1', 'dock', {}),), 's1: dock() cannot run: it needs at(robot, charging_dock) (it is pump)'),
        ((GAUGE, Step('s2', 'navigate_to', {'place': Ref('s1', 'value')})), 's2.place: s1.value is no enum'),
        ((GAUGE, Step('s2', 'dock', {'x': Ref('s1', 'value')})), "dock takes no argument 'x'"),
        ((GAUGE, If(Condition(Ref('s1', 'vale'), '>', 4.0, 30, 'hold', 'bar'), arm(2, 'ready'))), "mean 'value'?"),
        ((GAUGE, If(Condition(Ref('s1', 'value'), '>', 4.0, 30, 'hold', 'psi'), arm(2, 'ready'))), "unit is 'bar'"),
        ((GAUGE, If(Condition(Ref('s1', 'value'), '>', 'x', 30, 'hold', 'bar'), arm(2, 'ready'))), 'is a number'),
        ((GAUGE, If(Condition(Ref('s1', 'value'), '==', True, 30, 'hold', 'bar'), arm(2, 'ready'))), 'is a number'),
        (
            (
                Step('s1', 'take_photo', {'target': 'pump'}),
                If(Condition(Ref('s1', 'file'), '<', 'a', 30, 'hold'), arm(2, 'ready')),
            ),
            'only numbers are ordered',
        ),
        (
            (Parallel((drive(1, 'storage'), drive(2, 'control_desk')), 'all'),),
            "s2: two branches of a parallel use 'base' at once; put them in a sequence",
        ),
        ((Parallel((arm(1, 'stowed'), arm(2, 'stowed')), 'all'),), "use 'arm' at once; put them in a sequence"),
        ((If(ABOVE, arm(2, 'ready')),), 'refers to no earlier step'),
    ],
)
def test_a_wrong_plan_fails_with_step_and_reason(nodes: tuple[Node, ...], saying: str) -> None:
    with pytest.raises(PlanError) as caught:
        check(*nodes)
    assert saying in str(caught.value)


def test_what_holds_after_branches_is_what_holds_in_all_of_them() -> None:
    both = check(GAUGE, If(ABOVE, drive(2, 'storage'), drive(3, 'storage')))
    assert both.holds(parse_fact('at(robot, storage)'))
    assert ('at', ('robot',)) not in check(GAUGE, If(ABOVE, drive(2, 'storage')))
    assert ('at', ('robot',)) not in check(Fallback((drive(1, 'storage'), drive(2, 'pump'))))
    with pytest.raises(CheckError, match=r's3: .*cannot run: it needs at\(robot, .*not known'):
        check(
            Step('s0', 'read_gauge', {'gauge': 'pressure_gauge'}),
            GAUGE,
            If(ABOVE, drive(2, 'storage')),
            Step('s3', 'read_gauge', {'gauge': 'pressure_gauge'}),
        )


def test_branches_at_once_need_different_parts_of_the_robot() -> None:
    nodes = (drive(1, 'storage'), arm(2, 'ready'))
    after = check(Parallel(nodes, 'all'))
    assert after.holds(parse_fact('at(robot, storage)')) and after.holds(parse_fact('arm(robot, ready)'))
    any_of = check(Parallel(nodes, 'any'))
    assert ('at', ('robot',)) not in any_of and ('arm', ('robot',)) not in any_of


PHOTO = Step('s9', 'take_photo', {'target': 'pump'})
THERE_AND_BACK = Sequence((drive(2, 'storage'), drive(3, 'pump')))


@pytest.mark.parametrize('other', [drive(2, 'storage'), THERE_AND_BACK, If(ABOVE, drive(2, 'storage'))])
@pytest.mark.parametrize('first', [True, False])
def test_no_branch_changes_what_another_needs_meanwhile(other: Node, first: bool) -> None:
    nodes = (PHOTO, other) if first else (other, PHOTO)
    with pytest.raises(CheckError, match=r"get in each other's way: one changes at\(robot\), which another needs; put"):
        check(GAUGE, Parallel(nodes, 'all'))


def test_branches_at_once_may_need_the_same() -> None:
    nodes = (Step('s1', 'take_photo', {'target': 'main_valve'}), Step('s2', 'close_valve', {'valve': 'main_valve'}))
    after = check(Parallel(nodes, 'all'), facts=('docked(robot, no)', 'at(robot, valve_station)'))
    assert after.holds(parse_fact('valve(main_valve, closed)'))


def test_budgets_count_repetitions() -> None:
    node = Repeat(arm(1, 'ready'), 5)
    assert check(node, budgets=Budgets(steps=5, time_s=20.0)).holds(parse_fact('arm(robot, ready)'))
    with pytest.raises(CheckError, match='takes 5 steps; at most 4 are allowed; ask for less'):
        check(node, budgets=Budgets(steps=4))
    with pytest.raises(CheckError, match='takes about 20 s; at most 19 s'):
        check(node, budgets=Budgets(time_s=19.0))


def test_budgets_count_the_dearest_branch() -> None:
    branches = If(ABOVE, arm(2, 'ready'), Sequence((arm(3, 'ready'), drive(4, 'storage'))))  # 4 s, or 4 s and 12 s
    check(GAUGE, branches, budgets=Budgets(steps=3, time_s=18.0))
    with pytest.raises(CheckError, match='takes 3 steps; at most 2'):
        check(GAUGE, branches, budgets=Budgets(steps=2))
    with pytest.raises(CheckError, match='takes about 18 s; at most 17 s'):
        check(GAUGE, branches, budgets=Budgets(time_s=17.0))


def test_budgets_are_looked_at_before_anything_runs() -> None:
    node: Node = arm(1, 'ready')
    for _ in range(9):
        node = Repeat(node, 20)
    with pytest.raises(CheckError, match='takes 512000000000 steps; at most 64 are allowed'):  # 20 ** 9
        check_plan(Plan('g', node), CELL, state(*FREE))


def test_a_loop_is_run_until_nothing_changes_any_more() -> None:
    node: Node = Sequence(())
    for _ in range(9):
        node = Repeat(node, 64)
    assert check(node) == state(*FREE)


def test_what_one_of_several_branches_may_change_is_not_known_after_them() -> None:
    maybe = Sequence((GAUGE, If(ABOVE, drive(2, 'storage'))))
    for node in (Parallel((maybe, arm(3, 'ready')), 'all'), Parallel((arm(3, 'ready'), maybe), 'all')):
        after = check(node)
        assert ('at', ('robot',)) not in after and after.holds(parse_fact('arm(robot, ready)'))


@pytest.mark.parametrize('levels', range(4, 16))
def test_what_passes_the_checks_the_gate_decodes(levels: int) -> None:
    node: Node = arm(1, 'ready')
    for level in range(levels):
        node = Sequence((node,)) if level < 3 else Repeat(node, 1)
    plan = Plan('g', node)
    if levels <= 10:
        check_plan(plan, CELL, state(*FREE))
        assert decode(plan_to_bytes(plan)) == plan
        return
    with pytest.raises(PlanError, match='nested deeper than 16 brackets of JSON; nest less, or ask for less at once'):
        check_plan(plan, CELL, state(*FREE))


def test_one_way_through_a_plan_is_simulated() -> None:
    node = Sequence((GAUGE, If(ABOVE, Repeat(arm(2, 'ready'), 2), drive(3, 'storage')), arm(4, 'stowed')))
    plan = Plan('g', node)
    _, high = simulate(plan, CELL, state(*FREE), {'s1.value': True})
    final, low = simulate(plan, CELL, state(*FREE), {'s1.value': False})
    assert [step.id for step in high] == ['s1', 's2', 's2', 's4']
    assert [step.id for step in low] == ['s1', 's3', 's4'] and final.holds(parse_fact('at(robot, storage)'))


# Completion ----------------------------------------------------------------------------------------------------------
def completed(draft: str, *facts: str) -> Plan:
    """Complete a draft."""
    parsed = surface.parse(draft, CELL.toolset, CELL.world)
    plan = complete(CELL, parsed, 'g', state(*facts)).plan
    check_plan(plan, CELL, state(*facts))
    return plan


def tools(plan: Plan) -> list[str]:
    """Return the tools in reading order."""
    return [step.tool for step in plan.steps()]


def test_a_condition_on_the_state_is_decided_when_planning() -> None:
    draft = 'if valve(main_valve) == open {\nclose_valve(main_valve)\n} else {\nmove_arm(ready)\n}'
    assert 'close_valve' in tools(completed(draft, *FREE))
    assert tools(completed(draft, *FREE, 'valve(main_valve, closed)')) == ['move_arm']


def test_a_condition_whose_then_is_done_already_is_turned_round() -> None:
    draft = 'if read_gauge(pressure_gauge) > 4 {\nmove_arm(stowed)\n} else {\nmove_arm(ready)\n}'
    (node,) = [node for _, node in walk(completed(draft, *FREE).root) if isinstance(node, If)]
    assert (node.condition.op, node.condition.value, node.condition.unit) == ('<=', 4.0, 'bar')
    assert node.then == Step('s2', 'move_arm', {'posture': 'ready'}, 'model') and node.otherwise is None


def test_what_follows_a_condition_is_possible_in_both_branches() -> None:
    plan = completed('if read_gauge(pressure_gauge) > 4 {\nnavigate_to(storage)\n}\nread_gauge(pressure_gauge)', *FREE)
    for outcome in (True, False):
        _, trace = simulate(plan, CELL, state(*FREE), {'s1.value': outcome})
        assert trace[-1].tool == 'read_gauge' and len([step for step in trace if step.tool == 'read_gauge']) == 2


def test_a_loop_stays_a_loop_only_where_every_round_is_the_same() -> None:
    same = completed('repeat 3 {\nread_gauge(pressure_gauge)\n}', *FREE)
    assert isinstance(same.root, Repeat) and same.root.times == 3
    moved = completed('repeat 3 {\nnavigate_to(storage)\nnavigate_to(pump)\n}', *FREE)
    assert sum(1 for _ in simulate(moved, CELL, state(*FREE), {})[1]) == 6
    differs = completed('repeat 4 {\nnavigate_to(storage)\ntake_photo(storage)\n}', *FREE)  # it drives only once
    assert tools(differs) == ['navigate_to', *['take_photo'] * 4]
    with pytest.raises(CompletionError, match='everything asked for is the case already'):
        completed('bring(sample_bottle, pump)', *FREE)


def test_nobody_drives_away_while_a_photograph_is_taken() -> None:
    plan = completed('both {\nnavigate_to(storage)\n} and {\ntake_photo(pump)\n}', *FREE)
    assert tools(plan) == ['navigate_to', 'navigate_to', 'take_photo']
    assert not [node for _, node in walk(plan.root) if isinstance(node, Parallel)]


def test_things_at_once_that_need_the_same_part_are_done_in_turn() -> None:
    apart = completed('both {\nnavigate_to(storage)\n} and {\nmove_arm(ready)\n}', *FREE)
    assert isinstance(apart.root, Parallel)
    in_turn = completed('both {\nnavigate_to(storage)\n} and {\nnavigate_to(control_desk)\n}', *FREE)
    assert isinstance(in_turn.root, Sequence) and tools(in_turn) == ['navigate_to', 'navigate_to']


def nested(levels: int, *more: Item) -> Draft:
    """Return a photograph in so many loops of two rounds; after each loop one of the other items."""
    items: tuple[Item, ...] = (Call('take_photo', {'target': 'pump'}),)
    for level in range(levels):
        items = (Loop(2, items), *more[level % len(more) :][:1]) if more else (Loop(2, items),)
    return Draft('do', items)


def test_loops_in_loops_are_tried_once_where_nothing_changes() -> None:
    plan = complete(CELL, nested(60), 'g', state(*FREE)).plan
    assert len([node for _, node in walk(plan.root) if isinstance(node, Repeat)]) == 60


@pytest.mark.parametrize('how', ['loops', 'branches at once'])
def test_completion_gives_up_where_nesting_needs_too_many_tries(how: str) -> None:
    draft = nested(60, Call('move_arm', {'posture': 'ready'}), Call('move_arm', {'posture': 'stowed'}))
    if how != 'loops':
        items: tuple[Item, ...] = (Call('move_arm', {'posture': 'ready'}),)
        for _ in range(60):
            items = (Together((items, (Call('move_arm', {'posture': 'stowed'}),))),)
        draft = Draft('do', items)
    with pytest.raises(PlanError, match=r'nest less|256 steps'):
        complete(CELL, draft, 'g', state(*FREE))


def test_many_conditions_on_the_state_do_not_stack_up() -> None:
    item = 'if valve(main_valve) == open {\nmove_arm(ready)\n} else {\nmove_arm(stowed)\n}'
    draft = surface.parse('\n'.join([item] * 900), CELL.toolset, WORLD)
    assert tools(complete(CELL, draft, 'g', state(*FREE)).plan) == ['move_arm']
    last = surface.parse(f'{item}\nmove_arm(stowed)', CELL.toolset, WORLD)
    plan = complete(CELL, last, 'g', state(*FREE)).plan
    assert [step.args['posture'] for step in plan.steps()] == ['ready', 'stowed']  # what follows comes after


def test_what_may_have_changed_in_a_branch_at_once_is_not_known_after_it() -> None:
    draft = f'both {{\n{IF_STORE}\n}} and {{\nmove_arm(ready)\n}}\nread_gauge(pressure_gauge)'
    plan = completed(draft, *FREE)
    _, trace = simulate(plan, CELL, state(*FREE), {'s1.value': True})
    assert [step.tool for step in trace] == ['read_gauge', 'navigate_to', 'move_arm', 'navigate_to', 'read_gauge']


# Judgement -----------------------------------------------------------------------------------------------------------
def verdict(expect: dict[str, Any], draft: str) -> str:
    """Judge a completed draft."""
    return judge(expect, Outcome('plan', plan=completed(draft, *FREE)), CELL, state(*FREE))


BRANCHED = f'{IF_HIGH[:-2]}\n}} else {{\nmove_arm(ready)\n}}'
WANTED_IF = {
    'kind': 'plan',
    'if': {
        'value': 4.0,
        'op': '>',
        'after': ['read_gauge(gauge=pressure_gauge)'],
        'then': {'goal': ['valve(main_valve, closed)']},
        'else': {'goal': ['arm(robot, ready)'], 'never': ['close_valve']},
    },
}


@pytest.mark.parametrize(
    ('expect', 'draft', 'wrong'),
    [
        ({'goal': ['at(red_toolbox, pump)']}, 'bring(red_toolbox, pump)', ''),
        (
            {'goal': ['at(red_toolbox, storage)']},
            'bring(red_toolbox, pump)',
            'at(red_toolbox, storage) does not hold at',
        ),
        ({}, 'bring(red_toolbox, pump)', 'nobody asked for that'),
        ({'unchanged': False}, 'bring(red_toolbox, pump)', ''),
        (
            {'steps': ['navigate_to(place=storage)', 'navigate_to(place=pump)']},
            'navigate_to(storage)\nnavigate_to(pump)',
            '',
        ),
        ({'steps': ['navigate_to(place=pump)']}, 'navigate_to(storage)', 'is missing, or comes too early'),
        ({'steps': ['move_arm', 'navigate_to']}, 'navigate_to(storage)\nmove_arm(ready)', 'comes too early'),
        ({'steps': ['set_panel_value(value_bar=3.20)']}, 'set_panel_value(setpoint_panel, 3.2)', ''),
        ({'steps': ['set_panel_value(value_bar=3.1)']}, 'set_panel_value(setpoint_panel, 3.2)', 'is missing'),
        ({'never': ['move_arm(posture=ready)']}, 'move_arm(ready)', 'must not be there'),
        ({'never': ['move_arm(posture=stowed)']}, 'move_arm(ready)', ''),
        ({'count': {'read_gauge': 3}}, 'repeat 3 {\nread_gauge(pressure_gauge)\n}', ''),
        ({'count': {'read_gauge': 2}}, 'repeat 3 {\nread_gauge(pressure_gauge)\n}', 'read_gauge runs 3 times, not 2'),
        ({'max_steps': 1}, 'navigate_to(storage)\nnavigate_to(pump)', '2 steps, more than 1'),
        ({'goal': ['arm(robot, ready)']}, 'if read_gauge(pressure_gauge) > 1 {\nmove_arm(ready)\n}', 'does not hold'),
        (WANTED_IF, BRANCHED, ''),
        (WANTED_IF, BRANCHED.replace('> 4', '> 5'), 'reading 4.000001'),
        (WANTED_IF, BRANCHED.replace('> 4', '< 4'), 'does not hold'),
        (WANTED_IF, IF_HIGH, 'reading 3.999999: arm(robot, ready) does not hold'),
        (WANTED_IF, 'close_valve(main_valve)\nmove_arm(ready)', 'the plan has no condition'),
        ({**WANTED_IF, 'never': ['navigate_to']}, BRANCHED, 'must not be there'),
    ],
)
def test_a_plan_is_judged_by_what_it_does(expect: dict[str, Any], draft: str, wrong: str) -> None:
    said = verdict({'kind': 'plan', **expect}, draft)
    assert (wrong in said) if wrong else said == '', said


def test_a_plan_that_cannot_run_is_judged_so() -> None:
    plan = Plan('g', Step('s1', 'pick', {'object': 'blue_crate'}))
    assert judge({'kind': 'plan'}, Outcome('plan', plan=plan), CELL, state(*FREE)).startswith('not executable: s1: ')


def test_an_outcome_of_another_kind_is_judged_by_kind_and_words() -> None:
    asked = Outcome('ask', 'Which do you mean?', ('red_toolbox', 'blue_crate'))
    assert judge({'kind': 'ask'}, asked, CELL, state()) == ''
    assert judge({'kind': ['cannot', 'ask'], 'about': ['CRATE', 'x']}, asked, CELL, state()) == ''
    assert judge({'kind': 'ask', 'about': ['valve']}, asked, CELL, state()).startswith('says nothing about valve')
    assert judge({'kind': 'plan'}, asked, CELL, state()) == 'wanted plan, got ask: Which do you mean?'
    assert judge({'kind': ['ask', 'cannot']}, Outcome('plan'), CELL, state()) == 'wanted ask or cannot, got plan'
