# SPDX-License-Identifier: Apache-2.0
"""Images and sound between messages and numpy, without needless copies.

rclpy takes ``bytes`` and ``array.array`` at memory speed, but a memoryview or an ndarray element by element: 200 to 360
ms for a 1080p frame instead of 1 ms. Reading shares the message's memory: do not write into what comes out.
"""

from __future__ import annotations

import array
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from gemma4_ros.core.errors import AudioError, ConversionError
from gemma4_ros.msg import AudioChunk

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from std_msgs.msg import Header

__all__ = ['MAX_PIXELS', 'from_rgb', 'from_samples', 'to_compressed', 'to_rgb', 'to_samples']

MAX_PIXELS = 50_000_000  # a few kB of PNG can claim gigabytes
MAX_SAMPLES = 16_000  # AudioChunk.msg

# encoding -> channels, bytes a channel, OpenCV's conversion to RGB (None: it is RGB)
_ENCODINGS: dict[str, tuple[int, int, int | None]] = {
    'rgb8': (3, 1, None),
    'bgr8': (3, 1, cv2.COLOR_BGR2RGB),
    '8UC3': (3, 1, cv2.COLOR_BGR2RGB),
    'rgba8': (4, 1, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, 1, cv2.COLOR_BGRA2RGB),
    '8UC4': (4, 1, cv2.COLOR_BGRA2RGB),
    'mono8': (1, 1, cv2.COLOR_GRAY2RGB),
    '8UC1': (1, 1, cv2.COLOR_GRAY2RGB),
    'mono16': (1, 2, cv2.COLOR_GRAY2RGB),
    'rgb16': (3, 2, None),
    'bgr16': (3, 2, cv2.COLOR_BGR2RGB),
    # OpenCV names a Bayer pattern by its second row, ROS by its first
    'bayer_rggb8': (1, 1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, 1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, 1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, 1, cv2.COLOR_BayerGB2RGB),
    'bayer_rggb16': (1, 2, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr16': (1, 2, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg16': (1, 2, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg16': (1, 2, cv2.COLOR_BayerGB2RGB),
    'yuv422': (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, 1, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, 1, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (2, 1, cv2.COLOR_YUV2RGB_YUY2),
}
_READ_BGR = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION  # pixels as the camera gave them
_READ_RGB = getattr(cv2, 'IMREAD_COLOR_RGB', 0) and cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION  # OpenCV 4.11
_JPEG, _PNG = b'\xff\xd8\xff', b'\x89PNG\r\n\x1a\n'


def to_rgb(message: Image | CompressedImage) -> NDArray[np.uint8]:
    """
    Turn an image message into an array.

    Parameters
    ----------
    message : Image or CompressedImage
        16-bit channels keep their upper eight bits; compressed ones are JPEG or PNG.

    Returns
    -------
    (H, W, 3) uint8, RGB
        For ``rgb8`` a view of the message's own memory.

    Raises
    ------
    ConversionError
        Unknown encoding, sizes that do not fit, more than 50 million pixels, or a broken file; names the field.

    """
    return _decoded(message) if hasattr(message, 'format') else _raw(message)


def from_rgb(pixels: NDArray[np.uint8], header: Header) -> Image:
    """Make an ``rgb8`` message of (H, W, 3) uint8 RGB pixels; copies them once."""
    _check_rgb(pixels)
    height, width, _ = pixels.shape
    message = Image(header=header, height=height, width=width, encoding='rgb8', step=3 * width)
    message.data = _bytes_of(pixels)
    return message


def to_compressed(pixels: NDArray[np.uint8], header: Header, quality: int = 85) -> CompressedImage:
    """Make a JPEG message of (H, W, 3) uint8 RGB pixels; `quality` from 1 to 100."""
    _check_rgb(pixels)
    fine, encoded = cv2.imencode('.jpg', cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not fine:
        raise ConversionError(f'image: OpenCV cannot write {pixels.shape} as JPEG')
    message = CompressedImage(header=header, format='jpeg')
    message.data = _bytes_of(encoded)
    return message


def to_samples(message: AudioChunk) -> NDArray[np.int16]:
    """Return the (N,) int16 samples of a chunk; a view of its memory."""
    return np.frombuffer(message.samples, dtype=np.int16)


def from_samples(samples: NDArray[np.int16], sample_rate_hz: int, header: Header) -> AudioChunk:
    """
    Make a chunk of (N,) int16 samples.

    Raises
    ------
    AudioError
        Not one channel of int16, or more than a chunk takes.

    """
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise AudioError(f'audio: wants (N,) int16 samples, got {samples.shape} {samples.dtype}')
    if len(samples) > MAX_SAMPLES:
        raise AudioError(f'audio: wants at most {MAX_SAMPLES} samples a chunk, got {len(samples)}')
    packed = array.array('h')
    packed.frombytes(np.ascontiguousarray(samples).data.cast('B'))
    message = AudioChunk(header=header, sample_rate_hz=sample_rate_hz)
    message.samples = packed
    return message


def _raw(message: Any) -> NDArray[np.uint8]:
    if message.encoding not in _ENCODINGS:
        known = ', '.join(_ENCODINGS)
        raise ConversionError(f'image.encoding: {message.encoding[:40]!r} is not one of {known}')
    channels, size, conversion = _ENCODINGS[message.encoding]
    height, width, step = message.height, message.width, message.step
    _check_pixels(height, width)
    used = width * channels * size
    if step < used:
        raise ConversionError(f'image.step: wants at least {used} bytes a row of {width} pixels, got {step}')
    if len(message.data) < step * (height - 1) + used:
        raise ConversionError(
            f'image.data: wants {step * height} bytes for {height} rows of {step}, got {len(message.data)}'
        )
    pixels = _rows(message.data, height, step, used)
    if size == 2:
        order = slice(0, None, 2) if message.is_bigendian else slice(1, None, 2)
        pixels = np.ascontiguousarray(pixels[:, order])  # the upper byte of each channel
    shaped = pixels if channels == 1 else pixels.reshape(height, width, channels)
    return shaped if conversion is None else _converted(shaped, conversion)


def _rows(data: Any, height: int, step: int, used: int) -> NDArray[np.uint8]:
    """View the rows of an image without their padding; the last row may lack it."""
    flat = np.frombuffer(data, dtype=np.uint8)
    if len(flat) >= height * step:
        return flat[: height * step].reshape(height, step)[:, :used]
    return np.lib.stride_tricks.as_strided(flat, (height, used), (step, 1), writeable=False)


def _converted(pixels: Any, conversion: int) -> NDArray[np.uint8]:
    try:
        return np.asarray(cv2.cvtColor(pixels, conversion), np.uint8)
    except cv2.error as error:
        raise ConversionError(f'image: OpenCV cannot convert {pixels.shape}: {error.err}') from error


def _decoded(message: Any) -> NDArray[np.uint8]:
    data = np.frombuffer(message.data, dtype=np.uint8)
    start = data[:8].tobytes()
    if not start.startswith((_JPEG, _PNG)):
        raise ConversionError(
            f'image.data: wants JPEG or PNG, got {len(data)} bytes starting {start.hex() or "nowhere"}'
        )
    _check_pixels(*_claimed_size(data))
    pixels = cv2.imdecode(data, _READ_RGB or _READ_BGR)
    if pixels is None:
        raise ConversionError(f'image.data: {len(data)} bytes of broken JPEG or PNG')
    return np.asarray(pixels, np.uint8) if _READ_RGB else _converted(pixels, cv2.COLOR_BGR2RGB)


def _claimed_size(data: NDArray[np.uint8]) -> tuple[int, int]:
    """Read height and width from the head of a PNG or JPEG (ITU-T T.81, B.2.2), before anything is allocated."""
    if data[0] == _PNG[0]:
        width, height = (int.from_bytes(data[at : at + 4].tobytes(), 'big') for at in (16, 20))
        return height, width
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = int(data[at + 1])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(data[at + k : at + k + 2].tobytes(), 'big') for k in (5, 7))
            return height, width
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4].tobytes(), 'big')
    return 0, 0


def _check_pixels(height: int, width: int) -> None:
    if not 0 < height * width <= MAX_PIXELS:
        raise ConversionError(f'image: wants 1 to {MAX_PIXELS} pixels, got {width} x {height}')


def _check_rgb(pixels: NDArray[np.uint8]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ConversionError(f'image: wants (H, W, 3) uint8, got {pixels.shape} {pixels.dtype}')
    _check_pixels(*pixels.shape[:2])


def _bytes_of(pixels: Any) -> array.array[int]:
    packed = array.array('B')
    packed.frombytes(np.ascontiguousarray(pixels).data.cast('B'))
    return packed
