# SPDX-License-Identifier: Apache-2.0
"""The real recogniser and voice detector on the recordings of the repository, and on sound that is no speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gemma4_ros.backends.whisper import WhisperRecogniser
from gemma4_ros.backends.whisper_vad import SileroVoice
from gemma4_ros.cli.hear import read_wav, transcribe_file
from gemma4_ros.core.errors import AudioError, ModelFileError, ModelMissingError
from gemma4_ros.core.speech.answers import Answer, classify_answer
from gemma4_ros.core.speech.endpointing import Endpointer
from gemma4_ros.core.speech.hints import hint_words
from gemma4_ros.core.speech.names import lexicon
from gemma4_ros.core.speech.words import is_stop
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

ROOT = Path(__file__).resolve().parents[2]
VOICES, DEMO, CONFIG = ROOT / 'test' / 'data' / 'voices', ROOT / 'demo', ROOT / 'config'
FLOOR = 0.45


@pytest.fixture(scope='module')
def recogniser() -> WhisperRecogniser:
    world = load_world((CONFIG / 'world.yaml').read_text(encoding='utf-8'))
    tools = load_tools([('cell.yaml', (CONFIG / 'tools' / 'cell.yaml').read_text(encoding='utf-8'))], world)
    try:
        return WhisperRecogniser(hints=hint_words(world, tools), known=lexicon(world, tools))
    except ModelMissingError as error:
        pytest.skip(str(error))


def utterances(sound: NDArray[np.int16]) -> int:
    endpointer = Endpointer(SileroVoice())
    quiet = np.zeros(16000, dtype=np.int16)
    found = endpointer.feed(np.concatenate([quiet, sound, quiet]))
    return len(found) + (endpointer.flush() is not None)


@pytest.mark.parametrize('path', sorted([*VOICES.glob('*.wav'), *DEMO.glob('*.wav')]), ids=lambda path: path.stem)
def test_every_clip_is_one_utterance(path: Path) -> None:
    assert utterances(read_wav(path)) == 1


@pytest.mark.parametrize('level', [30, 1000, 6000])
def test_noise_is_no_utterance(level: int) -> None:
    random = np.random.default_rng(level)
    hum = np.sin(2 * np.pi * 48.7 * np.arange(80000) / 16000)
    assert utterances((level * (hum + 0.5 * random.standard_normal(80000))).clip(-32768, 32767).astype(np.int16)) == 0


@pytest.mark.model
@pytest.mark.parametrize(
    ('name', 'answer'), [('confirm_gb', Answer.CONFIRM), ('yes', Answer.CONFIRM), ('no', Answer.CANCEL)]
)
def test_short_answers_are_understood(recogniser: WhisperRecogniser, name: str, answer: Answer) -> None:
    heard = recogniser.transcribe(read_wav(VOICES / f'{name}.wav'))
    assert classify_answer(heard.text) is answer and heard.confidence > FLOOR


@pytest.mark.model
def test_a_misheard_cancel_never_confirms(recogniser: WhisperRecogniser) -> None:
    assert classify_answer(recogniser.transcribe(read_wav(VOICES / 'cancel.wav')).text) is not Answer.CONFIRM


@pytest.mark.model
@pytest.mark.parametrize('name', ['stop', 'robot_stop', 'please_stop_now', 'emergency_stop'])
def test_stop_words_are_understood_too(recogniser: WhisperRecogniser, name: str) -> None:
    assert is_stop(recogniser.transcribe(read_wav(VOICES / f'{name}.wav')).text)


@pytest.mark.model
def test_noise_that_reaches_the_recogniser_is_doubtful_and_names_nothing(recogniser: WhisperRecogniser) -> None:
    noise = np.random.default_rng(3).normal(0.0, 800.0, 48000).astype(np.int16)
    heard = recogniser.transcribe(noise)
    assert heard.confidence < FLOOR and 'toolbox' not in heard.text.lower()


@pytest.mark.model
def test_speech_of_more_than_30_s_is_refused(recogniser: WhisperRecogniser) -> None:
    with pytest.raises(AudioError, match='at most 30 s'):
        recogniser.transcribe(np.zeros(31 * 16000, dtype=np.int16))


@pytest.mark.model
def test_a_file_is_transcribed_without_ros(recogniser: WhisperRecogniser) -> None:
    heard = transcribe_file(DEMO / 'command.wav', ('the red toolbox', 'the valve station', 'the pressure gauge'))
    assert 'the red toolbox' in heard.text.lower() and heard.language == 'en'
    assert heard.duration_s == pytest.approx(5.54, abs=0.1)


def test_files_that_are_not_the_model_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match='whisper_files get'):
        WhisperRecogniser(tmp_path)
    (tmp_path / 'model.bin').write_bytes(b'truncated')
    with pytest.raises(ModelFileError, match='SHA-256'):
        WhisperRecogniser(tmp_path)
