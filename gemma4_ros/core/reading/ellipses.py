# SPDX-License-Identifier: Apache-2.0
"""Find round dials, seen at an angle, in a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]

_SAMPLES = 180
_WORK_SIDE_PX = 800
_LEVELS = 10


@dataclass(frozen=True, slots=True)
class Ellipse:
    """An ellipse in pixels; ``angle_rad`` turns the x axis onto the first half axis ``a_px``."""

    x_px: float
    y_px: float
    a_px: float
    b_px: float
    angle_rad: float
    support: float = 0.0

    @property
    def radius_px(self) -> float:
        """Geometric mean of the half axes."""
        return float(np.sqrt(self.a_px * self.b_px))

    @property
    def flatness(self) -> float:
        """Short half axis over long one: 1 is a circle."""
        return min(self.a_px, self.b_px) / max(self.a_px, self.b_px)

    def shape(self) -> Floats:
        """Return the symmetric 2 x 2 matrix that makes the unit circle this ellipse: tilted, not rolled."""
        c, s = np.cos(self.angle_rad), np.sin(self.angle_rad)
        turn = np.array([[c, -s], [s, c]])
        return np.asarray(turn @ np.diag([self.a_px, self.b_px]) @ turn.T)

    def points(self, count: int = _SAMPLES) -> tuple[Floats, Floats]:
        """Return points of the ellipse and its outward unit normals, both (count, 2)."""
        t = np.linspace(0, 2 * np.pi, count, endpoint=False)
        circle = np.stack([np.cos(t), np.sin(t)], axis=1)
        shape = self.shape()
        normals = circle @ np.linalg.inv(shape)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return circle @ shape + [self.x_px, self.y_px], normals

    def scaled(self, factor: float) -> Ellipse:
        """Return it in a picture that is ``factor`` times as large."""
        return Ellipse(
            (self.x_px + 0.5) * factor - 0.5,
            (self.y_px + 0.5) * factor - 0.5,
            self.a_px * factor,
            self.b_px * factor,
            self.angle_rad,
            self.support,
        )

    def shifted(self, dx_px: float, dy_px: float) -> Ellipse:
        """Return it moved."""
        return Ellipse(self.x_px + dx_px, self.y_px + dy_px, self.a_px, self.b_px, self.angle_rad, self.support)


def find_dials(grey: Grey, min_radius_px: float, limit: int = 12) -> list[list[Ellipse]]:
    """
    Find dials: groups of nested ellipses with a common centre, the best supported first.

    Method: closed outlines of level sets and of Canny edges, a direct least-squares ellipse for each (Fitzgibbon, Pilu,
    Fisher 1999), kept when the grey-level gradient along the normals supports it all around, then refitted to the
    gradient's subpixel maxima.

    Parameters
    ----------
    grey : (H, W) uint8
        The picture.
    min_radius_px : float
        Smaller ones are left out.
    limit : int
        At most so many ellipses are looked at closely.

    """
    scale = min(1.0, _WORK_SIDE_PX / max(grey.shape))
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else grey
    smooth = cv2.GaussianBlur(small, (0, 0), 1.2)
    candidates = [c for c in _outlines(np.asarray(smooth, np.uint8)) if c.radius_px >= min_radius_px * scale]
    field = smooth.astype(np.float32)
    scored = sorted((_supported(field, c, 2.5) for c in candidates), key=lambda c: -c.support)
    best = _distinct([c for c in scored if c.support > 0.45])[:limit]
    refined = [_supported(field, _refit(field, c), 1.5) for c in best]
    return _groups([c.scaled(1 / scale) for c in refined if c.support > 0.6])


def _outlines(smooth: Grey) -> list[Ellipse]:
    contours: list[NDArray[np.int32]] = []
    low, high = np.percentile(smooth, [2, 98])
    for level in np.linspace(low, high, _LEVELS + 2)[1:-1]:
        contours += _contours((smooth > level).astype(np.uint8))
    middle = float(np.median(smooth))
    for strength in (0.33, 0.8):
        edges = cv2.Canny(smooth, 20 * strength + 0.15 * middle, 60 * strength + 0.4 * middle)
        contours += _contours(np.asarray(cv2.dilate(edges, np.ones((3, 3), np.uint8)), np.uint8))
    found = []
    for contour in contours:
        for outline in (contour, cv2.convexHull(contour)):
            ellipse = _fit(np.asarray(outline, np.float32).reshape(-1, 2))
            if ellipse is not None:
                found.append(ellipse)
    return found


def _contours(mask: Grey) -> list[NDArray[np.int32]]:
    contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return [np.asarray(c, np.int32) for c in contours if len(c) >= 60]


def _fit(points: NDArray[np.float32]) -> Ellipse | None:
    if len(points) < 8:
        return None
    try:
        (x, y), (width, height), degrees = cv2.fitEllipseDirect(points)
    except cv2.error:  # collinear points have no ellipse
        return None
    if not np.all(np.isfinite([x, y, width, height])) or min(width, height) < 0.55 * max(width, height):
        return None
    return Ellipse(x, y, width / 2, height / 2, float(np.deg2rad(degrees)))


def _slopes(field: NDArray[np.float32], ellipse: Ellipse, reach: Floats) -> Floats:
    """Return the grey-level slope along the normals: (samples, offsets)."""
    points, normals = ellipse.points()
    along = points[:, None, :] + reach[None, :, None] * normals[:, None, :]
    outer = _sampled(field, along + 0.75 * normals[:, None, :])
    inner = _sampled(field, along - 0.75 * normals[:, None, :])
    return np.asarray(outer - inner, np.float64)


def _sampled(field: NDArray[np.float32], places: Floats) -> Floats:
    x, y = places[..., 0].astype(np.float32), places[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float64)


def _supported(field: NDArray[np.float32], ellipse: Ellipse, tolerance_px: float) -> Ellipse:
    slopes = _slopes(field, ellipse, np.arange(-tolerance_px, tolerance_px + 0.1, 0.5))
    strongest = max(float(np.mean(np.max(sign * slopes, axis=1) > 4.0)) for sign in (1, -1))
    return Ellipse(ellipse.x_px, ellipse.y_px, ellipse.a_px, ellipse.b_px, ellipse.angle_rad, strongest)


def _refit(field: NDArray[np.float32], ellipse: Ellipse) -> Ellipse:
    for reach_px in (max(3.0, 0.05 * ellipse.radius_px), 2.5):
        reach = np.arange(-reach_px, reach_px + 0.1, 0.5)
        slopes = _slopes(field, ellipse, reach)
        sign = 1.0 if np.mean(np.max(slopes, axis=1) > 4.0) >= np.mean(np.max(-slopes, axis=1) > 4.0) else -1.0
        slopes *= sign
        peak = np.argmax(slopes, axis=1)
        strength = slopes[np.arange(len(peak)), peak]
        inside = (peak > 0) & (peak < len(reach) - 1) & (strength > 4.0)
        if inside.sum() < 40:
            break
        points, normals = ellipse.points()
        rows = np.flatnonzero(inside)
        left, mid, right = (slopes[rows, peak[rows] + k] for k in (-1, 0, 1))
        offset = reach[peak[rows]] + 0.25 * (left - right) / np.minimum(left - 2 * mid + right, -1e-6)
        fitted = _fit((points[rows] + offset[:, None] * normals[rows]).astype(np.float32))
        if fitted is None:
            break
        ellipse = fitted
    return ellipse


def _same(one: Ellipse, other: Ellipse, share: float) -> bool:
    size = max(one.radius_px, other.radius_px)
    return (
        float(np.hypot(one.x_px - other.x_px, one.y_px - other.y_px)) < share * size
        and abs(one.radius_px - other.radius_px) < share * size
    )


def _distinct(ellipses: list[Ellipse]) -> list[Ellipse]:
    kept: list[Ellipse] = []
    for ellipse in ellipses:
        if not any(_same(ellipse, other, 0.03) for other in kept):
            kept.append(ellipse)
    return kept


def _groups(ellipses: list[Ellipse]) -> list[list[Ellipse]]:
    groups: list[list[Ellipse]] = []
    for ellipse in sorted(_distinct(sorted(ellipses, key=lambda e: -e.support)), key=lambda e: -e.radius_px):
        for group in groups:
            outer = group[0]
            if np.hypot(ellipse.x_px - outer.x_px, ellipse.y_px - outer.y_px) < 0.12 * outer.radius_px:
                group.append(ellipse)
                break
        else:
            groups.append([ellipse])
    return sorted(
        groups, key=lambda g: -max(e.support for e in g) * (1 + 0.1 * min(len(g), 3)) * np.sqrt(g[0].radius_px)
    )
