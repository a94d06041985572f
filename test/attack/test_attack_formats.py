# SPDX-License-Identifier: Apache-2.0
"""T6, T7, T8, T10: whatever arrives as bytes is refused with a reason, fast and small, or is exactly what it says."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import rfc8785
from bad_documents import GOOD, PLAN, byte_mutants, deep_and_huge, malformed, mutants, places, worst
from hand_gate import CONFIG, HandGate, load
from oracle_checker import Rules
from plan_grammar import Grammar

from gemma4_ros.core.gate.approvals import Answer
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.decode import decode
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Deny, NeedsApproval, Refused, Verdict
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes

pytestmark = [pytest.mark.attack]
CPU_MS, MEMORY_MB = 50.0, 10.0
RULES = Rules.read(CONFIG / 'policy.yaml', CONFIG / 'world.yaml', CONFIG / 'tools/cell.yaml')
SCHEMA: dict[str, Any] = json.loads((CONFIG / 'schema/plan-1.json').read_text(encoding='utf-8'))


class Costs:
    """Sends documents to one gate and keeps the greatest CPU time and memory of a refusal."""

    def __init__(self) -> None:
        self.gate = HandGate(*load()).arm()
        self.slowest_ms = self.largest_mb = 0.0
        self.codes: Counter[str] = Counter()

    def verdict(self, raw: bytes) -> Verdict:
        """Return the gate's answer; time that another process took from this one does not count."""
        verdict, spent_ms = self._timed(raw)
        for _ in range(2):
            if spent_ms > CPU_MS / 2:
                spent_ms = min(spent_ms, self._timed(raw)[1])
        self.slowest_ms = max(self.slowest_ms, spent_ms)
        assert spent_ms <= CPU_MS, (spent_ms, raw[:100])
        assert verdict.text.isprintable() and verdict.rule.isprintable(), verdict
        self.codes[verdict.code.name] += 1
        return verdict

    def _timed(self, raw: bytes) -> tuple[Verdict, float]:
        start = time.process_time()
        admission = self.gate.admit(raw)
        return admission.verdict, (time.process_time() - start) * 1e3

    def refused(self, documents: Iterable[tuple[str, bytes]]) -> tuple[int, list[tuple[str, str, bytes]]]:
        """Return how many documents there were, and those that were not refused by a rule of the gate."""
        count, taken = 0, []
        for kind, raw in documents:
            count += 1
            verdict = self.verdict(raw)
            if not isinstance(verdict, Deny) or verdict.code is Code.INTERNAL:
                taken.append((kind, verdict.code.name, raw[:300]))
        assert self.gate.monitor.state.latch is Latch.ARMED
        assert self.gate.sent == [] and self.gate.monitor.view(self.gate.now).permit_id == ''
        return count, taken

    def memory(self, documents: Iterable[bytes]) -> float:
        """Return the most MB that Python held while it refused one of the documents."""
        tracemalloc.start()
        try:
            for raw in documents:
                tracemalloc.reset_peak()
                before = tracemalloc.get_traced_memory()[0]
                self.gate.admit(raw)
                self.largest_mb = max(self.largest_mb, (tracemalloc.get_traced_memory()[1] - before) / 1e6)
        finally:
            tracemalloc.stop()
        assert self.largest_mb <= MEMORY_MB
        return round(self.largest_mb, 2)


@pytest.fixture
def costs() -> Costs:
    return Costs()


def read(raw: bytes) -> tuple[Plan | None, Code]:
    """Return the plan, or the code of the refusal."""
    try:
        return decode(raw), Code.NONE
    except Refused as refused:
        return None, refused.verdict.code


def unique(documents: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [(kind, raw) for raw, kind in {raw: kind for kind, raw in documents}.items()]


def chosen(documents: list[tuple[str, bytes]], count: int) -> list[tuple[str, bytes]]:
    """Return about ``count`` of them, of every kind."""
    return documents[:: max(1, len(documents) // count)]


# T6 ------------------------------------------------------------------------------------------------------------------
def test_malformed_json_of_every_kind_is_refused(
    costs: Costs, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    documents = chosen(unique(malformed()), trials(1000, 1_000_000))
    kinds = {kind for kind, _ in documents}
    count, taken = costs.refused(documents)
    memory_mb = costs.memory(raw for _, raw in documents[::10])
    codes = dict(costs.codes)
    record(
        'T6',
        trials=count,
        breaches=len(taken),
        slowest_ms=round(costs.slowest_ms, 1),
        largest_mb=memory_mb,
        codes=codes,
    )
    assert not taken, taken[:5]
    assert count >= 1000 and len(kinds) >= 14
    # all of it fails as JSON or UTF-8, none only later by luck; NaN and Infinity are words that Python's parser knows
    assert set(codes) == {Code.NOT_JSON.name, Code.NOT_UTF8.name, Code.NUMBER_REFUSED.name}, codes


def test_wellformed_documents_are_taken_but_for_doubled_keys_and_minus_zero(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    grammar = Grammar(random.Random(6), RULES)
    count = 0
    for _ in range(trials(300, 5000)):
        value = grammar.plan()
        raw = rfc8785.dumps(value)
        if not jsonschema_rs.is_valid(SCHEMA, value) or value.get('uses') == []:  # that is as good as left out
            continue
        plan, code = read(raw)
        assert code in (Code.NONE, Code.REFERENCE, Code.TEXT_REFUSED), (code, raw)
        if plan is not None:
            assert plan_to_bytes(plan) == raw
            count += 1
    record('T6', trials=count, breaches=0)
    assert count > trials(150, 2500)
    for raw, code in (
        (GOOD.replace(b'4.5', b'-0'), Code.NUMBER_REFUSED),
        (GOOD.replace(b'{"args":{}', b'{"args":{},"args":{}'), Code.DUPLICATE_KEY),
    ):
        assert read(raw) == (None, code)


# T7 ------------------------------------------------------------------------------------------------------------------
def test_deep_documents_and_huge_numbers_are_refused(
    costs: Costs, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    documents = [*worst(), *deep_and_huge(random.Random(7), trials(500, 10_000))]
    count, taken = costs.refused(documents)
    memory_mb = costs.memory(raw for _, raw in documents[:60])
    figures = {'slowest_ms': round(costs.slowest_ms, 1), 'largest_mb': memory_mb, 'codes': dict(costs.codes)}
    record('T7', trials=count, breaches=len(taken), **figures)
    assert not taken, taken[:5]


def test_resident_memory_does_not_grow_with_what_is_refused(record: Callable[..., None]) -> None:
    code = (
        'import re, sys; sys.path.insert(0, sys.argv[1])\n'
        'from bad_documents import GOOD, worst; from hand_gate import HandGate, load\n'
        'peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024\n'
        'gate = HandGate(*load()).arm(); gate.admit(GOOD); before = peak()\n'
        'for _, raw in worst():\n'
        '    for _ in range(5): gate.admit(raw)\n'
        '    gate.records.clear()\n'
        'print(peak() - before)\n'
    )
    lib = str(Path(__file__).parent / 'lib')
    done = subprocess.run([sys.executable, '-c', code, lib], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    grown_mb = float(done.stdout)
    count = sum(5 for _ in worst())
    record('T7', trials=count, breaches=int(grown_mb > MEMORY_MB), resident_grown_mb=round(grown_mb, 1))
    assert grown_mb <= MEMORY_MB


# T8 ------------------------------------------------------------------------------------------------------------------
def test_every_mutant_that_is_wrong_by_construction_is_refused(
    costs: Costs, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    assert costs.gate.admit(GOOD).verdict.code is Code.NEEDS_CONFIRMATION  # as it is, it is a plan that may follow
    count, taken = costs.refused(mutants(random.Random(8), trials(500, 2000)))
    record('T8', trials=count, breaches=len(taken), slowest_ms=round(costs.slowest_ms, 1), codes=dict(costs.codes))
    assert not taken, taken[:3]
    assert len(costs.codes) >= 6, costs.codes


def test_mutant_of_bytes_is_refused_or_is_the_very_document_that_was_sent(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    count, other, taken = 0, [], 0
    for raw in byte_mutants(random.Random(88), trials(1000, 20_000)):
        count += 1
        plan, code = read(raw)
        assert code is not Code.INTERNAL
        if plan is None:
            continue
        taken += 1
        if plan_to_bytes(plan) != raw or rfc8785.dumps(json.loads(raw)) != raw:
            other.append(raw)
    record('T8', trials=count, breaches=len(other), other_plans_that_are_valid=taken)
    assert not other, other[:3]
    assert 0 < taken < count / 2


def schema_mutants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the plan's schema with one rule taken out."""
    rules = ('additionalProperties', 'required', 'enum', 'const', 'pattern', 'type', 'propertyNames')
    limits = (
        'minItems',
        'maxItems',
        'maxLength',
        'minLength',
        'minimum',
        'maximum',
        'exclusiveMinimum',
        'maxProperties',
    )
    for path in places(SCHEMA):
        is_rule = bool(path) and path[-1] in (*rules, *limits, 'maxProperties')
        if not is_rule or path[-2:-1] == ('properties',):
            continue
        changed = copy.deepcopy(SCHEMA)
        place: Any = changed
        for part in path[:-1]:
            place = place[part]
        if path[-1] == 'required':
            for index, name in enumerate(place['required']):
                partly = copy.deepcopy(changed)
                inner: Any = partly
                for part in path:
                    inner = inner[part]
                del inner[index]
                yield f'{"/".join(map(str, path))}/{name}', partly
            continue
        if path[-1] == 'type' and place['type'] == 'object':  # what follows says so too
            continue
        del place[path[-1]]
        yield '/'.join(map(str, path)), changed


def long_mutants() -> Iterator[bytes]:
    """Yield documents just beyond each limit, and of the type that none else tries."""
    step = {'id': 's1', 'tool': 'dock', 'args': {}}
    many = {f'a{index}': 1 for index in range(17)}
    condition = {'ref': 's0.x', 'op': '==', 'value': 'x' * 65, 'max_age_s': 1, 'on_unknown': 'hold'}
    first = {'id': 's0', 'tool': 'dock', 'args': {}}
    roots: list[Any] = [
        {**step, 'args': many}, {**step, 'args': {'a': 'x' * 65}}, {**step, 'args': {'A': 1}}, {**step, 'why': 1},
        {'if': condition, 'then': step}, {'if': {**condition, 'value': 1, 'unit': ''}, 'then': step},
        {'if': {**condition, 'value': 1, 'unit': 'x' * 17}, 'then': step},
        {'if': {**condition, 'value': 1, 'unit': 1}, 'then': step},
        {'if': {**condition, 'value': []}, 'then': step}, {'if': {**condition, 'value': None}, 'then': step},
        {'repeat': step, 'times': '2'}, {'repeat': step, 'times': 1.5},
        {'sequence': step}, {**step, 'id': 1}, {**step, 'tool': 1},
    ]  # fmt: skip
    for kind, extra in (('sequence', {}), ('fallback', {}), ('parallel', {'policy': 'all'})):
        roots += [{kind: [step] * 257, **extra}, {kind: [], **extra}, {kind: 'x', **extra}]
    for root in roots:
        yield rfc8785.dumps({**PLAN, 'root': {'sequence': [first, root]}})
    for change in (
        {'uses': [PLAN['uses'][0]] * 33},
        {'uses': {}},
        {'goal': 1},
        {'uses': [{'source': 1, 'trust': 'camera'}]},
    ):
        yield rfc8785.dumps({**PLAN, **change})


def test_mutants_notice_nearly_every_rule_that_is_taken_out_of_the_schema(record: Callable[..., None]) -> None:
    values = [json.loads(raw) for kind, raw in mutants(random.Random(8), 1500) if kind != 'doubled key']
    values += [json.loads(raw) for raw in long_mutants()]
    wrong = [value for value in values if not jsonschema_rs.is_valid(SCHEMA, value)]
    missed, count = [], 0
    for name, schema in schema_mutants():
        count += 1
        valid = jsonschema_rs.validator_for(schema).is_valid
        if not any(valid(value) for value in wrong):
            missed.append(name)
    score = 1 - len(missed) / count
    record('T8', trials=count, breaches=0, schema_mutation_score=round(score, 3), missed=missed)
    assert count >= 60 and score >= 0.95, missed


# T10 -----------------------------------------------------------------------------------------------------------------
PAYLOADS: tuple[Any, ...] = (
    '/cmd_vel', 'cmd_vel', 'rt/cmd_vel', '/goal_pose', 'http://10.0.0.1/x', 'file:///etc/passwd',
    'package://x/y.stl', '../../policy.yaml', '/etc/shadow', 'C:\\x', '{"tool":"open_valve"}', '[1]', '$place.pose',
    '$world.frame', '${jndi:x}', '{{7*7}}', '__import__("os")', 'lambda: 0', '`reboot`', '$(reboot)', '; reboot',
    '| nc', "' OR 1=1 --", 'pump,valve_station', 'pump\nvalve_station', 'pump ', ' pump', 'PUMP', 'pump\x00',
    'pump/', '*', '%s%n', 'null', 'true', '4.0', '4,0', '4 bar', '4bar', '60 psi', '0x4', '1e0', 'NaN', '-0', '٤',
    '', True, False, -1, 8.05, 6.05, 0.45, 1e15, {'ref': 's1.value'}, {'ref': 's0.value'}, {'ref': 's9.pose'},
)  # fmt: skip
EXTRA: dict[str, Any] = {
    'topic': '/cmd_vel', 'speed_mps': 9, 'frame_id': 'odom', 'goal': 'x', 'command': 1, 'undock': True, 'pose': 'p',
    'unit': 'psi', 'camera': 'hmi', 'timeout_s': 1e9, 'interface': 'a', 'confirm': True, 'value_psi': 60,
    'args': 'x', 'tool': 'dock', 'self': 1,
}  # fmt: skip


def smuggled() -> Iterator[Step]:
    """Yield every tool with every payload in every argument, with more arguments, and as it should be."""
    for name, tool in RULES.tools.items():
        right = {key: sorted(RULES.names(arg)) if 'enum' in arg else [0.5, 4.5, 6] for key, arg in tool['args'].items()}
        base = {key: values[0] for key, values in right.items()}
        for key, values in right.items():
            yield from (Step('s1', name, {**base, key: value}) for value in (*values, *PAYLOADS))
        yield from (Step('s1', name, {**base, key: value}) for key, value in EXTRA.items() if key not in base)
        yield Step('s1', name, base)


def test_goal_is_the_rebuild_of_the_template_whatever_is_smuggled_into_arguments(record: Callable[..., None]) -> None:
    gate = HandGate(*load()).arm()
    count = sent = 0
    other = []
    for step in smuggled():
        count += 1
        plan = plan_to_bytes(Plan('t', Sequence((Step('s0', 'read_gauge', {'gauge': 'pressure_gauge'}), step))))
        verdict = gate.admit(plan).verdict
        assert verdict.code is not Code.INTERNAL
        if isinstance(verdict, Deny):
            continue
        sent += 1
        gate.sent.clear()
        goal = dispatched(gate, plan)
        args = {key: 4.0 if isinstance(value, dict) else value for key, value in step.args.items()}  # what s0 returned
        demanded = json.dumps(RULES.goal(step.tool, args), sort_keys=True)
        if json.dumps(goal, sort_keys=True) != demanded or list(RULES.wrong_arguments(step.tool, args)):
            other.append((step, goal))
    record('T10', trials=count, breaches=len(other), goals_compared=sent)
    assert not other, other[:3]
    assert count >= 500 and sent >= 20


def dispatched(gate: HandGate, plan: bytes) -> Any:
    """Carry the second step of a plan out, with whatever yes it needs, and return what the controller received."""
    admission = gate.admit(plan)
    assert admission.candidate is not None
    if isinstance(admission.verdict, NeedsApproval):
        request, _ = gate.monitor.ask(admission.candidate, admission.verdict, gate.now)
        permit = gate.monitor.grant(
            gate.monitor.answer(Answer(request.id, 'anna', True, admission.sha256), gate.now), gate.now
        )
    else:
        permit = gate.monitor.issue(admission.candidate, gate.now)
    gate.monitor.finish(gate.dispatch(permit.id, 's0'), True, {'value': 4.0}, gate.now)
    gate.monitor.finish(gate.dispatch(permit.id, 's1'), True, {}, gate.now)
    gate.monitor.close(permit.id, 0, '', gate.now)
    return gate.sent[-1][2]
