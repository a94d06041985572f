# SPDX-License-Identifier: Apache-2.0
"""Find the pointer of a dial and its subpixel line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gemma4_ros.core.reading.face import ANGLES, RADII, RADIUS_STEP, Face, Floats, Singles, look_up

_SEARCH = np.arange(0.20, 0.5001, 0.01)
_ASIDE = np.arange(-0.08, 0.0801, 0.01)
_DIRECTIONS = 720
_QUANTILE = 25
_RIVAL_SEARCH = np.arange(0.30, 0.6001, 0.01)
_STREAK_HALF = 0.085
_ACROSS_STEP = 0.004


@dataclass(frozen=True, slots=True)
class Pointer:
    """A straight pointer: ``t`` along ``degrees`` from the centre it lies ``aside + lean * t`` to the clockwise side.

    Lengths are shares of the dial's radius.
    """

    degrees: float
    aside: float
    lean: float
    aside_std: float
    lean_std: float
    pivot_t: float
    reach: float
    strength: float
    waver: float

    def crossing_deg(self, radius: float) -> tuple[float, float]:
        """Return the angle at which the pointer's line crosses a ring, and its standard deviation, in degrees."""
        t = radius
        for _ in range(3):
            t = float(np.sqrt(max(radius**2 - (self.aside + self.lean * t) ** 2, 1e-6)))
        side = self.aside + self.lean * t
        std = float(np.hypot(self.aside_std, self.lean_std * (t - self.pivot_t)))
        return self.degrees + float(np.rad2deg(np.arctan2(side, t))), float(np.rad2deg(std / radius))


def find_pointer(face: Face, min_strength: float, rival_share: float) -> Pointer | str:
    """
    Find the pointer; or return why there is none.

    Method: every ray near the centre is scored by a low quantile of what stands out from the face along it, so that
    only an unbroken streak counts, never print or marks; then the streak's centre is taken at every radius and a line
    fitted through the centres (robust, reweighted).

    Parameters
    ----------
    face : Face
        The unrolled dial.
    min_strength : float
        Least difference from the face, CIELAB units.
    rival_share : float
        A second streak as strong as this share of the first makes it two pointers.

    """
    evidence, aside = _rays(face.difference, _SEARCH)
    floor = float(np.median(evidence))
    best = int(np.argmax(evidence))
    strength = float(evidence[best])
    if strength < max(min_strength, 2.5 * floor):
        return 'no pointer stands out from the face'
    pointer = _refine(face, best * 360.0 / _DIRECTIONS, float(aside[best]), strength)
    if isinstance(pointer, str):
        return pointer
    rivals, _ = _rays(_without(face.difference, pointer), _RIVAL_SEARCH)
    if float(rivals.max()) - floor > rival_share * (strength - floor):
        return 'two candidate pointers'
    return pointer


def _without(difference: Singles, pointer: Pointer) -> Singles:
    """Return the difference with the pointer's own streak blanked."""
    degrees = np.deg2rad(np.linspace(0, 360, ANGLES + 1) - pointer.degrees)[None, :]
    radii = (np.arange(RADII) * RADIUS_STEP)[:, None]
    along, side = radii * np.cos(degrees), radii * np.sin(degrees)
    own = (along > 0) & (np.abs(side - pointer.aside - pointer.lean * along) < _STREAK_HALF)
    return np.where(own, np.float32(0), difference)


def _rays(difference: Singles, search: Floats) -> tuple[Floats, Floats]:
    """Return, for each direction, the best score over parallel rays and that ray's distance from the centre."""
    degrees = np.arange(_DIRECTIONS) * (360.0 / _DIRECTIONS)
    side, along = np.meshgrid(_ASIDE, search, indexing='ij')
    turn = np.rad2deg(np.arctan2(side, along))
    radius = np.hypot(side, along)
    angles = degrees[:, None, None] + turn[None]
    values = look_up(difference, angles.reshape(_DIRECTIONS, -1), np.tile(radius.reshape(1, -1), (_DIRECTIONS, 1)))
    scores = np.percentile(values.reshape(_DIRECTIONS, len(_ASIDE), len(search)), _QUANTILE, axis=2)
    best = np.argmax(scores, axis=1)
    return np.asarray(scores[np.arange(_DIRECTIONS), best], np.float64), _ASIDE[best]


def _refine(face: Face, degrees: float, aside: float, strength: float) -> Pointer | str:
    t = np.arange(0.25, 0.5, 0.01)
    colour = np.median(face.colour_at(degrees + np.rad2deg(np.arctan2(aside, t)), np.hypot(aside, t)), axis=0)
    share = face.towards(np.asarray(colour, np.float32))
    line = np.array([aside, 0.0])
    along = np.arange(0.18, 0.95, 0.01)
    std = np.array([0.01, 0.01])
    pivot, reach, spread = 0.5, 0.5, 0.01
    half = 0.07
    for _ in range(4):
        centres, mass = _centres(share, degrees, along, line, half)
        reach = _reach(share, degrees, line)
        usual = float(np.median(mass[(along > 0.22) & (along < 0.45)]))
        use = (
            (along <= max(reach, 0.5)) & (mass > 0.2 * usual) & (mass < 1.35 * usual)
        )  # more is print beside the pointer
        half = min(half, 0.7 * usual * _ACROSS_STEP / 0.65 + 0.012)
        if use.sum() < 12:
            return 'the pointer is broken up'
        line, std, pivot, spread = _robust_line(along[use], centres[use])
    if reach < 0.5:
        return 'the pointer is broken up'
    return Pointer(
        degrees, float(line[0]), float(line[1]), float(std[0]), float(std[1]), pivot, reach, strength, spread
    )


def _centres(share: Singles, degrees: float, along: Floats, line: Floats, half: float) -> tuple[Floats, Floats]:
    """Return the centre of the streak across the line at each place along it, and how much of it there is."""
    across = np.arange(-half, half + 1e-9, _ACROSS_STEP)
    side = (line[0] + line[1] * along)[:, None] + across[None, :]
    angles = degrees + np.rad2deg(np.arctan2(side, along[:, None]))
    weight = np.clip(look_up(share, angles, np.hypot(side, along[:, None])).astype(np.float64) - 0.35, 0.0, 0.65)
    mass = weight.sum(axis=1)
    return np.asarray((weight * side).sum(axis=1) / np.maximum(mass, 1e-6)), np.asarray(mass)


def _reach(share: Singles, degrees: float, line: Floats) -> float:
    """Return how far out the streak goes without a gap longer than 0.04."""
    along = np.arange(0.2, 1.0, 0.01)
    side = line[0] + line[1] * along
    best = np.full(len(along), -1.0)
    for extra in (-0.012, 0.0, 0.012):
        values = look_up(
            share,
            (degrees + np.rad2deg(np.arctan2(side + extra, along)))[None, :],
            np.hypot(side + extra, along)[None, :],
        )
        best = np.maximum(best, values[0])
    gap = 0
    for place, value in zip(along, best, strict=True):
        gap = gap + 1 if value < 0.35 else 0
        if gap > 4:
            return float(place) - 0.05
    return float(along[-1])


def _robust_line(t: Floats, s: Floats) -> tuple[Floats, Floats, float, float]:
    """Fit s = a + b t, reweighted (Tukey); return it, its deviations (at the pivot, of the slope), pivot, residual."""
    weight = np.ones(len(t))
    line = np.array([float(np.median(s)), 0.0])
    basis = np.stack([np.ones_like(t), t], axis=1)
    spread = 0.01
    for _ in range(8):
        line = np.linalg.lstsq(basis * np.sqrt(weight)[:, None], s * np.sqrt(weight), rcond=None)[0]
        rest = s - basis @ line
        spread = max(1.4826 * float(np.median(np.abs(rest))), 5e-4)
        weight = np.clip(1 - (rest / (4.5 * spread)) ** 2, 0, None) ** 2
    total = float(weight.sum())
    pivot = float((weight * t).sum() / total)
    scatter = float(np.sqrt((weight * (t - pivot) ** 2).sum()))
    independent = max(total / 3.0, 3.0)  # neighbouring samples share pixels
    return line, np.array([spread / np.sqrt(independent), spread / scatter * np.sqrt(3.0)]), pivot, spread
