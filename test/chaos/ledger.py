# SPDX-License-Identifier: Apache-2.0
"""Trials that add up over many runs of a long test: one line of JSON each, durable when its trial has ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

__all__ = ['Ledger']

Key = tuple[str, ...]


class Ledger:
    """
    What has been tried so far.

    Parameters
    ----------
    path : Path
        The file; made when the first trial has ended. A line that is cut off, by a kill while it was written, counts as
        not tried.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials: list[dict[str, Any]] = []
        text = path.read_text(encoding='utf-8') if path.is_file() else ''
        for line in text.splitlines():
            try:
                self.trials.append(json.loads(line))
            except ValueError:
                continue
        self._needs_line_end = bool(text) and not text.endswith('\n')

    def add(self, key: Key, **found: Any) -> dict[str, Any]:
        """Write a trial down."""
        trial = {'key': list(key), **found}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open('a', encoding='utf-8') as file:
            file.write(('\n' if self._needs_line_end else '') + json.dumps(trial, sort_keys=True) + '\n')
            file.flush()
            os.fsync(file.fileno())
        self._needs_line_end = False
        self.trials.append(trial)
        return trial

    def of(self, *key: str) -> list[dict[str, Any]]:
        """Return the trials whose key begins so."""
        return [trial for trial in self.trials if tuple(trial['key'][: len(key)]) == key]

    def missing(self, keys: Iterable[Key], times: int) -> Sequence[Key]:
        """Return what is still to do, so that every key is tried evenly: the ones tried least come first."""
        counts = {key: len(self.of(*key)) for key in keys}
        rounds = [(done, key) for key, count in counts.items() for done in range(count, times)]
        order = {key: index for index, key in enumerate(counts)}
        return [key for _, key in sorted(rounds, key=lambda pair: (pair[0], order[pair[1]]))]
