# SPDX-License-Identifier: Apache-2.0
"""Verify an audit log. The running gate does not use it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gemma4_ros.core.gate.audit import GENESIS, checkpoint_text, digest_of, dump
from gemma4_ros.core.gate.signing import is_signed

__all__ = ['Report', 'verify']

MAX_LINE = 1 << 20
MAX_UNSIGNED = 1000  # one is due every 100 records; many may wait to be written at once


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; ``line`` is the first bad one, 1-based, 0: none; ``signed`` the line of the last checkpoint."""

    records: int
    last_hash: str
    line: int = 0
    problem: str = ''
    signed: int = 0


def verify(lines: Iterable[bytes], key: bytes = b'') -> Report:
    """Check that the lines are one unbroken chain from its first record on; cutting the end off cannot be seen here."""
    last, count, signed = GENESIS, 0, 0
    for number, line in enumerate(lines, 1):
        problem, digest = _check(line, count, last)
        if not problem and key and b'"kind":"checkpoint"' in line:
            problem, is_checkpoint = _check_signature(line, count, last, key)
            signed = number if is_checkpoint else signed
        if problem:
            return Report(count, last, number, problem)
        last, count = digest, count + 1
    if not count:
        return Report(0, last, 1, 'the log is empty; a log starts with a record of the start')
    if key and not signed:
        return Report(count, last, 1, 'no checkpoint is signed by that key; a log of a gate that signs begins with one')
    if key and count - signed > MAX_UNSIGNED:
        return Report(count, last, signed, f'{count - signed} records follow the last checkpoint', signed)
    return Report(count, last, signed=signed)


def _check(line: bytes, number: int, last: str) -> tuple[str, str]:
    if not line.endswith(b'\n') or len(line) > MAX_LINE:
        return 'the line is cut off, or longer than 1 MiB', ''
    try:
        record = json.loads(line, parse_constant=_constant)
    except (ValueError, RecursionError):
        return 'the line is not JSON', ''
    if not isinstance(record, dict) or not isinstance(record.get('hash'), str):
        return 'the line is no record', ''
    digest = str(record.pop('hash'))
    if record.get('n') != number or record.get('prev') != last:
        return f'the record does not follow number {number - 1}: something was removed, added or moved', ''
    if digest_of(record) != digest or dump({**record, 'hash': digest}) + b'\n' != line:
        return 'the record was changed', ''
    return '', digest


def _check_signature(line: bytes, count: int, last: str, key: bytes) -> tuple[str, bool]:
    """Return what is wrong with a checkpoint, and whether the record is one."""
    record = json.loads(line)
    if record.get('kind') != 'checkpoint':
        return '', False
    try:
        signature = bytes.fromhex(str(record.get('signature', '')))
    except ValueError:
        signature = b''
    is_good = is_signed(key, signature, checkpoint_text(count, last))
    return '' if is_good else 'the checkpoint is not signed by that key', is_good


def _constant(name: str) -> Any:
    raise ValueError(f'{name} is no JSON')
