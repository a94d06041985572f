# SPDX-License-Identifier: Apache-2.0
"""A dial's face unrolled around its centre: what stands out from the face, by angle and radius."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.reading.ellipses import Ellipse

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

ANGLES = 1440
RADII = 104
RADIUS_STEP = 0.01
_BACKGROUND_STEP = 12
_BACKGROUND_HALF_WINDOW = 30
_LARGEST_RADIUS_PX = 190.0


class Face:
    """
    The face of a dial in polar coordinates.

    Angles are degrees clockwise from 12 o'clock, radii are shares of the ellipse that was found. The face's own colour
    (a running median along the angle at each radius, so that light may change over the dial) is taken away: needle,
    marks and print remain.
    """

    def __init__(self, image: NDArray[np.uint8], ellipse: Ellipse) -> None:
        crop, inside = _crop(image, ellipse)
        self.ellipse = inside
        self.crop = crop
        lab = cv2.cvtColor(crop.astype(np.float32) / 255.0, cv2.COLOR_RGB2LAB)
        degrees = np.asarray(np.arange(ANGLES) * (360.0 / ANGLES), np.float64)
        radii = np.asarray(np.arange(RADII) * RADIUS_STEP, np.float64)
        x, y = self._to_pixels(degrees[None, :], radii[:, None])
        self._polar = np.asarray(cv2.remap(lab, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
        self._offset = self._polar - _background(self._polar)
        self.difference = _wrapped(np.linalg.norm(self._offset, axis=2).astype(np.float32))

    @property
    def px_per_degree(self) -> float:
        """Pixels that one degree takes at the rim."""
        return float(np.deg2rad(1.0) * self.ellipse.radius_px)

    def _to_pixels(self, degrees: Floats, radii: Floats) -> tuple[Singles, Singles]:
        shape = self.ellipse.shape()
        angle = np.deg2rad(degrees)
        u, v = radii * np.sin(angle), -radii * np.cos(angle)
        x = self.ellipse.x_px + shape[0, 0] * u + shape[0, 1] * v
        y = self.ellipse.y_px + shape[1, 0] * u + shape[1, 1] * v
        return x.astype(np.float32), y.astype(np.float32)

    def towards(self, colour: Singles) -> Singles:
        """Return how much of the colour offset ``colour`` each polar pixel shows: 0 is face, 1 is that colour."""
        share = self._offset @ (colour / max(float(colour @ colour), 1e-6))
        return _wrapped(np.clip(share, -0.5, 1.3).astype(np.float32))

    def colour_at(self, degrees: Floats, radii: Floats) -> Singles:
        """Return the colour offsets (N, 3) at the nearest polar pixels."""
        columns = np.round(np.asarray(degrees) * ANGLES / 360.0).astype(int) % ANGLES
        rows = np.clip(np.round(np.asarray(radii) / RADIUS_STEP).astype(int), 0, RADII - 1)
        return np.asarray(self._offset[rows, columns], np.float32)

    def noise(self) -> float:
        """Return the usual difference of a plain piece of face from its surroundings."""
        return float(np.median(self.difference[15:70]))


def look_up(polar: Singles, degrees: Floats, radii: Floats) -> Singles:
    """Return values of a wrapped polar array at angles and radii, bilinear; both of one two-dimensional shape."""
    columns = (np.mod(degrees, 360.0) * (ANGLES / 360.0)).astype(np.float32)
    rows = (radii / RADIUS_STEP).astype(np.float32)
    return np.asarray(cv2.remap(polar, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _wrapped(polar: Singles) -> Singles:
    return np.ascontiguousarray(np.concatenate([polar, polar[:, :1]], axis=1))


def _crop(image: NDArray[np.uint8], ellipse: Ellipse) -> tuple[NDArray[np.uint8], Ellipse]:
    reach = 1.1 * max(ellipse.a_px, ellipse.b_px) + 2
    x0, y0 = max(0, int(ellipse.x_px - reach)), max(0, int(ellipse.y_px - reach))
    part = image[y0 : int(ellipse.y_px + reach) + 1, x0 : int(ellipse.x_px + reach) + 1]
    inside = ellipse.shifted(-x0, -y0)
    factor = _LARGEST_RADIUS_PX / ellipse.radius_px
    if factor < 1:
        small = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        return np.asarray(small, np.uint8), inside.scaled(small.shape[1] / part.shape[1])
    return part, inside


def _background(polar: Singles) -> Singles:
    """Return the running median along the angle, for each radius."""
    coarse = polar[:, ::4]
    half = _BACKGROUND_HALF_WINDOW
    padded = np.concatenate([coarse[:, -half:], coarse, coarse[:, :half]], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=1)[:, :: _BACKGROUND_STEP // 4]
    medians = np.median(windows, axis=-1).astype(np.float32)
    closed = np.concatenate([medians, medians[:, :1]], axis=1)
    columns = np.tile(np.arange(ANGLES, dtype=np.float32) / _BACKGROUND_STEP, (len(polar), 1))
    rows = np.tile(np.arange(len(polar), dtype=np.float32)[:, None], (1, ANGLES))
    return np.asarray(cv2.remap(closed, columns, rows, cv2.INTER_LINEAR), np.float32)
