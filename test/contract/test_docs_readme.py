# SPDX-License-Identifier: Apache-2.0
"""README, ARCHITECTURE and docs/ name commands, files and processes that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from gemma4_ros.nodes.table import TABLE

ROOT = Path(__file__).resolve().parents[2]
FRONT = [ROOT / 'README.md', ROOT / 'ARCHITECTURE.md']
PAGES = [*FRONT, ROOT / 'CONTRIBUTING.md', *sorted((ROOT / 'docs').rglob('*.md'))]
TOP = (
    *('gemma4_ros', 'config', 'docs', 'test', 'demo', 'msg', 'srv', 'action'),
    *('launch', 'requirements', 'scripts', 'bench'),
)
_FILE = re.compile(r'`([\w.-]+(?:/[\w.-]+)*/?)`')
_LINK = re.compile(r'\]\(([^)\s#]+)(?:#[^)\s]*)?\)')
_COMMAND = re.compile(r'`gemma4 ([^`]+)`')


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def named_files(text: str) -> list[str]:
    """Return what stands between backticks and is a path of this repository."""
    return [name for name in _FILE.findall(text) if name.split('/')[0] in TOP and name not in ('gemma4_ros', 'demo')]


def named_commands(text: str) -> set[tuple[str, ...]]:
    """Return the words of each `gemma4 ...` up to the first that is no name of a command."""
    found = set()
    for line in _COMMAND.findall(text):
        words: list[str] = []
        for word in line.split():
            if not re.fullmatch(r'[a-z]+', word):
                break
            words.append(word)
        if words:
            found.add(tuple(words))
    return found


def missing_command(group: Any, words: tuple[str, ...]) -> str:
    """Return the first word that is no command of its group, or nothing; words after a command are arguments."""
    for word in words:
        if not hasattr(group, 'resolve_command'):
            return ''
        try:
            _, found, _ = group.resolve_command(typer.Context(group, resilient_parsing=True), [word])
        except ImportError as error:
            return f'{word}: {error}'
        if found is None:
            return word
        group = found
    return ''


@pytest.mark.parametrize('page', PAGES, ids=_id)
def test_every_link_has_a_target(page: Path) -> None:
    targets = [link for link in _LINK.findall(page.read_text(encoding='utf-8')) if '://' not in link]
    assert [link for link in targets if not (page.parent / link).exists()] == []


@pytest.mark.parametrize('page', FRONT, ids=_id)
def test_every_named_file_is_there(page: Path) -> None:
    names = named_files(page.read_text(encoding='utf-8'))
    assert names
    assert [name for name in names if not (ROOT / name).exists()] == []


@pytest.mark.parametrize('page', FRONT, ids=_id)
def test_every_named_command_is_there(page: Path) -> None:
    from gemma4_ros.cli.main import app

    group = typer.main.get_command(app)
    commands = named_commands(page.read_text(encoding='utf-8'))
    assert commands
    assert {' '.join(words): word for words in commands if (word := missing_command(group, words))} == {}


def test_examples_of_configuration_stand_in_the_files() -> None:
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    examples = re.findall(r'\]\((config/[\w./]+)\)[^`]*```yaml\n(.*?)```', text, re.DOTALL)
    assert len(examples) == 4
    for name, example in examples:
        lines = (ROOT / name).read_text(encoding='utf-8').splitlines()
        assert [line for line in example.splitlines() if line not in lines] == [], name


def test_process_table_is_the_one_in_the_code() -> None:
    text = (ROOT / 'ARCHITECTURE.md').read_text(encoding='utf-8').split('## Processes')[1].split('\n## ')[0]
    rows = re.findall(r'^\| `(\w+)` \|[^|]*\| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|$', text, re.MULTILINE)
    wanted = [(p.name, p.on_robot, p.composable, p.optional, p.respawn) for p in TABLE]
    assert [(name, *(cell == 'yes' for cell in cells)) for name, *cells in rows] == wanted


def test_a_wrong_command_is_found() -> None:
    app, gate = typer.Typer(), typer.Typer()
    for name in ('arm', 'reset'):
        gate.command(name)(lambda: None)
    app.add_typer(gate, name='gate')
    group = typer.main.get_command(app)
    assert missing_command(group, ('gate', 'arm', 'now')) == ''
    assert missing_command(group, ('gate', 'fly')) == 'fly'
    assert named_commands('`gemma4 gate arm` and `gemma4 model get e4b`') == {('gate', 'arm'), ('model', 'get')}
