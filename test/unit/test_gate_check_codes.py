# SPDX-License-Identifier: Apache-2.0
"""Every reason code that a plan can get offline, provoked through ``gemma4 gate check`` on bytes and files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gate_code_cases import CASES, IF, READ, changed_policy, raw
from typer.testing import CliRunner

from gemma4_ros.cli.gate import app
from gemma4_ros.core.gate.codes import Code

NOT_OFFLINE = {
    'a person answers': 'APPROVAL_UNKNOWN APPROVAL_EXPIRED APPROVER_REFUSED APPROVAL_MISMATCH SIGNATURE_REFUSED',
    'a person arms': 'ARM_REFUSED',
    'a permit lives and ends': 'BUSY PERMIT_UNKNOWN PERMIT_EXPIRED PERMIT_EPOCH PERMIT_CLOSED STEP_RUNNING',
    'a step runs': 'STEP_INTERRUPTED POSTCONDITION CONDITION_UNKNOWN',
    'the gate runs on': 'RATE CLOCK INTERNAL',
    'a day comes': 'POLICY_EXPIRED',
}
"""What only a running gate can say, and why; test/node provokes these."""


@pytest.mark.parametrize(
    ('code', 'plan', 'state', 'changes', 'more', 'words'), CASES, ids=[case[0].name for case in CASES]
)
def test_code_comes_with_rule_and_sentence(
    tmp_path: Path, code: Code, plan: bytes, state: Any, changes: list[tuple[str, str]], more: str, words: list[str]
) -> None:
    policy, moment, file = tmp_path / 'policy.yaml', tmp_path / 'state.json', tmp_path / 'plan.json'
    policy.write_text(changed_policy(changes, more), encoding='utf-8')
    moment.write_text(json.dumps(state), encoding='utf-8')
    file.write_bytes(plan)
    line = ['check', str(file), '--policy', str(policy), '--state', str(moment), '--json', *words]
    result = CliRunner().invoke(app, line)
    said = json.loads(result.stdout)
    assert (said['name'], said['code']) == (code.name, code), said['text']
    assert result.exit_code == (3 if said['decision'] == 'needs_approval' else 4)
    assert said['rule'] and said['text'].isascii() and said['meaning'] == code.meaning


def test_every_code_is_provoked_or_needs_a_running_gate() -> None:
    offline = {case[0] for case in CASES}
    running = {Code[name] for names in NOT_OFFLINE.values() for name in names.split()}
    assert offline.isdisjoint(running)
    assert offline | running | {Code.NONE} == set(Code)


def test_rehearsal_goes_through_results_to_the_step(tmp_path: Path) -> None:
    file, moment = tmp_path / 'plan.json', tmp_path / 'state.json'
    file.write_bytes(raw(READ, IF))
    moment.write_text(json.dumps({'results': {'r': {'value': 4.5}}}), encoding='utf-8')
    line = ['check', str(file), '--state', str(moment), '--step']
    assert CliRunner().invoke(app, [*line, 'b']).exit_code == 0
    assert CliRunner().invoke(app, [*line, 'a']).exit_code == 4
    moment.write_text('{"results": [1]}', encoding='utf-8')
    assert CliRunner().invoke(app, [*line, 'b']).exit_code == 2
