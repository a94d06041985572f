# SPDX-License-Identifier: Apache-2.0
"""Images and sound between messages and numpy."""

from __future__ import annotations

import array
import struct
import time
import zlib
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')

from gemma4_ros.msg import AudioChunk
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from gemma4_ros.core.errors import AudioError, ConversionError
from gemma4_ros.ros.images import from_rgb, from_samples, to_compressed, to_rgb, to_samples

pytestmark = pytest.mark.ros
HEADER = Header(frame_id='front_camera')


def picture(height: int = 24, width: int = 32) -> np.ndarray:
    """Make smooth colours that survive JPEG and demosaicing."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([40 + 3 * x, 60 + 4 * y, 200 - 2 * x - 2 * y], axis=-1).astype(np.uint8)


def image(pixels: np.ndarray, encoding: str, padding: int = 0, **fields: Any) -> Image:
    rows = np.ascontiguousarray(pixels).reshape(pixels.shape[0], -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE)
    message = Image(height=pixels.shape[0], width=pixels.shape[1], encoding=encoding, step=padded.shape[1], **fields)
    message.data = array.array('B', padded.tobytes())
    return message


def mosaic(pixels: np.ndarray, pattern: str) -> np.ndarray:
    """Keep of every pixel the one channel that a sensor with this pattern sees."""
    result = np.zeros(pixels.shape[:2], pixels.dtype)
    for index, colour in enumerate(pattern):
        y, x = divmod(index, 2)
        result[y::2, x::2] = pixels[y::2, x::2, 'rgb'.index(colour)]
    return result


def test_rgb_goes_there_and_back_with_one_copy() -> None:
    pixels = picture()
    message = from_rgb(pixels, HEADER)
    assert (message.encoding, message.step, message.header.frame_id) == ('rgb8', 96, 'front_camera')
    view = to_rgb(message)
    assert np.array_equal(view, pixels)
    assert np.shares_memory(view, np.frombuffer(message.data, np.uint8))
    arrived = deserialize_message(serialize_message(message), Image)
    assert np.array_equal(to_rgb(arrived), pixels)


def test_pixels_that_are_a_view_are_taken() -> None:
    pixels = picture()[::2, ::-1]
    assert np.array_equal(to_rgb(from_rgb(pixels, HEADER)), pixels)


@pytest.mark.parametrize('padding', [0, 5])
def test_every_channel_order_gives_the_same_picture(padding: int) -> None:
    pixels = picture()
    alpha = np.full((*pixels.shape[:2], 1), 7, np.uint8)
    assert np.array_equal(to_rgb(image(pixels, 'rgb8', padding)), pixels)
    assert np.array_equal(to_rgb(image(pixels[..., ::-1], 'bgr8', padding)), pixels)
    assert np.array_equal(to_rgb(image(np.concatenate([pixels, alpha], -1), 'rgba8', padding)), pixels)
    assert np.array_equal(to_rgb(image(np.concatenate([pixels[..., ::-1], alpha], -1), 'bgra8', padding)), pixels)


@pytest.mark.parametrize('padding', [0, 6])
def test_grey_pictures_become_three_equal_channels(padding: int) -> None:
    grey = picture()[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    assert np.array_equal(to_rgb(image(grey, 'mono8', padding)), expected)
    wide = grey.astype('<u2') * 256 + 99
    assert np.array_equal(to_rgb(image(wide, 'mono16', padding)), expected)
    assert np.array_equal(to_rgb(image(wide.astype('>u2'), 'mono16', padding, is_bigendian=1)), expected)


@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_are_named_as_in_ros(pattern: str) -> None:
    pixels = picture()
    sensed = mosaic(pixels, pattern)
    inner = (slice(2, -2), slice(2, -2))
    for encoding, raw in ((f'bayer_{pattern}8', sensed), (f'bayer_{pattern}16', sensed.astype('<u2') * 256)):
        seen = to_rgb(image(raw, encoding)).astype(int)
        assert np.abs(seen[inner] - pixels[inner]).max() <= 4, encoding


def test_yuv_of_usb_cameras_is_read() -> None:
    grey = np.full((4, 8, 2), 128, np.uint8)
    grey[..., 0] = 180
    assert np.ptp(to_rgb(image(grey, 'yuv422_yuy2'))) <= 2
    assert to_rgb(image(grey[..., ::-1], 'yuv422')).shape == (4, 8, 3)


def test_the_last_row_may_lack_its_padding() -> None:
    message = image(picture(), 'rgb8', padding=5)
    message.data = message.data[:-5]
    assert np.array_equal(to_rgb(message), picture())


def test_jpeg_and_png_are_read() -> None:
    pixels = picture(32, 64)
    jpeg = to_compressed(pixels, HEADER, quality=95)
    assert (jpeg.format, jpeg.header.frame_id) == ('jpeg', 'front_camera')
    assert np.abs(to_rgb(jpeg).astype(int) - pixels).mean() < 3
    png = CompressedImage(format='png', data=array.array('B', cv2.imencode('.png', pixels[..., ::-1])[1].tobytes()))
    assert np.array_equal(to_rgb(png), pixels)
    smaller = to_compressed(pixels, HEADER, quality=20)
    assert len(smaller.data) < len(jpeg.data)


def bomb() -> bytes:
    """Make a PNG of a few bytes that claims 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    head = chunk(b'IHDR', struct.pack('>IIBBBBB', 40000, 40000, 8, 2, 0, 0, 0))
    return b'\x89PNG\r\n\x1a\n' + head + chunk(b'IDAT', zlib.compress(bytes(1000))) + chunk(b'IEND', b'')


@pytest.mark.parametrize(
    ('message', 'says'),
    [
        (Image(height=1, width=1, encoding='rgb9', step=3, data=[0] * 3), "image.encoding: 'rgb9' is not one of rgb8"),
        (Image(encoding='rgb8'), 'image: wants 1 to 50000000 pixels, got 0 x 0'),
        (Image(height=2, width=4, encoding='rgb8', step=11, data=[0] * 24), 'image.step: wants at least 12 bytes'),
        (Image(height=2, width=4, encoding='rgb8', step=12, data=[0] * 23), 'image.data: wants 24 bytes'),
        (Image(height=2**31, width=2**31, encoding='mono8', step=2**31), 'image: wants 1 to 50000000 pixels'),
        (CompressedImage(), 'image.data: wants JPEG or PNG, got 0 bytes'),
        (CompressedImage(data=list(b'GIF89a..')), 'image.data: wants JPEG or PNG, got 8 bytes'),
        (CompressedImage(data=list(b'\x89PNG\r\n\x1a\n')), 'image: wants 1 to 50000000 pixels, got 0 x 0'),
        (CompressedImage(data=list(b'\xff\xd8\xff\xe0')), 'image: wants 1 to 50000000 pixels, got 0 x 0'),
        (CompressedImage(data=list(bomb())), 'image: wants 1 to 50000000 pixels, got 40000 x 40000'),
        (CompressedImage(data=to_compressed(picture(), HEADER).data[:200]), 'image'),
    ],
)
def test_broken_images_are_refused_with_the_reason(message: Any, says: str) -> None:
    start = time.monotonic()
    with pytest.raises(ConversionError) as caught:
        to_rgb(message)
    assert str(caught.value).startswith(says)
    assert time.monotonic() - start < 1.0


@pytest.mark.parametrize('pixels', [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_rgb_picture_is_not_sent(pixels: np.ndarray) -> None:
    with pytest.raises(ConversionError):
        from_rgb(pixels, HEADER)
    with pytest.raises(ConversionError):
        to_compressed(pixels, HEADER)


@pytest.mark.timed
def test_a_full_hd_frame_is_converted_at_memory_speed() -> None:
    pixels = np.zeros((1080, 1920, 3), np.uint8)
    start = time.process_time()
    for _ in range(5):
        to_rgb(from_rgb(pixels, HEADER))
    assert (time.process_time() - start) / 5 < 0.05  # 0.2 s and more when it goes element by element


def test_sound_goes_there_and_back() -> None:
    samples = (np.sin(np.arange(1600) / 10) * 30000).astype(np.int16)
    message = from_samples(samples, 16000, HEADER)
    arrived = deserialize_message(serialize_message(message), AudioChunk)
    assert np.array_equal(to_samples(arrived), samples)
    assert arrived.sample_rate_hz == 16000
    assert np.shares_memory(to_samples(message), np.frombuffer(message.samples, np.int16))
    assert np.array_equal(to_samples(from_samples(samples[::2], 8000, HEADER)), samples[::2])


@pytest.mark.parametrize(
    'samples', [np.zeros(10, np.float32), np.zeros((10, 2), np.int16), np.zeros(16001, np.int16)], ids=str
)
def test_sound_that_does_not_fit_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(AudioError):
        from_samples(samples, 16000, HEADER)
