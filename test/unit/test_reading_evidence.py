# SPDX-License-Identifier: Apache-2.0
"""Several readings become one; evidence has names that nobody can choose."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from gemma4_ros.core.reading.agreement import agree
from gemma4_ros.core.reading.evidence import evidence_name, pixels_sha256, sharpness
from gemma4_ros.core.reading.gauge import CannotRead, Reading

HASH = 'ab' * 32


def reading(value: float) -> Reading:
    return Reading(value, value - 0.05, value + 0.05, 'bar', 0.9, 0.0, (0.0, 0.0), 100.0)


def test_median_is_taken_and_the_interval_holds_all_values() -> None:
    index, result = agree([reading(4.1), reading(4.0), reading(4.16)], 10.0)
    assert isinstance(result, Reading)
    assert (index, result.value) == (0, 4.1)
    assert result.low <= 4.0 and result.high >= 4.16


def test_most_frames_must_be_read_and_a_refusal_lowers_confidence() -> None:
    blur, glare = CannotRead('blur', 'b'), CannotRead('glare', 'g')
    _, refused = agree([glare, reading(4.0), glare], 10.0)
    assert refused == glare
    assert agree([blur, reading(4.0)], 10.0)[1] == blur
    _, result = agree([glare, reading(4.0), reading(4.0)], 10.0)
    assert isinstance(result, Reading) and result.confidence == pytest.approx(0.6)


def test_moving_pointer_is_no_reading() -> None:
    _, result = agree([reading(4.0), reading(4.3), reading(4.6)], 10.0)
    assert isinstance(result, CannotRead) and result.reason == 'moving'


def test_name_is_made_of_time_id_and_hash() -> None:
    name = evidence_name(1_795_497_450_694_559_441, 'pressure_gauge', HASH, '.png')
    assert name == '20261124T051730.694Z_pressure_gauge_abababababab.png'


@pytest.mark.parametrize('target', ['../etc', 'a/b', '', 'Pump', 'pump\n', 'x' * 80])
def test_free_text_never_reaches_a_file_name(target: str) -> None:
    with pytest.raises(ValueError, match='evidence name'):
        evidence_name(0, target, HASH, '.png')


@pytest.mark.parametrize(('sha256', 'suffix'), [('../x', '.png'), (HASH, '.sh'), (HASH + '\n', '.png')])
def test_hash_and_suffix_are_checked_too(sha256: str, suffix: str) -> None:
    with pytest.raises(ValueError, match='evidence name'):
        evidence_name(0, 'pump', sha256, suffix)


def test_hash_is_of_the_pixels_not_of_their_layout() -> None:
    image = np.random.default_rng(1).integers(0, 255, (20, 30, 3), np.uint8)
    assert pixels_sha256(image) == pixels_sha256(np.asfortranarray(image))
    changed = image.copy()
    changed[3, 4, 1] ^= 1
    assert pixels_sha256(image) != pixels_sha256(changed)


def test_blurred_pictures_are_less_sharp() -> None:
    image = np.random.default_rng(1).integers(0, 255, (60, 60, 3), np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(image, (0, 0), 2.0), np.uint8)
    assert sharpness(blurred) < 0.1 * sharpness(image)
