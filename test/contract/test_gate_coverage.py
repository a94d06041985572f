# SPDX-License-Identifier: Apache-2.0
"""Every branch of the gate's rules is taken by the gate's own unit tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_unit_tests_of_the_gate_take_every_branch(tmp_path: Path) -> None:
    tests = sorted(str(path.relative_to(ROOT)) for path in (ROOT / 'test' / 'unit').glob('test_gate_*.py'))
    skips = ('GEMMA4_TESTS_MUST_RUN', 'GEMMA4_MODELS_DIR')  # these tests need no model
    kept = {name: value for name, value in os.environ.items() if name not in skips}
    clean = {**kept, 'COVERAGE_FILE': str(tmp_path / 'coverage')}
    coverage = [sys.executable, '-m', 'coverage']
    words = ['run', '--branch', '--source=gemma4_ros/core/gate', '-m', 'pytest', '-q', '-x', *tests]
    done = subprocess.run([*coverage, *words], cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    words = ['report', '--show-missing', '--skip-covered', '--fail-under=100']
    done = subprocess.run([*coverage, *words], cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
