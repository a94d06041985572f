#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the recogniser on synthetic voices: whole commands and answers right, in three noise levels.

    python test/data/voices/measure_speech.py                 # as the node runs it
    python test/data/voices/measure_speech.py --no-hints --no-names

Needs espeak-ng and the recogniser's files. Prints a Markdown table and every text that came out wrong.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

from make_voices import COMMAND, speak
from measure_spotter import NOISES_DB, VOICES, scene

from gemma4_ros.backends.whisper import WhisperRecogniser
from gemma4_ros.core.speech.answers import classify_answer
from gemma4_ros.core.speech.hints import hint_words
from gemma4_ros.core.speech.names import lexicon
from gemma4_ros.core.speech.words import spoken_words
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

CONFIG = Path(__file__).resolve().parents[3] / 'config'
COMMANDS = (
    COMMAND,
    'open the bypass valve',
    'take the spare filter to the control desk',
    'go to the charging dock',
    'what does the pressure gauge read',
    'put the blue crate down at the pump',
    'close the main valve',
    'drive to storage and pick up the sample bottle',
    'set the setpoint panel to four bar',
    'bring the green toolbox to the valve station',
    'go to the parking lot',
)
ANSWERS = ('confirm', 'yes', 'no', 'cancel')
SAME = {'tool box': 'toolbox', 'set point': 'setpoint', 'then': 'and', '4': 'four', 'bars': 'bar'}


def plain(text: str) -> str:
    """Return a text without differences that do not matter."""
    words = ' '.join(spoken_words(text))
    for written, spoken in SAME.items():
        words = words.replace(written, spoken)
    return words


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--no-hints', action='store_true')
    parser.add_argument('--no-names', action='store_true')
    chosen = parser.parse_args()
    world = load_world((CONFIG / 'world.yaml').read_text(encoding='utf-8'))
    tools = load_tools([('cell.yaml', (CONFIG / 'tools' / 'cell.yaml').read_text(encoding='utf-8'))], world)
    hints = () if chosen.no_hints else hint_words(world, tools)
    recogniser = WhisperRecogniser(hints=hints, known=None if chosen.no_names else lexicon(world, tools))
    right: Counter[tuple[str, float | None]] = Counter()
    seconds: list[float] = []
    for number, (voice, speed) in enumerate(VOICES['report'][:5]):
        for text in (*COMMANDS, *ANSWERS):
            clip = speak(text, voice, speed)
            for noise_db in NOISES_DB:
                samples, _ = scene(clip, noise_db, number)
                start_s = time.perf_counter()
                heard = recogniser.transcribe(samples[8000:])
                seconds.append(time.perf_counter() - start_s)
                is_right = plain(heard.text) == plain(text)
                if text in ANSWERS:
                    is_right = classify_answer(heard.text) is classify_answer(text)
                right['answers' if text in ANSWERS else 'commands', noise_db] += is_right
                if not is_right:
                    print(f'{voice} {noise_db or "clean"}: {text} -> {heard.text} ({heard.confidence:.2f})')
    print('| spoken | clean | 20 dB | 10 dB |\n|---|---|---|---|')
    for name, texts in (('commands', COMMANDS), ('answers', ANSWERS)):
        cells = [f'{right[name, noise]}/{5 * len(texts)}' for noise in NOISES_DB]
        print(f'| {name}, whole text right | {" | ".join(cells)} |')
    print(f'\nmedian {sorted(seconds)[len(seconds) // 2]:.2f} s an utterance')


if __name__ == '__main__':
    main()
