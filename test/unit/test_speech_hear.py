# SPDX-License-Identifier: Apache-2.0
"""Recordings as people bring them: good ones become 16 kHz mono, each bad one is refused in one sentence."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from gemma4_ros.cli.hear import MAX_FILE_S, read_wav
from gemma4_ros.core.errors import AudioError
from gemma4_ros.core.speech.audio import level_dbfs, resample, to_float32, to_int16

ROOT = Path(__file__).resolve().parents[2]


def tone(rate_hz: int, seconds: float, frequency_hz: float = 440.0) -> NDArray[np.float64]:
    return 0.5 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * rate_hz)) / rate_hz)


def refusal(path: Path) -> str:
    with pytest.raises(AudioError) as caught:
        read_wav(path)
    message = str(caught.value)
    assert str(path) in message and '\n' not in message and ': ' in message.replace(str(path), '')
    return message


@pytest.mark.parametrize('name', ['command.wav', 'confirm.wav'])
def test_clips_of_the_demo_are_16_khz_mono_and_small(name: str) -> None:
    path = ROOT / 'demo' / name
    info = soundfile.info(str(path))
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, 'PCM_16')
    assert path.stat().st_size < 250_000
    assert len(read_wav(path)) == info.frames


def test_stereo_48_khz_is_mixed_down_and_resampled(tmp_path: Path) -> None:
    left = tone(48000, 1.5)
    soundfile.write(tmp_path / 'a.wav', np.stack([left, np.zeros_like(left)], axis=1), 48000)
    samples = read_wav(tmp_path / 'a.wav')
    assert len(samples) == 24000 and samples.dtype == np.int16
    expected = 0.5 * tone(16000, 1.5)
    assert np.abs(to_float32(samples) - expected)[800:-800].max() < 0.01


@pytest.mark.parametrize('rate_hz', [8000, 11025, 22050, 44100, 96000])
def test_every_usual_rate_keeps_length_and_pitch(rate_hz: int) -> None:
    samples = resample(tone(rate_hz, 1.0), rate_hz)
    assert len(samples) == 16000
    assert np.abs(samples - tone(16000, 1.0))[1600:-1600].max() < 0.01


def test_what_cannot_be_heard_at_16_khz_is_filtered_not_folded() -> None:
    assert level_dbfs(resample(tone(48000, 1.0, 11000.0), 48000)[1600:-1600]) < -50.0


def test_loud_floats_are_clipped_not_wrapped() -> None:
    assert to_int16(np.array([3.0, -3.0, 0.0])).tolist() == [32767, -32768, 0]


def test_missing_file(tmp_path: Path) -> None:
    assert 'is not there' in refusal(tmp_path / 'none.wav')


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / 'empty.wav').touch()
    assert '0 bytes' in refusal(tmp_path / 'empty.wav')


def test_header_without_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / 'none.wav', np.zeros(0), 16000)
    assert '0 samples' in refusal(tmp_path / 'none.wav')


@pytest.mark.parametrize('offset', [0.0, 0.3])
def test_silence_even_with_an_offset(tmp_path: Path, offset: float) -> None:
    soundfile.write(tmp_path / 'silent.wav', np.full(32000, offset), 16000)
    assert 'silent' in refusal(tmp_path / 'silent.wav')


@pytest.mark.parametrize(
    'content', [b'RIFF', b'not sound at all', b'RIFF\x24\x00\x00\x00WAVEjunk', bytes(range(256)) * 40]
)
def test_not_a_wav(tmp_path: Path, content: bytes) -> None:
    (tmp_path / 'no.wav').write_bytes(content)
    assert 'not a WAV file' in refusal(tmp_path / 'no.wav')


def test_a_folder(tmp_path: Path) -> None:
    refusal(tmp_path)


def test_ten_minutes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / 'long.wav'
    data_bytes = 600 * 16000 * 2
    header = struct.pack(
        '<4sI4s4sIHHIIHH4sI',
        b'RIFF',
        36 + data_bytes,
        b'WAVE',
        b'fmt ',
        16,
        1,
        1,
        16000,
        32000,
        2,
        16,
        b'data',
        data_bytes,
    )
    with path.open('wb') as file:
        file.write(header)
        file.truncate(len(header) + data_bytes)
    start = time.process_time()
    message = refusal(path)
    assert '600 s' in message and f'{MAX_FILE_S:.0f} s' in message
    assert time.process_time() - start < 0.5


def test_a_header_that_lies_about_its_length_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / 'cut.wav'
    soundfile.write(path, tone(16000, 2.0), 16000, subtype='PCM_16')
    path.write_bytes(path.read_bytes()[: 44 + 32000])
    assert len(read_wav(path)) == 16000


def test_not_a_number_in_a_float_file_is_silence(tmp_path: Path) -> None:
    samples = tone(16000, 1.0)
    samples[100:200] = np.nan
    soundfile.write(tmp_path / 'nan.wav', samples, 16000, subtype='FLOAT')
    assert np.all(read_wav(tmp_path / 'nan.wav')[100:200] == 0)
