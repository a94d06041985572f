# SPDX-License-Identifier: Apache-2.0
"""Sound as numbers: channels to one, rates to 16 kHz, 16-bit samples to floats, and how loud it is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16000


def mix_down(samples: NDArray[np.floating]) -> NDArray[np.float64]:
    """
    Average the channels.

    Parameters
    ----------
    samples : (N,) or (N, channels) float
        Sound as soundfile reads it.

    Returns
    -------
    (N,) float64

    """
    sound = np.asarray(samples, dtype=np.float64)
    return sound if sound.ndim == 1 else np.asarray(sound.mean(axis=1), dtype=np.float64)


def resample(samples: NDArray[np.floating], from_hz: int, to_hz: int = SAMPLE_RATE_HZ) -> NDArray[np.float64]:
    """
    Change the sample rate of a short clip.

    Method: the spectrum is cut or filled with zeros at the new Nyquist frequency (exact for band-limited sound); 50 ms
    of silence at both ends keep the wrap-around of the Fourier transform away from the sound.

    Parameters
    ----------
    samples : (N,) float
        Mono sound at ``from_hz``.
    from_hz, to_hz : int
        Sample rates, 1/s.

    Returns
    -------
    (round(N * to_hz / from_hz),) float64

    """
    sound = np.asarray(samples, dtype=np.float64)
    if from_hz == to_hz or not len(sound):
        return sound
    unit = from_hz // math.gcd(from_hz, to_hz)  # so many samples are a whole number of new ones
    edge = unit * math.ceil(from_hz / 20 / unit)
    padded = np.concatenate([np.zeros(edge), sound, np.zeros(edge)])
    padded = np.concatenate([padded, np.zeros(-len(padded) % from_hz)])  # whole seconds: the new length is exact
    new_length = len(padded) // from_hz * to_hz
    spectrum = np.fft.rfft(padded)
    kept = np.zeros(new_length // 2 + 1, dtype=np.complex128)
    width = min(len(kept), len(spectrum))
    kept[:width] = spectrum[:width]
    out = np.fft.irfft(kept, new_length) * (to_hz / from_hz)
    start = edge * to_hz // from_hz
    return np.asarray(out[start : start + round(len(sound) * to_hz / from_hz)], dtype=np.float64)


def to_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    """Return samples of -1..1 as 16-bit integers; what is louder is clipped."""
    return np.asarray(np.clip(np.round(np.asarray(samples) * 32767.0), -32768, 32767), dtype=np.int16)


def to_float32(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """Return 16-bit samples as floats of -1..1."""
    return np.asarray(samples, dtype=np.float32) / np.float32(32768.0)


def level_dbfs(samples: NDArray[np.floating]) -> float:
    """Return the loudest 20 ms of a clip at 16 kHz, in dB below full scale; an offset does not count as sound."""
    sound = np.asarray(samples, dtype=np.float64)
    if not len(sound):
        return -200.0
    width = min(len(sound), SAMPLE_RATE_HZ // 50)
    frames = (sound - sound.mean())[: len(sound) // width * width].reshape(-1, width)
    loudest = float(np.sqrt((frames**2).mean(axis=1)).max())
    return 20.0 * float(np.log10(max(loudest, 1e-10)))
