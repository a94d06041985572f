# SPDX-License-Identifier: Apache-2.0
"""The known name that is nearest to one that is not."""

from __future__ import annotations

import difflib

__all__ = ['suggest']


def suggest(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return ``; did you mean 'x'?``, or the known names where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    if near:
        return f'; did you mean {near[0]!r}?'
    return f'; known are {", ".join(sorted(known)[:12])}' if known else ''
