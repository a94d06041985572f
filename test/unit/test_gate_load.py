# SPDX-License-Identifier: Apache-2.0
"""The gate's configuration comes from a process of its own: the same as loaded here, or the same error."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gemma4_ros.core.errors import ConfigError, PolicyError, ToolsError
from gemma4_ros.ros import gate_config
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

CONFIG = Path(__file__).resolve().parents[2] / 'config'
ROBOTS = [GateFiles(), *(GateFiles(str(path), tools=('tools.yaml',)) for path in sorted((CONFIG / 'robots').iterdir()))]


@pytest.mark.parametrize('files', ROBOTS, ids=lambda files: Path(files.config).name or 'cell')
def test_the_child_says_what_loading_here_says(files: GateFiles) -> None:
    (policy, catalogue), (wanted, same) = gate_config.load(files), load_gate(files)
    assert catalogue == same
    assert replace(policy, zones=wanted.zones) == wanted
    assert repr(policy.zones) == repr(wanted.zones)  # areas are equal only to themselves


@pytest.mark.parametrize(
    ('name', 'text', 'kind'),
    [
        ('policy.yaml', 'name: [1, 2', PolicyError),
        ('policy.yaml', 'name: cell\nversion: none\n', PolicyError),
        ('tools/cell.yaml', 'navigate_to: 7\n', ToolsError),
    ],
)
def test_a_wrong_file_is_the_same_error(name: str, text: str, kind: type[ConfigError], tmp_path: Path) -> None:
    for path in CONFIG.rglob('*.yaml'):
        (tmp_path / path.relative_to(CONFIG)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(CONFIG)).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(text)
    files = GateFiles(str(tmp_path))
    with pytest.raises(kind) as here:
        load_gate(files)
    with pytest.raises(kind) as there:
        gate_config.load(files)
    assert str(there.value) == str(here.value)
    assert name in str(there.value)


def test_a_child_that_ends_or_hangs_is_an_error_with_its_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, 'executable', '/bin/false')
    with pytest.raises(ConfigError, match='could not be loaded'):
        gate_config.load(GateFiles())
    monkeypatch.undo()

    def hang(command: list[str], **options: Any) -> None:
        raise subprocess.TimeoutExpired(command, options['timeout'])

    monkeypatch.setattr(subprocess, 'run', hang)
    with pytest.raises(ConfigError, match='longer than 60 s to load'):
        gate_config.load(GateFiles())


class Foreign:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ('never',)


def named(module: str, name: str) -> bytes:
    """Return a pickle that asks for one name."""
    words = b''.join(b'\x8c' + bytes([len(word)]) + word.encode() for word in (module, name))
    return pickle.PROTO + b'\x04' + words + b'\x93.'


@pytest.mark.parametrize(
    'said',
    [
        pickle.dumps(Foreign()),
        named('gemma4_ros.core.nearest', 'difflib.re.enum.sys.exit'),  # by way of what a module of ours imports
        named('gemma4_ros.core.world', 'Mapping'),
        named('gemma4_ros.core.strict_yaml', 'Document'),
        named('gemma4_ros.core.world', 'Wrold'),
        pickle.dumps(ConfigError('x'))[:-9],
        named('gemma4_ros.core.nearest', 'suggest'),
        named('os', 'system'),
        b'',
        b'nothing',
    ],
)
def test_only_types_of_a_configuration_are_built(
    said: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = subprocess.CompletedProcess([], 0, stdout=said, stderr=b'')
    monkeypatch.setattr(subprocess, 'run', lambda *_, **__: done)
    with pytest.raises(ConfigError, match='could not be loaded'):
        gate_config.load(GateFiles())
    assert not capsys.readouterr().out


def test_the_folder_that_a_node_runs_in_lends_it_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'gemma4_ros').mkdir()
    for name in ('gemma4_ros/__init__.py', 'yaml.py', 'json.py', 'shapely.py'):
        (tmp_path / name).write_text('raise SystemExit("foreign code")')
    monkeypatch.chdir(tmp_path)
    assert gate_config.load(GateFiles())[0].name == 'plant_room'
