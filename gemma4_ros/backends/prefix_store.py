# SPDX-License-Identifier: Apache-2.0
"""Evaluated prompt prefixes on disk, so that a restarted engine does not read the rules again."""

from __future__ import annotations

import array
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ['PrefixStore']


class PrefixStore:
    """
    A private folder of saved sequences, the least recently used ones deleted first.

    Parameters
    ----------
    folder : Path
        Made with mode 0700; its files are the user's own, as trusted as the model file.
    identity : str
        Of weights, engine version and cache layout: a saved sequence fits no other.
    capacity_bytes : int
        Of all files together.

    """

    def __init__(self, folder: Path, identity: str, capacity_bytes: int = 1 << 30) -> None:
        self._folder = folder
        self._identity = identity
        self._capacity_bytes = capacity_bytes

    def find(self, tokens: Sequence[int]) -> Path | None:
        """Return the file of exactly these tokens, marked as used, or None."""
        path = self._path(tokens)
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def save(self, tokens: Sequence[int], write: Callable[[Path], bool]) -> None:
        """Let ``write`` fill a new file and give it its name when it is whole; a full disk costs only the warmth."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, suffix='.part')
        except OSError:
            return
        os.close(handle)
        part = Path(name)
        try:
            if write(part):
                part.replace(self._path(tokens))
                self._prune()
        except OSError:
            return
        finally:
            part.unlink(missing_ok=True)

    def discard(self, path: Path) -> None:
        """Delete a file that could not be used."""
        with contextlib.suppress(OSError):
            path.unlink()

    def _path(self, tokens: Sequence[int]) -> Path:
        digest = hashlib.sha256(self._identity.encode())
        digest.update(array.array('i', tokens).tobytes())
        return self._folder / f'{digest.hexdigest()}.prefix'

    def _prune(self) -> None:
        files = sorted(self._folder.glob('*.prefix'), key=lambda path: path.stat().st_mtime, reverse=True)
        total = 0
        for path in files:
            total += path.stat().st_size
            if total > self._capacity_bytes:
                path.unlink(missing_ok=True)
