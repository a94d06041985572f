# SPDX-License-Identifier: Apache-2.0
"""Pictures that the room wears: dial faces, key pads, displays, labels. All RGB, uint8."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ['KEYS', 'Picture', 'draw_dial', 'draw_display', 'draw_keys', 'draw_label']

Picture = NDArray[np.uint8]
KEYS = ('789', '456', '123', '0.E')  # E: enter
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BOLD = cv2.FONT_HERSHEY_DUPLEX


def centred(
    image: Picture, text: str, x: float, y: float, scale: float, color: tuple[int, int, int], thick: int
) -> None:
    """Write text centred at a point, in pixels."""
    (width, height), _ = cv2.getTextSize(text, _BOLD, scale, thick)
    cv2.putText(image, text, (round(x - width / 2), round(y + height / 2)), _BOLD, scale, color, thick, cv2.LINE_AA)


def draw_label(text: str, width: int, height: int, ink: tuple[int, int, int], paper: tuple[int, int, int]) -> Picture:
    """Draw a sign with one line of text that fills it."""
    image = np.full((height, width, 3), paper, np.uint8)
    words = text.replace('_', ' ').upper()
    (wide, tall), _ = cv2.getTextSize(words, _BOLD, 1.0, 2)
    scale = min(0.88 * width / wide, 0.6 * height / tall)
    cv2.rectangle(image, (2, 2), (width - 3, height - 3), ink, max(1, height // 32))
    centred(image, words, width / 2, height / 2, scale, ink, max(1, round(scale * 2)))
    return image


def draw_dial(size: int, dial: Mapping[str, Any], unit: str) -> Picture:
    """
    Draw the face of a dial gauge without its needle.

    Parameters
    ----------
    size : int
        Width and height in pixels.
    dial : mapping
        min, max (in ``unit``), start_deg, end_deg (clockwise from 12 o'clock).
    unit : str
        Written under the centre.

    Returns
    -------
    (size, size, 3) uint8, RGB

    """
    image = np.full((size, size, 3), (250, 250, 246), np.uint8)
    centre, radius = size / 2, size / 2
    low, high, start, end = (float(dial[k]) for k in ('min', 'max', 'start_deg', 'end_deg'))

    def at(value: float, r: float) -> tuple[int, int]:
        angle = math.radians(start + (value - low) / (high - low) * (end - start))
        return round(centre + r * radius * math.sin(angle)), round(centre - r * radius * math.cos(angle))

    mid = (round(centre), round(centre))
    cv2.circle(image, mid, round(radius * 0.97), (60, 60, 60), 4, cv2.LINE_AA)
    for k in range(51):
        value = low + (high - low) * k / 50
        major = k % 5 == 0
        cv2.line(
            image, at(value, 0.90), at(value, 0.76 if major else 0.83), (15, 15, 15), 7 if major else 3, cv2.LINE_AA
        )
    for k in range(0, 11, 2):
        value = low + (high - low) * k / 10
        x, y = at(value, 0.58)
        centred(image, f'{value:g}', x, y, size / 400, (15, 15, 15), 3)
    centred(image, unit, centre, centre + radius * 0.42, size / 520, (15, 15, 15), 2)
    return image


def draw_display(width: int, height: int, shown: str, unit: str, entry: bool) -> Picture:
    """Draw the panel's digital display; ``entry`` while digits are being typed."""
    image = np.full((height, width, 3), (12, 26, 16), np.uint8)
    ink = (255, 200, 60) if entry else (90, 255, 130)
    centred(image, shown or '-', width * 0.40, height * 0.55, height / 52, ink, 4)
    centred(image, unit, width * 0.84, height * 0.68, height / 110, ink, 2)
    return image


def draw_keys(size: int) -> Picture:
    """Draw the keypad: three columns, four rows, bottom row 0, decimal point and enter."""
    image = np.full((size, size, 3), (40, 44, 50), np.uint8)
    for row, keys in enumerate(KEYS):
        for column, key in enumerate(keys):
            x, y = size * (0.24 + 0.26 * column), size * (0.14 + 0.24 * row)
            half = size * 0.095
            paper = (70, 170, 90) if key == 'E' else (225, 226, 222)
            cv2.rectangle(image, (round(x - half), round(y - half)), (round(x + half), round(y + half)), paper, -1)
            centred(image, 'OK' if key == 'E' else key, x, y, size / (420 if key == 'E' else 280), (20, 20, 20), 2)
    return image
