# SPDX-License-Identifier: Apache-2.0
"""The gauge reader against generated dials, and against pictures that hold no value."""

from __future__ import annotations

import dataclasses
from typing import Any

import dials
import numpy as np
import pytest

from gemma4_ros.core.reading.gauge import CannotRead, Dial, Reading, Region, read_gauge
from gemma4_ros.core.reading.scale import Scale, plausible_divisions

pytestmark = pytest.mark.timeout(120)


LAYOUT = dials.TEST_LAYOUTS[0]
VIEW = dials.View()


def read(layout: Any, value: float, view: Any = VIEW, seed: int = 1) -> Reading | CannotRead:
    dial = Dial(layout.low, layout.high, layout.start, layout.end, 'bar')
    return read_gauge(dials.render(layout, value, view, seed), dial)


def test_generated_dials_are_read_and_no_error_is_silent() -> None:
    right = 0
    for index in range(16):
        picture = dials.make('test', index)
        result = read_gauge(picture.image, Dial(**picture.scale()))
        if isinstance(result, CannotRead):
            continue
        error = abs(result.value - picture.value) / (picture.layout.high - picture.layout.low)
        assert error <= 0.01 or result.low <= picture.value <= result.high
        right += error <= 0.01
    assert right >= 12


@pytest.mark.parametrize('layout', dials.TEST_LAYOUTS[:4], ids=lambda layout: layout.name)
def test_tip_is_told_from_tail(layout: Any) -> None:
    for share in (0.1, 0.1 + 180 / (layout.end - layout.start)):
        value = layout.low + share * (layout.high - layout.low)
        result = read(layout, value)
        assert isinstance(result, Reading)
        assert result.value == pytest.approx(value, abs=0.01 * (layout.high - layout.low))
        assert result.low <= result.value <= result.high


@pytest.mark.parametrize(
    ('changes', 'reasons'),
    [
        ({'needle_missing': True}, {'no_pointer'}),
        ({'extra_needle': 0.9}, {'two_pointers'}),
        ({'occluder': (-0.45, 0.1, 0.5)}, {'no_pointer', 'scale', 'no_dial'}),
        ({'blur': 20.0}, {'no_dial', 'no_pointer', 'scale', 'too_small'}),
        ({'diameter': 44.0}, {'too_small', 'no_dial', 'no_pointer'}),
        ({'glare': (0.0, 0.0, 1.6, 3.0)}, {'glare', 'no_dial', 'no_pointer', 'too_small'}),
        ({'gain': 0.02}, {'dark'}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)  # fmt: skip
def test_unreadable_dials_are_refused_with_a_reason(changes: dict[str, Any], reasons: set[str]) -> None:
    result = read(LAYOUT, 4.0, dataclasses.replace(VIEW, **changes))
    assert isinstance(result, CannotRead)
    assert result.reason in reasons
    assert result.text


def test_of_two_dials_none_is_read_until_a_region_says_which() -> None:
    left, right = (dials.render(LAYOUT, value, VIEW, 3) for value in (3.0, 12.0))
    image = np.concatenate([left, right], axis=1)
    dial = Dial(LAYOUT.low, LAYOUT.high, LAYOUT.start, LAYOUT.end, 'bar')
    both = read_gauge(image, dial)
    assert isinstance(both, CannotRead) and both.reason == 'two_dials'
    one = read_gauge(image, dial, Region(0, 0, 640, 480))
    other = read_gauge(image, dial, Region(640, 0, 640, 480))
    assert isinstance(one, Reading) and isinstance(other, Reading)
    assert one.value == pytest.approx(3.0, abs=0.16) and other.value == pytest.approx(12.0, abs=0.16)
    assert other.centre_px[0] == pytest.approx(960, abs=6)


def noise(height: int, width: int) -> Any:
    return np.random.default_rng(5).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize(
    'image',
    [np.zeros((0, 0, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), np.full((99, 99, 3), 9, np.uint8), noise(240, 320)],
    ids=['empty', 'one pixel', 'flat', 'noise'],
)  # fmt: skip
def test_pictures_without_a_dial_are_refused_and_raise_nothing(image: Any) -> None:
    assert isinstance(read_gauge(image, Dial(0, 10, -135, 135)), CannotRead)


def test_region_outside_the_picture_is_refused() -> None:
    image = dials.render(LAYOUT, 4.0, VIEW, 1)
    result = read_gauge(image, Dial(0, 16, -135, 135), Region(5000, 5000, 100, 100))
    assert isinstance(result, CannotRead)


def test_scale_of_another_gauge_is_not_believed() -> None:
    result = read_gauge(dials.render(LAYOUT, 4.0, VIEW, 1), Dial(0, 16, -60, 60))
    assert isinstance(result, CannotRead)


@pytest.mark.parametrize(('span', 'has', 'lacks'), [(10, {5, 10, 20, 50, 100}, {49, 51}), (6, {6, 12, 30, 60}, {50})])
def test_divisions_have_round_steps(span: float, has: set[int], lacks: set[int]) -> None:
    found = set(plausible_divisions(span, 120))
    assert has <= found and not lacks & found


def test_bent_scale_is_undone() -> None:
    scale = Scale(50, 0.8, -135.0, 270.0, (1.5, 0.7, -0.4, 0.3, -0.2), 1.0, 0.1, 51, 30.0)
    for share in np.linspace(0.0, 1.0, 21):
        nominal = -135.0 + 270.0 * share
        a = np.deg2rad(nominal)
        bent = nominal + 1.5 + 0.7 * np.cos(a) - 0.4 * np.sin(a) + 0.3 * np.cos(2 * a) - 0.2 * np.sin(2 * a)
        assert scale.share_at(float(bent)) == pytest.approx(share, abs=1e-4)
        assert scale.share_at(float(bent) + 360.0) == pytest.approx(share, abs=1e-4)
