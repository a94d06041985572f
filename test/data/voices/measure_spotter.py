#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure the stop word spotter on synthetic voices: hits, false alarms, delay after the word, processor time.

    python test/data/voices/measure_spotter.py tune      # the voices on which thresholds were chosen
    python test/data/voices/measure_spotter.py report    # other voices: the figures of docs/speech.md

Needs espeak-ng. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from make_voices import COMMAND, RATE_HZ, speak
from numpy.typing import NDArray

from gemma4_ros.core.speech.audio import to_int16
from gemma4_ros.nodes.spotter_node import DETECTORS, SpotterConfig, make_spotter

VOICES = {
    'tune': (
        ('en-us+m1', 150),
        ('en-gb+f2', 160),
        ('en-us+f4', 140),
        ('en-gb-scotland+m4', 150),
        ('en-gb-x-rp+Andy', 165),
    ),
    'report': (
        ('en-us', 150),
        ('en-gb', 160),
        ('en-us+f3', 150),
        ('en-gb-scotland', 140),
        ('en-gb+m3', 175),
        ('en-us+Mike', 150),
        ('en-gb+anika', 150),
    ),
}
STOPS = ('stop', 'robot stop', 'please stop now', 'emergency stop', 'halt')
NEAR = ('shop', 'top', 'step', 'drop', 'store', 'stock')
OTHERS = (
    'the valve station',
    COMMAND,
    'confirm',
    'cancel',
    'yes',
    'no',
    'open the main valve',
    'go to storage',
    'pick up the spare filter',
    'close the bypass valve and dock',
    'what does the pressure gauge read',
    'put the bottle down at the pump',
    'drive to the control desk',
    'set the pressure to five bar',
    'take a photo of the charging dock',
)
NOISES_DB = (None, 20.0, 10.0)
BEFORE_S, AFTER_S = 1.2, 1.0


def pump_noise(length: int, seed: int) -> NDArray[np.float64]:
    """Return the hum of a pump with a hiss, of power 1."""
    random = np.random.default_rng(seed)
    time_s = np.arange(length) / RATE_HZ
    hum = sum(np.sin(2 * np.pi * 48.7 * k * time_s + random.uniform(0, 6)) / k for k in range(1, 30))
    sound = np.asarray(hum + 0.5 * random.standard_normal(length), dtype=np.float64)
    return sound / np.sqrt((sound**2).mean())


def scene(clip: NDArray[np.float64], noise_db: float | None, seed: int) -> tuple[NDArray[np.int16], float]:
    """Return a clip in noise, and when its speech ends, s."""
    sound = np.concatenate([np.zeros(int(BEFORE_S * RATE_HZ)), clip, np.zeros(int(AFTER_S * RATE_HZ))])
    frames = clip[: len(clip) // 320 * 320].reshape(-1, 320)
    power = (frames**2).mean(axis=1)
    spoken = power > power.max() * 1e-3
    level = 60.0 if noise_db is None else noise_db
    sound = sound + pump_noise(len(sound), seed) * np.sqrt(power[spoken].mean() / 10 ** (level / 10))
    end_s = BEFORE_S + (int(np.flatnonzero(spoken)[-1]) + 1) * 320 / RATE_HZ
    return to_int16(sound / max(1.0, float(np.abs(sound).max()))), end_s


def first_hit(spotter: Any, samples: NDArray[np.int16]) -> float | None:
    """Return when the spotter reported something, s; pieces of 50 ms as they come from a microphone."""
    found = None
    for begin in range(0, len(samples), 800):
        if spotter.feed(samples[begin : begin + 800]) is not None and found is None:
            found = (begin + 800) / RATE_HZ
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('voices', choices=sorted(VOICES))
    parser.add_argument('--detector', choices=DETECTORS, default='network')
    parser.add_argument('--min-score', type=float, default=SpotterConfig().min_score)
    parser.add_argument('--thresholds', type=float, nargs='+', default=list(SpotterConfig().thresholds))
    chosen = parser.parse_args()
    config = replace(
        SpotterConfig(), detector=chosen.detector, min_score=chosen.min_score, thresholds=tuple(chosen.thresholds)
    )
    spotter = make_spotter(config, lambda text: print(text, file=sys.stderr))
    hits: Counter[tuple[str, float | None]] = Counter()
    delays: list[float] = []
    played_s, start_s = 0.0, time.process_time()
    for number, (voice, speed) in enumerate(VOICES[chosen.voices]):
        for text in (*STOPS, *NEAR, *OTHERS):
            clip = speak(text, voice, speed)
            for noise_db in NOISES_DB:
                samples, end_s = scene(clip, noise_db, number)
                played_s += len(samples) / RATE_HZ
                hit_s = first_hit(spotter, samples)
                hits[text, noise_db] += hit_s is not None
                if hit_s is not None and text in STOPS:
                    delays.append(hit_s - end_s)
    share = (time.process_time() - start_s) / played_s
    show(hits, len(VOICES[chosen.voices]))
    print(
        f'\ndelay after the end of speech, s: median {np.median(delays):.2f}, p95 {np.quantile(delays, 0.95):.2f}, '
        f'max {max(delays):.2f}; processor time {share:.1%} of real time; {played_s:.0f} s of sound'
    )


def show(hits: Counter[tuple[str, float | None]], voices: int) -> None:
    """Print the table."""
    print('| spoken | clean | 20 dB | 10 dB |\n|---|---|---|---|')
    groups = [(text, (text,)) for text in (*STOPS, *NEAR)] + [(f'{len(OTHERS)} commands and answers', OTHERS)]
    for name, texts in groups:
        cells = [f'{sum(hits[text, noise] for text in texts)}/{voices * len(texts)}' for noise in NOISES_DB]
        print(f'| {name} | {" | ".join(cells)} |')


if __name__ == '__main__':
    main()
