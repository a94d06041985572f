# SPDX-License-Identifier: Apache-2.0
"""What outlives the gate on disk: software lock-outs, and the newest version of each policy that was ever loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gemma4_ros.core.errors import GateError, PolicyError
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.state import Lock

__all__ = ['LockFile', 'LockFileError', 'check_version']


class LockFileError(GateError):
    """A file that must outlive the gate cannot be written."""


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
        replace_durably(self._path, [{'person': lock.person, 'reason': lock.reason} for lock in locks])


def replace_durably(path: Path, value: Any) -> None:
    """Replace a JSON file as a whole; raise LockFileError."""
    draft = path.with_suffix('.draft')
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        draft.unlink(missing_ok=True)  # a link of that name is not followed
        with draft.open('x', encoding='utf-8') as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise LockFileError(f'cannot write {path}: {error.strerror}') from None


def check_version(policy: Policy, path: Path) -> None:
    """Refuse a signed policy that is older than one that was loaded before: raise PolicyError. Else remember it."""
    try:
        seen = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
        newest = int(seen.get(policy.name, 0))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise PolicyError(f'{path} cannot be read, so an older policy could not be told; mend or remove it') from None
    if policy.version < newest:
        raise PolicyError(
            f'policy {policy.name}: version {policy.version} is older than {newest}, loaded before ({path})'
        )
    replace_durably(path, {**seen, policy.name: policy.version})
