# SPDX-License-Identifier: Apache-2.0
"""
What is printed on the dials that `dials` draws: scales, numbers, needles and colours, in two families.

The reader's constants are chosen on ``TUNE_LAYOUTS`` and judged on ``TEST_LAYOUTS``.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Layout:
    """What is printed on a dial, in units of its outer radius."""

    name: str
    low: float
    high: float
    start: float
    end: float
    majors: int
    minors: int
    face: Colour
    ink: Colour
    needle: Colour
    bezel: Colour
    ring: float = 0.80
    major_length: float = 0.12
    minor_length: float = 0.06
    bezel_width: float = 0.10
    numbers: float | None = 0.55
    number_size: float = 0.13
    needle_tip: float = 0.74
    needle_tail: float = 0.20
    needle_width: float = 0.035
    needle_kind: str = 'taper'
    hub: float = 0.08
    hub_colour: Colour = (40, 40, 40)
    bands: tuple[tuple[float, float, Colour], ...] = ()
    words: tuple[tuple[str, float], ...] = (('bar', 0.30),)
    arc_line: bool = False


BLACK, WHITE, RED = (20, 20, 20), (240, 240, 238), (190, 25, 30)

TUNE_LAYOUTS = (
    Layout('white_manometer', 0, 10, -135, 135, 10, 5, WHITE, BLACK, BLACK, (50, 52, 55)),
    Layout(
        'cream',
        0,
        6,
        -120,
        120,
        6,
        10,
        (236, 226, 200),
        (50, 40, 30),
        (30, 30, 90),
        (150, 130, 80),
        needle_kind='bar',
        needle_width=0.02,
        numbers=0.5,
    ),
    Layout(
        'night',
        0,
        160,
        -130,
        130,
        8,
        4,
        (25, 25, 28),
        (235, 235, 235),
        (240, 120, 30),
        (110, 112, 115),
        hub=0.11,
        words=(('C', 0.35),),
    ),
    Layout(
        'banded',
        0,
        25,
        -135,
        135,
        5,
        5,
        (250, 250, 250),
        (10, 10, 10),
        BLACK,
        (180, 182, 186),
        bands=((0, 0.6, (60, 160, 70)), (0.6, 0.8, (225, 190, 40)), (0.8, 1.0, (200, 50, 40))),
        ring=0.82,
        numbers=0.52,
    ),
    Layout(
        'half',
        0,
        100,
        -90,
        90,
        10,
        2,
        (232, 234, 238),
        (30, 30, 32),
        RED,
        (70, 90, 120),
        needle_tail=0.12,
        words=(('%', 0.3), ('FLOW', -0.35)),
    ),
)
TEST_LAYOUTS = (
    Layout(
        'process',
        0,
        16,
        -135,
        135,
        8,
        4,
        (246, 246, 240),
        (15, 15, 15),
        (15, 15, 15),
        (90, 92, 94),
        ring=0.84,
        numbers=0.58,
        needle_tip=0.80,
        needle_kind='lance',
        words=(('bar', 0.33), ('EN 837-1', 0.52)),
    ),
    Layout(
        'thermometer',
        -20,
        120,
        -140,
        140,
        14,
        2,
        (228, 230, 225),
        (20, 30, 60),
        (170, 30, 40),
        (190, 188, 180),
        ring=0.78,
        major_length=0.10,
        minor_length=0.05,
        numbers=0.54,
        number_size=0.10,
        needle_tip=0.70,
        needle_width=0.03,
        arc_line=True,
        words=(('deg C', 0.28),),
    ),
    Layout(
        'cockpit',
        0,
        8,
        -125,
        125,
        8,
        5,
        (14, 16, 20),
        (225, 228, 215),
        (235, 235, 225),
        (30, 30, 32),
        bezel_width=0.14,
        ring=0.76,
        hub=0.13,
        hub_colour=(90, 90, 92),
        numbers=0.48,
        words=(('x100', -0.3),),
    ),
    Layout(
        'blue_case',
        0,
        4,
        -135,
        135,
        4,
        10,
        (240, 244, 248),
        (25, 25, 40),
        (20, 60, 150),
        (30, 70, 140),
        ring=0.80,
        minor_length=0.05,
        needle_kind='bar',
        needle_width=0.025,
        needle_tail=0.28,
        hub=0.06,
    ),
    Layout(
        'compound',
        -1,
        5,
        -150,
        150,
        6,
        5,
        (252, 250, 244),
        (30, 30, 30),
        (25, 25, 25),
        (160, 120, 60),
        bands=((0.75, 1.0, (205, 60, 50)),),
        ring=0.83,
        numbers=0.56,
        needle_kind='taper',
        needle_width=0.045,
        words=(('bar', 0.30), ('CL 1.6', 0.45)),
    ),
    Layout(
        'wide_panel',
        0,
        1000,
        -110,
        110,
        5,
        4,
        (215, 220, 214),
        (35, 35, 35),
        (200, 70, 20),
        (60, 60, 62),
        ring=0.74,
        major_length=0.14,
        minor_length=0.08,
        numbers=0.45,
        needle_tip=0.66,
        needle_tail=0.0,
        words=(('rpm', 0.25),),
    ),
)
