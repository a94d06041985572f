# SPDX-License-Identifier: Apache-2.0
"""
How evenly the controller loop of the simulated cell runs while the model decodes flat out, against the same loop alone.

The loop is the cell's own (`Pacer`, `Cell.tick`), in a process of its own with the niceness that the table of processes
gives it. It ticks at 50 Hz; here the cell runs at double speed, so that the loop has 100 Hz. Jitter is how far the time
between the beginnings of two ticks is from the period. The two conditions take turns, so that what else happens on the
computer falls on both. The engine is as it is shipped; it may only lower itself.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _load import DecodingModel, missing_model
from _report import REPORTS, ROOT, summary, table, write

from gemma4_ros.core.world_file import load_world
from gemma4_ros.nodes.table import TABLE
from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.pacer import Pacer
from gemma4_ros.sim.physics import TICK_S

RATE_HZ = 100.0
PERIOD_S = 1.0 / RATE_HZ
AIM = 1.1  # ratio of p99.9 where a core is free
WARM_S = 1.0
PACKAGES = ('mujoco', 'llama-cpp-python', 'numpy')


class Watched:
    """A cell that notes when each tick begins."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.begun: list[float] = []

    def tick(self) -> None:
        """Note, and go on."""
        self.begun.append(time.monotonic())
        self._cell.tick()


def run_loop(seconds: float) -> None:
    """Run the loop in this process and print the times between ticks, s, as JSON."""
    os.nice(next(process.nice for process in TABLE if process.name == 'cell'))
    path = ROOT / 'config' / 'world.yaml'
    watched = Watched(Cell(load_world(path.read_text(encoding='utf-8'), str(path))))
    pacer = Pacer(watched, RATE_HZ * TICK_S)  # type: ignore[arg-type]  # it only ticks
    pacer.start()
    time.sleep(WARM_S + seconds)  # the measurement itself
    pacer.stop()
    if pacer.error is not None:
        raise SystemExit(f'control_jitter: the physics stopped: {pacer.error}')
    begun = [at for at in watched.begun if at - watched.begun[0] >= WARM_S]
    between = [later - earlier for earlier, later in itertools.pairwise(begun)]
    print(json.dumps({'between_s': between, 'late_s': pacer.late_s}))


def measure(seconds: float) -> tuple[list[float], float]:
    """Return the jitters of one run of the loop, s, and the time that it lost."""
    command = [sys.executable, __file__, '--loop', str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=seconds + 120.0)
    told = json.loads(done.stdout.splitlines()[-1])
    return [abs(between - PERIOD_S) for between in told['between_s']], told['late_s']


@contextlib.contextmanager
def the_model(wanted: bool) -> Iterator[DecodingModel | None]:
    """Load the model, or say why there is none."""
    why = missing_model() if wanted else 'left out'
    if why:
        print(f'control_jitter: without the model: {why}')
        yield None
        return
    with DecodingModel() as model:
        yield model


def take_turns(model: DecodingModel | None, seconds: float, turns: int) -> dict[str, dict[str, Any]]:
    """Measure alone, then with the model, as often as wanted."""
    names = ('alone', 'decoding') if model is not None else ('alone',)
    jitters: dict[str, list[float]] = {name: [] for name in names}
    lost = dict.fromkeys(names, 0.0)
    for turn in range(turns):
        for name in names:
            print(f'control_jitter: {name}, {turn + 1} of {turns}', flush=True)
            if model is not None and name == 'decoding':
                model.begin()
            found, late_s = measure(seconds)
            if model is not None:
                model.pause()
            jitters[name] += found
            lost[name] += late_s
    return {name: {**summary(jitters[name]), 'lost_s': lost[name]} for name in names}


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description='Jitter of the controller loop while the model decodes.')
    parser.add_argument('--seconds', type=float, default=60.0, help='of one turn')
    parser.add_argument('--turns', type=int, default=5, help='of each of the two')
    parser.add_argument('--no-model', action='store_true', help='the loop alone, to try this out')
    parser.add_argument('--out', type=Path, default=REPORTS, help='folder of the report')
    parser.add_argument('--loop', type=float, default=0.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.loop:
        run_loop(options.loop)
        return
    with the_model(not options.no_model) as model:
        found = take_turns(model, options.seconds, options.turns)
        decoded = model.figures() if model is not None else {}
    if decoded.get('error'):
        raise SystemExit(f'control_jitter: the model stopped decoding: {decoded["error"]}')
    marks = ('p50_ms', 'p99_ms', 'p999_ms', 'max_ms')
    ratios = {mark: found['decoding'][mark] / found['alone'][mark] for mark in marks} if decoded else {}
    rows = [(name, it['count'], *(it[mark] for mark in marks)) for name, it in found.items()]
    rows += [('ratio', '', *(ratios[mark] for mark in marks))] if ratios else []
    head = ('loop', 'ticks', 'p50 ms', 'p99 ms', 'p99.9 ms', 'greatest ms')
    page = (
        f'# Jitter of the controller loop\n\nPeriod {1e3 * PERIOD_S:g} ms, turns of {options.seconds:g} s.\n\n'
        f'{table(head, rows)}\n\nAim: a ratio of p99.9 of at most {AIM:g} where a core is free.\n'
    )
    page += f'The model decoded {decoded["tokens_per_s"]:.1f} tokens a second meanwhile.\n' if decoded else ''
    figures = {
        'period_ms': 1e3 * PERIOD_S,
        'turn_s': options.seconds,
        'turns': options.turns,
        'p999_ratio': ratios.get('p999_ms'),
        'aim_p999_ratio': AIM,
        'jitter': found,
        'ratios': ratios,
        'decoding': decoded,
    }
    print(page)
    print(f'written: {write("control_jitter", figures, page, options.out, PACKAGES)}')


if __name__ == '__main__':
    main()
