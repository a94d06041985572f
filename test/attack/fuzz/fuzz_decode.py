# SPDX-License-Identifier: Apache-2.0
"""Whatever the gate's decoder takes is what other parsers read there, valid, and in its canonical form."""

from __future__ import annotations

import json

from engine import instrumented, run

with instrumented():
    from gemma4_ros.core.gate.codes import Code
    from gemma4_ros.core.gate.decode import decode
    from gemma4_ros.core.gate.verdict import Refused
    from gemma4_ros.core.plan import plan_to_bytes, plan_to_json

import jsonschema
import rfc8785
from bad_documents import GOOD, PLAN
from hand_gate import CONFIG

SCHEMA = json.loads((CONFIG / 'schema/plan-1.json').read_text(encoding='utf-8'))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SEEDS = (
    GOOD,
    *(rfc8785.dumps({**PLAN, 'root': node}) for node in PLAN['root']['sequence'][:2]),
    b'{}',
    b'[1.5e3,"\\u00e9"]',
)


def check(data: bytes) -> bool:
    """Hold the decoder against others on these bytes, and on their canonical form, if they are JSON."""
    is_taken = differs_not(data)
    try:
        canonical = rfc8785.dumps(json.loads(data))
    except (ValueError, RecursionError, rfc8785.CanonicalizationError):
        return is_taken
    return differs_not(canonical) or is_taken


def differs_not(data: bytes) -> bool:
    """Say whether the decoder takes the bytes; raise AssertionError where it should not have, or changed them."""
    try:
        plan = decode(data)
    except Refused as refused:
        verdict = refused.verdict
    else:
        verdict = None
    if verdict is not None:
        assert verdict.code is not Code.INTERNAL and verdict.text.isprintable()
        return False
    value = json.loads(data)
    VALIDATOR.validate(value)
    assert rfc8785.dumps(value) == data, 'not canonical'
    if value.get('uses') == []:  # as good as left out
        del value['uses']
    assert plan_to_json(plan) == value and plan_to_bytes(plan) == rfc8785.dumps(value), 'another plan'
    return True


if __name__ == '__main__':
    run(check, SEEDS)
