# SPDX-License-Identifier: Apache-2.0
"""``gemma4 gate`` without a robot: exit codes, one JSON document, one sentence instead of a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gemma4_ros.cli.gate import app
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes
from gemma4_ros.ros.gate_audit import AuditFile

CONFIG = Path(__file__).resolve().parents[2] / 'config'
DRIVE = Step('s1', 'navigate_to', {'place': 'pump'})
PANEL = {'panel': 'setpoint_panel'}


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / 'plan.json'
    path.write_bytes(plan_to_bytes(Plan('test', Sequence((DRIVE,)))))
    return path


def write(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value))
    return path


def test_allowed_plan(plan: Path) -> None:
    result = run('check', plan)
    assert result.exit_code == 0
    assert '1. drive to a place: place = pump' in result.stdout
    document = json.loads(run('check', plan, '--json').stdout)
    assert document['decision'] == 'allow' and document['steps'][0]['id'] == 's1'


def test_spoken_motion_needs_people(plan: Path) -> None:
    assert run('check', plan, '--channel', 'speech').exit_code == 3


@pytest.mark.parametrize(
    ('state', 'code'),
    [
        ({'state': 'DISARMED'}, Code.DISARMED),
        ({'state': 'STOPPED'}, Code.STOPPED),
        ({'signals': {'mode': {'value': 'MANUAL', 'age_s': 0.1}}}, Code.MODE),
        ({'signals': {'estop': {'value': True, 'age_s': 0.1}}}, Code.ESTOP),
        ({'signals': {'pose': {'age_s': 9.0}}}, Code.SIGNAL_STALE),
        ({'signals': {'pose': {'age_s': None}}}, Code.SIGNAL_MISSING),
        ({'deadman_age_s': None}, Code.DEADMAN),
        ({'audit_ok': False}, Code.AUDIT),
    ],
)
def test_state_of_the_moment_is_taken_from_a_file(plan: Path, tmp_path: Path, state: object, code: Code) -> None:
    result = run('check', plan, '--json', '--state', write(tmp_path / 'state.json', state))
    assert result.exit_code == 4
    assert json.loads(result.stdout)['code'] == code


@pytest.mark.parametrize('raw', [b'', b'\xff', b'[' * 99, b'{"a":1,"a":2}', b'NaN', b'x' * 99999, b'\x1b[2J'])
def test_malformed_plan_is_a_refusal_with_a_code(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / 'plan.json'
    path.write_bytes(raw)
    for command in ('check', 'explain'):
        result = run(command, path)
        assert result.exit_code == 4 and '\x1b' not in result.stdout
        assert isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    'arguments',
    [
        ('check', '/nowhere.json'),
        ('check', CONFIG),
        ('check', '{plan}', '--policy', '/nowhere.yaml'),
        ('check', '{plan}', '--config', '/nowhere'),
        ('check', '{plan}', '--tools', '/nowhere.yaml'),
        ('check', '{plan}', '--channel', 'radio'),
        ('check', '{plan}', '--state', '{plan}', '--policy', '{plan}'),
        ('lint', '/nowhere.yaml'),
        ('audit', 'verify', '/nowhere.jsonl'),
        ('audit', 'verify', CONFIG),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_2(plan: Path, arguments: tuple[object, ...]) -> None:
    result = run(*(str(part).replace('{plan}', str(plan)) for part in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith('gemma4 gate: ') and result.stderr.count('\n') == 1


@pytest.mark.parametrize(
    'state',
    [
        [],
        {'state': 'on'},
        {'signals': []},
        {'signals': {'mode': 1}},
        {'deadman_age_s': 'x'},
        {'signals': {'mode': {'age_s': 'x'}}},
    ],
)
def test_wrong_state_file_is_named(plan: Path, tmp_path: Path, state: object) -> None:
    result = run('check', plan, '--state', write(tmp_path / 'state.json', state))
    assert result.exit_code == 2 and 'state.json' in result.stderr


def test_explain_asks_every_rule(tmp_path: Path) -> None:
    path = tmp_path / 'plan.json'
    path.write_bytes(
        plan_to_bytes(Plan('test', Sequence((DRIVE, Step('p', 'set_panel_value', {**PANEL, 'value_bar': 7.0})))))
    )
    result = run('explain', path)
    assert result.exit_code == 4
    for part in ('allow  s1', 'deny  p: 625', 'needs_approval  p: 631', 'hazard h4', 'allow  moment'):
        assert part in result.stdout
    lines = json.loads(run('explain', path, '--json').stdout)
    assert {line['subject'] for line in lines} == {'plan', 'moment', 's1', 'p'}


def test_lint_of_the_shipped_policy_finds_nothing(tmp_path: Path) -> None:
    assert run('lint', CONFIG / 'policy.yaml').exit_code == 0
    path = tmp_path / 'policy.yaml'
    path.write_text((CONFIG / 'policy.yaml').read_text().replace('MANUAL: read', 'MANUAL: motion'))
    result = run('lint', path, '--json')
    assert result.exit_code == 4 and len(json.loads(result.stdout)['findings']) == 1


def test_audit_verify_of_files_and_folders(tmp_path: Path) -> None:
    logs = []
    for number in range(3):
        log = AuditFile(tmp_path, f'{number}' * 32)
        log.note('x', {'number': number})
        log.close()
        logs.append(log.path)
    assert run('audit', 'verify', logs[0]).exit_code == 0
    folder = json.loads(run('audit', 'verify', tmp_path, '--json').stdout)
    assert folder['ok'] and len(folder['logs']) == 3
    data = logs[1].read_bytes()
    logs[1].write_bytes(b'\n'.join(data.split(b'\n')[:1]) + b'\n')  # the end is cut off: only the next log knows
    assert run('audit', 'verify', logs[1]).exit_code == 0
    assert run('audit', 'verify', tmp_path).exit_code == 4
    logs[1].write_bytes(data.replace(b'"number":1', b'"number":2'))
    result = run('audit', 'verify', logs[1])
    assert result.exit_code == 4 and 'line 2: the record was changed' in result.stdout
