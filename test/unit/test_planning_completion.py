# SPDX-License-Identifier: Apache-2.0
"""Every completed plan is executable in the symbolic world; write and parse agree."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gemma4_ros.core.errors import CheckError, CompletionError, PlanError
from gemma4_ros.core.facts import State, parse_fact
from gemma4_ros.core.plan import Plan, Sequence, Step
from gemma4_ros.core.planning import surface, symbolic
from gemma4_ros.core.planning.checks import check_plan
from gemma4_ros.core.planning.completion import complete
from gemma4_ros.core.planning.draft import Call, Draft, Loop
from gemma4_ros.core.planning.symbolic import Symbolic
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
WORLDS = [
    ('config/world.yaml', 'config/tools/cell.yaml'),
    ('config/worlds/bench.yaml', 'config/tools/arm.yaml'),
    ('config/worlds/lab.yaml', 'config/tools/lab.yaml'),
    ('config/worlds/warehouse.yaml', 'config/tools/warehouse.yaml'),
]


def _load(world_file: str, tools_file: str) -> Symbolic:
    world = load_world((ROOT / world_file).read_text(encoding='utf-8'), world_file)
    return Symbolic(world, load_tools([(tools_file, (ROOT / tools_file).read_text(encoding='utf-8'))], world))


CELL = _load(*WORLDS[0])


def _calls() -> st.SearchStrategy[Call]:
    """Return calls of any tool or intent whose arguments are all names."""
    kinds = [*CELL.toolset.tools.values(), *CELL.toolset.intents.values()]
    named = [tool for tool in kinds if all(arg.type == 'enum' for arg in tool.args.values())]
    return st.one_of(
        [
            st.fixed_dictionaries({name: st.sampled_from(arg.values) for name, arg in tool.args.items()}).map(
                lambda args, tool=tool: Call(tool.name, {name: args[name] for name in tool.args})
            )
            for tool in named
        ]
    )


_BODIES = st.lists(_calls(), min_size=1, max_size=3).map(tuple)
ITEMS = st.lists(st.one_of(_calls(), st.builds(Loop, st.integers(2, 3), _BODIES)), min_size=1, max_size=3).map(tuple)
PLACES = st.sampled_from(CELL.world.group('places'))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(items=ITEMS, robot=PLACES, crate=PLACES)
def test_what_completion_gives_can_be_carried_out(items, robot, crate):
    facts = [f'at(robot, {robot})', f'at(blue_crate, {crate})', 'docked(robot, no)']
    state = CELL.world.initial.with_facts(parse_fact(text) for text in facts)
    try:
        completed = complete(CELL, Draft('do', items), 'test', state)
    except (CompletionError, PlanError):  # nothing leads there, or all of it is the case already
        return
    check_plan(completed.plan, CELL, state)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(call=_calls(), forgotten=st.sets(st.sampled_from(sorted(CELL.world.initial)), max_size=8), holding=st.booleans())
def test_what_is_out_of_reach_no_search_finds(call, forgotten, holding):
    carried = [parse_fact(fact) for fact in ('holding(robot, blue_crate)', 'at(blue_crate, robot)') if holding]
    known = CELL.world.initial.with_facts(carried)
    state = State({variable: value for variable, value in known.items() if variable not in forgotten})
    intent = CELL.toolset.intents.get(call.name)
    patterns = intent.achieve if intent is not None else CELL.toolset.tool(call.name).needs
    objects = tuple(item for item in CELL.world.group('objects') if item in {*call.args.values(), 'blue_crate'})
    actions = CELL._relevant(patterns, call.args, objects)
    never = CELL._out_of_reach(actions, patterns, call.args, state)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(symbolic, 'CHECKED_AFTER', -1)  # nothing but the search
        found = CELL._search(patterns, call.args, state, objects)
    assert (found is None) == bool(never)  # in this world the relaxation is exact
    if never:
        with pytest.raises(CompletionError, match=r'nothing leads to .*\((not known|it is .*)\)$'):
            CELL.reach(patterns, call.args, state)


class _Counting(Symbolic):
    count = 0

    def missing(self, patterns, state, binding):
        self.count += 1
        return super().missing(patterns, state, binding)


def test_what_cannot_be_is_found_out_without_a_long_search():
    cell = _Counting(CELL.world, CELL.toolset)
    state = State({key: value for key, value in CELL.world.initial.items() if key != ('at', ('red_toolbox',))})
    with pytest.raises(CompletionError, match=r'^bring\(red_toolbox, pump\): nothing leads to at\(red_toolbox, pump\)'):
        complete(cell, Draft('do', (Call('bring', {'object': 'red_toolbox', 'to': 'pump'}),)), 'bring', state)
    assert cell.count < 5_000  # 38,000 by search alone


def test_completion_drives_and_undocks_by_itself():
    draft = Draft('do', (Call('pick', {'object': 'red_toolbox'}),))
    plan = complete(CELL, draft, 'pick', CELL.world.initial).plan
    tools = [step.tool for step in plan.steps()]
    assert tools[-1] == 'pick'
    assert 'undock' in tools and 'navigate_to' in tools
    final = check_plan(plan, CELL, CELL.world.initial)
    assert final.holds(parse_fact('holding(robot, red_toolbox)'))


def test_the_check_names_the_step_and_the_missing_fact():
    plan = Plan('pick', Sequence((Step('s1', 'pick', {'object': 'red_toolbox'}),)))
    with pytest.raises(CheckError, match=r's1: .*cannot run: it needs .*robot'):
        check_plan(plan, CELL, CELL.world.initial)


@pytest.mark.parametrize(('world_file', 'tools_file'), WORLDS)
def test_the_grammar_compiles(world_file, tools_file):
    llguidance = pytest.importorskip('llguidance')
    robot = _load(world_file, tools_file)
    text = surface.grammar(robot.toolset, robot.world)
    grammar = llguidance.LLMatcher.grammar_from_lark(text)
    tokenizer = llguidance.LLTokenizer('byte')
    is_error, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar, tokenizer)
    assert not is_error, messages


@settings(max_examples=80, deadline=None, derandomize=True)
@given(items=ITEMS)
def test_parse_reads_what_write_wrote(items):
    assert surface.parse(surface.write(items), CELL.toolset, CELL.world).items == items
