#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Everything that can be said about the tree without running it: `make lint`.

Runs all checks even if one fails, and ends with one line that says which did. Names as arguments select checks:
`scripts/with_env.sh python scripts/lint.py types layers`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lint_tree import documents, licences, sizes

ROOT = Path(__file__).resolve().parent.parent
Check = Callable[[], list[str]]


def program(*words: str) -> Check:
    """Make a check of a program: its output is what it found, unless it ends well."""

    def run() -> list[str]:
        if shutil.which(words[0]) is None:
            return [f'{words[0]} is not here: run `make lint`, or scripts/with_env.sh python scripts/lint.py']
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        return [] if done.returncode == 0 else (done.stdout + done.stderr).rstrip().splitlines()

    return run


def docker_files() -> list[str]:
    """Lint every Dockerfile there is."""
    paths = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'docker').glob('**/Dockerfile*'))
    return program('hadolint', *paths)() if paths else []


CHECKS: dict[str, Check] = {
    'rules': program('ruff', 'check', '--output-format', 'concise', '.'),
    'format': program('ruff', 'format', '--check', '--output-format', 'concise', '.'),
    'types': program('mypy'),
    'layers': program('lint-imports', '--no-cache'),
    'sizes': lambda: sizes(ROOT),
    'licences': lambda: licences(ROOT),
    'documents': lambda: documents(ROOT),
    'docker': docker_files,
    'yaml': program('yamllint', '--strict', '-c', '.yamllint.yaml', 'config', 'docker', '.pre-commit-config.yaml'),
}


def main(names: list[str]) -> int:
    """Run the named checks, or all."""
    unknown = [name for name in names if name not in CHECKS]
    if unknown:
        print(f'lint: no check {unknown[0]}; there are {", ".join(CHECKS)}', file=sys.stderr)
        return 2
    failed = []
    started_s = time.monotonic()
    for name in names or CHECKS:
        found = CHECKS[name]()
        print(f'lint: {name} {"ok" if not found else f"found {len(found)} lines"}', flush=True)
        if found:
            failed.append(name)
            print('\n'.join(f'    {line}' for line in found), flush=True)
    verdict = f'failed: {", ".join(failed)}' if failed else 'all well'
    print(f'lint: {verdict} ({time.monotonic() - started_s:.0f} s)', flush=True)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
