# SPDX-License-Identifier: Apache-2.0
"""Plans as JSON: every kind of node there and back, what is refused where, and what a second validator says."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gemma4_ros.core import schemas
from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.plan import (
    MAX_BYTES,
    MAX_NESTING,
    MAX_STEPS,
    Condition,
    Fallback,
    If,
    Node,
    Parallel,
    Plan,
    Ref,
    Repeat,
    Sequence,
    Source,
    Step,
    check_nesting,
    plan_from_json,
    plan_sha256,
    plan_to_bytes,
    plan_to_json,
    walk,
)

Json = dict[str, Any]
SECOND = jsonschema_rs.validator_for(schemas.PLAN)  # another implementation than the one under test
REFERENCE = jsonschema.Draft202012Validator(schemas.PLAN)


def step(number: int = 1, **more: Any) -> Json:
    """Return a step."""
    return {'id': f's{number}', 'tool': 'read', 'args': {}, **more}


def condition(**more: Any) -> Json:
    """Return a condition on the first step."""
    return {'ref': 's1.value', 'op': '<', 'value': 1.5, 'max_age_s': 5, 'on_unknown': 'hold', **more}


def plan(root: Any, **more: Any) -> Json:
    """Return a plan with this root."""
    return {'plan': '1', 'goal': 'check it', 'root': root, **more}


def refusal(value: Any) -> str:
    """Return what is said about a wrong plan."""
    with pytest.raises(PlanError) as caught:
        plan_from_json(value)
    return str(caught.value)


def said_about(value: Any) -> str:
    """Return what is said about a plan, empty where it is taken."""
    try:
        plan_from_json(value)
    except PlanError as error:
        return str(error)
    return ''


# Kinds of nodes ------------------------------------------------------------------------------------------------------
WHOLE = plan(
    {
        'sequence': [
            step(1, args={'a': 'x', 'b': 2, 'c': 0.25, 'd': True, 'e': False}, origin='model', why='as said'),
            {'fallback': [step(2, origin='completion'), step(3)]},
            {'parallel': [step(4), {'sequence': [step(5)]}], 'policy': 'any'},
            {'repeat': step(6, args={'v': {'ref': 's1.value'}}), 'times': 3},
            {'if': condition(unit='bar'), 'then': step(7), 'else': step(8)},
            {'if': condition(ref='s6.state', op='!=', value='open', on_unknown='false'), 'then': step(9)},
        ]
    },
    uses=[{'source': 'manual:p7', 'trust': 'document'}],
)


def test_every_kind_of_node_is_built() -> None:
    built = plan_from_json(WHOLE)
    assert built == Plan(
        'check it',
        Sequence(
            (
                Step('s1', 'read', {'a': 'x', 'b': 2, 'c': 0.25, 'd': True, 'e': False}, 'model', 'as said'),
                Fallback((Step('s2', 'read', {}, 'completion'), Step('s3', 'read', {}))),
                Parallel((Step('s4', 'read', {}), Sequence((Step('s5', 'read', {}),))), 'any'),
                Repeat(Step('s6', 'read', {'v': Ref('s1', 'value')}), 3),
                If(
                    Condition(Ref('s1', 'value'), '<', 1.5, 5, 'hold', 'bar'),
                    Step('s7', 'read', {}),
                    Step('s8', 'read', {}),
                ),
                If(Condition(Ref('s6', 'state'), '!=', 'open', 5, 'false'), Step('s9', 'read', {})),
            )
        ),
        (Source('manual:p7', 'document'),),
    )
    assert [item.id for item in built.steps()] == [f's{number}' for number in range(1, 10)]
    assert plan_to_json(built) == WHOLE


def test_every_node_has_a_path() -> None:
    paths = [path for path, _ in walk(plan_from_json(WHOLE).root)]
    assert paths == [
        *('/', '/0', '/1', '/1/0', '/1/1', '/2', '/2/0', '/2/1', '/2/1/0'),
        *('/3', '/3/0', '/4', '/4/then', '/4/else', '/5', '/5/then'),
    ]


def test_a_plan_of_one_step_has_the_path_of_the_root() -> None:
    built = plan_from_json(plan(step()))
    assert [path for path, _ in walk(built.root)] == ['/'] and built.uses == ()


def test_words_for_people() -> None:
    built = plan_from_json(WHOLE)
    assert str(built.steps()[5]) == 'read(v=s1.value)'
    conditions = [str(node.condition) for _, node in walk(built.root) if isinstance(node, If)]
    assert conditions == ['s1.value < 1.5 bar', 's6.state != open']


def test_bytes_are_canonical_and_their_hash_is_the_name() -> None:
    built = plan_from_json(plan({'repeat': step(args={'b': 4.0, 'a': 'é'}), 'times': 2}))
    data = plan_to_bytes(built)
    assert data.decode() == (
        '{"goal":"check it","plan":"1","root":{"repeat":{"args":{"a":"é","b":4},"id":"s1","tool":"read"},"times":2}}'
    )
    assert plan_sha256(data) == hashlib.sha256(data).hexdigest()
    assert plan_to_bytes(plan_from_json(json.loads(data))) == data


def test_a_whole_number_written_as_a_float_repeats_as_often() -> None:
    root = plan_from_json(json.loads(json.dumps(plan({'repeat': step(), 'times': 2})).replace(': 2', ': 2.0'))).root
    assert isinstance(root, Repeat) and list(range(root.times)) == [0, 1]


# Refusals ------------------------------------------------------------------------------------------------------------
ROOTS: list[tuple[Any, str, str]] = [
    (None, '/root', 'a node has one of tool, sequence,'),
    ([], '/root', 'a node has one of'),
    ({}, '/root', 'a node has one of'),
    ({'loop': step()}, '/root', 'a node has one of'),
    ({'sequence': []}, '/root/sequence', 'non-empty'),
    ({'sequence': [step(i) for i in range(MAX_STEPS + 1)]}, '/root/sequence', 'its length is 257; at most 256'),
    ({'fallback': step()}, '/root/fallback', "is not of type 'array'"),
    ({'parallel': [step()]}, '/root', "'policy' is a required property"),
    ({'parallel': [step()], 'policy': 'most'}, '/root/policy', "['all', 'any']"),
    ({'repeat': step(), 'times': 0}, '/root/times', 'minimum of 1'),
    ({'repeat': step(), 'times': 65}, '/root/times', 'maximum of 64'),
    ({'repeat': step(), 'times': 1.5}, '/root/times', "'integer'"),
    ({'repeat': step(), 'times': True}, '/root/times', "'integer'"),
    ({'repeat': [step()], 'times': 2}, '/root/repeat', 'a node has one of'),
    ({'if': condition()}, '/root', "'then' is a required property"),
    ({'if': condition(op='='), 'then': step()}, '/root/if/op', "'=' is not one of"),
    ({'if': condition(max_age_s=0), 'then': step()}, '/root/if/max_age_s', '0'),
    ({'if': condition(max_age_s=3601), 'then': step()}, '/root/if/max_age_s', '3600'),
    ({'if': condition(ref='s1'), 'then': step()}, '/root/if/ref', "'s1' does not match"),
    ({'if': condition(ref='s1.value\n'), 'then': step()}, '/root/if/ref', 'does not match'),
    ({'if': condition(unit=''), 'then': step()}, '/root/if/unit', ''),
    ({'if': condition(value=None), 'then': step()}, '/root/if/value', ''),
    ({'if': condition(), 'then': step(), 'els': step(2)}, '/root', "'els' was unexpected"),
    (step(id='S1'), '/root/id', "'S1' does not match"),
    (step(id='s' * 33), '/root/id', 'does not match'),
    (step(id='s1\n'), '/root/id', 'does not match'),
    (step(tool='read\n'), '/root/tool', 'does not match'),
    (step(args={'a\n': 1}), '/root/args', 'does not match'),
    (step(args={'a': {'ref': 's1.x', 'or': 1}}), '/root/args/a', ''),
    (step(args={'a': 'x' * 65}), '/root/args/a', ''),
    (step(args={f'a{i}': 1 for i in range(17)}), '/root/args', 'its length is 17; at most 16'),
    (step(origin='somebody'), '/root/origin', "'somebody' is not one of"),
    (step(why='x' * 257), '/root/why', 'its length is 257; at most 256'),
    (step(args={'a': math.nan}), '/root/args/a', 'a number is finite'),
    (step(args={'a': math.inf}), '/root/args/a', 'a number is finite'),
    (step(args={'a': 10**400}), '/root/args/a', 'at most 2^53 - 1'),
    (step(args={'a': 2**53}), '/root/args/a', 'at most 2^53 - 1'),
    (step(args={'a': '\ud800'}), '/root/args/a', 'surrogate'),
    ({'sequence': [step(), {'fallback': [step(2, args={'x': None})]}]}, '/root/sequence/1/fallback/0/args/x', 'None'),
    ({'if': condition(value=math.nan), 'then': step()}, '/root/if/value', 'a number is finite'),
]


@pytest.mark.parametrize(('root', 'path', 'saying'), ROOTS)
def test_a_wrong_root_is_refused_at_its_place(root: Any, path: str, saying: str) -> None:
    message = refusal(plan(root))
    assert message.startswith(f'plan: {path}: '), message
    assert saying in message and len(message) < 400


@pytest.mark.parametrize(
    ('value', 'path', 'saying'),
    [
        (None, '/', "None is not of type 'object'"),
        ([], '/', "[] is not of type 'object'"),
        ({}, '/', "'plan' is a required property"),
        ({**WHOLE, 'plan': '2'}, '/plan', "'1' was expected"),
        ({**WHOLE, 'plan': 1}, '/plan', "'1' was expected"),
        ({**WHOLE, 'goal': None}, '/goal', "None is not of type 'string'"),
        ({**WHOLE, 'goal': 'x' * 513}, '/goal', 'its length is 513; at most 512'),
        ({**WHOLE, 'more': 1}, '/', "'more' was unexpected"),
        ({**WHOLE, 'uses': [{'source': 'x', 'trust': 'full'}]}, '/uses/0/trust', "'full' is not one of"),
        ({**WHOLE, 'uses': [{'source': 'x', 'trust': 'screen'}] * 33}, '/uses', 'its length is 33; at most 32'),
        ({key: item for key, item in WHOLE.items() if key != 'root'}, '/', "'root' is a required property"),
    ],
)
def test_a_wrong_plan_is_refused_at_its_place(value: Any, path: str, saying: str) -> None:
    message = refusal(value)
    assert message.startswith(f'plan: {path}: ') and saying in message, message


def test_limits_are_taken_and_one_more_is_not() -> None:
    halves = [{'sequence': [step(half * 128 + i) for i in range(128)]} for half in range(2)]
    assert len(plan_from_json(plan({'sequence': halves})).steps()) == MAX_STEPS
    assert '257 steps; at most 256' in refusal(plan({'sequence': [*halves, step(999)]}))
    assert plan_from_json(plan({'repeat': step(), 'times': 64})).root == Repeat(Step('s1', 'read', {}), 64)


def nested(levels: int, wrap: Callable[[Json], Json], args: Json | None = None) -> Json:
    """Return a step below ``levels`` other nodes."""
    node = step(args=args or {})
    for _ in range(levels):
        node = wrap(node)
    return node


_OTHERS = itertools.count(1000)
WRAPS: list[tuple[Callable[[Json], Json], str]] = [
    (lambda node: {'sequence': [node]}, '0'),
    (lambda node: {'fallback': [node]}, '0'),
    (lambda node: {'parallel': [node], 'policy': 'all'}, '0'),
    (lambda node: {'repeat': node, 'times': 1}, '0'),
    (lambda node: {'if': condition(ref='s0.x'), 'then': node}, 'then'),
    (lambda node: {'if': condition(ref='s0.x'), 'then': step(next(_OTHERS)), 'else': node}, 'else'),
]
TOO_DEEP = 'nested deeper than 16 brackets of JSON'


def brackets(value: Any) -> int:
    """Return how deep brackets stand in each other, in the text."""
    depth = deepest = 0
    for char in re.sub(r'"(?:\\.|[^"\\])*"', '', json.dumps(value)):
        depth += (char in '[{') - (char in ']}')
        deepest = max(deepest, depth)
    return deepest


@pytest.mark.parametrize(('wrap', 'part'), WRAPS)
@pytest.mark.parametrize('args', [{}, {'a': {'ref': 's0.x'}}])
def test_the_depth_is_limited_in_every_kind_of_node(wrap: Callable[[Json], Json], part: str, args: Json) -> None:
    def last(levels: int) -> Json:
        return plan({'sequence': [step(0), nested(levels, wrap, args)]})

    levels = next(levels for levels in range(20) if brackets(last(levels)) > MAX_NESTING)
    said_of_json, taken = refusal(last(levels)), plan_from_json(last(levels - 1))
    assert said_of_json.startswith('plan: /root/') and TOO_DEEP in said_of_json
    plan_to_bytes(taken)
    assert isinstance(taken.root, Sequence)
    deeper = Plan('g', Sequence((taken.root.children[0], Sequence(taken.root.children[1:]))))
    for check in (check_nesting, plan_to_bytes):
        with pytest.raises(PlanError, match=rf'^plan: /1/0/{part}.*: {TOO_DEEP}; nest less'):
            check(deeper)


@pytest.mark.parametrize('levels', [30, 100, 1000, 50_000])
def test_any_depth_is_refused_and_none_breaks_the_check(levels: int) -> None:
    assert TOO_DEEP in refusal(plan(nested(levels, lambda node: {'sequence': [node]})))
    value: Any = 1
    node: Node = Step('s1', 'read', {})
    for _ in range(levels):
        value, node = [value], Repeat(node, 2)
    assert TOO_DEEP in refusal(plan(step(args={'a': value})))
    with pytest.raises(PlanError, match=TOO_DEEP):
        plan_to_bytes(Plan('g', node))


def test_a_plan_of_too_many_bytes_is_refused() -> None:
    # 240 steps with reasons of 250 characters: within every other limit
    root = {'sequence': [step(i, why='x' * 250) for i in range(240)]}
    built = plan_from_json(plan(root))
    with pytest.raises(PlanError, match=rf'bytes; at most {MAX_BYTES} are taken; ask for less at once'):
        plan_to_bytes(built)
    assert len(plan_to_bytes(plan_from_json(plan({'sequence': root['sequence'][:150]})))) <= MAX_BYTES


@pytest.mark.parametrize('value', [math.nan, math.inf, 2**53 + 1, '\udfff'])
def test_what_has_no_canonical_form_gives_no_bytes(value: Any) -> None:
    with pytest.raises(PlanError, match='no canonical form'):
        plan_to_bytes(Plan('g', Step('s1', 'read', {'a': value})))


# References ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('root', 'message'),
    [
        ({'sequence': [step(), step()]}, "plan: /1: the step id 's1' stands twice"),
        (step(args={'a': {'ref': 's1.x'}}), 'plan: /: s1.x refers to no earlier step'),
        (
            {'sequence': [step(2, args={'a': {'ref': 's1.x'}}), step(1)]},
            'plan: /0: s1.x refers to no earlier step',
        ),
        (
            {'sequence': [step(), {'if': condition(ref='s2.x'), 'then': step(2)}]},
            'plan: /1: s2.x refers to no earlier step',
        ),
        (
            {'if': condition(), 'then': {'repeat': step(), 'times': 2}, 'else': step(1)},
            'plan: /: s1.value refers to no earlier step',
        ),
        (
            {'sequence': [step(), {'if': condition(), 'then': step(2), 'else': {'fallback': [step(2)]}}]},
            "plan: /1/else/0: the step id 's2' stands twice",
        ),
    ],
)
def test_ids_are_unique_and_references_point_back(root: Json, message: str) -> None:
    assert SECOND.is_valid(plan(root)), 'the schema cannot see this'
    assert refusal(plan(root)) == message


# The same verdict as another validator -------------------------------------------------------------------------------
_IDS = st.from_regex(r'[a-z][a-z0-9_]{0,6}', fullmatch=True)
_TEXTS = st.text(st.characters(exclude_categories=('Cs',)), max_size=20)
_SCALARS = st.one_of(
    _TEXTS,
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(-1e6, 1e6).map(lambda value: value + 0.0),
    st.booleans(),
    st.builds(lambda a, b: {'ref': f'{a}.{b}'}, st.sampled_from(['s1', 's2', 's3']), _IDS),
)
_CONDITIONS = st.fixed_dictionaries(
    {
        'ref': st.sampled_from(['s1.value', 's2.value', 's3.x']),
        'op': st.sampled_from(['<', '<=', '>', '>=', '==', '!=']),
        'value': st.one_of(st.floats(-10, 10).map(lambda value: value + 0.0), _TEXTS, st.booleans()),
        'max_age_s': st.floats(0.5, 3600),
        'on_unknown': st.sampled_from(['hold', 'true', 'false']),
    },
    optional={'unit': st.sampled_from(['bar', '1', '%'])},
)
_STEPS = st.fixed_dictionaries(
    {'id': st.just('s?'), 'tool': _IDS, 'args': st.dictionaries(_IDS, _SCALARS, max_size=3)},
    optional={'origin': st.sampled_from(['model', 'completion', 'repair', 'operator']), 'why': _TEXTS.filter(bool)},
)


def _deeper(nodes: st.SearchStrategy[Json]) -> st.SearchStrategy[Json]:
    several = st.lists(nodes, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries({'sequence': several}),
        st.fixed_dictionaries({'fallback': several}),
        st.fixed_dictionaries({'parallel': several, 'policy': st.sampled_from(['all', 'any'])}),
        st.fixed_dictionaries({'repeat': nodes, 'times': st.integers(1, 64)}),
        st.fixed_dictionaries({'if': _CONDITIONS, 'then': nodes}, optional={'else': nodes}),
    )


def _numbered(value: Any, count: list[int]) -> Any:
    """Give the steps their numbers in reading order."""
    if isinstance(value, list):
        return [_numbered(item, count) for item in value]
    if isinstance(value, dict) and 'tool' in value:
        count[0] += 1
        return {**value, 'id': f's{count[0]}'}
    if isinstance(value, dict):
        return {key: item if key == 'if' else _numbered(item, count) for key, item in value.items()}
    return value


_FIRST = [step(number) for number in (1, 2, 3)]
NODES = st.recursive(_STEPS, _deeper, max_leaves=8)
PLANS = st.builds(
    lambda goal, node, uses: {
        'plan': '1',
        'goal': goal,
        'root': _numbered({'sequence': [*_FIRST, node]}, [0]),
        **({'uses': uses} if uses else {}),
    },
    _TEXTS,
    NODES,
    st.lists(
        st.fixed_dictionaries({'source': _TEXTS, 'trust': st.sampled_from(['operator', 'document', 'screen'])}),
        max_size=2,
    ),
).filter(lambda value: brackets(value) <= MAX_NESTING)
FEW = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@FEW
@given(value=PLANS)
def test_a_good_plan_is_taken_and_comes_back_as_it_was(value: Json) -> None:
    assert SECOND.is_valid(value)
    before = copy.deepcopy(value)
    built = plan_from_json(value)
    assert value == before
    assert plan_to_json(built) == value
    data = plan_to_bytes(built)
    again = plan_from_json(json.loads(data))
    assert again == built and plan_to_bytes(again) == data


_JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, -1, 1, 65, 0.5, 4000, 's1', 's1\n', 'S1', '', 'x' * 70, 'all', 'hold', '<', '1', 's1.value']),
    st.sampled_from([[], {}, [{}], {'ref': 's1.x'}, {'ref': 's1'}, step(77), condition()]),
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in _places(item, (*path, key)))]


def _damaged(value: Json, data: st.DataObject) -> Any:
    """Change, remove or add one thing somewhere in the plan."""
    *above, last = data.draw(st.sampled_from(_places(value)[1:]), label='place')
    holder: Any = value
    for part in above:
        holder = holder[part]
    how = data.draw(st.sampled_from(['change', 'remove', 'add']), label='how')
    if how == 'remove':
        del holder[last]
    elif how == 'add' and isinstance(holder, dict):
        names = ['else', 'unit', 'why', 'origin', 'policy', 'times', 'uses', 'tool', 'sequence', 'a\n', 'Zz']
        holder[data.draw(st.sampled_from(names), label='key')] = data.draw(_JUNK, label='value')
    else:
        holder[last] = data.draw(_JUNK, label='value')
    return value


@settings(FEW, max_examples=500)
@given(value=PLANS, data=st.data())
def test_a_damaged_plan_gets_the_verdict_of_another_validator(value: Json, data: st.DataObject) -> None:
    value = _damaged(copy.deepcopy(value), data)
    is_valid = SECOND.is_valid(value)
    message = said_about(value)
    if message:  # beyond the schema only identity, references and limits are checked
        beyond = ('stands twice', 'refers to no earlier step', 'nested deeper', 'steps; at most')
        assert message.startswith('plan: ') and (not is_valid or any(reason in message for reason in beyond))
    else:
        built = plan_from_json(value)
        assert is_valid and plan_from_json(plan_to_json(built)) == built


@settings(FEW, max_examples=300)
@given(
    value=st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(['plan', 'goal', 'root', 'tool', 'id', 'args', 'sequence', 'if', 'then', 'x']), inner
            ),
        ),
        max_leaves=12,
    )
)
def test_no_json_gets_through_that_the_schema_refuses_or_breaks_the_check(value: Any) -> None:
    for candidate in (value, plan(value)):
        assert said_about(candidate) or SECOND.is_valid(candidate)


@settings(FEW, max_examples=100)
@given(value=PLANS, data=st.data())
def test_both_validators_of_the_schema_agree(value: Json, data: st.DataObject) -> None:
    value = _damaged(copy.deepcopy(value), data)
    assume('\\n' not in json.dumps(value))  # Python's $ matches before a last line feed, that of JSON Schema does not
    assert REFERENCE.is_valid(value) == SECOND.is_valid(value)
