# SPDX-License-Identifier: Apache-2.0
"""The audit log on disk: one file a start of the gate, appended and made durable in groups."""

from __future__ import annotations

import datetime
import json
import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gemma4_ros.core.errors import GateError
from gemma4_ros.core.gate.audit import GENESIS, Chain, checkpoint_text

__all__ = ['AuditError', 'AuditFile']

MAX_WAITING = 10_000
CHECKPOINT_RECORDS, CHECKPOINT_S = 100, 60.0
_TAIL_BYTES = 1 << 20


class AuditError(GateError):
    """The audit log cannot be written."""


class AuditFile:
    """
    Takes notes at any time and writes them when asked; `write` blocks, so it runs in a worker thread.

    Parameters
    ----------
    folder : Path
        Made where it is missing. The first record names the newest older log in it and that log's last hash.
    boot_id : str
        Of the gate; part of the file's name.
    sign : callable, optional
        Signs a checkpoint (number of records and last hash) after every CHECKPOINT_RECORDS records and CHECKPOINT_S.

    """

    def __init__(self, folder: Path, boot_id: str, sign: Callable[[bytes], bytes] | None = None) -> None:
        self._sign, self._signed_at, self._signed_at_s = sign, 0, -CHECKPOINT_S  # the first record is signed at once
        self._boot_id = boot_id
        self._lock = threading.Lock()
        self._waiting: deque[dict[str, Any]] = deque()
        self._lost = 0
        self._sealed: list[bytes] = []
        self._good_bytes = 0
        self._chain = Chain()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
            before, last_hash = _last_log(folder)
            name = f'audit-{datetime.datetime.now(datetime.timezone.utc):%Y%m%dT%H%M%SZ}-{boot_id[:8]}.jsonl'
            self.path = folder / name
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
            _sync_folder(folder)
        except OSError as error:
            raise AuditError(f'cannot make an audit log in {folder}: {error}; name another audit_dir') from None
        self.note('start', {'previous_log': before, 'previous_hash': last_hash})

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take one record."""
        wall = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='milliseconds')
        if len(self._waiting) >= MAX_WAITING:
            self._lost += 1
        else:
            self._waiting.append({'kind': kind, 'wall': wall, 'boot': self._boot_id, **data})

    def write(self) -> None:
        """Write what waits and make it durable; raise AuditError, and keep the records, where that fails."""
        with self._lock:
            while self._waiting:
                self._sealed.append(self._chain.seal(_plain(self._waiting[0])))
                self._waiting.popleft()  # not before: what cannot be sealed keeps the log from being whole
            if self._lost:
                lost, self._lost = self._lost, 0
                self._sealed.append(self._chain.seal({'kind': 'lost', 'boot': self._boot_id, 'records': lost}))
            if self._sign is not None and self._is_due():
                self._sealed.append(self._checkpoint(self._sign))
            if self._sealed:
                self._append(b''.join(self._sealed))
                self._sealed.clear()

    def _is_due(self) -> bool:
        new = self._chain.count - self._signed_at
        return new >= CHECKPOINT_RECORDS or (new > 0 and time.monotonic() - self._signed_at_s >= CHECKPOINT_S)

    def _checkpoint(self, sign: Callable[[bytes], bytes]) -> bytes:
        self._signed_at, self._signed_at_s = self._chain.count + 1, time.monotonic()
        signature = sign(checkpoint_text(self._chain.count, self._chain.last))
        return self._chain.seal({'kind': 'checkpoint', 'boot': self._boot_id, 'signature': signature.hex()})

    def _append(self, data: bytes) -> None:
        try:
            # what a failed write left behind would break the chain
            if os.fstat(self._file).st_size != self._good_bytes:
                os.ftruncate(self._file, self._good_bytes)
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fdatasync(self._file)
        except OSError as error:
            raise AuditError(f'cannot write {self.path}: {error}; nothing is sent until it can') from None
        self._good_bytes += len(data)

    def close(self) -> None:
        """Write the rest, as far as that is possible, and close."""
        try:
            self.write()
        finally:
            os.close(self._file)


def _plain(value: Any) -> Any:
    """Replace what JSON has no number for, so that a controller's NaN cannot stop the log."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)[:200]


def _last_log(folder: Path) -> tuple[str, str]:
    logs = sorted(folder.glob('audit-*.jsonl'), key=lambda path: path.stat().st_mtime_ns)
    if not logs:
        return '', GENESIS
    with logs[-1].open('rb') as file:
        file.seek(max(0, logs[-1].stat().st_size - _TAIL_BYTES))
        lines = file.read().splitlines()
    try:
        return logs[-1].name, str(json.loads(lines[-1])['hash'])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return logs[-1].name, 'unreadable'


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
