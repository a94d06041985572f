# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that no linter knows: sizes, licence lines, documents that point at what exists."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

MAX_FILE_LINES = 400
MAX_TEST_LINES = 600  # a test file mirrors one source file, with its tables of cases
MAX_FUNCTION_LINES = 50
LONG_FUNCTIONS_SHARE = 0.05  # so many may be longer
LICENCE = 'SPDX-License-Identifier: Apache-2.0'
CODE_FOLDERS = ('gemma4_ros', 'scripts', 'launch', 'bench', 'test')


def tracked(root: Path, *patterns: str) -> list[Path]:
    """List files that are, or are about to be, in the repository."""
    words = ['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', *patterns]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True)
    return [path for name in done.stdout.split('\0') if name and (path := root / name).is_file()]


def _functions(path: Path) -> list[tuple[str, int, int]]:
    tree = ast.parse(path.read_text(encoding='utf-8'))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node.name, node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    ]


def sizes(root: Path) -> list[str]:
    """Find files over the limit, and long functions if there are too many of them."""
    found: list[str] = []
    lengths: list[tuple[int, str]] = []
    for path in tracked(root, '*.py'):
        name = path.relative_to(root)
        lines = path.read_text(encoding='utf-8').count('\n')
        most = MAX_TEST_LINES if name.parts[0] == 'test' else MAX_FILE_LINES
        if lines > most:
            found.append(f'{name}: {lines} lines, at most {most}: split it by idea')
        if name.parts[0] == 'gemma4_ros':
            lengths += [(length, f'{name}:{line} {function}') for function, line, length in _functions(path)]
    too_long = sorted((entry for entry in lengths if entry[0] > MAX_FUNCTION_LINES), reverse=True)
    if len(too_long) > LONG_FUNCTIONS_SHARE * len(lengths):
        found += [
            f'{where}: {length} lines, most functions have at most {MAX_FUNCTION_LINES}' for length, where in too_long
        ]
    return found


def licences(root: Path) -> list[str]:
    """Find code without its licence line among the first three."""
    found = []
    for path in tracked(root, '*.py', '*.sh', '*.in', 'Makefile', 'CMakeLists.txt', 'docker/**/Dockerfile'):
        is_pins = path.parent.name == 'requirements'
        head = path.read_text(encoding='utf-8').split('\n')[:3]
        if not is_pins and path.stat().st_size and not any(LICENCE in line for line in head):
            found.append(f'{path.relative_to(root)}: the line "{LICENCE}" is missing at its head')
    return found


def _links(root: Path, path: Path) -> list[str]:
    found = []
    for number, line in enumerate(path.read_text(encoding='utf-8').splitlines(), start=1):
        for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', line):
            is_outside = re.match(r'[a-z]+:', target)
            if not is_outside and not (path.parent / target).exists():
                found.append(f'{path.relative_to(root)}:{number}: the link {target} leads nowhere')
        for name in re.findall(r'`make ([a-z]+)', line):
            if not re.search(rf'^{name}:', (root / 'Makefile').read_text(encoding='utf-8'), re.MULTILINE):
                found.append(f'{path.relative_to(root)}:{number}: there is no `make {name}`')
    return found


def documents(root: Path) -> list[str]:
    """Find links and `make` targets in documents that do not exist."""
    return [line for path in tracked(root, '*.md', '*.rst') for line in _links(root, path)]
