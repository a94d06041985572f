# SPDX-License-Identifier: Apache-2.0
"""The gate's codes, schema, parameters, documents and size against its code."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest
import yaml

from gemma4_ros.core import errors, schemas
from gemma4_ros.core.gate import verdict
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.policy_schema import POLICY

ROOT = Path(__file__).resolve().parents[2]
DOC = (ROOT / 'docs/gate.md').read_text(encoding='utf-8')
CORE = sorted((ROOT / 'gemma4_ros/core/gate').glob('*.py'))
MAX_CORE_LINES, MAX_LINES = 2000, 2850  # what decides; with its adapters to ROS (ADR 0015)


def constants(path: str) -> dict[str, int]:
    text = (ROOT / path).read_text(encoding='utf-8')
    return {name: int(value) for name, value in re.findall(r'^u?int\d+ ([A-Z_]+)=(\d+)', text, re.MULTILINE)}


def test_every_code_has_one_sentence_and_stands_in_the_document() -> None:
    rows = dict(re.findall(r'^\| (\d{3}) \| (.+) \|$', DOC, re.MULTILINE))
    assert rows == {str(int(code)): f'{code.name} | {code.meaning}' for code in Code if code}
    for code in Code:
        assert code.meaning.endswith('.') and code.meaning.count('. ') == 0
        assert code == 0 or 601 <= code <= 699


def test_every_code_is_used() -> None:
    text = '\n'.join(path.read_text(encoding='utf-8') for path in [*CORE, *(ROOT / 'gemma4_ros').rglob('gate_*.py')])
    for code in Code:
        assert code is Code.NONE or f'Code.{code.name}' in text, f'{code.name} is never given'


def test_codes_do_not_collide_with_the_errors_of_the_stack() -> None:
    table = errors.code_table()
    assert int(Code.INTERNAL) == errors.GateError.code
    assert not {int(code) for code in Code if code not in (Code.NONE, Code.INTERNAL)} & set(table)


def test_numbers_of_the_messages_are_those_of_the_code() -> None:
    message = constants('msg/Verdict.msg')
    classes = {
        'ALLOW': verdict.Allow,
        'HOLD': verdict.Hold,
        'NEEDS_APPROVAL': verdict.NeedsApproval,
        'DENY': verdict.Deny,
    }
    assert message == {name: cls.decision for name, cls in classes.items()}
    states = constants('msg/GateState.msg')
    assert [states[name] for name in ('DISARMED', 'ARMED', 'ACTIVE', 'HOLD', 'STOPPED')] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('name', ['world', 'tools', 'plan', 'policy', 'watch'])
def test_schema_file_is_the_one_in_the_code(name: str) -> None:
    written = json.loads((ROOT / f'config/schema/{name}-1.json').read_text(encoding='utf-8'))
    assert written == (POLICY if name == 'policy' else getattr(schemas, name.upper())), (
        'run: scripts/with_env.sh python scripts/write_schemas.py'
    )


@pytest.mark.parametrize('node', ['gate', 'deadman'])
def test_parameter_file_and_document_name_every_parameter(node: str) -> None:
    source = (ROOT / f'gemma4_ros/nodes/{node}_node.py').read_text(encoding='utf-8')
    config = next(
        item for item in ast.parse(source).body if isinstance(item, ast.ClassDef) and item.name.endswith('Config')
    )
    names = [
        item.target.id for item in config.body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]
    file = yaml.safe_load((ROOT / f'config/params/{node}.param.yaml').read_text(encoding='utf-8'))
    assert list(file[f'/**/{node}']['ros__parameters']) == names
    row = next(line for line in DOC.splitlines() if line.startswith('| parameters'))
    assert ' '.join(f'`{name}`' for name in names) in row


def code_lines(path: Path) -> int:
    """Count lines with code: no blank lines, comments or docstrings."""
    source = path.read_text(encoding='utf-8')
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            documented.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    quiet = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in quiet:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - documented)


def test_what_the_gate_process_loads_of_its_own_stays_small() -> None:
    pytest.importorskip('gemma4_ros.msg')
    script = (
        'import sys, gemma4_ros.nodes.gate_node as node; '
        'print("\\n".join(m.__file__ for n, m in sys.modules.items() '
        'if n.startswith(("gemma4_ros.core.gate.", "gemma4_ros.ros.gate_", "gemma4_ros.nodes.gate_node"))))'
    )
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    shared = ('gate_files.py',)  # where nodes find their configuration; most of them use it
    files = [Path(line) for line in run.stdout.split() if Path(line).name not in shared]
    assert len(files) > 15
    assert sum(map(code_lines, files)) < MAX_LINES
    assert sum(code_lines(path) for path in files if path.parent.name == 'gate') < MAX_CORE_LINES


def test_nothing_in_the_gate_process_parses_a_configuration() -> None:
    pytest.importorskip('gemma4_ros.msg')
    script = 'import sys, gemma4_ros.nodes.gate_node; print("\\n".join(n for n in sys.modules if "gemma4_ros." in n))'
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    parsers = ('strict_yaml', 'documents', 'tools', 'world_file', 'gate.policy_file', 'gate.policy_schema')
    loaded = {name.removeprefix('gemma4_ros.core.') for name in run.stdout.split()}
    assert 'gate.monitor' in loaded
    assert not loaded & {*parsers, 'gemma4_ros.ros.gate_load'}


def test_deadman_stays_small_and_imports_little() -> None:
    pytest.importorskip('gemma4_ros.msg')
    assert len((ROOT / 'gemma4_ros/nodes/deadman_node.py').read_text(encoding='utf-8').splitlines()) <= 200
    script = (
        'import sys, gemma4_ros.nodes.deadman_node; print("\\n".join(n for n in sys.modules if "gemma4_ros." in n))'
    )
    run = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert not [
        name
        for name in run.stdout.split()
        if name.startswith(('gemma4_ros.core.gate', 'gemma4_ros.core.tools', 'gemma4_ros.backends'))
    ]


@pytest.mark.parametrize('path', CORE, ids=lambda path: path.name)
def test_core_of_the_gate_reaches_nothing_outside(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or '' for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.partition('.')[0] for name in imported}
    assert not roots & {
        'os',
        'sys',
        'time',
        'datetime',
        'random',
        'secrets',
        'socket',
        'subprocess',
        'pathlib',
        'rclpy',
        'pickle',
        'threading',
    }
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {'open', 'print', 'eval', 'exec', 'compile', '__import__', 'input'}
