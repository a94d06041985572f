# SPDX-License-Identifier: Apache-2.0
"""What every measurement reports beside its figures: percentiles, versions, machine; as JSON and as a page to read."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ['REPORTS', 'ROOT', 'machine', 'percentile', 'summary', 'table', 'versions', 'write']

ROOT = Path(__file__).resolve().parents[1]
REPORTS = ROOT / 'build' / 'reports'


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least this share of the values does not exceed (nearest rank)."""
    if not values:
        raise ValueError('no values')
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def summary(values_s: Sequence[float]) -> dict[str, float]:
    """Return count, p50, p99, p99.9 and greatest of durations, in ms."""
    marks = {'p50_ms': 0.5, 'p99_ms': 0.99, 'p999_ms': 0.999, 'max_ms': 1.0}
    return {'count': len(values_s), **{name: 1e3 * percentile(values_s, share) for name, share in marks.items()}}


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        'cpu': _cpu(),
        'cores': os.cpu_count(),
        'cores_usable': len(os.sched_getaffinity(0)),
        'kernel': platform.release(),
        'load_average_at_end': [round(value, 2) for value in os.getloadavg()],
    }


def _cpu() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='ascii', errors='replace').splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), platform.machine())


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of Python, of this source tree and of packages; 'none' for what is not installed."""
    found = {'python': platform.python_version(), 'commit': _commit()}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = 'none'
    return found


def _commit() -> str:
    command = ['git', 'describe', '--always', '--dirty']
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 'unknown'
    return done.stdout.strip() or 'unknown'


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a table of Markdown; numbers with three digits that count."""
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    lines += ['| ' + ' | '.join(_cell(value) for value in row) + ' |' for row in rows]
    return '\n'.join(lines)


def _cell(value: object) -> str:
    return f'{value:.3g}' if isinstance(value, float) else str(value)


def write(
    name: str, figures: Mapping[str, Any], page: str, folder: Path = REPORTS, packages: Iterable[str] = ()
) -> Path:
    """Write NAME.json (figures, versions, machine) and NAME.md; return the path of the first."""
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds')
    report = {'bench': name, 'at': at, **figures, 'versions': versions(packages), 'machine': machine()}
    path = folder / f'{name}.json'
    path.write_text(json.dumps(report, indent=1) + '\n', encoding='utf-8')
    on = report['machine']
    foot = f'{at}, {on["cpu"]}, {on["cores_usable"]} cores, load {on["load_average_at_end"][0]:g} at the end.'
    (folder / f'{name}.md').write_text(f'{page.rstrip()}\n\n{foot}\n', encoding='utf-8')
    return path
