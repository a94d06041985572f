# SPDX-License-Identifier: Apache-2.0
"""The command `gemma4` without ROS and without a model: help, exit codes, one sentence for every error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gemma4_ros.cli import doctor
from gemma4_ros.cli import main as cli
from gemma4_ros.cli.child import Child
from gemma4_ros.cli.console_output import exit_code, visible
from gemma4_ros.cli.eval_command import write_report
from gemma4_ros.cli.eval_commands import Judged, summary
from gemma4_ros.core.errors import (
    CommandError,
    ConfigError,
    ConfirmationError,
    GateError,
    ModelDeadlineError,
    ModelMissingError,
    NotRunningError,
    WorldError,
)
from gemma4_ros.core.plan import Plan, Step, plan_to_bytes

PLAN = plan_to_bytes(Plan('go to the pump', Step('s1', 'navigate_to', {'place': 'pump'})))


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['--help']) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in cli.COMMANDS)
    heavy = "{'cv2', 'numpy', 'rclpy', 'llama_cpp', 'psutil'}"
    code = 'import sys; from gemma4_ros.cli.main import main; main(["--help"]); '
    code += f'sys.exit(bool({heavy} & set(sys.modules)))'
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize('name', [name for name in cli.COMMANDS if name != 'gate'])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, '--help']) == 0
    assert 'Usage: gemma4' in capsys.readouterr().out


@pytest.mark.parametrize('words', [['dance'], ['tree', '--nonsense'], ['plan', '--nonsense', 'x'], ['up', '--nodes']])
def test_wrong_usage_ends_with_2(words: list[str]) -> None:
    assert cli.main(words) == 2


@pytest.mark.parametrize(
    ('error', 'code'),
    [
        (WorldError('x'), 2),
        (ConfirmationError('x'), 3),
        (CommandError('x'), 4),
        (GateError('x'), 4),
        (ModelDeadlineError('x'), 5),
        (ModelMissingError('x'), 6),
        (NotRunningError('x'), 6),
    ],
)
def test_exit_codes(error: ConfigError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_is_one_sentence_and_a_traceback_only_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['tree', '/nonexistent/plan.json']) == 2
    said = capsys.readouterr().err
    assert said == 'gemma4: /nonexistent/plan.json cannot be read: No such file or directory\n'
    assert cli.main(['--debug', 'tree', '/nonexistent/plan.json']) == 2
    assert 'Traceback' in capsys.readouterr().err


def test_a_bug_shows_no_traceback_either(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: str) -> None:
        raise RuntimeError('a bug')

    monkeypatch.setattr(cli, '_load', broken)
    assert cli.main(['status']) == 1
    said = capsys.readouterr().err
    assert 'a bug' in said and 'Traceback' not in said


@pytest.mark.parametrize('wrapped', [False, True])
def test_tree_draws_a_plan_and_the_output_of_plan(
    wrapped: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'plan.json'
    path.write_bytes(b'{"plan":' + PLAN + b'}' if wrapped else PLAN)
    assert cli.main(['tree', str(path)]) == 0
    assert 'navigate_to(place=pump)' in capsys.readouterr().out
    assert cli.main(['tree', str(path), '--format', 'dot']) == 0
    assert capsys.readouterr().out.startswith('digraph plan {')
    assert cli.main(['tree', str(path), '--format', 'png']) == 2


@pytest.mark.parametrize('data', [b'', b'[]', b'{}', b'7', b'\xff', b'{"plan": 1}', b'[' * 100_000])
def test_what_is_no_plan_is_refused(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / 'plan.json'
    path.write_bytes(data)
    assert cli.main(['tree', str(path)]) == 2
    assert 'is no plan' in capsys.readouterr().err


def test_doctor_names_what_is_missing_with_the_command_that_mends_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['doctor', '--json']) == 6  # tests without the mark `model` have no model
    findings = {each['name']: each for each in json.loads(capsys.readouterr().out)['findings']}
    assert findings['language model']['level'] == 'missing'
    assert findings['language model']['mend'] == 'make models'
    assert findings['python']['level'] == 'ok'


def test_doctor_finds_what_would_stall_the_deadman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, 'SHARED_MEMORY', tmp_path)
    for name in ('FASTDDS_BUILTIN_TRANSPORTS', 'FASTDDS_DEFAULT_PROFILES_FILE', 'ROS_AUTOMATIC_DISCOVERY_RANGE'):
        monkeypatch.delenv(name, raising=False)
    for name, size in (('fastdds_port7413', 99), ('fastdds_port7413_el', 0), ('fastdds_1a2b', 0)):
        (tmp_path / name).write_bytes(bytes(size))
    found = {each.name: each for each in doctor.examine()}
    assert (found['transports'].level, found['shared memory'].level) == ('ok', 'ok')
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'LARGE_DATA')
    (tmp_path / 'fastdds_port7415').touch()
    found = {each.name: each for each in doctor.examine()}
    assert (found['transports'].level, found['shared memory'].level) == ('warning', 'warning')
    assert found['shared memory'].mend == f'rm {tmp_path / "fastdds_port7415"}'
    monkeypatch.setenv('FASTDDS_BUILTIN_TRANSPORTS', 'UDPv4')
    assert {each.name: each for each in doctor.examine()}['transports'].level == 'ok'


def test_plan_without_a_model_says_so_and_ends_with_6(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(['plan', 'go to the pump', '--json']) == 6
    captured = capsys.readouterr()
    assert captured.out == ''
    assert len(captured.err.splitlines()) == 1


def test_text_of_others_cannot_steer_the_terminal() -> None:
    assert visible('a\x1b[2Jb\nc\u202e') == 'a\\x1b[2Jb\nc\\x202e'


def test_the_report_shows_wrong_results_of_the_dev_set_only(tmp_path: Path) -> None:
    wrong = Judged('x_1', 'simple', 'go | there', 'w', False, 'no | plan', 'cannot', '', '', 1.0, 1.0, 1, 1, 1)
    for which, is_shown in (('dev', True), ('test', False)):
        data, page = write_report(tmp_path / which, {'set': which, **summary([wrong], 'tiny')}, [wrong])
        assert json.loads(data.read_text(encoding='utf-8'))['results'][0]['id'] == 'x_1'
        assert ('go \\| there' in page.read_text(encoding='utf-8')) is is_shown


def test_a_child_that_does_not_listen_is_ended_with_its_own_children(tmp_path: Path) -> None:
    script = (
        'import signal, subprocess, sys, time\n'
        'signal.signal(signal.SIGINT, lambda *_: sys.exit(0))\n'
        'print(subprocess.Popen(["sleep", "60"]).pid, flush=True)\n'
        'time.sleep(60)\n'
    )
    child = Child('c', [sys.executable, '-c', script], {'PATH': '/usr/bin:/bin'}, tmp_path / 'c.log')
    child.start()
    while not child.last_words():
        assert child.is_alive
    inner = Path('/proc', child.last_words())
    assert child.stop() == 'SIGINT'
    for _ in range(1000):  # the kernel ends it in its own time
        if not inner.exists() or ' Z ' in (inner / 'stat').read_text(encoding='ascii'):
            break
    else:
        pytest.fail('the inner process still runs')
    assert child.exit_code == 0
