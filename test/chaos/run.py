# SPDX-License-Identifier: Apache-2.0
"""
Break things on purpose, in trials that add up: what was tried stands in build/reports/chaos.jsonl.

Interrupted, it goes on where it stopped; the report counts all that has been tried on this copy. Exit 1: a breach.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'bench'))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / 'attack' / 'lib'))
sys.path.insert(0, str(Path(__file__).resolve().parent))

import cancel
import controllers
import kill
from _report import REPORTS, percentile, table, versions, write
from ledger import Ledger
from plant import Plant

SUITES: dict[str, tuple[Any, Any, int]] = {  # what is tried, on what, and how often each key in all
    'controller': (controllers, controllers.BadRobot, 100),
    'cancel': (cancel, lambda out: Plant(out, ('cell', 'deadman', 'gate', 'executor')), 1000),
    'kill': (kill, Plant, 25),
}
MAX_TROUBLE = 5  # in a row


def say(text: str) -> None:
    """Write a line at once."""
    print(f'{time.strftime("%H:%M:%S")} {text}', flush=True)


def run(name: str, ledger: Ledger, times: int, until: float, out: Path) -> None:
    """Try what is missing of a suite, until the time is up."""
    module, make, _ = SUITES[name]
    commit = versions(())['commit']
    missing, trouble = list(ledger.missing(module.KEYS, times)), 0
    say(f'{name}: {len(missing)} trials to go')
    with contextlib.ExitStack() as exits:
        plant = None
        for key in missing:
            if time.monotonic() > until:
                say('the time is up; run it again to go on')
                return
            try:
                if plant is None:
                    plant = exits.enter_context(make(out))
                found = module.trial(plant, *([*key[1:], ''][:2]), len(ledger.of(*key)))
                trouble = 0
            except Exception as error:  # noqa: BLE001 - written down as not carried out
                trouble += 1
                found = {'trouble': f'{type(error).__name__}: {error}'[:300], 'is_plant_lost': True}
            if found.pop('is_plant_lost', False):
                exits.close()
                plant = None
            if 'trouble' in found:
                say(f'{" ".join(key)}: not carried out: {found["trouble"]}')
                ledger.add(('trouble', *key), **found, breaches=[], commit=commit)
                if trouble >= MAX_TROUBLE:
                    say(f'{MAX_TROUBLE} in a row could not be carried out; this suite ends')
                    return
                continue
            ledger.add(key, **found, commit=commit)
            say(f'{" ".join(key)}: {found}')


def report(ledger: Ledger, out: Path) -> int:
    """Write the report; return the number of breaches."""
    rows, figures = [], {}
    for name, (module, _, wanted) in SUITES.items():
        trials = ledger.of(name)
        bad = [trial for trial in trials if trial['breaches']]
        words = Counter(text for trial in bad for text in trial['breaches'])
        measured = {}
        for figure in ('stop_s', 'restart_s', 'took_s'):
            values = [trial[figure] for trial in trials if trial.get(figure) is not None]
            if values:
                measured[figure] = {'p50': percentile(values, 0.5), 'p99': percentile(values, 0.99), 'max': max(values)}
        full = wanted * len(module.KEYS)
        figures[name] = {'trials': len(trials), 'of': full, 'breaches': len(bad), 'kinds': dict(words), **measured}
        shown = '; '.join(
            f'{key} {value["p50"]:.2f} / {value["p99"]:.2f} / {value["max"]:.2f}' for key, value in measured.items()
        )
        bound = f'{300 / len(trials):.2g} %' if trials and not bad else '-'
        figures[name]['not_carried_out'] = len(ledger.of('trouble', name))
        figures[name]['commits'] = sorted({trial.get('commit', 'unknown') for trial in trials})
        rows.append((name, len(trials), full, len(bad), figures[name]['not_carried_out'], bound, shown))
    stops = {}
    for process in kill.NEEDED:
        values = [t['stop_s'] for t in ledger.of('kill') if t['key'][2] == process and t.get('stop_s') is not None]
        if values:
            stops[process] = (len(values), percentile(values, 0.5), percentile(values, 0.99), max(values))
    head = ('suite', 'trials', 'wanted', 'breaches', 'not carried out', '95 % bound', 'p50 / p99 / max, s')
    page = f'# Chaos\n\n{table(head, rows)}\n\nWhat is needed to move, killed or stopped, to standstill, s:\n\n'
    page += table(('process', 'trials', 'p50', 'p99', 'max'), [(name, *row) for name, row in stops.items()])
    path = write('chaos', {'suites': figures, 'stop_s': stops}, page, out, ('rclpy', 'mujoco'))
    print(path.with_suffix('.md').read_text(encoding='utf-8'))
    return sum(suite['breaches'] for suite in figures.values())


def main() -> int:
    """Parse, try, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('suites', nargs='*', default=list(SUITES), help=', '.join(SUITES))
    parser.add_argument('--times', type=int, default=0, help='trials of each key in all; default: the full count')
    parser.add_argument('--minutes', type=float, default=60.0, help='begin no trial after this time')
    parser.add_argument('--out', type=Path, default=REPORTS, help='folder of ledger, report and logs')
    given = parser.parse_args()
    unknown = set(given.suites) - set(SUITES)
    if unknown:
        parser.error(f'there is no suite {min(unknown)!r}; there are {", ".join(SUITES)}')
    os.environ.setdefault('ROS_DOMAIN_ID', '93')
    logs = given.out / 'chaos'
    logs.mkdir(parents=True, exist_ok=True)
    ledger, until = Ledger(given.out / 'chaos.jsonl'), time.monotonic() + 60 * given.minutes
    try:
        for name in given.suites:
            run(name, ledger, given.times or SUITES[name][2], until, logs)
    except KeyboardInterrupt:
        say('interrupted; run it again to go on')
    return 1 if report(ledger, given.out) else 0


if __name__ == '__main__':
    sys.exit(main())
