# SPDX-License-Identifier: Apache-2.0
"""The audit log as a hash chain of JSON lines: sealing and verifying; writing is somebody else's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ['GENESIS', 'Chain', 'Report', 'verify']

GENESIS = '0' * 64
MAX_LINE = 1 << 20


class Chain:
    """Seals records: each line carries its number, the hash of the line before and its own."""

    def __init__(self) -> None:
        self._count = 0
        self._last = GENESIS

    def seal(self, record: Mapping[str, Any]) -> bytes:
        """Return the record's line; ASCII only, so that no record can break a line or colour a terminal."""
        body = {**record, 'n': self._count, 'prev': self._last}
        digest = _digest(body)
        self._count += 1
        self._last = digest
        return _dump({**body, 'hash': digest}) + b'\n'


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found; ``line`` is the first bad one, 1-based, 0 where all are good."""

    records: int
    last_hash: str
    line: int = 0
    problem: str = ''


def verify(lines: Iterable[bytes]) -> Report:
    """Check that the lines are one unbroken chain from its first record on; cutting the end off cannot be seen here."""
    last, count = GENESIS, 0
    for number, line in enumerate(lines, 1):
        problem, digest = _check(line, count, last)
        if problem:
            return Report(count, last, number, problem)
        last, count = digest, count + 1
    if not count:
        return Report(0, last, 1, 'the log is empty; a log starts with a record of the start')
    return Report(count, last)


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
    if _digest(record) != digest or _dump({**record, 'hash': digest}) + b'\n' != line:
        return 'the record was changed', ''
    return '', digest


def _constant(name: str) -> Any:
    raise ValueError(f'{name} is no JSON')


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dump(body)).hexdigest()


def _dump(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(',', ':'), allow_nan=False).encode('ascii')
