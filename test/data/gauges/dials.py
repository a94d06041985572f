# SPDX-License-Identifier: Apache-2.0
"""
Draw pictures of dial gauges with known values: the ground truth for the reader's tests.

Drawn with lines and polygons on the plane of the dial, seen through a pinhole camera, then lit, soiled and compressed.
Nothing here comes from the reader or from the simulated cell. Two families, ``TUNE`` and ``TEST``, have layouts,
colours and viewing conditions of their own: the reader's constants are chosen on the first and judged on the second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from dial_layouts import TEST_LAYOUTS, TUNE_LAYOUTS, Colour, Layout
from numpy.typing import NDArray

Image = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """How the dial is seen."""

    width: int = 640
    height: int = 480
    diameter: float = 240.0
    centre: tuple[float, float] = (320.0, 240.0)
    pitch: float = 0.0
    yaw: float = 0.0
    roll: float = 0.0
    distance: float = 8.0
    gain: float = 1.0
    gradient: float = 0.0
    noise: float = 2.0
    blur: float = 0.6
    motion: int = 0
    jpeg: int = 0
    glare: tuple[float, float, float, float] | None = None
    dirt: int = 0
    shadow: float = 0.0
    occluder: tuple[float, float, float] | None = None
    extra_needle: float | None = None
    needle_missing: bool = False
    backdrop: int = 0


@dataclass(frozen=True)
class Picture:
    """One picture and what it truly shows."""

    image: Image
    value: float
    layout: Layout
    view: View
    kind: str
    tags: tuple[str, ...] = field(default=())

    def scale(self) -> dict[str, float]:
        """Return the scale as a world entry has it."""
        lay = self.layout
        return {'min': lay.low, 'max': lay.high, 'start_deg': lay.start, 'end_deg': lay.end}


_SHIFT = 4
_ONE = 1 << _SHIFT


def _point(radius: float, degrees: float, size: int) -> tuple[float, float]:
    a = np.deg2rad(degrees)
    return size / 2 + radius * np.sin(a) * size / 2, size / 2 - radius * np.cos(a) * size / 2


def _fixed(points: list[tuple[float, float]]) -> NDArray[np.int32]:
    return np.round(np.array(points) * _ONE).astype(np.int32)


def _disc(canvas: Image, radius: float, colour: Colour) -> None:
    size = canvas.shape[0]
    middle = round(size / 2 * _ONE)
    cv2.circle(canvas, (middle, middle), round(radius * size / 2 * _ONE), colour, -1, cv2.LINE_AA, _SHIFT)


def _stroke(canvas: Image, degrees: float, inner: float, outer: float, width: float, colour: Colour) -> None:
    size = canvas.shape[0]
    (x0, y0), (x1, y1) = _point(inner, degrees, size), _point(outer, degrees, size)
    half = width * size / 4
    nx, ny = np.cos(np.deg2rad(degrees)) * half, np.sin(np.deg2rad(degrees)) * half
    cv2.fillPoly(
        canvas,
        [_fixed([(x0 - nx, y0 - ny), (x0 + nx, y0 + ny), (x1 + nx, y1 + ny), (x1 - nx, y1 - ny)])],
        colour,
        cv2.LINE_AA,
        _SHIFT,
    )


def _text(canvas: Image, text: str, x: float, y: float, height: float, colour: Colour) -> None:
    size = canvas.shape[0]
    scale = height * size / 2 / 22.0
    thickness = max(1, round(scale * 2.2))
    (w, h), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    cv2.putText(
        canvas,
        text,
        (round(x - w / 2), round(y + h / 2)),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        colour,
        thickness,
        cv2.LINE_AA,
    )


def _needle(canvas: Image, lay: Layout, degrees: float, colour: Colour) -> None:
    size = canvas.shape[0]
    w = lay.needle_width

    def at(radius: float, side: float) -> tuple[float, float]:
        x, y = _point(radius, degrees, size)
        return x + side * np.cos(np.deg2rad(degrees)) * size / 2, y + side * np.sin(np.deg2rad(degrees)) * size / 2

    if lay.needle_kind == 'bar':
        outline = [
            at(-lay.needle_tail, -w / 2),
            at(-lay.needle_tail, w / 2),
            at(lay.needle_tip, w / 2),
            at(lay.needle_tip, -w / 2),
        ]
    elif lay.needle_kind == 'lance':
        outline = [
            at(-lay.needle_tail, -w),
            at(-lay.needle_tail, w),
            at(0, w / 2),
            at(0.45, w),
            at(lay.needle_tip, 0),
            at(0.45, -w),
            at(0, -w / 2),
        ]
    else:
        outline = [
            at(-lay.needle_tail, -w),
            at(-lay.needle_tail, w),
            at(lay.needle_tip, 0.006),
            at(lay.needle_tip, -0.006),
        ]
    cv2.fillPoly(canvas, [_fixed(outline)], colour, cv2.LINE_AA, _SHIFT)


def draw_face(lay: Layout, value: float, size: int, view: View) -> Image:
    """Draw the dial square on, on a canvas of size x size; what lies outside the dial is marked by the caller."""
    canvas = np.zeros((size, size, 3), np.uint8)
    canvas[:] = lay.bezel
    _disc(canvas, 1.0, lay.bezel)
    _disc(canvas, 1.0 - lay.bezel_width * 0.3, tuple(int(c * 0.75) for c in lay.bezel))  # type: ignore[arg-type]
    _disc(canvas, 1.0 - lay.bezel_width, lay.face)
    span = lay.end - lay.start
    for begin, stop, colour in lay.bands:
        arc = [_point(lay.ring, lay.start + span * t, size) for t in np.linspace(begin, stop, 80)]
        arc += [_point(lay.ring - 0.05, lay.start + span * t, size) for t in np.linspace(stop, begin, 80)]
        cv2.fillPoly(canvas, [_fixed(arc)], colour, cv2.LINE_AA, _SHIFT)
    if lay.arc_line:
        line = [_point(lay.ring, lay.start + span * t, size) for t in np.linspace(0, 1, 300)]
        cv2.polylines(canvas, [_fixed(line)], False, lay.ink, max(1, round(size * 0.005)), cv2.LINE_AA, _SHIFT)
    for i in range(lay.majors * lay.minors + 1):
        degrees = lay.start + span * i / (lay.majors * lay.minors)
        major = i % lay.minors == 0
        _stroke(
            canvas,
            degrees,
            lay.ring - (lay.major_length if major else lay.minor_length),
            lay.ring,
            0.022 if major else 0.011,
            lay.ink,
        )
        if major and lay.numbers is not None:
            x, y = _point(lay.numbers, degrees, size)
            _text(
                canvas,
                f'{lay.low + (lay.high - lay.low) * i / (lay.majors * lay.minors):g}',
                x,
                y,
                lay.number_size,
                lay.ink,
            )
    for word, down in lay.words:
        _text(canvas, word, size / 2, size / 2 + down * size / 2, 0.09, lay.ink)
    if view.extra_needle is not None:
        _needle(canvas, lay, lay.start + span * view.extra_needle, lay.needle)
    if not view.needle_missing:
        degrees = lay.start + span * (value - lay.low) / (lay.high - lay.low)
        if view.shadow > 0:
            shade = np.full_like(canvas, 255)
            _needle(shade, lay, degrees, (0, 0, 0))
            offset = np.float32([[1, 0, 0.02 * size], [0, 1, 0.025 * size]])
            shade = cv2.GaussianBlur(
                cv2.warpAffine(shade, offset, (size, size), borderValue=(255, 255, 255)), (0, 0), size * 0.008
            )
            canvas = (canvas * (1 - view.shadow * (1 - shade / 255.0))).astype(np.uint8)
        _needle(canvas, lay, degrees, lay.needle)
        _disc(canvas, lay.hub, lay.hub_colour)
    return canvas


def _backdrop(view: View, rng: np.random.Generator) -> Image:
    base = rng.integers(60, 200, 3)
    scene = np.zeros((view.height, view.width, 3), np.float32) + base
    coarse = rng.normal(0, 14, (view.height // 40 + 2, view.width // 40 + 2, 3)).astype(np.float32)
    scene += cv2.resize(coarse, (view.width, view.height), interpolation=cv2.INTER_CUBIC)
    for _ in range(view.backdrop):
        x, y = int(rng.integers(0, view.width)), int(rng.integers(0, view.height))
        w, h = int(rng.integers(10, 160)), int(rng.integers(10, 160))
        colour = tuple(float(c) for c in rng.integers(20, 235, 3))
        if rng.random() < 0.7:
            cv2.rectangle(scene, (x, y), (x + w, y + h), colour, -1, cv2.LINE_AA)
        else:
            cv2.circle(scene, (x, y), max(4, w // 8), colour, -1, cv2.LINE_AA)
    return np.clip(scene, 0, 255).astype(np.uint8)


def _homography(view: View, size: int, scale: float) -> NDArray[np.float64]:
    """Map canvas pixels to picture pixels (times ``scale``): rotate the plane, move it away, project."""
    p, y, r = np.deg2rad([view.pitch, view.yaw, view.roll])
    rx = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    ry = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    rz = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    rot = rz @ rx @ ry
    to_plane = np.array([[2 / size, 0, -1], [0, 2 / size, -1], [0, 0, 1.0]])
    extrinsic = np.column_stack([rot[:, 0], rot[:, 1], [0, 0, view.distance]])
    f = view.diameter / 2 * view.distance
    camera = np.array([[f, 0, view.centre[0] + 0.5], [0, f, view.centre[1] + 0.5], [0, 0, 1.0]])
    zoom = np.array([[scale, 0, -0.5], [0, scale, -0.5], [0, 0, 1.0]])
    half_pixel = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    return np.asarray(zoom @ camera @ extrinsic @ to_plane @ half_pixel)


def _light(scene: NDArray[np.float32], view: View, rng: np.random.Generator) -> NDArray[np.float32]:
    height, width = scene.shape[:2]
    yy, xx = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = ((xx - view.centre[0]) * np.cos(angle) + (yy - view.centre[1]) * np.sin(angle)) / max(view.diameter, 1)
    scene = scene * (view.gain * (1 + view.gradient * np.clip(ramp, -1, 1)))[..., None]
    if view.glare is not None:
        gx, gy, radius, strength = view.glare
        d2 = (
            (xx - view.centre[0] - gx * view.diameter / 2) ** 2 + (yy - view.centre[1] - gy * view.diameter / 2) ** 2
        ) / (radius * view.diameter / 2) ** 2
        scene = scene + (255 * strength * np.exp(-d2 * 1.5))[..., None]
    return scene.astype(np.float32)


def _soil(scene: Image, view: View, rng: np.random.Generator) -> Image:
    for _ in range(view.dirt):
        angle, radius = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.85) * view.diameter / 2
        at = (round(view.centre[0] + radius * np.cos(angle)), round(view.centre[1] + radius * np.sin(angle)))
        shade = int(rng.integers(60, 150))
        cv2.ellipse(
            scene,
            (at, (float(rng.uniform(2, 9)), float(rng.uniform(2, 9))), float(rng.uniform(0, 180))),
            (shade, shade - 10, shade - 25),
            -1,
            cv2.LINE_AA,
        )
    if view.occluder is not None:
        x, y, half = (v * view.diameter / 2 for v in view.occluder)
        cx, cy = view.centre
        cv2.rectangle(
            scene,
            (round(cx + x - half), round(cy + y - half)),
            (round(cx + x + half), round(cy + y + half)),
            (95, 88, 80),
            -1,
        )
    return scene


def render(lay: Layout, value: float, view: View, seed: int) -> Image:
    """Draw the whole picture, RGB."""
    rng = np.random.default_rng(seed)
    over = 2
    size = int(np.clip(round(view.diameter * over * 1.5), 200, 1600))
    face = draw_face(lay, value, size, view)
    mask = np.zeros((size, size, 3), np.uint8)
    _disc(mask, 1.0, (255, 255, 255))
    homography = _homography(view, size, float(over))
    area = (view.width * over, view.height * over)
    face = cv2.warpPerspective(cv2.GaussianBlur(face, (0, 0), 0.7), homography, area, flags=cv2.INTER_LINEAR)
    alpha = cv2.warpPerspective(mask, homography, area, flags=cv2.INTER_LINEAR).astype(np.float32) / 255
    scene = cv2.resize(_backdrop(view, rng), area, interpolation=cv2.INTER_LINEAR)
    scene = (scene * (1 - alpha) + face * alpha).astype(np.float32)
    scene = cv2.resize(scene, (view.width, view.height), interpolation=cv2.INTER_AREA)
    scene = _soil(np.clip(scene, 0, 255).astype(np.uint8), view, rng).astype(np.float32)
    lit = _light(scene, view, rng)
    if view.blur > 0:
        lit = cv2.GaussianBlur(lit, (0, 0), view.blur).astype(np.float32)
    if view.motion > 1:
        kernel = np.zeros((view.motion, view.motion), np.float32)
        kernel[view.motion // 2] = 1 / view.motion
        lit = cv2.filter2D(lit, -1, kernel).astype(np.float32)
    lit = lit + rng.normal(0, view.noise, lit.shape).astype(np.float32)
    image = np.clip(np.round(lit), 0, 255).astype(np.uint8)
    if view.jpeg:
        _, coded = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, view.jpeg])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image


RANGES: dict[str, dict[str, Any]] = {
    'tune': {
        'diameter': (150, 330),
        'tilt': (0, 16),
        'roll': 2.0,
        'distance': (8, 16),
        'gain': (0.75, 1.1),
        'gradient': 0.2,
        'noise': (1, 5),
        'blur': (0.4, 1.0),
        'jpeg': (70, 95),
        'backdrop': (3, 12),
    },
    'test': {
        'diameter': (120, 380),
        'tilt': (2, 22),
        'roll': 3.0,
        'distance': (6, 20),
        'gain': (0.6, 1.2),
        'gradient': 0.3,
        'noise': (0.5, 7),
        'blur': (0.3, 1.2),
        'jpeg': (60, 97),
        'backdrop': (5, 20),
    },
}


def _clean_view(span: dict[str, Any], rng: np.random.Generator) -> View:
    diameter = rng.uniform(*span['diameter'])
    tilt, axis = rng.uniform(*span['tilt']), rng.uniform(0, 2 * np.pi)
    room_x, room_y = max(1.0, 320 - diameter * 0.56), max(1.0, 240 - diameter * 0.56)
    return View(
        diameter=diameter,
        centre=(320 + rng.uniform(-room_x, room_x), 240 + rng.uniform(-room_y, room_y)),
        pitch=tilt * np.cos(axis),
        yaw=tilt * np.sin(axis),
        roll=rng.uniform(-span['roll'], span['roll']),
        distance=rng.uniform(*span['distance']),
        gain=rng.uniform(*span['gain']),
        gradient=rng.uniform(0, span['gradient']),
        noise=rng.uniform(*span['noise']),
        blur=rng.uniform(*span['blur']),
        jpeg=int(rng.integers(*span['jpeg'])) if rng.random() < 0.5 else 0,
        backdrop=int(rng.integers(*span['backdrop'])),
    )


def _degrade(view: View, family: str, rng: np.random.Generator) -> tuple[View, tuple[str, ...]]:
    changes: dict[str, Any] = {}
    harder = family == 'test'
    choices = rng.choice(['glare', 'dirt', 'shadow', 'noise', 'blur', 'dark', 'jpeg', 'motion'], size=2, replace=False)
    for name in choices:
        if name == 'glare':
            changes['glare'] = (
                rng.uniform(-0.6, 0.6),
                rng.uniform(-0.6, 0.6),
                rng.uniform(0.15, 0.4),
                rng.uniform(0.3, 1.3 if harder else 1.0),
            )
        elif name == 'dirt':
            changes['dirt'] = int(rng.integers(4, 18 if harder else 12))
        elif name == 'shadow':
            changes['shadow'] = rng.uniform(0.15, 0.5 if harder else 0.4)
        elif name == 'noise':
            changes['noise'] = rng.uniform(8, 22 if harder else 16)
        elif name == 'blur':
            changes['blur'] = rng.uniform(1.2, 3.0 if harder else 2.4)
        elif name == 'dark':
            changes['gain'] = rng.uniform(0.18 if harder else 0.25, 0.5)
        elif name == 'jpeg':
            changes['jpeg'] = int(rng.integers(20 if harder else 30, 50))
        else:
            changes['motion'] = int(rng.integers(3, 9 if harder else 7))
    return View(**{**view.__dict__, **changes}), tuple(str(c) for c in choices)


def _spoil(view: View, lay: Layout, value: float, rng: np.random.Generator) -> tuple[View, str]:
    """Make a picture that nobody could read rightly, or that needs a question back."""
    t = (value - lay.low) / (lay.high - lay.low)
    a = np.deg2rad(lay.start + t * (lay.end - lay.start))
    kind = str(rng.choice(['no_needle', 'two_needles', 'covered', 'smeared', 'tiny', 'whiteout', 'black']))
    away = (t + rng.uniform(0.25, 0.5)) % 1.0
    changes: dict[str, dict[str, Any]] = {
        'no_needle': {'needle_missing': True},
        'two_needles': {'extra_needle': away},
        'covered': {'occluder': (0.5 * np.sin(a), -0.5 * np.cos(a), 0.42)},
        'smeared': {'blur': view.diameter * 0.09},
        'tiny': {'diameter': 26.0},
        'whiteout': {'glare': (0.0, 0.0, 1.6, 3.0)},
        'black': {'gain': 0.01},
    }
    return View(**{**view.__dict__, **changes[kind]}), kind


def make(family: str, index: int, kind: str = 'clean') -> Picture:
    """
    Make one picture.

    Parameters
    ----------
    family : 'tune' or 'test'
        Which layouts and ranges.
    index : int
        Number of the picture; the same number gives the same picture.
    kind : 'clean', 'degraded' or 'unreadable'
        How it is spoiled.

    """
    rng = np.random.default_rng(
        [{'tune': 11, 'test': 97}[family], {'clean': 0, 'degraded': 1, 'unreadable': 2}[kind], index]
    )
    layouts = TUNE_LAYOUTS if family == 'tune' else TEST_LAYOUTS
    lay = layouts[int(rng.integers(len(layouts)))]
    value = float(rng.uniform(lay.low, lay.high))
    view, tags = _clean_view(RANGES[family], rng), ()
    if kind == 'degraded':
        view, tags = _degrade(view, family, rng)
    elif kind == 'unreadable':
        view, tag = _spoil(view, lay, value, rng)
        tags = (tag,)
    return Picture(render(lay, value, view, int(rng.integers(1 << 30))), value, lay, view, kind, tags)
