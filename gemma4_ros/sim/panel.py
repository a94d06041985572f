# SPDX-License-Identifier: Apache-2.0
"""The set-point panel: which key the finger presses down decides what is typed."""

from __future__ import annotations

import math

from gemma4_ros.sim.drawing import KEYS
from gemma4_ros.sim.layout import Mount
from gemma4_ros.sim.physics import Physics

__all__ = ['PRESSED_M', 'Panel']

PRESSED_M = 0.004
KEYPAD_M = 0.19
LOW_BAR, HIGH_BAR = 0.0, 8.0


def _offset(row: int, column: int) -> tuple[float, float]:
    return (0.24 + 0.26 * column - 0.5) * KEYPAD_M, (0.5 - (0.14 + 0.24 * row)) * KEYPAD_M


class Panel:
    """One keypad with its display."""

    def __init__(self, mount: Mount, physics: Physics) -> None:
        self.mount = mount
        self._physics = physics
        self.entry = ''
        self._down = False

    def reset(self) -> None:
        """Forget what was typed."""
        self.entry, self._down = '', False

    def key_point(self, key: str) -> tuple[float, float, float]:
        """Return the middle of a key in the map, m."""
        row = next(r for r, keys in enumerate(KEYS) if key in keys)
        right, up = _offset(row, KEYS[row].index(key))
        heading = self.mount.heading
        return self.mount.x + right * math.sin(heading), self.mount.y - right * math.cos(heading), self.mount.z + up

    def is_pressed(self) -> bool:
        """Return whether the keypad is down."""
        return self._physics.joint(self.mount.name) > PRESSED_M

    def tick(self) -> float | None:
        """Look at the keypad; return the number when enter was pressed behind a valid one, else None."""
        down = self.is_pressed()
        struck, self._down = down and not self._down, down
        if not struck:
            return None
        key = self._key_under_finger()
        if key != 'E':
            self.entry = (self.entry + key)[-6:]
            return None
        text, self.entry = self.entry, ''
        try:
            value = float(text)
        except ValueError:
            return None
        return value if LOW_BAR <= value <= HIGH_BAR else None

    def _key_under_finger(self) -> str:
        x, y, z = self._physics.tip_position()
        right = (x - self.mount.x) * math.sin(self.mount.heading) - (y - self.mount.y) * math.cos(self.mount.heading)
        up = z - self.mount.z
        spots = [
            (math.dist((right, up), _offset(r, c)), key) for r, keys in enumerate(KEYS) for c, key in enumerate(keys)
        ]
        return min(spots)[1]
