# SPDX-License-Identifier: Apache-2.0
"""Run programs quietly: their output goes to the log, the last lines to whoever must mend a failure."""

from __future__ import annotations

import shlex
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TAIL_LINES = 15


class SetupError(Exception):
    """Setup cannot go on; the text says what failed and what to do."""


class Shell:
    """Programs of one setup run, with one log."""

    def __init__(self, log: Path, environment: Mapping[str, str], folder: Path) -> None:
        self.log = log
        self.environment = dict(environment)
        self.folder = folder
        self._started = False

    def run(
        self,
        command: Sequence[str | Path],
        *,
        extra: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Run a program to its end; raise SetupError with its last lines if it fails."""
        words = [str(word) for word in command]
        tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open('a' if self._started else 'w', errors='replace') as log:
            self._started = True
            log.write(f'$ {shlex.join(words)}\n')
            log.flush()
            process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**self.environment, **(extra or {})},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors='replace',
            )
            try:
                for line in process.stdout or ():
                    log.write(line)
                    tail.append(line.rstrip())
                    if on_line is not None:
                        on_line(line)
                code = process.wait()
            except BaseException:  # Ctrl-C above all: leave no compiler running behind
                process.terminate()
                process.wait()
                raise
        if code != 0:
            lines = '\n'.join(f'    {line}' for line in tail)
            raise SetupError(f'{words[0]} ended with code {code}; its last lines:\n{lines}\nall of it: {self.log}')
