# SPDX-License-Identifier: Apache-2.0
"""What the contract tests of the package share."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='session')
def clean_environment() -> dict[str, str]:
    """Return the environment of a new shell; where a ROS 2 distribution is used, with it sourced, and nothing else."""
    clean = {'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': str(ROOT)}
    note = ROOT / '.venv' / '.setup' / 'distribution.json'
    if not note.is_file():
        return clean
    script = Path(json.loads(note.read_text())['prefix']) / 'setup.sh'
    words = ['sh', '-c', f'. {script} && exec env -0']
    done = subprocess.run(words, env=clean, capture_output=True, text=True, check=True)
    return dict(entry.split('=', 1) for entry in done.stdout.split('\0') if entry)
