# SPDX-License-Identifier: Apache-2.0
"""The text of an answer as it grows: whole UTF-8 characters only, cut at stop texts."""

from __future__ import annotations

import codecs
from collections.abc import Callable

__all__ = ['AnswerText']


class AnswerText:
    """Collects the bytes of tokens; hands text on as soon as it cannot be the start of a stop text."""

    def __init__(self, stops: tuple[str, ...], on_text: Callable[[str], None] | None) -> None:
        self._decoder = codecs.getincrementaldecoder('utf-8')('replace')
        self._stops = tuple(stop for stop in stops if stop)
        self._hold = max((len(stop) for stop in self._stops), default=1) - 1
        self._on_text = on_text
        self._text = ''
        self._told = 0

    def add(self, piece: bytes) -> bool:
        """Append a token's bytes; say whether a stop text came."""
        self._text += self._decoder.decode(piece)
        found = [at for stop in self._stops if (at := self._text.find(stop)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self._tell(len(self._text))
            return True
        self._tell(len(self._text) - self._hold)
        return False

    def finish(self) -> None:
        """Hand on what was held back."""
        self._text += self._decoder.decode(b'', final=True)
        self._tell(len(self._text))

    def all(self) -> str:
        """Return the text so far."""
        return self._text

    def _tell(self, until: int) -> None:
        if until > self._told:
            new = self._text[self._told : until]
            self._told = until
            if self._on_text is not None:
                self._on_text(new)
