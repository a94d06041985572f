# SPDX-License-Identifier: Apache-2.0
"""The audit log: a chain in which every change shows, on a disk that may fail."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gemma4_ros.core.gate.audit import Chain, checkpoint_text
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


KEY = Ed25519PrivateKey.from_private_bytes(b'k' * 32)
PUBLIC = KEY.public_key().public_bytes_raw()


def signed_log(key: Ed25519PrivateKey = KEY) -> list[bytes]:
    """Return two records, a checkpoint, one more record."""
    chain = Chain()
    lines = [chain.seal({'kind': 'start'}), chain.seal({'kind': 'admit'})]
    signature = key.sign(checkpoint_text(chain.count, chain.last)).hex()
    return [*lines, chain.seal({'kind': 'checkpoint', 'signature': signature}), chain.seal({'kind': 'stop'})]


def test_checkpoint_signs_number_and_hash_of_what_stands_before_it() -> None:
    chain = Chain()
    assert checkpoint_text(chain.count, chain.last) == b'gemma4_ros audit checkpoint 0 ' + b'0' * 64
    report = verify(signed_log(), PUBLIC)
    assert (report.records, report.problem, report.line, report.signed) == (4, '', 0, 3)
    report = verify(signed_log())
    assert (report.records, report.problem, report.signed) == (4, '', 0)  # nobody looked


def test_checkpoint_of_another_key_or_of_another_place_is_found() -> None:
    report = verify(signed_log(Ed25519PrivateKey.from_private_bytes(b'm' * 32)), PUBLIC)
    assert (report.line, report.problem, report.records) == (3, 'the checkpoint is not signed by that key', 2)
    good = json.loads(signed_log()[2])['signature']
    for signature in (good, good[:-2], 'no hexadecimal', '', None, 7):
        chain = Chain()
        lines = [chain.seal({'kind': 'start'}), chain.seal({'kind': 'checkpoint', 'signature': signature})]
        assert verify(lines, PUBLIC).problem == 'the checkpoint is not signed by that key'
    chain = Chain()
    assert verify([chain.seal({'kind': 'checkpoint'})], PUBLIC).line == 1


def test_log_sealed_anew_without_its_checkpoints_or_long_after_the_last_one_is_found() -> None:
    chain = Chain()
    forged = [chain.seal({'kind': 'start'}), chain.seal({'kind': 'admit'}), chain.seal({'kind': 'stop'})]
    assert verify(forged).problem == '' and 'no checkpoint is signed' in verify(forged, PUBLIC).problem
    log, chain = signed_log(), Chain()
    chain.count, chain.last = 4, json.loads(log[-1])['hash']
    more = [chain.seal({'kind': 'note'}) for _ in range(1000)]
    assert verify([*log, *more[:999]], PUBLIC).problem == ''
    report = verify([*log, *more], PUBLIC)
    assert (report.line, report.problem) == (3, '1001 records follow the last checkpoint')


def test_record_that_only_speaks_of_a_checkpoint_is_none() -> None:
    chain = Chain()
    lines = [chain.seal({'kind': 'start'}), chain.seal({'kind': 'note', 'about': {'kind': 'checkpoint'}})]
    assert 'no checkpoint is signed' in verify(lines, PUBLIC).problem and verify(lines, PUBLIC).signed == 0
    log = signed_log()
    chain.count, chain.last = 4, json.loads(log[-1])['hash']
    log.append(chain.seal({'kind': 'note', 'about': {'kind': 'checkpoint'}}))
    assert (verify(log, PUBLIC).problem, verify(log, PUBLIC).signed) == ('', 3)


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
