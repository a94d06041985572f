# SPDX-License-Identifier: Apache-2.0
"""T9, T21, T22: texts that pretend, texts that break logs, and configuration that would mean something else."""

from __future__ import annotations

import copy
import gc
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from bad_documents import PLAN
from bad_texts import as_identifiers, bad_yaml, naughty
from hand_gate import CONFIG, HandGate, load

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.gate.approvals import Answer
from gemma4_ros.core.gate.audit import Chain
from gemma4_ros.core.gate.audit_verify import verify
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import NeedsApproval, Refused
from gemma4_ros.core.plan import Step
from gemma4_ros.ros.gate_audit import AuditFile

pytestmark = [pytest.mark.attack]
TEXTS = naughty()
IDENTIFIER = re.compile(r'[a-z][a-z0-9_]{0,31}')
SHOWN = re.compile(rb'[\x20-\x7e]*\n')
CPU_MS = 250.0  # of a whole load of world, tools and policy


class Noted(HandGate):
    """A gate whose journal goes to an audit log on disk as well."""

    def __init__(self, audit: AuditFile | None = None) -> None:
        self.audit, self.noted = audit, 0
        super().__init__(*load())
        self.arm()

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        self.noted += 1
        if self.audit is not None:
            self.audit.note(kind, data)


def canonical(value: Any) -> bytes:
    """Return canonical bytes; what has none as near as JSON can write it."""
    try:
        data: bytes = rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeError):
        return json.dumps(value, sort_keys=True, separators=(',', ':')).encode()
    return data


def put(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return the good plan with one value set."""
    plan = copy.deepcopy(PLAN)
    place: Any = plan
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return plan


def identifier_places(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield plans with the text in each place of a name; the first is the only one where any right name will do."""
    step = ('root', 'sequence', 0)
    yield 'step id', put((*step, 'id'), text)
    yield 'tool', put((*step, 'tool'), text)
    yield 'argument', put((*step, 'args'), {text: 1})
    yield 'value', put(('root', 'sequence', 1, 'args', 'gauge'), text)
    yield 'result', put(('root', 'sequence', 2, 'if', 'ref'), f's1.{text}')
    yield 'reference', put(('root', 'sequence', 3, 'parallel', 1, 'args', 'value_bar'), {'ref': text})
    yield 'unit', put(('root', 'sequence', 2, 'if', 'unit'), text)


def test_no_naughty_text_passes_as_a_name(trials: Callable[[int, int], int], record: Callable[..., None]) -> None:
    gate, count = Noted(), 0
    taken = []
    codes: Counter[str] = Counter()
    texts = TEXTS[:: trials(4, 1)]
    for text in (*texts, *as_identifiers()):
        for place, plan in identifier_places(text):
            count += 1
            verdict = gate.admit(canonical(plan)).verdict
            assert verdict.code is not Code.INTERNAL and verdict.text.isprintable()
            codes[verdict.code.name] += 1
            is_name = place == 'step id' and IDENTIFIER.fullmatch(text) and text not in ('s1', 's2', 's3')
            if (verdict.name == 'deny') is bool(is_name):
                taken.append((place, text, verdict))
    record('T9', trials=count, breaches=len(taken), texts=len(texts), codes=dict(codes))
    assert not taken, taken[:5]
    assert len(TEXTS) >= 500 and codes[Code.NEEDS_CONFIRMATION.name] >= 10


def test_no_naughty_text_passes_as_a_person(record: Callable[..., None]) -> None:
    gate = Noted()
    plain = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}')
    raw = canonical(PLAN)
    wrong = [
        text
        for text in TEXTS
        if (gate.admit(raw, text).verdict.code is Code.BAD_PROPOSER) is bool(plain.fullmatch(text))
    ]
    for text in TEXTS:
        if not plain.fullmatch(text):
            with pytest.raises(Refused):
                gate.monitor.moment.arm(text, gate.now)
    record('T9', trials=len(TEXTS), breaches=len(wrong))
    assert not wrong, wrong[:5]


def test_free_text_of_a_plan_is_never_shown_and_never_breaks_a_line(
    tmp_path: Path, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    gate = Noted(AuditFile(tmp_path, 'boot'))
    words = gate.admit(canonical(PLAN)).rendering
    taken, broken, texts = 0, [], TEXTS[:: trials(3, 1)]
    for text in texts:
        for path in (('goal',), ('root', 'sequence', 1, 'why'), ('uses', 0, 'source')):
            admission = gate.admit(canonical(put(path, text)))
            verdict = admission.verdict
            assert verdict.code is not Code.INTERNAL
            is_shown = admission.candidate is not None
            taken += is_shown
            if admission.rendering != (words if is_shown else '') or not verdict.text.isprintable():
                broken.append((path, text))
            if is_shown and not visible(text):
                broken.append((path, text))
    lines, problem = read_log(gate)
    record('T9', trials=3 * len(texts), breaches=len(broken) + bool(problem), taken=taken)
    assert not broken, broken[:5]
    assert not problem and lines == gate.noted + 1
    assert words.count('\n') >= 8 and all(line.isprintable() for line in words.split('\n'))
    assert taken >= len(texts)


def visible(text: str) -> bool:
    """Say whether no character of the text moves or hides others on its own."""
    return not any(
        ord(char) < 32 or 127 <= ord(char) < 160 or char in '\u202e\u2066\u200b\u2028\ufeff' for char in text
    )


def read_log(gate: Noted) -> tuple[int, str]:
    """Write what waits; return the number of lines, and what is wrong with them."""
    assert gate.audit is not None
    gate.audit.close()
    data = gate.audit.path.read_bytes()
    lines = data.splitlines(keepends=True)
    report = verify(lines)
    if report.problem:
        return len(lines), f'line {report.line}: {report.problem}'
    bad = next((line for line in lines if not SHOWN.fullmatch(line)), b'')
    return data.count(b'\n'), ascii(bad) if bad else ''


# T21 -----------------------------------------------------------------------------------------------------------------
def hostile(gate: Noted, text: str) -> None:
    """Bring one text to the log by every way that strangers, controllers and people have."""
    monitor, now = gate.monitor, gate.now
    gate.admit(text.encode('utf-8', 'surrogatepass'), text, len(text))
    admission = gate.admit(canonical(PLAN))
    assert isinstance(admission.verdict, NeedsApproval) and admission.candidate is not None
    request, _ = monitor.ask(admission.candidate, admission.verdict, now)
    signature = text.encode('utf-8', 'surrogatepass')[:64]
    for answer in (
        Answer(text, 'anna', True, admission.sha256),
        Answer(request.id, text, True, admission.sha256),
        Answer(request.id, 'anna', True, text),
        Answer(request.id, 'anna', True, admission.sha256, signature or b'x'),
    ):
        with pytest.raises(Refused):
            monitor.answer(answer, now)
    for ask in (monitor.authorise, monitor.evaluate):
        with pytest.raises(Refused):
            ask(text, text, now)
    permit = gate.permit(
        Step('r', 'read_gauge', {'gauge': 'pressure_gauge'}), Step('t', 'take_photo', {'target': 'pump'})
    )
    with pytest.raises(Refused):
        monitor.authorise(permit, text, now)
    monitor.finish(gate.dispatch(permit, 'r'), True, {'value': text, text: 1.0, 'low': float('nan')}, now, text)
    monitor.finish(gate.dispatch(permit, 't'), False, {'file': text}, now, text)
    monitor.close(permit, 0, text, now)
    monitor.moment.signal('mode', text, now)
    monitor.moment.signal('mode', 'AUTO', now)
    monitor.moment.stop(Code.STOPPED, text, now)
    assert monitor.state.stop_text.isprintable() and monitor.view(now).verdict.text.isprintable()
    monitor.moment.reset('anna', now)
    gate.arm()


def test_no_text_adds_a_line_or_an_escape_to_the_audit_log(
    tmp_path: Path, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    gate = Noted(AuditFile(tmp_path, 'boot'))
    assert gate.audit is not None
    texts = TEXTS[:: trials(3, 1)]
    for index, text in enumerate(texts):
        hostile(gate, text)
        gate.later(0.05)
        if index % 50 == 0:
            gate.audit.write()
    lines, problem = read_log(gate)
    assert gate.audit.path.read_bytes().count(b'\x1b') == 0
    record('T21', trials=len(texts), breaches=int(bool(problem) or lines != gate.noted + 1), lines=lines)
    assert not problem, problem
    assert lines == gate.noted + 1  # the record of the start is the log's own
    assert len(TEXTS) >= 600 and gate.monitor.state.latch is Latch.ARMED


def test_chain_seals_any_text_into_one_line() -> None:
    chain, texts = Chain(), [text[:4096] for text in TEXTS]
    lines = [chain.seal({'kind': text, 'text': {text: [text, {'hash': text, 'n': text}]}}) for text in texts]
    report = verify(lines)
    assert (report.records, report.problem) == (len(TEXTS), '')
    assert all(SHOWN.fullmatch(line) for line in lines)


# T22 -----------------------------------------------------------------------------------------------------------------
NAMES = {'policy': 'policy.yaml', 'world': 'world.yaml', 'tools': 'tools/cell.yaml'}


def refused_ms(names: tuple[str, str, str]) -> float:
    """Return the CPU time of one refusal; the garbage of the tests before it is not its own."""
    gc.collect()
    start = time.process_time()
    with pytest.raises(ConfigError):
        load(*names)
    return (time.process_time() - start) * 1e3


def test_yaml_that_would_mean_something_else_is_refused_with_file_and_line(
    tmp_path: Path, record: Callable[..., None], quickest: Callable[[Callable[[], float], float], float]
) -> None:
    good = {which: (CONFIG / name).read_text(encoding='utf-8') for which, name in NAMES.items()}
    files = {which: tmp_path / f'{which}.yaml' for which in NAMES}
    taken, slowest_ms, count = [], 0.0, 0
    for bad in bad_yaml(good):
        count += 1
        files[bad.which].write_bytes(bad.data)
        paths = {which: str(files[which] if which == bad.which else CONFIG / NAMES[which]) for which in NAMES}
        names = (paths['policy'], paths['world'], paths['tools'])
        try:
            load(*names)
        except ConfigError as error:
            said, spent_ms = str(error), quickest(lambda names=names: refused_ms(names), CPU_MS)
            where = re.escape(str(files[bad.which])) + (r':\d+' if bad.has_line else '')
            if not re.search(where, said) or '\x1b' in said:
                taken.append((bad.kind, bad.which, said[:200]))
            slowest_ms = max(slowest_ms, spent_ms)
        else:
            taken.append((bad.kind, bad.which, 'was taken'))
    record('T22', trials=count, breaches=len(taken), slowest_ms=round(slowest_ms, 1))
    assert not taken, taken[:8]
    assert count >= 100 and slowest_ms <= CPU_MS
