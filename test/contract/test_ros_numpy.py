# SPDX-License-Identifier: Apache-2.0
"""Our image conversions are equal to those of ros2_numpy, where it is installed."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('ros2_numpy', reason='ros2_numpy is not installed here; install it to compare with it')

import ros2_numpy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from gemma4_ros.ros.images import from_rgb, to_rgb

pytestmark = pytest.mark.ros
PIXELS = np.random.default_rng(1).integers(0, 256, (18, 22, 3), np.uint8)


def theirs(pixels: np.ndarray, encoding: str) -> Image:
    try:
        message = ros2_numpy.msgify(Image, pixels, encoding=encoding)
    except AttributeError as error:
        pytest.skip(f'this ros2_numpy cannot make messages with this numpy: {error}')
    message.data = array.array('B', bytes(message.data))
    return message


def raw(pixels: np.ndarray, encoding: str) -> Image:
    message = Image(height=18, width=22, encoding=encoding, step=pixels.nbytes // 18)
    message.data = array.array('B', pixels.tobytes())
    return message


def test_our_messages_are_read_by_them_as_the_same_pixels() -> None:
    assert np.array_equal(ros2_numpy.numpify(from_rgb(PIXELS, Header())), PIXELS)


def test_their_messages_equal_ours() -> None:
    ours, other = from_rgb(PIXELS, Header()), theirs(PIXELS, 'rgb8')
    assert (ours.height, ours.width, ours.step, ours.encoding) == (
        other.height,
        other.width,
        other.step,
        other.encoding,
    )
    assert ours.data == other.data


@pytest.mark.parametrize('make', [raw, theirs])
@pytest.mark.parametrize(('encoding', 'channels'), [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0])])
def test_colour_messages_are_read_as_the_same_pixels(make: Any, encoding: str, channels: list[int]) -> None:
    message = make(PIXELS, encoding)
    assert np.array_equal(to_rgb(message), ros2_numpy.numpify(message)[..., channels])


@pytest.mark.parametrize('make', [raw, theirs])
def test_grey_messages_are_read_as_the_same_pixels(make: Any) -> None:
    message = make(np.ascontiguousarray(PIXELS[..., 0]), 'mono8')
    grey = ros2_numpy.numpify(message).reshape(18, 22)
    assert np.array_equal(to_rgb(message), np.repeat(grey[..., None], 3, axis=2))
    wide = make(PIXELS[..., 0].astype(np.uint16) * 257, 'mono16')
    upper = ros2_numpy.numpify(wide).reshape(18, 22) >> 8
    assert np.array_equal(to_rgb(wide), np.repeat(upper.astype(np.uint8)[..., None], 3, axis=2))
