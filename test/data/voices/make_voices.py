#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speak the clips of tests and demo again with espeak-ng (needed only for that; the WAV files are in the repository).

python test/data/voices/make_voices.py            # the small clips here and in demo/
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
DEMO = HERE.parents[2] / 'demo'
RATE_HZ = 16000
COMMAND = 'bring the red toolbox to the valve station, then read the pressure gauge'
LONG_TEXT = (
    'when the pump runs the gauge shows the pressure of the outlet and the operator writes it down every hour, '
    'and when the line is closed the bypass is opened by hand before the filter is taken out and cleaned'
)

# file, voice, words a minute, text
CLIPS = (
    (DEMO / 'command.wav', 'en-us', 150, COMMAND),
    (DEMO / 'confirm.wav', 'en-us', 150, 'confirm'),
    (HERE / 'confirm_gb.wav', 'en-gb', 150, 'confirm'),
    (HERE / 'yes.wav', 'en-us+f3', 140, 'yes'),
    (HERE / 'no.wav', 'en-us', 140, 'no'),
    (HERE / 'cancel.wav', 'en-gb', 150, 'cancel'),
    (HERE / 'stop.wav', 'en-us', 150, 'stop'),
    (HERE / 'robot_stop.wav', 'en-gb', 150, 'robot stop'),
    (HERE / 'please_stop_now.wav', 'en-us+f3', 150, 'please stop now'),
    (HERE / 'emergency_stop.wav', 'en-us', 150, 'emergency stop'),
    (HERE / 'shop.wav', 'en-us', 150, 'shop'),
    (HERE / 'top.wav', 'en-gb', 150, 'top'),
    (HERE / 'valve_station.wav', 'en-us', 150, 'the valve station'),
    (HERE / 'open_main_valve.wav', 'en-gb', 150, 'open the main valve'),
)


def speak(text: str, voice: str, words_per_minute: int) -> NDArray[np.float64]:
    """Return one clip at 16 kHz, scaled to a peak of 0.5."""
    sound = subprocess.run(
        ['espeak-ng', '-v', voice, '-s', str(words_per_minute), '--stdout', text], capture_output=True, check=True
    ).stdout
    samples, rate_hz = soundfile.read(io.BytesIO(sound), dtype='float64', always_2d=False)
    from gemma4_ros.core.speech.audio import resample

    clip = resample(np.asarray(samples, dtype=np.float64), int(rate_hz), RATE_HZ)
    return np.asarray(0.5 * clip / np.max(np.abs(clip)), dtype=np.float64)


def padded(clip: NDArray[Any], before_s: float = 0.3, after_s: float = 0.3) -> NDArray[np.float64]:
    """Put digital silence around a clip."""
    return np.concatenate([np.zeros(int(before_s * RATE_HZ)), clip, np.zeros(int(after_s * RATE_HZ))])


def main() -> None:
    """Write every clip of the table."""
    for path, voice, speed, text in CLIPS:
        soundfile.write(path, padded(speak(text, voice, speed)), RATE_HZ, subtype='PCM_16')
        print(f'{path.name}: "{text}" ({voice}, {speed} words/min)')


if __name__ == '__main__':
    main()
