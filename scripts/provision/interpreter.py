# SPDX-License-Identifier: Apache-2.0
"""Find a Python that can carry the stack."""

from __future__ import annotations

import os
import subprocess
import sys

OLDEST, NEWEST = (3, 10), (3, 13)
PROBE = 'import sys, venv, ensurepip; print(sys.version_info[0], sys.version_info[1])'


def fits(version: tuple[int, int]) -> bool:
    """Say whether there are wheels for this version of Python."""
    return OLDEST <= version <= NEWEST


def _probe(command: str) -> tuple[int, int] | None:
    try:
        done = subprocess.run([command, '-c', PROBE], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split()
    return (int(words[0]), int(words[1])) if done.returncode == 0 and len(words) == 2 else None


def another_python() -> str | None:
    """Return the command of a Python that fits, if the one that runs here does not; None if none does."""
    for minor in (12, 11, 13, 10):
        command = f'python3.{minor}'
        version = _probe(command)
        if version is not None and fits(version):
            return command
    return None


def ensure(script: str) -> None:
    """Go on in a Python that fits, or end with a sentence that says what to install."""
    here = (sys.version_info[0], sys.version_info[1])
    if fits(here):
        return
    command = another_python()
    if command is not None:
        os.execvp(command, [command, script, *sys.argv[1:]])
    sys.exit(
        f'setup: Python {here[0]}.{here[1]} ({sys.executable}) does not fit: 3.10 to 3.13 is needed, none was found. '
        'Install one (Debian, Ubuntu: sudo apt-get install -y python3 python3-venv), '
        'or name one: make setup PYTHON=python3.12'
    )
