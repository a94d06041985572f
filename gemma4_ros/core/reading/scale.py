# SPDX-License-Identifier: Apache-2.0
"""Register the marks of a dial's scale: where each mark truly stands in the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.reading.face import ANGLES, RADIUS_STEP, Face, Floats

_RINGS = np.arange(0.52, 0.975, 0.01)
_BAND_ROWS = 1
_STARTS_DEG = np.arange(-10.0, 10.01, 0.5)
_NICE = (1.0, 2.0, 2.5, 5.0)
_PRESENT = 0.35
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class Scale:
    """Marks that were found: ``divisions`` equal parts, bent by ``bend`` (degrees: shift, two harmonics)."""

    divisions: int
    radius: float
    start_deg: float
    span_deg: float
    bend: tuple[float, float, float, float, float]
    quality: float
    spread_deg: float
    present: int
    contrast: float

    def share_at(self, degrees: float) -> float:
        """Return the place of an angle on the scale: 0 its first mark, 1 its last."""
        middle = self.start_deg + self.span_deg / 2
        nominal = middle + (degrees - middle + 180.0) % 360.0 - 180.0
        seen = nominal
        for _ in range(4):
            nominal = seen - float(_basis(np.array([nominal]))[0] @ np.array(self.bend))
        return (nominal - self.start_deg) / self.span_deg


def plausible_divisions(span: float, most: int) -> list[int]:
    """Return the numbers of divisions whose step is 1, 2, 2.5 or 5 times a power of ten, as on printed scales."""
    found = set()
    power = int(np.floor(np.log10(span)))
    for exponent in range(power - 3, power + 1):
        for nice in _NICE:
            count = span / (nice * 10.0**exponent)
            if abs(count - round(count)) < 1e-6 and _FEWEST <= round(count) <= most:
                found.add(round(count))
    return sorted(found)


def find_scales(face: Face, value_span: float, start_deg: float, end_deg: float, pointer_deg: float) -> list[Scale]:
    """
    Find rings of scale marks, best first.

    Method: for every plausible number of divisions and every ring, a comb of marks is slid along the ring; the best
    places are then refined by moving each mark to its own maximum and fitting shift and two harmonics of the angle
    (what roll, tilt and an off-centre view do to a circle), from few marks to many. A comb is believed only where marks
    stand at its places, none between them and none beyond its ends.

    Parameters
    ----------
    face : Face
        The unrolled dial.
    value_span : float
        Largest value less smallest.
    start_deg, end_deg : float
        Angles of the scale's ends on an upright dial, clockwise from 12 o'clock.
    pointer_deg : float
        Marks beneath the pointer are not looked at.

    """
    span = end_deg - start_deg
    rings = _ring_signals(face)
    most = int(min(240, span * face.px_per_degree * 0.8 / 3.5))
    found: list[Scale] = []
    for divisions in plausible_divisions(value_span, most):
        comb = _Comb(divisions, start_deg, span, pointer_deg)
        contrast = comb.contrast(rings)
        starts = comb.starts(contrast)
        near = sorted(found, key=lambda s: -s.quality)[:2]
        for ring in sorted({ring for ring, _ in starts}):
            bends = {(shift, 0.0, 0.0, 0.0, 0.0) for r, shift in starts if r == ring}
            bends |= {tuple(round(term, 1) for term in s.bend) for s in near}  # type: ignore[misc]
            scales = {comb.refine(contrast[ring], float(_RINGS[ring]), np.array(bend)) for bend in sorted(bends)}
            found += [s for s in scales if s is not None]
    return sorted(found, key=lambda s: -s.quality)


def _ring_signals(face: Face) -> Floats:
    """Return what stands out along each ring, (rings, ANGLES), a little smoothed."""
    rows = np.round(_RINGS / RADIUS_STEP).astype(int)
    signal = np.stack(
        [face.difference[r - _BAND_ROWS : r + _BAND_ROWS + 1, :ANGLES].mean(axis=0) for r in rows]
    ).astype(np.float64)
    padded = np.concatenate([signal[:, -2:], signal, signal[:, :2]], axis=1)
    return np.asarray(sum(w * padded[:, k : k + ANGLES] for k, w in enumerate((0.1, 0.2, 0.4, 0.2, 0.1))))


def _basis(degrees: Floats) -> Floats:
    a = np.deg2rad(degrees)
    return np.stack([np.ones_like(a), np.cos(a), np.sin(a), np.cos(2 * a), np.sin(2 * a)], axis=1)


def _rank(values: Floats, share: float) -> float:
    """Return the value below which ``share`` of the values lie; on short arrays much faster than percentile."""
    return float(np.sort(values)[min(int(share * len(values)), len(values) - 1)])


def _index(degrees: Floats) -> NDArray[np.int64]:
    return np.round(np.mod(degrees, 360.0) * ANGLES / 360.0).astype(np.int64) % ANGLES


class _Comb:
    """A number of equal divisions between the ends of the scale."""

    def __init__(self, divisions: int, start_deg: float, span_deg: float, pointer_deg: float) -> None:
        self.divisions = divisions
        self.start_deg = start_deg
        self.span_deg = span_deg
        self.gap_deg = span_deg / divisions
        self.marks = np.asarray(start_deg + self.gap_deg * np.arange(divisions + 1), np.float64)
        away = np.abs((self.marks - pointer_deg + 180.0) % 360.0 - 180.0)
        self.clear = away > 4.0
        self.basis = _basis(self.marks)
        beyond = min(2, int((360.0 - span_deg) / self.gap_deg / 2))
        steps = np.arange(1, beyond + 1) * self.gap_deg
        self.outside = np.concatenate([start_deg - steps, start_deg + span_deg + steps])
        outside_away = np.abs((self.outside - pointer_deg + 180.0) % 360.0 - 180.0)
        self.outside = np.asarray(self.outside[outside_away > 4.0], np.float64)

    def contrast(self, rings: Floats) -> Floats:
        """Return how much each angle stands out from the places half a division before and after it."""
        half = max(1, round(self.gap_deg / 2 * ANGLES / 360.0))
        half = min(half, round(12.0 * ANGLES / 360.0))
        return np.asarray(rings - np.maximum(np.roll(rings, half, axis=1), np.roll(rings, -half, axis=1)))

    def starts(self, contrast: Floats, count: int = 4) -> list[tuple[int, float]]:
        """Return the best (ring, shift) pairs."""
        places = _index(self.marks[None, :] + _STARTS_DEG[:, None])
        width = max(1, round(min(self.gap_deg * 0.2, 2.0) * ANGLES / 360.0))
        best = contrast.copy()
        for shift in range(1, width + 1):
            best = np.maximum(best, np.maximum(np.roll(contrast, shift, axis=1), np.roll(contrast, -shift, axis=1)))
        scores = np.minimum(best, np.percentile(best, 97, axis=1)[:, None])[:, places].mean(axis=2)
        pairs: list[tuple[int, float]] = []
        for flat in np.argsort(scores, axis=None)[::-1][: count * 8]:
            ring, start = np.unravel_index(flat, scores.shape)
            if all(r != ring or abs(s - _STARTS_DEG[start]) > self.gap_deg * 0.5 for r, s in pairs):
                pairs.append((int(ring), float(_STARTS_DEG[start])))
            if len(pairs) == count:
                break
        return pairs

    def refine(self, contrast: Floats, radius: float, bend: Floats) -> Scale | None:
        """Move the marks to their maxima and fit the bend; None where that fails."""
        spread = self.gap_deg
        peaks = np.zeros(len(self.marks))
        for terms, share in ((1, 0.45), (3, 0.4), (5, 0.35), (5, 0.25), (5, 0.2)):
            terms = terms if self.divisions >= 8 else min(terms, 3)
            window = min(share * self.gap_deg, 6.0)
            offsets, peaks = self._peaks(contrast, bend, window)
            use = self.clear & (peaks > _PRESENT * max(_rank(peaks, 0.7), 1e-6))
            if use.sum() < max(4, terms, 0.4 * self.clear.sum()):
                return None
            bend, spread = self._fit(offsets, use, bend, terms)
        return self._judged(contrast, radius, bend, spread, peaks)

    def _peaks(self, contrast: Floats, bend: Floats, window_deg: float) -> tuple[Floats, Floats]:
        reach = max(1, round(window_deg * ANGLES / 360.0))
        steps = np.arange(-reach, reach + 1)
        centre = self.marks + self.basis @ bend
        columns = (_index(centre)[:, None] + steps) % ANGLES
        values = contrast[columns]
        top = np.argmax(values, axis=1)
        peaks = values[np.arange(len(top)), top]
        level = np.clip(values - 0.5 * np.maximum(peaks, 1e-6)[:, None], 0, None) * (
            np.abs(steps[None, :] - steps[top][:, None]) <= 6
        )
        middle = (level * steps).sum(axis=1) / np.maximum(level.sum(axis=1), 1e-9)
        rounding = (_index(centre) * 360.0 / ANGLES - centre + 180.0) % 360.0 - 180.0
        return self.basis @ bend + rounding + middle * 360.0 / ANGLES, peaks

    def _fit(self, offsets: Floats, use: NDArray[np.bool_], bend: Floats, terms: int) -> tuple[Floats, float]:
        basis, target = self.basis[use, :terms], offsets[use]
        prior = np.diag([0.0, 1.0, 1.0, 1.0, 1.0][:terms]) * 0.05
        weight = np.ones(len(target))
        fit, spread = bend[:terms], self.gap_deg
        for _ in range(3):
            left = basis.T @ (basis * weight[:, None]) + prior
            fit = np.asarray(np.linalg.solve(left + 1e-9 * np.eye(terms), basis.T @ (weight * target)), np.float64)
            rest = target - basis @ fit
            spread = max(1.4826 * _rank(np.abs(rest), 0.5), 0.02)
            weight = np.asarray(np.clip(1 - (rest / (4.5 * spread)) ** 2, 0, None) ** 2 + 1e-6, np.float64)
        full = np.zeros(5)
        full[:terms] = fit
        return full, spread

    def _judged(self, contrast: Floats, radius: float, bend: Floats, spread: float, peaks: Floats) -> Scale | None:
        usual = _rank(peaks[self.clear], 0.6)
        if usual <= 1.5 or float(np.max(np.abs(self.basis @ bend))) > 14.0:
            return None
        here = peaks > _PRESENT * usual
        share = float(here[self.clear].mean())
        penalty = 0.0
        if len(self.outside):
            reach = max(1, round(0.15 * self.gap_deg * ANGLES / 360.0))
            centre = _index(self.outside + _basis(self.outside) @ bend)
            values = contrast[(centre[:, None] + np.arange(-reach, reach + 1)) % ANGLES].max(axis=1)
            penalty = 0.6 * float((values > 0.5 * usual).mean())
        ends = 0.1 * float((~here[[0, -1]] & self.clear[[0, -1]]).sum())
        quality = share - penalty - ends - 1.5 * spread / min(self.gap_deg, 8.0) - 0.8 / self.divisions
        return Scale(
            self.divisions,
            radius,
            self.start_deg,
            self.span_deg,
            (float(bend[0]), float(bend[1]), float(bend[2]), float(bend[3]), float(bend[4])),
            quality,
            spread,
            int(here.sum()),
            usual,
        )
