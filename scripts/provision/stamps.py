# SPDX-License-Identifier: Apache-2.0
"""Remember what was done, by the content that it was done with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path


def digest(parts: Iterable[str | Path]) -> str:
    """Hash texts and the contents of files (a missing file counts as such)."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            state.update(part.name.encode())
            state.update(part.read_bytes() if part.is_file() else b'missing')
        else:
            state.update(part.encode())
        state.update(b'\0')
    return state.hexdigest()[:32]


class Stamps:
    """One small file a step, in a folder that goes away with what it vouches for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def matches(self, name: str, key: str) -> bool:
        """Say whether step `name` was last finished with this key."""
        path = self.folder / name
        return path.is_file() and path.read_text() == key

    def clear(self, name: str) -> None:
        """Forget step `name`: it is about to change what is there."""
        (self.folder / name).unlink(missing_ok=True)

    def write(self, name: str, key: str) -> None:
        """Remember that step `name` was finished with this key."""
        self.folder.mkdir(parents=True, exist_ok=True)
        fresh = self.folder / f'.{name}.new'
        fresh.write_text(key)
        fresh.replace(self.folder / name)
