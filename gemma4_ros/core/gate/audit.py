# SPDX-License-Identifier: Apache-2.0
"""The audit log as a hash chain of JSON lines: sealing; writing is somebody else's."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ['GENESIS', 'Chain', 'checkpoint_text', 'digest_of', 'dump']

GENESIS = '0' * 64


class Chain:
    """Seals records: each line carries its number, the hash of the line before and its own."""

    def __init__(self) -> None:
        self.count = 0
        self.last = GENESIS

    def seal(self, record: Mapping[str, Any]) -> bytes:
        """Return the record's line; ASCII only, so that no record can break a line or colour a terminal."""
        body = {**record, 'n': self.count, 'prev': self.last}
        digest = digest_of(body)
        self.count += 1
        self.last = digest
        return dump({**body, 'hash': digest}) + b'\n'


def checkpoint_text(count: int, last: str) -> bytes:
    """Return what a signed checkpoint says: so many records stand before it, and the last one's hash."""
    return f'gemma4_ros audit checkpoint {count} {last}'.encode()


def digest_of(body: Mapping[str, Any]) -> str:
    """Return the hash of a record without its own."""
    return hashlib.sha256(dump(body)).hexdigest()


def dump(value: Any) -> bytes:
    """Return the one form in which records are written and hashed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(',', ':'), allow_nan=False).encode('ascii')
