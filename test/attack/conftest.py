# SPDX-License-Identifier: Apache-2.0
"""Attacks on the running code: how often each is tried, and the record of what came through."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FULL = os.environ.get('GEMMA4_ATTACK') == 'full'
REPORTS = Path(os.environ.get('GEMMA4_ATTACK_REPORTS') or Path(__file__).resolve().parents[2] / 'build/reports/attack')

Record = Callable[..., None]


@pytest.fixture
def trials() -> Callable[[int, int], int]:
    """Return how often to try: the first number in CI, the second under ``make attack``."""
    return lambda ci, full: full if FULL else ci


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """
    Return what writes down an attack's figures: ``record('T6', trials=1200, breaches=0, slowest_ms=3.1)``.

    With no breach in N trials the 95 % bound of the rate is 3/N (rule of three).
    """

    def write(threat: str, *, trials: int, breaches: int, **figures: Any) -> None:
        name = request.node.name.partition('[')[0]
        bound = 3 / trials if trials and not breaches else None
        entry = {
            'threat': threat,
            'test': f'{request.node.path.name}::{name}',
            'trials': trials,
            'breaches': breaches,
            'bound_95': bound,
            'full': FULL,
            'python': platform.python_version(),
            **figures,
        }
        REPORTS.mkdir(parents=True, exist_ok=True)
        text = json.dumps(entry, indent=1, sort_keys=True, default=str)
        (REPORTS / f'{threat}-{name}.json').write_text(text + '\n', encoding='utf-8')

    return write
