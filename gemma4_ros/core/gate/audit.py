# SPDX-License-Identifier: Apache-2.0
"""The audit log as a hash chain of JSON lines: sealing; writing is somebody else's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ['GENESIS', 'Chain', 'digest_of', 'dump']

GENESIS = '0' * 64


class Chain:
    """Seals records: each line carries its number, the hash of the line before and its own."""

    def __init__(self) -> None:
        self._count = 0
        self._last = GENESIS

    def seal(self, record: Mapping[str, Any]) -> bytes:
        """Return the record's line; ASCII only, so that no record can break a line or colour a terminal."""
        body = {**record, 'n': self._count, 'prev': self._last}
        digest = digest_of(body)
        self._count += 1
        self._last = digest
        return dump({**body, 'hash': digest}) + b'\n'


def digest_of(body: Mapping[str, Any]) -> str:
    """Return the hash of a record without its own."""
    return hashlib.sha256(dump(body)).hexdigest()


def dump(value: Any) -> bytes:
    """Return the one form in which records are written and hashed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(',', ':'), allow_nan=False).encode('ascii')
