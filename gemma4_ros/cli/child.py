# SPDX-License-Identifier: Apache-2.0
"""One process of the stack: started in a group of its own, logged to a file, stopped with nothing left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ['Child']

_STEPS = ((signal.SIGINT, 8.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))
_TAIL_BYTES = 4000
MAX_RESTARTS, WITHIN_S = 5, 60.0


class Child:
    """
    A process and its restarts.

    Parameters
    ----------
    name : str
        For messages; also the log's name.
    words : sequence of str
        Command line.
    environment : mapping
        Whole environment.
    log : Path
        Where stdout and stderr go; appended to.

    """

    def __init__(self, name: str, words: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        self._words, self._environment = list(words), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None
        self._starts: deque[float] = deque(maxlen=MAX_RESTARTS)

    def start(self) -> None:
        """Start it, or start it again."""
        self._starts.append(time.monotonic())
        with self.log.open('ab') as file:
            self._process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**self._environment, 'GEMMA4_DIE_WITH_PARENT': str(os.getpid())},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the process's id; 0 before the first start."""
        return self._process.pid if self._process is not None else 0

    @property
    def exit_code(self) -> int | None:
        """Return how it ended; None while it runs or before it started."""
        return self._process.poll() if self._process is not None else None

    @property
    def is_alive(self) -> bool:
        """Say whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def may_restart(self) -> bool:
        """Say whether it has not been started too often lately."""
        return len(self._starts) < MAX_RESTARTS or time.monotonic() - self._starts[0] > WITHIN_S

    def last_words(self) -> str:
        """Return the last line that it wrote."""
        try:
            text = self.log.read_bytes()[-_TAIL_BYTES:].decode(errors='replace')
        except OSError:
            return ''
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ''

    def stop(self) -> str:
        """Stop it, harder where it does not listen; return the signal that ended it, '' if it had ended before."""
        process, used = self._process, ''
        if process is None:
            return ''
        for number, deadline_s in _STEPS:
            if process.poll() is not None:
                break
            used = number.name
            with contextlib.suppress(ProcessLookupError):
                if number == signal.SIGKILL:
                    os.killpg(process.pid, number)
                else:
                    process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(deadline_s)
        with contextlib.suppress(ProcessLookupError, PermissionError):  # children of its own that it left behind
            os.killpg(process.pid, signal.SIGKILL)
        return used
