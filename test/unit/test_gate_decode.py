# SPDX-License-Identifier: Apache-2.0
"""Admission rules 1 to 6: what is refused, with which code; and that no changed byte gets through as the same plan."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate import decode as decode_module
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.decode import decode
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.plan import plan_to_bytes, plan_to_json

STEP: dict[str, Any] = {
    'id': 's1',
    'tool': 'read_gauge',
    'args': {'gauge': 'pressure_gauge'},
    'origin': 'model',
    'why': 'as said',
}
IF: dict[str, Any] = {
    'if': {'ref': 's1.value', 'op': '<', 'value': 4.5, 'unit': 'bar', 'max_age_s': 5, 'on_unknown': 'hold'},
    'then': {'id': 's2', 'tool': 'dock', 'args': {}},
    'else': {'repeat': {'id': 's3', 'tool': 'set', 'args': {'v': {'ref': 's1.value'}, 'n': 3, 'b': True}}, 'times': 2},
}
PLAN: dict[str, Any] = {
    'plan': '1',
    'goal': 'check it',
    'root': {'sequence': [STEP, IF]},
    'uses': [{'source': 'm#1', 'trust': 'document'}],
}
GOOD = rfc8785.dumps(PLAN)


def code_of(raw: bytes) -> Code:
    """Return the code of the refusal; NONE where it was taken."""
    try:
        decode(raw)
    except Refused as refused:
        verdict = refused.verdict
    else:
        return Code.NONE
    assert verdict.name == 'deny' and verdict.rule.startswith('admission.') and verdict.text.isprintable()
    return verdict.code


def changed(path: list[Any], value: Any) -> bytes:
    """Return the canonical bytes of the plan with one value set."""
    copy = json.loads(GOOD)
    place = copy
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return rfc8785.dumps(copy)


def test_plan_comes_out_as_it_went_in() -> None:
    assert plan_to_json(decode(GOOD)) == PLAN
    assert plan_to_bytes(decode(GOOD)) == GOOD


S1, S2 = ['root', 'sequence', 0], ['root', 'sequence', 1]


@pytest.mark.parametrize(
    ('raw', 'code'),
    [
        (b' ' * 65537, Code.TOO_LARGE),
        (b'', Code.NOT_JSON),
        (b'\xff', Code.NOT_UTF8),
        (b'"\xed\xa0\x80"', Code.NOT_UTF8),
        (b'"\xc0\x80"', Code.NOT_UTF8),
        (b'[' * 65536, Code.TOO_DEEP),
        (b'{"a":' * 17, Code.TOO_DEEP),
        (b'"[[[[[[[[[[[[[[[[[[[["', Code.SCHEMA),
        (b'"\\"' + b'[' * 17 + b'"', Code.SCHEMA),
        (b'[' + b'{"tool":1},' * 256 + b'{"tool":1}]', Code.TOO_MANY_STEPS),
        (b'{', Code.NOT_JSON),
        (b'{}{}', Code.NOT_JSON),
        (b"{'a':1}", Code.NOT_JSON),
        (b'[1,]', Code.NOT_JSON),
        (b'"\x00"', Code.NOT_JSON),
        (b'\xef\xbb\xbf{}', Code.NOT_JSON),
        (b'{"a":1,"a":1}', Code.DUPLICATE_KEY),
        (b'{"a":1,"\\u0061":1}', Code.DUPLICATE_KEY),
        (b'NaN', Code.NUMBER_REFUSED),
        (b'-Infinity', Code.NUMBER_REFUSED),
        (b'1e400', Code.NUMBER_REFUSED),
        (b'-0', Code.NUMBER_REFUSED),
        (b'-0.0', Code.NUMBER_REFUSED),
        (b'9007199254740992', Code.NUMBER_REFUSED),
        (b'9' * 5000, Code.NUMBER_REFUSED),
        (b'1e300', Code.NUMBER_REFUSED),
        (GOOD + b'\n', Code.NOT_CANONICAL),
        (GOOD.replace(b'"goal":', b'"goal" :'), Code.NOT_CANONICAL),
        (GOOD.replace(b'check', b'\\u0063heck'), Code.NOT_CANONICAL),
        (GOOD.replace(b'4.5', b'4.50'), Code.NOT_CANONICAL),
        (GOOD.replace(b'check', b'\\ud800'), Code.NOT_CANONICAL),
        (json.dumps(PLAN, sort_keys=False, separators=(',', ':')).encode(), Code.NOT_CANONICAL),
        (b'null', Code.SCHEMA),
        (b'[]', Code.SCHEMA),
        (changed(['plan'], '2'), Code.SCHEMA),
        (changed(['extra'], 1), Code.SCHEMA),
        (changed([*S1, 'topic'], '/cmd_vel'), Code.SCHEMA),
        (changed([*S1, 'id'], 'S1'), Code.SCHEMA),
        (changed([*S1, 'id'], 's1\n'), Code.SCHEMA),
        (changed([*S1, 'id'], 'ѕ1'), Code.SCHEMA),
        (changed([*S1, 'args', 'gauge'], None), Code.SCHEMA),
        (changed([*S1, 'args', 'gauge'], ['a']), Code.SCHEMA),
        (changed([*S1, 'args', 'gauge'], {'ref': 's1'}), Code.SCHEMA),
        (changed([*S1, 'args', 'gauge'], {'ref': 's0.v', 'x': 1}), Code.SCHEMA),
        (changed([*S1, 'sequence'], []), Code.SCHEMA),
        (changed([*S2, 'else', 'times'], 65), Code.SCHEMA),
        (changed([*S2, 'else', 'times'], True), Code.SCHEMA),
        (changed([*S2, 'if', 'op'], 'in'), Code.SCHEMA),
        (changed([*S2, 'if', 'max_age_s'], 0), Code.SCHEMA),
        (changed([*S1, 'why'], 'x' * 257), Code.SCHEMA),
        (changed([*S1, 'why'], 'red\u200bbox'), Code.TEXT_REFUSED),
        (changed([*S1, 'why'], 'a\u202eb'), Code.TEXT_REFUSED),
        (changed([*S1, 'why'], 'a\x1b[31mb'), Code.TEXT_REFUSED),
        (changed([*S1, 'why'], 'e\u0301'), Code.TEXT_REFUSED),
        (changed([*S1, 'why'], '\U000e0041'), Code.TEXT_REFUSED),
        (changed([*S2, 'if', 'ref'], 's2.value'), Code.REFERENCE),
        (changed([*S2, 'then', 'id'], 's1'), Code.REFERENCE),
        (changed([*S1, 'args', 'gauge'], {'ref': 's1.value'}), Code.REFERENCE),
    ],
)
def test_bad_bytes_are_refused_with_their_code(raw: bytes, code: Code) -> None:
    assert code_of(raw) is code


def test_typed_reading_that_gives_another_document_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = decode(changed(['goal'], 'something else'))
    monkeypatch.setattr(decode_module, 'rebuild', lambda value: other)
    assert code_of(GOOD) is Code.TYPES


def refusal_of(raw: bytes) -> str:
    with pytest.raises(Refused) as caught:
        decode(raw)
    verdict = caught.value.verdict
    return f'{verdict.code.name} {verdict.rule} {verdict.text}'


def test_document_of_too_many_values_is_refused_before_it_is_parsed() -> None:
    most = decode_module.MAX_VALUES
    said = f'TOO_MANY_STEPS admission.steps {most + 1} values; at most {most} are taken'
    assert refusal_of(b'[' + b'1,' * (most + 1) + b'1') == said
    assert refusal_of(b'[' + b'1,' * most + b'1').startswith('NOT_JSON')
    assert refusal_of(b'"' + b',' * (most + 1) + b'"').startswith('SCHEMA')  # within a text they are none


def test_place_of_a_broken_rule_is_named_where_the_document_is_small() -> None:
    small = refusal_of(changed([*S1, 'id'], 'S1'))
    assert small.startswith('SCHEMA admission.schema /root') and small.endswith('of plan-1.json')
    big = changed(['goal'], 'x' * (decode_module.MAX_EXPLAINED + 1))
    assert refusal_of(big) == 'SCHEMA admission.schema the document breaks plan-1.json; gemma4 gate check says where'


def test_schema_is_never_fetched_from_anywhere() -> None:
    with pytest.raises(ValueError, match='the gate fetches nothing: file:///etc/passwd'):
        decode_module._retrieve('file:///etc/passwd')


@pytest.mark.parametrize(
    'text', ['Zum Ventil, bitte – größer als 4', 'до клапана', '把箱子拿到阀门', 'a "quoted" \\ text', '']
)
def test_visible_text_of_any_language_is_taken(text: str) -> None:
    assert code_of(changed(['goal'], text)) is Code.NONE


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_no_changed_byte_passes_as_the_same_plan(index: int, flip: int) -> None:
    mutant = GOOD[:index] + bytes([GOOD[index] ^ flip]) + GOOD[index + 1 :]
    try:
        plan = decode(mutant)
    except Refused:
        return
    assert plan_to_bytes(plan) == mutant != GOOD
    assert plan_to_json(plan) != PLAN


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300) | st.text(alphabet='[]{}",:\\0-9.eE+truefalsn \n', max_size=200).map(str.encode))
def test_any_bytes_give_a_plan_or_a_refusal(raw: bytes) -> None:
    assert isinstance(code_of(raw), Code)


KEYS = st.sampled_from(['plan', 'root', 'sequence', 'id', 'tool', 'args', 'if', 'then', 'times', 'repeat', 'ref', 'x'])
LEAVES = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=8)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        LEAVES, lambda nested: st.lists(nested, max_size=4) | st.dictionaries(KEYS, nested, max_size=5), max_leaves=20
    )
)
def test_any_json_gives_a_plan_or_a_refusal(value: Any) -> None:
    assert isinstance(code_of(json.dumps(value).encode()), Code)
    assert isinstance(
        code_of(json.dumps({**PLAN, 'root': value}, sort_keys=True, separators=(',', ':')).encode()), Code
    )
