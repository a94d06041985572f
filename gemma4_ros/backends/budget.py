# SPDX-License-Identifier: Apache-2.0
"""Whether a request may go on: its deadline and its canceller, asked together."""

from __future__ import annotations

import time
from collections.abc import Callable

from gemma4_ros.core.errors import ModelCancelledError, ModelDeadlineError

__all__ = ['Budget']

_ASK_EVERY_S = 0.01


class Budget:
    """
    Deadline and cancellation of one request.

    Parameters
    ----------
    deadline_s : float
        Seconds from now.
    cancelled : callable
        Returns True once the caller has given up; asked at most every 10 ms.

    """

    def __init__(self, deadline_s: float, cancelled: Callable[[], bool]) -> None:
        self.started_s = time.monotonic()
        self._deadline_s = deadline_s
        self._cancelled = cancelled
        self._next_ask_s = 0.0
        self._is_cancelled = False

    def elapsed_s(self) -> float:
        """Return the seconds since the request came."""
        return time.monotonic() - self.started_s

    def is_over(self) -> bool:
        """Say whether the request must end now; cheap enough for an inner loop."""
        now_s = time.monotonic()
        if now_s >= self._next_ask_s:
            self._next_ask_s = now_s + _ASK_EVERY_S
            self._is_cancelled = self._is_cancelled or self._cancelled()
        return self._is_cancelled or now_s - self.started_s > self._deadline_s

    def check(self, doing: str) -> None:
        """Raise ModelCancelledError or ModelDeadlineError if the request must end while ``doing`` something."""
        if not self.is_over():
            return
        if self._is_cancelled:
            raise ModelCancelledError(f'cancelled after {self.elapsed_s():.2f} s while {doing}')
        raise ModelDeadlineError(
            f'no answer within {self._deadline_s:g} s (still {doing}): raise deadline_s, or ask for less'
        )
