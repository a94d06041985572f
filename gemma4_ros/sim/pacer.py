# SPDX-License-Identifier: Apache-2.0
"""The thread that owns the physics: ticks the cell in real time, or faster."""

from __future__ import annotations

import threading
import time

from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.physics import TICK_S

__all__ = ['Pacer']

FORGIVEN_S = 0.5
BREATH_S = 0.0002
"""The cell's lock stays free so long after each tick, else nobody else gets it where the computer is too slow."""


class Pacer:
    """
    Tick a cell in a thread.

    Parameters
    ----------
    cell : Cell
        Ticked from nowhere else.
    speed : float
        Simulated seconds a second of wall clock.

    """

    def __init__(self, cell: Cell, speed: float) -> None:
        self._cell = cell
        self._period_s = TICK_S / speed
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name='physics', daemon=True)
        self.error: BaseException | None = None
        self.late_s = 0.0  # wall time lost because the computer was too slow

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for the end."""
        self._stopped.set()
        self._thread.join(timeout=2.0)

    def _run(self) -> None:
        try:
            self._pace()
        except Exception as error:  # noqa: BLE001 - the node reports it and ends; a thread cannot raise to anybody
            self.error = error

    def _pace(self) -> None:
        due = time.monotonic()
        while not self._stopped.is_set():
            self._cell.tick()
            due += self._period_s
            wait = due - time.monotonic()
            self._stopped.wait(wait if wait > 0.0 else BREATH_S)
            if wait < -FORGIVEN_S:
                self.late_s -= wait
                due = time.monotonic()
