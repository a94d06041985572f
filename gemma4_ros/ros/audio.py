# SPDX-License-Identifier: Apache-2.0
"""Sound on a topic: numpy to AudioChunk and back, without needless copies."""

from __future__ import annotations

from array import array

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from std_msgs.msg import Header

from gemma4_ros.core.errors import AudioError
from gemma4_ros.core.speech.audio import SAMPLE_RATE_HZ
from gemma4_ros.msg import AudioChunk

__all__ = ['MAX_SAMPLES', 'samples_of', 'to_chunk']

MAX_SAMPLES = 16000


def to_chunk(samples: NDArray[np.int16], stamp: Time, frame_id: str = '') -> AudioChunk:
    """
    Return a message with up to 1 s of sound.

    Parameters
    ----------
    samples : (N,) int16
        Mono, 16 kHz, N up to 16000.
    stamp : Time
        Of the first sample.
    frame_id : str
        Of the microphone.

    """
    if len(samples) > MAX_SAMPLES:
        raise AudioError(f'a chunk holds {MAX_SAMPLES} samples, not {len(samples)}: send smaller pieces')
    data = array('h', np.ascontiguousarray(samples, dtype=np.int16).tobytes())
    return AudioChunk(header=Header(stamp=stamp, frame_id=frame_id), sample_rate_hz=SAMPLE_RATE_HZ, samples=data)


def samples_of(chunk: AudioChunk) -> NDArray[np.int16]:
    """
    Return the samples of a message; the array shares its memory.

    Raises
    ------
    AudioError
        The sample rate is not 16 kHz.

    """
    if chunk.sample_rate_hz != SAMPLE_RATE_HZ:
        raise AudioError(f'topic audio brings {chunk.sample_rate_hz} Hz, wanted {SAMPLE_RATE_HZ} Hz: resample it')
    return np.frombuffer(chunk.samples, dtype=np.int16)
