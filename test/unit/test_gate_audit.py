# SPDX-License-Identifier: Apache-2.0
"""The audit log: a chain in which every change shows, on a disk that may fail."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.audit import Chain
from gemma4_ros.core.gate.audit_verify import verify
from gemma4_ros.ros.gate_audit import AuditError, AuditFile

CHAIN = Chain()
LINES = [CHAIN.seal({'kind': 'test', 'value': value}) for value in ('a', 1.5, None, True, ['x'], {'y': 'ü\x1b[31m\n'})]


def test_chain_verifies_and_is_plain_ascii_one_record_a_line() -> None:
    report = verify(LINES)
    assert (report.records, report.problem) == (6, '')
    assert report.last_hash == json.loads(LINES[-1])['hash']
    assert all(line.isascii() and line.count(b'\n') == 1 and b'\x1b' not in line for line in LINES)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, sum(map(len, LINES)) - 1), st.integers(1, 255))
def test_any_changed_byte_shows(index: int, flip: int) -> None:
    data = bytearray(b''.join(LINES))
    data[index] ^= flip
    assert verify(bytes(data).splitlines(keepends=True)).problem


@pytest.mark.parametrize(
    'lines',
    [
        [],
        LINES[1:],
        LINES[:2] + LINES[3:],
        [*LINES[:2], LINES[3], LINES[2], *LINES[4:]],
        LINES[:3] + LINES[2:],
        [*LINES[:-1], LINES[-1][:-1]],
        [*LINES[:-1], LINES[-1][:20] + b'\n'],
        [b'\n', *LINES],
        [b'[]\n'],
        [b'[' * 100_000 + b'\n'],
        [b'{"hash":NaN}\n'],
        [LINES[0].replace(b'{', b'{ ', 1)],
        [b'x' * (1 << 20) + b'\n'],
    ],
)
def test_removed_moved_doubled_cut_or_foreign_lines_show(lines: list[bytes]) -> None:
    assert verify(lines).problem


def records(path: Path) -> list[dict[str, Any]]:
    assert verify(path.read_bytes().splitlines(keepends=True)).problem == ''
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_file_starts_with_the_end_of_the_log_before(tmp_path: Path) -> None:
    first = AuditFile(tmp_path, 'a' * 32)
    first.note('x', {'value': float('nan'), 'deep': {'list': (1, object)}})
    first.close()
    second = AuditFile(tmp_path, 'b' * 32)
    second.close()
    before, after = records(first.path), records(second.path)
    assert (after[0]['previous_log'], after[0]['previous_hash']) == (first.path.name, before[-1]['hash'])
    assert before[1]['value'] == 'nan'
    assert first.path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize('call', ['write', 'fdatasync'])
def test_failed_write_keeps_the_records_and_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    log = AuditFile(tmp_path, 'a' * 32)
    log.write()
    real = getattr(os, call)

    def fail(descriptor: int, *data: Any) -> int:
        if data:
            real(descriptor, bytes(data[0])[:7])  # half of it reached the disk
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(f'gemma4_ros.ros.gate_audit.os.{call}', fail)
        for number in range(3):
            log.note('x', {'number': number})
            with pytest.raises(AuditError, match='No space'):
                log.write()
    log.note('x', {'number': 3})
    log.close()
    assert [record.get('number') for record in records(log.path)] == [None, 0, 1, 2, 3]


def test_too_many_waiting_records_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('gemma4_ros.ros.gate_audit.MAX_WAITING', 3)
    log = AuditFile(tmp_path, 'a' * 32)
    for number in range(9):
        log.note('x', {'number': number})
    log.close()
    assert records(log.path)[-1]['kind'] == 'lost' and records(log.path)[-1]['records'] == 7


def test_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('')
    with pytest.raises(AuditError, match='cannot make an audit log'):
        AuditFile(tmp_path / 'file' / 'audit', 'a' * 32)
