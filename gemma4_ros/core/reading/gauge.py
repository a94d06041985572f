# SPDX-License-Identifier: Apache-2.0
"""Read a pointer gauge from a picture, or say why it cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from gemma4_ros.core.reading.ellipses import Ellipse, find_dials
from gemma4_ros.core.reading.face import Face
from gemma4_ros.core.reading.pointer import Pointer, find_pointer
from gemma4_ros.core.reading.scale import Scale, find_scales

METHOD = 'dial_polar'
_MOST_DIALS = 3
_RIVAL_DIAL = 0.5


@dataclass(frozen=True, slots=True)
class Dial:
    """A scale: its ends in degrees, clockwise from 12 o'clock on the upright dial, and their values in ``unit``."""

    min: float
    max: float
    start_deg: float
    end_deg: float
    unit: str = ''


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a picture in which the dial is: corner and size, px."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int


@dataclass(frozen=True, slots=True)
class Reading:
    """A value in the dial's unit with its 95 % interval; ``centre_px`` and ``radius_px`` say where the dial was."""

    value: float
    low: float
    high: float
    unit: str
    confidence: float
    angle_deg: float
    centre_px: tuple[float, float]
    radius_px: float
    method: str = METHOD


@dataclass(frozen=True, slots=True)
class CannotRead:
    """
    Why there is no value.

    ``reason`` is no_dial, two_dials, too_small, dark, glare, blur, no_pointer, two_pointers, scale, ambiguous,
    off_scale or, of several pictures, moving.
    """

    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """When to refuse; chosen on the tuning pictures."""

    min_radius_px: float = 34.0
    min_pointer_strength: float = 7.0
    rival_share: float = 0.55
    min_scale_quality: float = 0.62
    rival_scale_margin: float = 0.12
    min_pointer_to_marks: float = 0.3
    max_waver: float = 0.006
    max_half_width_share: float = 0.02
    max_disagreement_share: float = 0.012
    off_scale_share: float = 0.02


def read_gauge(
    image: NDArray[np.uint8], dial: Dial, region: Region | None = None, limits: Limits | None = None
) -> Reading | CannotRead:
    """
    Read a pointer gauge.

    Method: ellipse of the dial; polar unwrapping with the face's own colour taken away; pointer as the unbroken streak
    from the hub, its line fitted to subpixel centres; value by interpolation between the scale marks that were found,
    at the point where the pointer's line crosses them. The steps follow Sablatnig and Kropatsch, "Automatic reading of
    analog display instruments" (ICPR 1994), and Reitsma et al., "Under pressure: learning-based analog gauge reading
    in the wild" (ICRA 2024), which splits the task so that each step can fail by itself.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB
        The picture; the dial's radius at least ``limits.min_radius_px``.
    dial : Dial
        The scale.
    region : Region, optional
        Where to look; the whole picture otherwise.
    limits : Limits, optional
        When to refuse.

    Returns
    -------
    Reading
        Value in ``dial.unit`` with a 95 % interval; or CannotRead with a reason. Raises nothing for bad pixels: they
        are data, not errors.

    """
    limits = limits or Limits()
    part, corner = _part(image, region)
    if min(part.shape[:2]) < 2 * limits.min_radius_px:
        return CannotRead(
            'too_small',
            f'the picture is {part.shape[1]} x {part.shape[0]} px, a dial needs {2 * limits.min_radius_px:.0f} px',
        )
    grey = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), np.uint8)
    if float(np.percentile(grey, 99)) < 25:
        return CannotRead('dark', 'the picture is dark')
    groups = find_dials(grey, 0.6 * limits.min_radius_px)
    if not groups:
        return _no_dial(grey)
    if groups[0][0].radius_px < limits.min_radius_px:
        across, least = 2 * groups[0][0].radius_px, 2 * limits.min_radius_px
        return CannotRead('too_small', f'the dial is {across:.0f} px across, at least {least:.0f} px are needed')
    return _read_groups(part, groups, dial, limits, corner)


def _read_groups(
    image: NDArray[np.uint8], groups: list[list[Ellipse]], dial: Dial, limits: Limits, corner: tuple[int, int]
) -> Reading | CannotRead:
    """Read what may be a dial; of two dials that can be read nobody knows which one is meant."""
    first, least = groups[0], max(limits.min_radius_px, _RIVAL_DIAL * groups[0][0].radius_px)
    outer = first[0]
    beside = [g for g in groups[1:] if g[0].radius_px >= least and _apart(g[0], outer) > outer.radius_px]
    likely = [first, *beside][:_MOST_DIALS]
    results = [_read_group(image, group, dial, limits, corner) for group in likely]
    readings = [r for r in results if isinstance(r, Reading)]
    if len(readings) > 1:
        return CannotRead('two_dials', f'{len(readings)} dials can be read in this picture; say in which region')
    head = results[0]
    if isinstance(head, CannotRead) and (not readings or head.reason == 'two_pointers'):
        return head
    return readings[0]


def _apart(one: Ellipse, other: Ellipse) -> float:
    return float(np.hypot(one.x_px - other.x_px, one.y_px - other.y_px))


def _part(image: NDArray[np.uint8], region: Region | None) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    if region is None:
        return image, (0, 0)
    x, y = max(0, region.x_px), max(0, region.y_px)
    return image[y : max(0, region.y_px + region.height_px), x : max(0, region.x_px + region.width_px)], (x, y)


def _no_dial(grey: NDArray[np.uint8]) -> CannotRead:
    if float((grey > 250).mean()) > 0.3:
        return CannotRead('glare', 'no dial found, large parts of the picture are overexposed')
    return CannotRead('no_dial', 'no round dial found in the picture')


def _read_group(
    image: NDArray[np.uint8], group: list[Ellipse], dial: Dial, limits: Limits, corner: tuple[int, int]
) -> Reading | CannotRead:
    """Read with each of the nested ellipses: they must agree."""
    results: list[Reading | CannotRead] = []
    for ellipse in group[:4]:
        results.append(_read_ellipse(image, ellipse, dial, limits))
        if sum(isinstance(r, Reading) for r in results) == 2:
            break
    refusals = [r for r in results if isinstance(r, CannotRead)]
    for refusal in refusals:
        if refusal.reason == 'two_pointers':
            return refusal
    readings = sorted((r for r in results if isinstance(r, Reading)), key=lambda r: -r.confidence)
    if not readings:
        return refusals[0]
    best = readings[0]
    span = dial.max - dial.min
    apart = max(
        abs(r.value - best.value) for r in readings if r.confidence > best.confidence - limits.rival_scale_margin
    )
    if apart > limits.max_disagreement_share * span:
        return CannotRead('ambiguous', f'two outlines of the dial give values {apart:.3g} {dial.unit} apart'.strip())
    x, y = best.centre_px
    return Reading(
        best.value,
        best.low,
        best.high,
        best.unit,
        best.confidence,
        best.angle_deg,
        (x + corner[0], y + corner[1]),
        best.radius_px,
    )


def _read_ellipse(image: NDArray[np.uint8], ellipse: Ellipse, dial: Dial, limits: Limits) -> Reading | CannotRead:
    face = Face(image, ellipse)
    bad = _bad_light(face)
    if bad is not None:
        return bad
    pointer = find_pointer(face, limits.min_pointer_strength, limits.rival_share)
    if isinstance(pointer, str):
        reason = 'two_pointers' if pointer.startswith('two') else 'no_pointer'
        return CannotRead(reason, pointer)
    scales = find_scales(face, dial.max - dial.min, dial.start_deg, dial.end_deg, pointer.crossing_deg(0.75)[0])
    if not scales or scales[0].quality < limits.min_scale_quality:
        return CannotRead('scale', 'the marks of the scale cannot be made out')
    best = scales[0]
    if pointer.strength < limits.min_pointer_to_marks * best.contrast or pointer.waver > limits.max_waver:
        return CannotRead('no_pointer', 'the pointer is covered, faint or not straight')
    return _value(
        ellipse, pointer, [s for s in scales if s.quality > best.quality - limits.rival_scale_margin], dial, limits
    )


def _bad_light(face: Face) -> CannotRead | None:
    grey = cv2.cvtColor(face.crop, cv2.COLOR_RGB2GRAY)
    if float((grey > 252).mean()) > 0.75:
        return CannotRead('glare', 'the dial is overexposed')
    if float(np.percentile(grey, 95)) < 16:
        return CannotRead('dark', 'the dial is dark')
    return None


def _value(ellipse: Ellipse, pointer: Pointer, scales: list[Scale], dial: Dial, limits: Limits) -> Reading | CannotRead:
    span = dial.max - dial.min
    shares = [s.share_at(pointer.crossing_deg(s.radius)[0]) for s in scales]
    best = scales[0]
    spread = max(abs(share - shares[0]) for share in shares)
    if spread > limits.max_disagreement_share:
        return CannotRead('ambiguous', f'rings of marks give values {spread * span:.3g} {dial.unit} apart'.strip())
    angle, angle_std = pointer.crossing_deg(best.radius)
    share = shares[0]
    if not -limits.off_scale_share <= share <= 1 + limits.off_scale_share:
        return CannotRead('off_scale', 'the pointer stands outside the scale')
    mark_std = best.spread_deg / np.sqrt(max(best.present / 5.0, 1.0))
    half = float(np.hypot(1.96 * np.hypot(angle_std, mark_std) / best.span_deg, 0.003) + spread)
    if half > limits.max_half_width_share:
        return CannotRead('blur', f'the value is uncertain by {half * span:.3g} {dial.unit}'.strip())
    value = dial.min + share * span
    confidence = float(np.clip(best.quality, 0, 1))
    return Reading(
        value,
        value - half * span,
        value + half * span,
        dial.unit,
        confidence,
        (angle + 180.0) % 360.0 - 180.0,
        (ellipse.x_px, ellipse.y_px),
        ellipse.radius_px,
    )
