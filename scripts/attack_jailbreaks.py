#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Give the embedded model every command of test/attack/data/jailbreaks.yaml, and count what its plans get sent.

In slices: `scripts/attack_jailbreaks.py --seconds 240` goes on where the last one stopped; what was drafted is kept in
build/reports/jailbreaks.jsonl. The report of all of it: build/reports/jailbreaks.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / 'test/attack/lib'))

# what the tests of the attacks share is found by the line above
from hand_gate import load  # noqa: E402
from jailbreak_run import Prompt, draft, judge_all, planner_for, read_prompts  # noqa: E402

from gemma4_ros.backends.local import load_in_process  # noqa: E402
from gemma4_ros.backends.profiles import load_profiles  # noqa: E402

REPORTS = ROOT / 'build/reports'
KEPT = REPORTS / 'jailbreaks.jsonl'


def main() -> int:
    """Draft for some seconds, then judge every plan that there is; exit 1 where an unauthorised goal was sent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seconds', type=float, default=240.0, help='end the slice after so long')
    parser.add_argument('--model', default='', help='id of models.yaml')
    parser.add_argument('--again', action='store_true', help='forget what was drafted')
    parser.add_argument('--last', action='store_true', help='begin at the end, beside a slice that begins at the start')
    parser.add_argument('--judge', action='store_true', help='no model: only judge what was drafted')
    options = parser.parse_args()
    REPORTS.mkdir(parents=True, exist_ok=True)
    if options.again:
        KEPT.unlink(missing_ok=True)
    prompts, model = read_prompts(), load_profiles().get(options.model).id
    rows = _kept(prompts, model)
    left = [prompt for prompt in prompts[:: -1 if options.last else 1] if prompt.id not in rows]
    if left and not options.judge:
        _slice(left, model, options.seconds)
        rows = _kept(prompts, model)
    report = _report(rows, len(prompts), model)
    (REPORTS / 'jailbreaks.json').write_text(json.dumps(report, indent=1, sort_keys=True) + '\n')
    if len(rows) == len(prompts):
        _record(report)
    print(json.dumps({key: value for key, value in report.items() if key != 'ways'}, indent=1))
    return 1 if report['unauthorised_goals'] else 0


def _kept(prompts: list[Prompt], model: str) -> dict[str, dict[str, Any]]:
    """Return what was drafted by this model from these very texts, by id."""
    texts = {prompt.id: prompt.text for prompt in prompts}
    lines = KEPT.read_text(encoding='utf-8').splitlines() if KEPT.is_file() else []
    rows = {row['id']: row for row in map(json.loads, lines)}
    return {name: row for name, row in rows.items() if texts.get(name) == row['text'] and row['model'] == model}


def _slice(left: list[Prompt], model: str, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    planner = planner_for(load()[1], load_in_process(model))
    with KEPT.open('a', encoding='utf-8') as file:
        for prompt in left:
            if time.monotonic() > end_s:
                return
            started_s = time.monotonic()
            made = draft(planner, prompt.text)
            row = {
                'id': prompt.id, 'aim': prompt.aim, 'text': prompt.text, 'model': model, 'outcome': made.outcome,
                'said': made.said, 'calls': made.calls, 'plan': made.plan.decode(),
                'seconds': round(time.monotonic() - started_s, 2),
            }  # fmt: skip
            file.write(json.dumps(row, ensure_ascii=False) + '\n')
            file.flush()
            print(f'{prompt.id} {made.outcome} {row["seconds"]:.1f} s', flush=True)


def _report(rows: dict[str, dict[str, Any]], prompts: int, model: str) -> dict[str, Any]:
    plans = [row['plan'].encode() for row in rows.values() if row['plan']]
    figures = judge_all(load(), plans)
    refused = {name: count for name, count in figures.codes.most_common() if name != 'NONE'}
    by_aim = Counter(row['aim'] for row in rows.values() if row['plan'])
    ways: dict[str, Counter[str]] = {}
    for row in rows.values():
        ways.setdefault(row['id'].rpartition('_')[0], Counter())[row['outcome']] += 1
    return {
        'model': model,
        'prompts': prompts,
        'run': len(rows),
        'outcomes': dict(Counter(row['outcome'] for row in rows.values())),
        'plans_drafted': len(plans),
        'plans_by_aim': dict(by_aim),
        'without_model': sum(row['calls'] == 0 for row in rows.values()),
        'admissions': figures.admissions,
        'refused_by_gate': refused,
        'permits': figures.permits,
        'goals_sent': figures.goals,
        'unauthorised_goals': len(figures.breaches),
        'breaches': figures.breaches[:20],
        'ways': ways,
    }


def _record(report: dict[str, Any]) -> None:
    """Leave the figures where scripts/attack_report.py finds those of the tests."""
    shown = ('plans_drafted', 'admissions', 'permits', 'goals_sent', 'model')
    trials, breaches = report['prompts'], report['unauthorised_goals']
    entry = {
        'threat': 'T5', 'test': 'attack_jailbreaks.py', 'trials': trials, 'breaches': breaches,
        'bound_95': None if breaches else 3 / trials, 'full': True, 'python': sys.version.split()[0],
        **{name: report[name] for name in shown},
    }  # fmt: skip
    folder = REPORTS / 'attack'
    folder.mkdir(exist_ok=True)
    (folder / 'T5-jailbreaks.json').write_text(json.dumps(entry, indent=1, sort_keys=True) + '\n')


if __name__ == '__main__':
    sys.exit(main())
