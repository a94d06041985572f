#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Join the records that test/attack left in build/reports/attack into attack.json and attack.md."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = ('threat', 'test', 'trials', 'breaches', '95 % bound', 'figures')
OWN = frozenset(('threat', 'test', 'trials', 'breaches', 'bound_95', 'full', 'python'))


def main() -> int:
    """Write both files; exit 1 where something came through or nothing was tried."""
    folder = ROOT / 'build' / 'reports' / 'attack'
    entries: list[dict[str, Any]] = [json.loads(path.read_text()) for path in folder.glob('T*.json')]
    entries.sort(key=lambda entry: (int(entry['threat'][1:]), entry['test']))
    machine = {'cpus': os.cpu_count(), 'system': platform.platform(), 'python': platform.python_version()}
    report = {'machine': machine, 'attacks': entries}
    (folder.parent / 'attack.json').write_text(json.dumps(report, indent=1, sort_keys=True) + '\n')
    lines = [f'| {" | ".join(COLUMNS)} |', '|---' * len(COLUMNS) + '|', *map(_row, entries)]
    (folder.parent / 'attack.md').write_text('# What the attacks got past the gate\n\n' + '\n'.join(lines) + '\n')
    came_through = [entry for entry in entries if entry['breaches']]
    print(f'{len(entries)} attacks, {sum(entry["trials"] for entry in entries):,} trials: {folder.parent}/attack.md')
    for entry in came_through:
        print(f'{entry["threat"]} {entry["test"]}: {entry["breaches"]} of {entry["trials"]} came through')
    return 1 if came_through or not entries else 0


def _row(entry: dict[str, Any]) -> str:
    figures = ', '.join(f'{name} {value}' for name, value in sorted(entry.items()) if name not in OWN)
    bound = '' if entry['bound_95'] is None else f'{entry["bound_95"]:.2g}'
    count = f'{entry["trials"]:,}{"" if entry["full"] else " (short)"}'
    return f'| {entry["threat"]} | {entry["test"]} | {count} | {entry["breaches"]} | {bound} | {figures} |'


if __name__ == '__main__':
    sys.exit(main())
