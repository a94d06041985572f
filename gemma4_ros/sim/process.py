# SPDX-License-Identifier: Apache-2.0
"""The pump's process: pressure, flow, speed and temperature follow the set-point and the valves; with noise."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

__all__ = ['START_BAR', 'Process']

START_BAR = 4.2
TIME_CONSTANT_S = 1.5
NOISE_BAR = 0.012
WARM_S = 90.0
HIGH_BAR, LOW_BAR = 7.0, 1.0


class Process:
    """
    First-order outlet pressure.

    Steady pressure is the set-point times the opening of the main valve, less what the bypass lets through.
    """

    def __init__(self, seed: int = 7) -> None:
        self._random = random.Random(seed)
        self.reset()

    def reset(self) -> None:
        """Start in the steady state with the main valve open."""
        self.setpoint_bar = START_BAR
        self.temperature_c = 41.0
        self._smooth_bar = START_BAR
        self.pressure_bar = START_BAR
        self.flow_m3h = 0.0
        self.speed_rpm = 0.0

    def tick(self, dt: float, openings: Mapping[str, float]) -> None:
        """Go on by dt seconds; openings (0..1) by valve name."""
        main = min((v for k, v in openings.items() if 'bypass' not in k), default=1.0)
        bypass = max((v for k, v in openings.items() if 'bypass' in k), default=0.0)
        steady = self.setpoint_bar * min(1.0, 1.25 * main) * (1.0 - 0.35 * bypass)
        self._smooth_bar += (steady - self._smooth_bar) * (1.0 - math.exp(-dt / TIME_CONSTANT_S))
        self.pressure_bar = max(0.0, self._smooth_bar + self._random.gauss(0.0, NOISE_BAR))
        self.flow_m3h = 3.1 * math.sqrt(max(0.0, self._smooth_bar)) * max(main, bypass)
        self.speed_rpm = 620.0 + 205.0 * self.setpoint_bar if self.setpoint_bar > 0.05 else 0.0
        warm = 22.0 + 0.014 * self.speed_rpm
        self.temperature_c += (warm - self.temperature_c) * (1.0 - math.exp(-dt / WARM_S))

    def alarms(self, openings: Mapping[str, float]) -> tuple[str, ...]:
        """Return the active alarms, as the screen words them."""
        found = []
        if self._smooth_bar > HIGH_BAR:
            found.append(f'A-101 HIGH PRESSURE, LIMIT {HIGH_BAR:.1f} bar')
        if self._smooth_bar < LOW_BAR:
            found.append(f'A-102 LOW PRESSURE, LIMIT {LOW_BAR:.1f} bar')
        found += [
            f'A-110 {k.replace("_", " ").upper()} CLOSED' for k, v in openings.items() if 'bypass' not in k and v < 0.1
        ]
        return tuple(found)
