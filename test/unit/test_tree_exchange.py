# SPDX-License-Identifier: Apache-2.0
"""Plans as XML of BehaviorTree.CPP 4 and back, and as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.errors import PlanError
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
    plan_from_json,
    plan_to_bytes,
    plan_to_json,
)
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.tree.exchange import from_xml, to_xml
from gemma4_ros.core.tree.rows import plan_rows, to_svg
from gemma4_ros.core.world_file import load_world

CONFIG = Path(__file__).resolve().parents[2] / 'config'
WORLD = load_world((CONFIG / 'world.yaml').read_text(encoding='utf-8'))
TOOLS = load_tools([('cell', (CONFIG / 'tools' / 'cell.yaml').read_text(encoding='utf-8'))], WORLD).tools
READ = Step('r', 'read_gauge', {'gauge': 'pressure_gauge'})
HIGH = Condition(Ref('r', 'value'), '>', 4.0, 30.0, 'hold', 'bar')

STEPS = st.one_of(
    st.sampled_from(sorted(WORLD.group('places'))).map(lambda place: Step('x', 'navigate_to', {'place': place})),
    st.floats(0.0, 8.0).map(lambda bar: Step('x', 'set_panel_value', {'panel': 'main_panel', 'value_bar': bar})),
    st.just(Step('x', 'set_panel_value', {'panel': 'main_panel', 'value_bar': Ref('r', 'value')})),
    st.just(Step('x', 'dock', {})),
)


def _around(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=1, max_size=3).map(tuple)
    conditions = st.builds(
        Condition,
        st.just(Ref('r', 'value')),
        st.sampled_from(('<', '<=', '>', '>=', '==', '!=')),
        st.one_of(st.floats(-1e6, 1e6), st.integers(-99, 99), st.booleans(), st.text(max_size=20)),
        st.floats(0.5, 3600.0),
        st.sampled_from(('hold', 'true', 'false')),
        st.sampled_from(('', 'bar')),
    )
    return st.one_of(
        several.map(Sequence),
        several.map(Fallback),
        st.builds(Parallel, several.filter(lambda many: len(many) > 1), st.sampled_from(('all', 'any'))),
        st.builds(Repeat, inner, st.integers(1, 64)),
        st.builds(If, conditions, inner, st.one_of(st.none(), inner)),
    )


def _numbered(node: Node, numbers: list[int]) -> Node:
    """Give each step an id of its own."""
    match node:
        case Step():
            numbers.append(0)
            return Step(f's{len(numbers)}', node.tool, node.args)
        case Sequence() | Fallback():
            return type(node)(tuple(_numbered(child, numbers) for child in node.children))
        case Parallel():
            return Parallel(tuple(_numbered(child, numbers) for child in node.children), node.policy)
        case Repeat():
            return Repeat(_numbered(node.child, numbers), node.times)
        case If():
            otherwise = None if node.otherwise is None else _numbered(node.otherwise, numbers)
            return If(node.condition, _numbered(node.then, numbers), otherwise)
    raise AssertionError(node)


GOALS = st.text(st.characters(exclude_categories=('C',)), min_size=1, max_size=60).filter(str.strip)


@settings(max_examples=300, deadline=None)
@given(st.recursive(STEPS, _around, max_leaves=8), GOALS)
def test_a_plan_comes_back_as_it_was(root: Node, goal: str) -> None:
    try:
        plan = plan_from_json(plan_to_json(Plan(goal, Sequence((READ, _numbered(root, []))))))
    except PlanError:  # too deep for a plan
        return
    text = to_xml(plan)
    assert plan_to_bytes(from_xml(text, TOOLS)) == plan_to_bytes(plan)


def test_the_document_is_what_editors_of_behaviortree_cpp_open() -> None:
    plan = Plan('a <b>', Sequence((READ, If(HIGH, Parallel((Step('d', 'dock', {}), Step('e', 'dock', {})), 'any')))))
    root = ElementTree.fromstring(to_xml(plan))
    assert (root.tag, root.attrib) == ('root', {'BTCPP_format': '4', 'main_tree_to_execute': 'plan'})
    assert [element.tag for element in root.iter()][:7] == [
        'root', 'BehaviorTree', 'Sequence', 'read_gauge', 'IfThenElse', 'GateCondition', 'Parallel',
    ]  # fmt: skip
    assert root.find('.//GateCondition').attrib['ref'] == '{r.value}'
    model = {element.get('ID'): element.tag for element in root.find('TreeNodesModel')}
    assert model == {'read_gauge': 'Action', 'dock': 'Action', 'GateCondition': 'Condition'}


WRAP = '<root BTCPP_format="4"><BehaviorTree ID="p">{}</BehaviorTree></root>'


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('<root', 'no XML'),
        ('<root BTCPP_format="3"/>', 'BTCPP_format="4"'),
        ('<root BTCPP_format="4"/>', 'one BehaviorTree with one node'),
        ('<!DOCTYPE x [<!ENTITY a "b">]>' + WRAP.format('<dock/>'), 'document type'),
        (WRAP.format('<Sequence><dock/><GateCondition/><dock/></Sequence>'), 'stands first in an IfThenElse'),
        (WRAP.format('<IfThenElse><dock/><GateCondition/></IfThenElse>'), 'stands first in an IfThenElse'),
        (WRAP.format('<dock _skipIf="true"/>'), '_skipIf has no counterpart'),
        (WRAP.format('<dock><dock/></dock>'), 'a step has no nodes inside'),
        (WRAP.format('<Sequence memory="0"><dock/></Sequence>'), 'memory is not taken'),
        (WRAP.format('<dock/>').replace('"4">', '"4" main_tree_to_execute="q">', 1), "names 'q', which is not there"),
        (WRAP.format('<dock/></BehaviorTree><BehaviorTree ID="p"><dock/>'), 'one BehaviorTree'),
        (WRAP.format('<Parallel success_count="1" failure_count="1"><dock/><dock/></Parallel>'), 'neither all'),
        (' ' * 300_000, 'larger than'),
        (WRAP.format('<dcok/>'), "'dcok' is no tool of this robot; did you mean 'dock'"),
        (WRAP.format('<navigate_to palce="pump"/>'), "takes no 'palce'; did you mean 'place'"),
        (WRAP.format('<set_panel_value panel="main_panel" value_bar="high"/>'), "value_bar: 'high' is no number"),
        (WRAP.format('<set_panel_value panel="main_panel" value_bar="NaN"/>'), ''),
        (WRAP.format('<Repeat num_cycles="x"><dock/></Repeat>'), "num_cycles='x' is no number"),
        (WRAP.format('<Repeat num_cycles="65"><dock/></Repeat>'), ''),
        (WRAP.format('<Repeat num_cycles="2"/>'), 'wants one node inside, has 0'),
        (WRAP.format('<Parallel success_count="2"><dock/><dock/><dock/></Parallel>'), 'neither all'),
        (WRAP.format('<IfThenElse><dock/></IfThenElse>'), 'wants a GateCondition'),
        (WRAP.format('<IfThenElse><GateCondition value="x"/><dock/></IfThenElse>'), 'are JSON'),
        (WRAP.format('<Sequence/>'), ''),
        (WRAP.format('<Sequence>' * 40 + '<dock/>' + '</Sequence>' * 40), 'deeper'),
    ],
)
def test_what_is_no_plan_of_ours_is_said(text: str, says: str) -> None:
    with pytest.raises(PlanError) as error:
        from_xml(text, TOOLS)
    assert says in str(error.value)


def test_an_argument_that_xml_cannot_carry_is_said() -> None:
    with pytest.raises(PlanError, match='called name or ID'):
        to_xml(Plan('x', Step('s', 'dock', {'name': 'a'})))


def test_a_picture_has_a_box_a_node_and_no_markup_of_others() -> None:
    plan = Plan('x', Sequence((READ, If(HIGH, Step('d', 'dock', {'a': '<script>'})))))
    picture = ElementTree.fromstring(to_svg(plan_rows(plan)))
    space = '{http://www.w3.org/2000/svg}'
    assert len(picture.findall(f'{space}rect')) == len(picture.findall(f'{space}text')) == 4
    assert len(picture.findall(f'{space}path')) == 3
    assert '<script>' in ''.join(picture.itertext()) and picture.find(f'.//{space}script') is None
