# SPDX-License-Identifier: Apache-2.0
"""`gemma4 eval commands`: plan every command of a set and judge the outcome."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from gemma4_ros.core import schemas
from gemma4_ros.core.errors import Gemma4Error
from gemma4_ros.core.facts import State, parse_fact
from gemma4_ros.core.planning.judge import judge
from gemma4_ros.core.planning.planner import Outcome, Planner
from gemma4_ros.core.ports import LanguageModel
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world


@dataclass(frozen=True, slots=True)
class Judged:
    """One command with its outcome."""

    id: str
    kind: str
    text: str
    world: str
    is_right: bool
    wrong: str
    outcome: str
    draft: str
    said: str
    total_s: float
    model_s: float
    passes: int
    output_tokens: int
    model_calls: int
    plan: str = ''
    notes: tuple[str, ...] = ()


class Evaluation:
    """Plans commands; one planner for each world and toolset."""

    def __init__(self, model: LanguageModel, root: Path) -> None:
        self._model = model
        self._root = root
        self._planners: dict[tuple[str, ...], Planner] = {}

    def planner(self, world: str, tools: list[str]) -> Planner:
        """Return the planner for these files."""
        key = (world, *tools)
        if key not in self._planners:
            loaded = load_world((self._root / world).read_text(encoding='utf-8'), world)
            toolset = load_tools([(name, (self._root / name).read_text(encoding='utf-8')) for name in tools], loaded)
            self._planners[key] = Planner(loaded, toolset, self._model)
        return self._planners[key]

    def run(self, entries: list[dict[str, Any]], on_result: Callable[[Judged], None]) -> list[Judged]:
        """Plan and judge each entry."""
        results = []
        for entry in entries:
            judged = self._one(entry)
            on_result(judged)
            results.append(judged)
        return results

    def _one(self, entry: dict[str, Any]) -> Judged:
        planner = self.planner(entry['world'], entry['tools'])
        state = start_state(planner, entry)
        started = time.monotonic()
        try:
            outcome = planner.plan(entry['text'], state, dialogue=tuple(entry.get('dialogue', ())))
        except Gemma4Error as error:
            outcome = Outcome('cannot', str(error))
        total_s = time.monotonic() - started
        wrong = judge(entry['expect'], outcome, planner.symbolic, state)
        effort = outcome.effort
        return Judged(
            entry['id'], entry['kind'], entry['text'], entry['world'], not wrong, wrong, outcome.kind, outcome.draft,
            outcome.text, total_s, effort.model_s, effort.passes, effort.output_tokens, effort.calls,
            outcome.data.decode() if outcome.data else '', outcome.notes,
        )  # fmt: skip


def start_state(planner: Planner, entry: dict[str, Any]) -> State:
    """Return the world's initial state with the entry's own facts."""
    return planner.world.initial.with_facts(parse_fact(text) for text in entry.get('state', ()))


def load_commands(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a command set."""
    # Evaluation sets are our own files and use YAML anchors, which the strict loader refuses.
    document = yaml.safe_load(path.read_text(encoding='utf-8'))
    entries: list[dict[str, Any]] = document['commands']
    return entries


def summary(results: list[Judged], model: str) -> dict[str, Any]:
    """Return the figures of a report: rates by kind and by world, times and model passes."""
    plans = [r for r in results if r.outcome == 'plan']
    by_kind: dict[str, Counter[bool]] = defaultdict(Counter)
    by_world: dict[str, Counter[bool]] = defaultdict(Counter)
    for result in results:
        by_kind[result.kind][result.is_right] += 1
        by_world[result.world][result.is_right] += 1
    impossible = [r for r in results if r.kind == 'impossible']
    times = sorted(r.total_s for r in results)
    return {
        'model': model,
        'commands': len(results),
        'right': sum(r.is_right for r in results),
        'right_rate': sum(r.is_right for r in results) / max(len(results), 1),
        'wrong_plans': sum(not r.is_right for r in plans),
        'without_model': sum(r.model_calls == 0 for r in plans),
        'valid_rate': sum(_is_valid(r.plan) for r in plans) / max(len(plans), 1),
        'executable_rate': sum(not r.wrong.startswith('not executable') for r in plans) / max(len(plans), 1),
        'declined_rate': sum(r.outcome != 'plan' for r in impossible) / max(len(impossible), 1),
        'by_kind': {kind: f'{c[True]}/{c[True] + c[False]}' for kind, c in sorted(by_kind.items())},
        'by_world': {world: f'{c[True]}/{c[True] + c[False]}' for world, c in sorted(by_world.items())},
        'total_s_p50': _quantile(times, 0.5),
        'total_s_p95': _quantile(times, 0.95),
        'passes_mean': sum(r.passes for r in results) / max(len(results), 1),
        'output_tokens_mean': sum(r.output_tokens for r in results) / max(len(results), 1),
        'model_calls_mean': sum(r.model_calls for r in results) / max(len(results), 1),
    }


def _is_valid(plan: str) -> bool:
    """Say whether a plan holds to its schema, by another validator than the planner's."""
    return bool(jsonschema.Draft202012Validator(schemas.PLAN).is_valid(json.loads(plan)))


def _quantile(values: list[float], q: float) -> float:
    return values[min(int(q * len(values)), len(values) - 1)] if values else 0.0


def rows(results: list[Judged]) -> Iterator[str]:
    """Yield one JSON line a command."""
    for result in results:
        yield json.dumps(asdict(result), ensure_ascii=False)
