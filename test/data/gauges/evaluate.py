# SPDX-License-Identifier: Apache-2.0
"""Measure the gauge reader on generated dials: how often right, how often silently wrong, how often it cannot read."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

import dials

from gemma4_ros.core.reading.gauge import CannotRead, Dial, read_gauge


def measure(family: str, kind: str, count: int) -> dict[str, Any]:
    """
    Read ``count`` pictures.

    A silent error is a value more than 1 % of the range off whose own interval does not hold the truth.
    """
    errors, refusals, silent, inside, seconds, worst = [], Counter(), [], 0, [], []
    for index in range(count):
        picture = dials.make(family, index, kind)
        scale = picture.scale()
        began = time.perf_counter()
        result = read_gauge(picture.image, Dial(**scale))
        seconds.append(time.perf_counter() - began)
        if isinstance(result, CannotRead):
            refusals[result.reason] += 1
            worst.append((index, picture.layout.name, picture.tags, result.reason, result.text))
            continue
        span = scale['max'] - scale['min']
        error = abs(result.value - picture.value) / span
        errors.append(error)
        inside += result.low <= picture.value <= result.high
        if error > 0.01:
            worst.append(
                (
                    index,
                    picture.layout.name,
                    picture.tags,
                    f'error {100 * error:.2f} %',
                    f'half {50 * (result.high - result.low) / span:.2f} % confidence {result.confidence:.2f}',
                )
            )
            if not result.low <= picture.value <= result.high:
                silent.append(index)
    read = len(errors)
    return {
        'count': count,
        'read': read,
        'within_1pct': round(sum(e <= 0.01 for e in errors) / max(count, 1), 4),
        'within_1pct_of_read': round(sum(e <= 0.01 for e in errors) / max(read, 1), 4),
        'silent_error_rate': round(len(silent) / count, 4),
        'over_1pct_of_read': sum(e > 0.01 for e in errors),
        'over_2pct_of_read': sum(e > 0.02 for e in errors),
        'cannot_read_rate': round((count - read) / count, 4),
        'interval_holds': round(inside / max(read, 1), 4),
        'median_error_pct': round(100 * float(np.median(errors)), 3) if errors else None,
        'max_error_pct': round(100 * max(errors), 3) if errors else None,
        'refusals': dict(refusals),
        'median_s': round(float(np.median(seconds)), 3),
        'worst': worst,
    }


def main() -> None:
    """Print and store the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--family', default='test', choices=['tune', 'test'])
    parser.add_argument('--count', type=int, default=200, help='pictures of each kind')
    parser.add_argument('--kinds', nargs='+', default=['clean', 'degraded', 'unreadable'])
    parser.add_argument('--out', type=Path, help='folder of the report, for example build/reports')
    parser.add_argument('--worst', action='store_true', help='list refusals and errors')
    args = parser.parse_args()
    report: dict[str, Any] = {
        'family': args.family,
        'opencv': cv2.__version__,
        'numpy': np.__version__,
        'machine': platform.machine(),
        'kinds': {},
    }
    for kind in args.kinds:
        result = measure(args.family, kind, args.count)
        worst = result.pop('worst')
        report['kinds'][kind] = result
        print(kind, json.dumps(result))
        if args.worst:
            for line in worst:
                print('   ', *line)
    clean = report['kinds'].get('clean')
    if clean:
        report |= {key: clean[key] for key in ('within_1pct', 'silent_error_rate', 'cannot_read_rate')}
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / 'gauge.json').write_text(json.dumps(report, indent=1))


if __name__ == '__main__':
    main()
