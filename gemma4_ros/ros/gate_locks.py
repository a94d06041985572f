# SPDX-License-Identifier: Apache-2.0
"""Software lock-outs on disk: they outlive the gate."""

from __future__ import annotations

import json
import os
from pathlib import Path

from gemma4_ros.core.errors import GateError
from gemma4_ros.core.gate.state import Lock

__all__ = ['LockFile', 'LockFileError']


class LockFileError(GateError):
    """The file of lock-outs cannot be written."""


class LockFile:
    """A JSON list of ``{"person", "reason"}``, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[Lock, ...]:
        """Return the locks; one that nobody can take off by a command where the file cannot be understood."""
        try:
            items = json.loads(self._path.read_text(encoding='utf-8'))
            return tuple(Lock(str(item['person']), str(item['reason'])) for item in items)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return (Lock('?', f'{self._path} cannot be read; look who had locked, and remove it'),)

    def write(self, locks: tuple[Lock, ...]) -> None:
        """Replace the file durably; raise LockFileError."""
        draft = self._path.with_suffix('.draft')
        text = json.dumps([{'person': lock.person, 'reason': lock.reason} for lock in locks])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
            with draft.open('w', encoding='utf-8') as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
        except OSError as error:
            raise LockFileError(f'cannot write {self._path}: {error.strerror}') from None
