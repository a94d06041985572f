# SPDX-License-Identifier: Apache-2.0
"""The HMI screen of the pump, drawn from the state of the process. RGB, uint8, 800 x 480."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gemma4_ros.sim.drawing import Picture

__all__ = ['HEIGHT_PX', 'WIDTH_PX', 'Screen', 'draw_screen']

WIDTH_PX, HEIGHT_PX = 800, 480
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_INK, _DIM, _PAPER, _CARD = (235, 240, 244), (150, 165, 178), (24, 32, 42), (38, 50, 64)
_GREEN, _AMBER, _RED = (70, 200, 110), (245, 180, 40), (235, 70, 60)
_MODES = {'AUTO': _GREEN, 'MANUAL': _AMBER, 'MAINTENANCE': _RED}


@dataclass(frozen=True, slots=True)
class Screen:
    """What the screen shows."""

    mode: str
    estop: bool
    pressure_bar: float
    setpoint_bar: float
    flow_m3h: float
    speed_rpm: float
    temperature_c: float
    valves: tuple[tuple[str, float], ...]  # name, opening 0..1
    alarms: tuple[str, ...]
    clock: str


def draw_screen(screen: Screen) -> Picture:
    """Draw the screen."""
    image = np.full((HEIGHT_PX, WIDTH_PX, 3), _PAPER, np.uint8)
    _header(image, screen)
    values = (
        ('PRESSURE', f'{screen.pressure_bar:.2f}', 'bar'),
        ('SET-POINT', f'{screen.setpoint_bar:.2f}', 'bar'),
        ('FLOW', f'{screen.flow_m3h:.1f}', 'm3/h'),
        ('SPEED', f'{screen.speed_rpm:.0f}', 'rpm'),
        ('MOTOR TEMP', f'{screen.temperature_c:.1f}', 'C'),
    )
    for k, (label, value, unit) in enumerate(values):
        _card(image, 16 + (k % 3) * 172, 72 + (k // 3) * 120, label, value, unit)
    _valves(image, screen)
    _alarms(image, screen)
    return image


def _text(image: Picture, text: str, x: int, y: int, scale: float, color: tuple[int, int, int], thick: int = 1) -> None:
    cv2.putText(image, text, (x, y), _FONT, scale, color, thick, cv2.LINE_AA)


def _header(image: Picture, screen: Screen) -> None:
    cv2.rectangle(image, (0, 0), (WIDTH_PX, 56), (16, 60, 96), -1)
    _text(image, 'PUMP P-7', 16, 38, 1.0, _INK, 2)
    _text(image, screen.clock, 330, 37, 0.7, _DIM, 1)
    color = _MODES.get(screen.mode, _DIM)
    cv2.circle(image, (532, 28), 13, color, -1, cv2.LINE_AA)
    _text(image, f'MODE {screen.mode}', 556, 37, 0.7, _INK, 2)


def _card(image: Picture, x: int, y: int, label: str, value: str, unit: str) -> None:
    cv2.rectangle(image, (x, y), (x + 160, y + 106), _CARD, -1)
    _text(image, label, x + 12, y + 26, 0.55, _DIM)
    _text(image, value, x + 12, y + 74, 1.15, _INK, 2)
    _text(image, unit, x + 100, y + 97, 0.55, _DIM)


def _valves(image: Picture, screen: Screen) -> None:
    x, y = 532, 72
    cv2.rectangle(image, (x, y), (WIDTH_PX - 16, y + 226), _CARD, -1)
    _text(image, 'VALVES', x + 12, y + 26, 0.55, _DIM)
    for k, (name, opening) in enumerate(screen.valves[:4]):
        row = y + 60 + 44 * k
        _text(image, name.replace('_', ' ').upper(), x + 12, row, 0.5, _INK)
        _text(image, f'{100 * opening:.0f} %', x + 180, row, 0.6, _INK, 1)
        cv2.rectangle(image, (x + 12, row + 8), (x + 236, row + 16), (70, 84, 98), -1)
        cv2.rectangle(image, (x + 12, row + 8), (x + 12 + round(224 * opening), row + 16), _GREEN, -1)


def _alarms(image: Picture, screen: Screen) -> None:
    y = 314
    cv2.rectangle(image, (16, y), (WIDTH_PX - 16, HEIGHT_PX - 16), _CARD, -1)
    _text(image, f'ALARMS ({len(screen.alarms)})', 28, y + 26, 0.55, _DIM)
    if screen.estop:
        cv2.rectangle(image, (560, y + 8), (WIDTH_PX - 24, y + 36), _RED, -1)
        _text(image, 'EMERGENCY STOP', 576, y + 28, 0.6, _INK, 2)
    lines = screen.alarms[:4] or ('no active alarms',)
    for k, line in enumerate(lines):
        color = _RED if screen.alarms else _DIM
        _text(image, line, 28, y + 60 + 26 * k, 0.6, color, 1)
