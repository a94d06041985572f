# SPDX-License-Identifier: Apache-2.0
"""The audit log under attack: a disk that takes nothing (T31), and records that somebody changed (T32)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hand_gate import HandGate, load

from gemma4_ros.core.gate.audit import digest_of, dump
from gemma4_ros.core.gate.audit_verify import verify
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.permits import Ticket
from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.plan import Step
from gemma4_ros.ros.gate_audit import AuditError, AuditFile

pytestmark = [pytest.mark.attack]

FILES = load()
STEPS = tuple(Step(f's{number}', 'navigate_to', {'place': 'pump'}) for number in range(1, 5))


class DiskGate(HandGate):
    """A gate whose journal is the real log on disk; a goal is sent after its record is durable, as the node does."""

    def __init__(self, folder: Path, sign: Callable[[bytes], bytes] | None = None) -> None:
        self.audit = AuditFile(folder, os.urandom(8).hex(), sign)
        super().__init__(*FILES)

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        super().note(kind, data)
        self.audit.note(kind, data)

    def make_durable(self) -> None:
        try:
            self.audit.write()
            self.monitor.moment.audit(True)
        except AuditError:
            self.monitor.moment.audit(False)

    def dispatch(self, permit_id: str, step_id: str) -> Ticket:
        ticket = self.monitor.authorise(permit_id, step_id, self.now)
        self.make_durable()
        self.monitor.confirm(ticket, self.now)
        self.sent.append((permit_id, step_id, dict(ticket.goal)))
        return ticket

    def logged(self) -> Counter[str]:
        """Count the dispatches that stand on the disk, by permit and step."""
        lines = self.audit.path.read_bytes().splitlines()
        records = [json.loads(line) for line in lines if line.endswith(b'}')]
        return Counter(
            f'{record["permit"]} {record["step"]}'
            for record in records
            if record['kind'] == 'dispatch' and record['decision'] == 'allow'
        )

    def unlogged(self) -> int:
        """Count the goals that were sent without a record on the disk."""
        return (Counter(f'{permit} {step}' for permit, step, _ in self.sent) - self.logged()).total()


Fault = Callable[[pytest.MonkeyPatch, DiskGate, Random], None]
PATCHED = 'gemma4_ros.ros.gate_audit.os'


def raising(number: int) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


def _write(number: int) -> Fault:
    return lambda patch, *_: patch.setattr(f'{PATCHED}.write', raising(number))


def _sync(number: int) -> Fault:
    return lambda patch, *_: patch.setattr(f'{PATCHED}.fdatasync', raising(number))


def _short(number: int) -> Fault:
    """Take some bytes, then fail: the log has half a record."""

    def fault(patch: pytest.MonkeyPatch, gate: DiskGate, random: Random) -> None:
        real, left = os.write, [random.randint(1, 300)]

        def write(file: int, data: Any) -> int:
            if not left[0]:
                raise OSError(number, os.strerror(number))
            taken = real(file, bytes(data)[: left[0]])
            left[0] = 0
            return taken

        patch.setattr(f'{PATCHED}.write', write)

    return fault


def _stat(patch: pytest.MonkeyPatch, *_: Any) -> None:
    patch.setattr(f'{PATCHED}.fstat', raising(errno.EIO))


FAULTS: dict[str, Fault] = {
    'ENOSPC while writing': _write(errno.ENOSPC),
    'ENOSPC after half a record': _short(errno.ENOSPC),
    'ENOSPC while syncing': _sync(errno.ENOSPC),
    'EROFS while writing': _write(errno.EROFS),
    'EROFS while syncing': _sync(errno.EROFS),
    'EIO while writing': _write(errno.EIO),
    'EIO after half a record': _short(errno.EIO),
    'EIO while syncing': _sync(errno.EIO),
    'EDQUOT while writing': _write(errno.EDQUOT),
    'EIO while looking': _stat,
}


def try_everything(gate: DiskGate, permit: str, random: Random) -> int:
    """Ask for steps and plans while the disk takes nothing; return how many goals were sent meanwhile."""
    before = len(gate.sent)
    for _ in range(random.randint(1, 4)):
        for step in STEPS:
            with contextlib.suppress(Refused):
                gate.monitor.finish(gate.dispatch(permit, step.id), True, {}, gate.now)
        with contextlib.suppress(Refused):
            gate.permit(STEPS[0])
        gate.later(0.05)
    return len(gate.sent) - before


def stop_works(gate: DiskGate) -> bool:
    gate.monitor.moment.stop(Code.STOPPED, 'test', gate.now)
    gate.make_durable()
    return gate.monitor.state.latch is Latch.STOPPED


def recovered(gate: DiskGate) -> bool:
    """Say whether, with a disk again, the whole story is on it, unbroken, and a goal can be sent."""
    gate.make_durable()
    gate.monitor.moment.reset('anna', gate.now)
    gate.arm()
    gate.dispatch(gate.permit(STEPS[0]), 's1')
    gate.make_durable()
    lines = gate.audit.path.read_bytes().splitlines(keepends=True)
    kinds = [json.loads(line)['kind'] for line in lines]
    return verify(lines).problem == '' and kinds[1:] == [kind for kind, _ in gate.records]


def test_nothing_is_sent_without_a_durable_record_and_stop_goes_on(
    trials: Callable[[int, int], int], record: Callable[..., None], tmp_path: Path
) -> None:
    random, sent, stops, back, wanted = Random(31), 0, 0, 0, trials(50, 1000)
    unlogged = 0
    for number in range(wanted):
        gate = DiskGate(tmp_path / str(number))
        gate.arm()
        permit = gate.permit(*STEPS)
        for step in STEPS[: random.randint(0, 3)]:
            gate.monitor.finish(gate.dispatch(permit, step.id), True, {}, gate.now)
        with pytest.MonkeyPatch.context() as patch:
            list(FAULTS.values())[number % len(FAULTS)](patch, gate, random)
            sent += try_everything(gate, permit, random)
            unlogged += gate.unlogged()
            stops += stop_works(gate)
        back += recovered(gate)
        unlogged += gate.unlogged()
        gate.audit.close()
    record('T31', trials=wanted, breaches=sent + unlogged, stops=stops, recovered=back, faults=len(FAULTS))
    assert (sent, unlogged) == (0, 0)
    assert stops == wanted and back == wanted


@contextlib.contextmanager
def largest_file(limit: int) -> Iterator[None]:
    """Let the kernel refuse to write beyond a size: a real fault, with the half-written record that it leaves."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_kernel_that_refuses_the_bytes_is_no_way_around(
    trials: Callable[[int, int], int], record: Callable[..., None], tmp_path: Path
) -> None:
    random, sent, stops, back, wanted = Random(32), 0, 0, 0, trials(20, 200)
    for number in range(wanted):
        gate = DiskGate(tmp_path / str(number))
        gate.arm()
        permit = gate.permit(*STEPS)
        gate.make_durable()
        size = gate.audit.path.stat().st_size
        with largest_file(size + random.randint(0, 300)):  # the record of a dispatch is longer
            sent += try_everything(gate, permit, random)
            stops += stop_works(gate)
        back += recovered(gate)
        gate.audit.close()
    record('T31', trials=wanted, breaches=sent, stops=stops, recovered=back)
    assert sent == 0
    assert stops == wanted and back == wanted


def test_a_gate_that_does_not_wait_for_the_disk_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DiskGate, 'make_durable', lambda gate: None)
    gate = DiskGate(tmp_path)
    gate.arm()
    gate.dispatch(gate.permit(*STEPS), 's1')
    assert gate.unlogged() == 1


# T32 -----------------------------------------------------------------------------------------------------------------
def a_log(folder: Path, sign: Callable[[bytes], bytes] | None = None, rounds: int = 6) -> list[bytes]:
    """Return the lines of a log of an ordinary hour."""
    gate = DiskGate(folder, sign)
    gate.arm()
    for _ in range(rounds):
        permit = gate.permit(*STEPS)
        for step in STEPS:
            gate.monitor.finish(gate.dispatch(permit, step.id), True, {'distance_m': 4.5}, gate.now, 'there')
            gate.later(0.5)
        gate.monitor.close(permit, 0, '', gate.now)
    gate.audit.close()
    return gate.audit.path.read_bytes().splitlines(keepends=True)


def resealed(line: bytes, random: Random) -> bytes:
    """Change a record and give it a right hash of its own."""
    body = json.loads(line)
    body.pop('hash')
    body['steady_s'] = random.random()
    return dump({**body, 'hash': digest_of(body)}) + b'\n'


def _flip(lines: list[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(lines))
    line, place = bytearray(lines[at]), random.randrange(len(lines[at]))
    line[place] ^= 1 << random.randrange(8)
    return [*lines[:at], bytes(line), *lines[at + 1 :]]


def _edit(lines: list[bytes], random: Random) -> list[bytes]:
    at = random.choice([index for index, line in enumerate(lines) if b'"allow"' in line])
    return [*lines[:at], lines[at].replace(b'"allow"', b'"deny"'), *lines[at + 1 :]]


def _edit_with_hash(lines: list[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(lines) - 1)
    return [*lines[:at], resealed(lines[at], random), *lines[at + 1 :]]


def _delete(lines: list[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(lines) - 1)
    return lines[:at] + lines[at + random.randint(1, len(lines) - 1 - at) :]


def _repeat(lines: list[bytes], random: Random) -> list[bytes]:
    at, to = random.randrange(len(lines)), random.randrange(len(lines) + 1)
    return [*lines[:to], lines[at], *lines[to:]]


def _swap(lines: list[bytes], random: Random) -> list[bytes]:
    one, two = random.sample(range(len(lines)), 2)
    changed = list(lines)
    changed[one], changed[two] = changed[two], changed[one]
    return changed


def _cut_inside(lines: list[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(lines))
    return [*lines[:at], lines[at][: random.randrange(1, len(lines[at]))]]


def _blank(lines: list[bytes], random: Random) -> list[bytes]:
    at = random.randrange(len(lines) + 1)
    return [*lines[:at], random.choice((b'\n', b'{}\n', b'null\n', b'[]\n', b'\0\n')), *lines[at:]]


def _empty(lines: list[bytes], random: Random) -> list[bytes]:
    return []


MUTATIONS = (_flip, _edit, _edit_with_hash, _delete, _repeat, _swap, _cut_inside, _blank, _empty)


def test_every_change_of_a_log_is_found(
    trials: Callable[[int, int], int], record: Callable[..., None], tmp_path: Path
) -> None:
    lines, random, missed, wanted = a_log(tmp_path), Random(32), [], trials(300, 20_000)
    assert verify(lines).problem == '' and len(lines) > 50
    for number in range(wanted):
        mutation = MUTATIONS[number % len(MUTATIONS)]
        changed = mutation(lines, random)
        if changed != lines and not verify(changed).problem:
            missed.append(mutation.__name__)
    record('T32', trials=wanted, breaches=len(missed), records=len(lines))
    assert missed == []


def rewritten(lines: list[bytes]) -> list[bytes]:
    """Change every record and give the whole log hashes that fit."""
    prev, forged = '', []
    for line in lines:
        body = json.loads(line)
        body.pop('hash')
        body = {**body, 'wall': '1970-01-01', **({'prev': prev} if prev else {})}
        prev = digest_of(body)
        forged.append(dump({**body, 'hash': prev}) + b'\n')
    return forged


def signer() -> tuple[bytes, Callable[[bytes], bytes]]:
    private = Ed25519PrivateKey.generate()
    return private.public_key().public_bytes_raw(), private.sign


def test_only_a_key_or_a_hash_kept_elsewhere_shows_a_new_end_of_the_newest_log(tmp_path: Path) -> None:
    """The limit of a chain: its end can be cut off, and without signed checkpoints written anew with fitting hashes."""
    lines = a_log(tmp_path)
    last = verify(lines).last_hash
    cut = verify(lines[:-3])
    assert cut.problem == '' and cut.last_hash != last
    found = verify(rewritten(lines))
    assert found.problem == '' and found.last_hash != last
    key, sign = signer()
    signed = a_log(tmp_path / 'signed', sign, rounds=15)
    assert verify(signed, key).signed
    assert verify(rewritten(signed), key).problem == 'the checkpoint is not signed by that key'
    second = AuditFile(tmp_path, 'b' * 32)  # the next start of the gate keeps the hash of the log before it
    second.close()
    assert json.loads(second.path.read_bytes().splitlines()[0])['previous_hash'] == last
