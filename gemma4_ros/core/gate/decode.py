# SPDX-License-Identifier: Apache-2.0
"""Admission rules 1 to 6: bytes of a stranger become a typed plan, or a refusal with a code."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

import jsonschema_rs
import rfc8785

from gemma4_ros.core import schemas
from gemma4_ros.core.errors import PlanError
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.rebuild import rebuild
from gemma4_ros.core.gate.verdict import refuse
from gemma4_ros.core.plan import Plan, check_references, plan_to_json

__all__ = ['MAX_BYTES', 'MAX_NESTING', 'MAX_STEPS', 'decode']

MAX_BYTES = 64 * 1024
MAX_NESTING = 16
MAX_STEPS = 256
MAX_VALUES = 8192
MAX_EXPLAINED = 1024
_MAX_INT = 2**53 - 1
# a string, or the rest of a document whose string does not end: trying again at every quote would take quadratic time
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b'[]{}'))
_HIDDEN = ('Cc', 'Cf', 'Cs', 'Co', 'Cn', 'Zl', 'Zp')


def decode(raw: bytes) -> Plan:
    """
    Turn bytes into a plan; raise Refused with the code of the first rule that fails.

    In order: size, strict UTF-8, nesting and number of steps before anything is parsed, strict JSON, RFC 8785 form,
    schema, typed rebuild that gives the same document back, visible text only, references to earlier steps.
    """
    if len(raw) > MAX_BYTES:
        raise refuse(Code.TOO_LARGE, 'admission.size', f'{len(raw)} bytes or more; at most {MAX_BYTES} are taken')
    try:
        text = raw.decode('utf-8', 'strict')
    except UnicodeDecodeError as error:
        raise refuse(Code.NOT_UTF8, 'admission.utf8', f'byte {error.start} is not UTF-8') from None
    _prescan(raw)
    value = _parse(text)
    _check_canonical(value, raw)
    _check_schema(value, len(raw))
    plan = rebuild(value)
    if plan_to_json(plan) != value:
        raise refuse(Code.TYPES, 'admission.types', 'the typed plan is not the document')
    _check_texts(value)
    try:
        check_references(plan)
    except PlanError as error:
        raise refuse(Code.REFERENCE, 'admission.references', str(error)[:200]) from None
    return plan


def _prescan(raw: bytes) -> None:
    depth = 0
    bare = _STRING.sub(b'', raw)
    for bracket in bare.translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b'[{' else -1
        if depth > MAX_NESTING:
            raise refuse(Code.TOO_DEEP, 'admission.depth', f'brackets nest deeper than {MAX_NESTING}')
    # inside of a string a quote follows a backslash, so this counts keys
    steps = raw.count(b'"tool":')
    if steps > MAX_STEPS:
        raise refuse(Code.TOO_MANY_STEPS, 'admission.steps', f'{steps} steps; at most {MAX_STEPS} are taken')
    values = bare.count(b',')
    if values > MAX_VALUES:
        raise refuse(Code.TOO_MANY_STEPS, 'admission.steps', f'{values} values; at most {MAX_VALUES} are taken')


def _parse(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant)
    except json.JSONDecodeError as error:
        raise refuse(Code.NOT_JSON, 'admission.json', f'not JSON at character {error.pos}') from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise refuse(Code.DUPLICATE_KEY, 'admission.json', 'an object names a key twice')
    return result


def _int(digits: str) -> int:
    if digits == '-0' or len(digits) > 17 or abs(int(digits)) > _MAX_INT:
        raise refuse(Code.NUMBER_REFUSED, 'admission.numbers', f'the number {digits[:24]} is -0 or beyond 2^53 - 1')
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value) or abs(value) > _MAX_INT or (value == 0.0 and math.copysign(1.0, value) < 0.0):
        raise refuse(Code.NUMBER_REFUSED, 'admission.numbers', f'{digits[:24]} is -0, infinite or too big')
    return value


def _constant(name: str) -> Any:
    raise refuse(Code.NUMBER_REFUSED, 'admission.numbers', f'{name} is no number of JSON')


def _check_canonical(value: Any, raw: bytes) -> None:
    try:
        same = rfc8785.dumps(value) == raw
    except (rfc8785.CanonicalizationError, UnicodeError):  # a lone surrogate has no canonical form
        same = False
    if not same:
        raise refuse(Code.NOT_CANONICAL, 'admission.canonical', 'the bytes are not canonical JSON (RFC 8785)')


def _retrieve(uri: str) -> Any:
    raise ValueError(f'the gate fetches nothing: {uri}')


_SCHEMA = jsonschema_rs.Draft202012Validator(schemas.PLAN, retriever=_retrieve)


def _check_schema(value: Any, size: int) -> None:
    if _SCHEMA.is_valid(value):
        return
    where = 'the document breaks plan-1.json; gemma4 gate check says where'
    if size <= MAX_EXPLAINED:  # the validator collects what every branch of a choice says: seconds for a big document
        error = next(iter(_SCHEMA.iter_errors(value)))
        path = ascii('/'.join(str(part) for part in error.instance_path))[1:-1]
        rule = error.schema_path[-1] if error.schema_path else 'schema'
        where = f'/{path[:120]} breaks the rule {rule!r} of plan-1.json'
    raise refuse(Code.SCHEMA, 'admission.schema', where)


def _check_texts(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key)
            _check_texts(item)
    elif isinstance(value, list):
        for item in value:
            _check_texts(item)
    elif isinstance(value, str) and not (value.isascii() and value.isprintable()):
        hidden = any(unicodedata.category(char) in _HIDDEN for char in value)
        if hidden or not unicodedata.is_normalized('NFC', value):
            raise refuse(Code.TEXT_REFUSED, 'admission.text', Code.TEXT_REFUSED.meaning)
