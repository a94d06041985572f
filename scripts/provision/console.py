# SPDX-License-Identifier: Apache-2.0
"""Tell a person what is being done, how long it has taken and what is left."""

from __future__ import annotations

import sys
import threading
import time

QUIET_PERIOD_S = 15.0


def duration(seconds: float) -> str:
    """Write seconds as people do: '8 s', '2 min 05 s'."""
    if seconds < 60:
        return f'{seconds:.0f} s'
    return f'{int(seconds) // 60} min {int(seconds) % 60:02d} s'


class Progress:
    """One line a step, kept alive while it runs: rewritten on a terminal, repeated now and then in a log."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._live = sys.stdout.isatty()
        self._detail = ''
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._head = ''
        self._started_s = 0.0

    def begin(self, number: int, title: str, left: str) -> None:
        """Announce a step and what comes after it."""
        self._head = f'[{number}/{self._total}] {title}'
        self._started_s = time.monotonic()
        self._detail = ''
        if not self._live:
            print(self._head + (f'   (then: {left})' if left else ''), flush=True)
        self._left = left
        self._stop.clear()
        self._thread = threading.Thread(target=self._tick, daemon=True)
        self._thread.start()

    def detail(self, text: str) -> None:
        """Say how far the step is, in a few words."""
        self._detail = text

    def end(self, outcome: str) -> None:
        """Close the step's line."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        spent = duration(time.monotonic() - self._started_s)
        start = '\r\033[K' + self._head if self._live else '     '
        print(f'{start} {outcome} in {spent}', flush=True)

    def _tick(self) -> None:
        while not self._stop.wait(0.5 if self._live else QUIET_PERIOD_S):
            spent = duration(time.monotonic() - self._started_s)
            words = ' · '.join(word for word in (self._detail, spent) if word)
            if self._live:
                left = f' · then: {self._left}' if self._left else ''
                print(f'\r\033[K{self._head} · {words}{left}'[:160], end='', flush=True)
            else:
                print(f'      … {words}', flush=True)
