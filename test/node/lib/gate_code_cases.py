# SPDX-License-Identifier: Apache-2.0
"""What provokes each reason code that a plan can get: bytes, the state of the moment, and changes of the policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import Condition, If, Plan, Ref, Sequence, Step, plan_to_bytes

__all__ = ['CASES', 'IF', 'READ', 'Case', 'changed_policy', 'go', 'raw']

TEXT = (Path(__file__).resolve().parents[3] / 'config' / 'policy.yaml').read_text(encoding='utf-8')
TOTAL = ', limits: {totals: [{max: 3, within_s: 60}]}'
MOVE = '  navigate_to: {risk: motion, hazard: h1'
ROOM = """
zones:
  frame: map
  signal: pose
  margin_m: 0.2
  areas: {room: {kind: allow, polygon: [[-4, -4], [1, -4], [1, 4], [-4, 4]]}}
"""
POSE = 'type: nav_msgs/msg/Odometry, publishers'
SEEN = 'type: nav_msgs/msg/Odometry, field: pose.pose, publishers'
NEVER = '\nsequences:\n  no_pump: {rule: never, first: {tool: navigate_to, args: {place: pump}}, hazard: h1}\n'
READ = Step('r', 'read_gauge', {'gauge': 'pressure_gauge'})
SET = Step('p', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('r', 'value')})


def go(place: str = 'pump', step_id: str = 's1') -> Step:
    return Step(step_id, 'navigate_to', {'place': place})


def raw(*nodes: Any, **fields: Any) -> bytes:
    return plan_to_bytes(Plan(fields.get('goal', 'test'), Sequence(nodes)))


def changed(old: str, new: str) -> bytes:
    text = raw(go())
    assert old.encode() in text
    return text.replace(old.encode(), new.encode(), 1)


IF = If(Condition(Ref('r', 'value'), '<', 4.0, 30.0, 'hold', 'bar'), go('pump', 'a'), go('storage', 'b'))
LONG = tuple(Step(f'v{n}', 'open_valve', {'valve': 'main_valve'}) for n in range(200))
ONE = 'irreversible:\n    typed: {confirm: true, people: '
ASK_ANOTHER = (f'{ONE}0', f'{ONE}1')
FREEZES = ('max_age_s: 0.5', 'max_age_s: 0.5, frozen_after_s: 1.0')
BY_HAND = [(MOVE, MOVE + ', when: [{signal: mode, is: AUTO}]'), ('MANUAL: read', 'MANUAL: motion')]
Case = tuple[Code, bytes, dict[str, Any], list[tuple[str, str]], str, list[str]]
CASES: list[Case] = [
    (Code.TOO_LARGE, b'x' * 70_000, {}, [], '', []),
    (Code.NOT_UTF8, b'\xff', {}, [], '', []),
    (Code.TOO_DEEP, b'[' * 99, {}, [], '', []),
    (Code.TOO_MANY_STEPS, b'[' + b'"tool":1,' * 300, {}, [], '', []),
    (Code.NOT_JSON, b'{', {}, [], '', []),
    (Code.DUPLICATE_KEY, b'{"a":1,"a":2}', {}, [], '', []),
    (Code.NUMBER_REFUSED, b'NaN', {}, [], '', []),
    (Code.NOT_CANONICAL, b'{ }', {}, [], '', []),
    (Code.SCHEMA, b'{}', {}, [], '', []),
    (Code.TYPES, raw(go())[:-1] + b',"uses":[]}', {}, [], '', []),
    (Code.TEXT_REFUSED, raw(go(), goal='a\u202eb'), {}, [], '', []),
    (Code.REFERENCE, changed('"pump"', '{"ref":"s0.x"}'), {}, [], '', []),
    (Code.UNKNOWN_TOOL, changed('navigate_to', 'fly_to'), {}, [], '', []),
    (Code.BAD_ARGUMENT, changed('"pump"', '"moon"'), {}, [], '', []),
    (Code.TOOL_NOT_ALLOWED, raw(go()), {}, [(MOVE + '}\n', '')], '', []),
    (Code.ARGUMENT_NOT_ALLOWED, raw(go()), {}, [(MOVE, MOVE + ', args: {place: {deny: [pump]}}')], '', []),
    (Code.UNTRUSTED, raw(READ, SET), {}, [(', from: [camera]', '')], '', []),
    (Code.ZONE, raw(go()), {}, [(MOVE, MOVE + ', ends_at: pose'), (POSE, SEEN)], ROOM, []),
    (Code.SEQUENCE, raw(go()), {}, [], NEVER, []),
    (Code.LIMIT, raw(go(), go('storage', 's2')), {}, [(MOVE, MOVE + TOTAL)], '', []),
    (Code.BAD_PROPOSER, raw(go()), {}, [], '', ['--proposer', 'a b']),
    (Code.NEEDS_CONFIRMATION, raw(go()), {}, [], '', ['--channel', 'speech']),
    (Code.NEEDS_APPROVAL, raw(LONG[0]), {}, [ASK_ANOTHER], '', []),
    (Code.RENDERING_TOO_LONG, raw(*LONG), {}, [], '', []),
    (Code.DISARMED, raw(go()), {'state': 'DISARMED'}, [], '', []),
    (Code.STOPPED, raw(go()), {'state': 'STOPPED'}, [], '', []),
    (Code.ESTOP, raw(go()), {'signals': {'estop': {'value': True}}}, [], '', []),
    (Code.SIGNAL_MISSING, raw(go()), {'signals': {'pose': {'age_s': None}}}, [], '', []),
    (Code.SIGNAL_STALE, raw(go()), {'signals': {'pose': {'age_s': 3.0}}}, [], '', []),
    (Code.SIGNAL_FROZEN, raw(go()), {'signals': {'pose': {'age_s': 0.1, 'stands_s': 3.0}}}, [FREEZES], '', []),
    (Code.MODE, raw(go()), {'signals': {'mode': {'value': 'MANUAL'}}}, [], '', []),
    (Code.DEADMAN, raw(go()), {'deadman_age_s': None}, [], '', []),
    (Code.AUDIT, raw(go()), {'audit_ok': False}, [], '', []),
    (Code.LOCKED_OUT, raw(go()), {'locks': [{'person': 'bert', 'reason': 'belt off'}]}, [], '', []),
    (Code.PLACE, raw(go('storage')), {'signals': {'pose': {'value': [3.0, 0.0]}}}, [(POSE, SEEN)], ROOM, []),
    (Code.EXECUTOR_LEASE, raw(go()), {'executor_age_s': 9.0}, [], '', ['--step', 's1']),
    (Code.PRECONDITION, raw(go()), {'signals': {'mode': {'value': 'MANUAL'}}}, [*BY_HAND], '', ['--step', 's1']),
    (Code.STEP_UNKNOWN, raw(go()), {}, [], '', ['--step', 's9']),
    (Code.STEP_NOT_ENABLED, raw(READ, IF), {'results': {'r': {'value': 3.0}}}, [], '', ['--step', 'b']),
    (Code.REFERENCE_UNRESOLVED, raw(READ, SET), {}, [], '', ['--step', 'p']),
]  # fmt: skip


def changed_policy(changes: list[tuple[str, str]], more: str) -> str:
    """Return the text of the cell's policy with changes."""
    text = TEXT
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text + more
