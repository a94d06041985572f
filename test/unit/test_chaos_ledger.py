# SPDX-License-Identifier: Apache-2.0
"""Trials of a long test add up over interrupted runs, and none is lost or counted twice."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'chaos'))

from ledger import Ledger

KEYS = [('kill', 'idle', 'gate'), ('kill', 'idle', 'deadman')]


def test_trials_add_up_over_runs(tmp_path: Path) -> None:
    path = tmp_path / 'reports' / 'chaos.jsonl'
    first = Ledger(path)
    assert list(first.missing(KEYS, 2)) == [*KEYS, *KEYS]
    first.add(KEYS[0], breaches=[], stop_s=0.3)
    again = Ledger(path)
    assert [trial['stop_s'] for trial in again.of('kill', 'idle')] == [0.3]
    assert list(again.missing(KEYS, 2)) == [KEYS[1], KEYS[0], KEYS[1]]
    assert again.of('kill', 'idle', 'deadman') == []


@pytest.mark.parametrize('rest', ['{"key": ["kill", "id', '{"key"', 'nonsense'])
def test_a_line_that_was_cut_off_counts_as_not_tried(tmp_path: Path, rest: str) -> None:
    path = tmp_path / 'chaos.jsonl'
    Ledger(path).add(KEYS[0], breaches=[])
    with path.open('a', encoding='utf-8') as file:
        file.write(rest)
    ledger = Ledger(path)
    assert len(ledger.trials) == 1
    ledger.add(KEYS[1], breaches=['moved'])
    assert [trial['key'] for trial in Ledger(path).trials] == [list(key) for key in KEYS]
