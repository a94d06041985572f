# SPDX-License-Identifier: Apache-2.0
"""
How long the gate takes: to admit a plan of 12 steps, to authorise a step again, to make its record durable.

The first two are CPU time of the deciding thread, in this process: the same calls that the node makes. The third is
wall time, as it waits for the disk. Beside them, in the same run: jsonschema and jsonschema-rs on the same plan, and
the round trip of a bare rclpy service between two processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _report import REPORTS, ROOT, summary, table, write

from gemma4_ros.core import schemas
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.ordinary import ordinary_value
from gemma4_ros.core.gate.permits import Candidate, Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.plan import Condition, If, Parallel, Plan, Ref, Scalar, Sequence, Step, plan_to_bytes
from gemma4_ros.ros import transport
from gemma4_ros.ros.gate_audit import AuditFile
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_gate

ADMISSION_MS, STEP_MS, AUDIT_MS = 5.0, 1.0, 15.0  # what is aimed at, p99
FULL, SHORT = (1000, 1000, 2000), (20, 20, 0)  # plans, durable records, calls of the service
LOST_S = 1.0  # without an answer so long
BETWEEN_S = 150.0  # simulated, between two plans: what operators ask for in an hour
POLICIES = {
    'mobile_manipulator': GateFiles(
        str(ROOT / 'config'),
        'robots/mobile_manipulator/world.yaml',
        ('robots/mobile_manipulator/tools.yaml',),
        'robots/mobile_manipulator/policy.yaml',
    ),
    'cell': GateFiles(str(ROOT / 'config')),
}
PACKAGES = ('jsonschema', 'jsonschema-rs', 'msgspec', 'rfc8785', 'shapely', 'cryptography', 'ros-rclpy')
RETURNS: Mapping[str, Mapping[str, Scalar]] = {
    'read_gauge': {'value': 3.2, 'low': 3.1, 'high': 3.3},
    'navigate_to': {'distance_m': 5.1},
    'pick': {'grip_force_n': 24.0},
}


def make_plan() -> Plan:
    """Return an ordinary plan of 12 steps, 11 of them on the way that is taken: a reading, an if, a set-point."""
    leave = (Step('s1', 'undock', {}), Step('s2', 'navigate_to', {'place': 'pump'}))
    read = Step('s3', 'read_gauge', {'gauge': 'pressure_gauge'})
    photo = Step('s4', 'take_photo', {'target': 'pressure_gauge'})
    to_desk = Parallel(
        (Step('s5', 'navigate_to', {'place': 'control_desk'}), Step('s6', 'move_arm', {'posture': 'ready'})), 'all'
    )
    turn_down = Step('s7', 'set_panel_value', {'panel': 'setpoint_panel', 'value_bar': Ref('s3', 'value')})
    look = Step('s8', 'take_photo', {'target': 'setpoint_panel'})
    choice = If(Condition(Ref('s3', 'value'), '>', 3.0, 600.0, 'hold', 'bar'), turn_down, look)
    fetch = (
        Step('s9', 'pick', {'object': 'spare_filter'}),
        Step('s10', 'navigate_to', {'place': 'pump'}),
        Step('s11', 'place', {'object': 'spare_filter', 'place': 'pump'}),
        Step('s12', 'move_arm', {'posture': 'stowed'}),
    )
    return Plan('read, adjust, bring the filter', Sequence((*leave, read, photo, to_desk, choice, *fetch)))


WAY = ('s1', 's2', 's3', 's4', ('s5', 's6'), '/5', 's7', 's9', 's10', 's11', 's12')
"""The way that is taken: steps one by one, two at once, and the condition by its path."""


class Kept:
    """A journal that keeps the last record of a dispatch, for the measurement of the disk."""

    def __init__(self) -> None:
        self.dispatch: Mapping[str, Any] = {}

    def note(self, kind: str, data: Mapping[str, Any]) -> None:
        """Take one record."""
        if kind == 'dispatch':
            self.dispatch = data


class Bench:
    """One gate in this process, on the signals of an ordinary moment, with a clock that is moved by hand."""

    def __init__(self, policy: Policy, catalogue: Catalogue) -> None:
        self._ids = iter(range(1, sys.maxsize))
        self.journal = Kept()
        self.monitor = Monitor(policy, catalogue, 'bench', lambda: f'id{next(self._ids)}', self.journal)
        self._values = {name: ordinary_value(policy, catalogue.world, name) for name in policy.signals}
        self.now = 100.0
        self.admissions: list[float] = []
        self.steps: list[float] = []
        self.passes(0.0)
        self.monitor.moment.arm('bench', self.now)

    def passes(self, seconds: float) -> None:
        """Let time pass; everything is seen again at its end."""
        self.now += seconds
        for name, value in self._values.items():
            self.monitor.moment.signal(name, value, self.now, self.now)
        self.monitor.moment.deadman(self.now)
        self.monitor.moment.executor(self.now)

    def run(self, raw: bytes) -> None:
        """Admit the plan and send all of it; both are timed, what lies between is not."""
        self.passes(BETWEEN_S)
        admission = timed(self.admissions, lambda: self.monitor.admit(raw, 'bench', 0, self.now))
        if admission.candidate is None:
            raise SystemExit(f'gate: the plan of the measurement is refused: {admission.verdict.text}')
        permit_id = self._issue(admission.candidate)
        for part in WAY:
            if isinstance(part, str) and part.startswith('/'):
                self.monitor.evaluate(permit_id, part, self.now)
                continue
            tickets = [self._send(permit_id, step_id) for step_id in ((part,) if isinstance(part, str) else part)]
            self.passes(0.5)
            for ticket in tickets:
                self._follow(ticket)
                self.monitor.finish(ticket, True, RETURNS.get(ticket.step.tool, {}), self.now)
        self.monitor.close(permit_id, 0, 'ended', self.now)

    def _issue(self, candidate: Candidate) -> str:
        # as after people have agreed; their signatures are not what is measured here
        agreed = replace(candidate, case=replace(candidate.case, agreed=True))
        return self.monitor.issue(agreed, self.now).id

    def _send(self, permit_id: str, step_id: str) -> Ticket:
        def authorise() -> Ticket:
            ticket = self.monitor.authorise(permit_id, step_id, self.now)
            self.monitor.confirm(ticket, self.now)
            return ticket

        return timed(self.steps, authorise)

    def _follow(self, ticket: Ticket) -> None:
        zones = self.monitor.policy.zones
        if zones is not None and isinstance(ticket.end, Point):
            self._values[zones.signal] = ticket.end


def timed(times: list[float], call: Callable[[], Any]) -> Any:
    """Call, and add the CPU time of this thread, s."""
    start = time.thread_time()
    result = call()
    times.append(time.thread_time() - start)
    return result


def measure_policy(files: GateFiles, plans: int) -> tuple[dict[str, Any], Kept]:
    """Run the plan many times against one policy."""
    policy, catalogue = load_gate(files)
    bench, raw = Bench(policy, catalogue), plan_to_bytes(make_plan())
    for _ in range(plans):
        bench.run(raw)
    figures = {
        'policy': f'{policy.name} version {policy.version}',
        'plan_steps': len(make_plan().steps()),
        'admission_cpu': summary(bench.admissions),
        'step_cpu': summary(bench.steps),
    }
    return figures, bench.journal


def measure_audit(record: Mapping[str, Any], records: int, folder: Path) -> dict[str, float]:
    """Write a record of a dispatch again and again, each made durable, with signed checkpoints."""
    times = []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as below:  # not below /tmp, which may be memory
        audit = AuditFile(Path(below), secrets.token_hex(16), Ed25519PrivateKey.generate().sign)
        audit.write()
        for _ in range(records):
            audit.note('dispatch', record)
            start = time.perf_counter()
            audit.write()
            times.append(time.perf_counter() - start)
        audit.close()
    return summary(times)


def measure_validators(plans: int) -> dict[str, dict[str, float]]:
    """Validate the same plan against the same schema with two libraries: a part of what admission does."""
    value = json.loads(plan_to_bytes(make_plan()))
    validators: dict[str, Callable[[Any], Any]] = {
        'jsonschema': jsonschema.Draft202012Validator(schemas.PLAN).validate,
        'jsonschema_rs': jsonschema_rs.validator_for(schemas.PLAN).validate,
    }
    found = {}
    for name, validate in validators.items():
        times: list[float] = []
        for _ in range(plans):
            timed(times, lambda validate=validate: validate(value))
        found[name] = summary(times)
    return found


# A bare service of rclpy ----------------------------------------------------------------------------------------------
def measure_service(calls: int) -> dict[str, Any]:
    """Return the round trip of a call between two processes, wall time; or why there is none."""
    try:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from std_srvs.srv import Trigger
    except ImportError as error:
        return {'skipped': f'{error}; run make setup'}
    name = f'bench_{os.getpid()}'
    child = subprocess.Popen([sys.executable, __file__, '--serve', name])
    transport.apply()
    rclpy.init(args=[])
    node, executor = rclpy.create_node(f'{name}_client'), SingleThreadedExecutor()
    executor.add_node(node)
    client = node.create_client(Trigger, name)
    try:
        if not client.wait_for_service(timeout_sec=30.0):
            return {'skipped': 'the service of the other process was not found within 30 s'}
        taken = [_round_trip(client, executor, Trigger.Request()) for _ in range(calls)]
        answered = [seconds for seconds in taken if seconds < LOST_S]
        return {**summary(answered), 'lost': calls - len(answered)} if answered else {'skipped': 'no call was answered'}
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        child.terminate()
        child.wait(10.0)


def _round_trip(client: Any, executor: Any, request: Any) -> float:
    start = time.perf_counter()
    future = client.call_async(request)
    while not future.done() and time.perf_counter() - start < LOST_S:
        executor.spin_once(timeout_sec=0.1)
    return time.perf_counter() - start


def serve(name: str) -> None:
    """Answer until the end."""
    import rclpy
    from rclpy.executors import ExternalShutdownException
    from std_srvs.srv import Trigger

    transport.apply()
    rclpy.init(args=[])
    node = rclpy.create_node(name)
    node.create_service(Trigger, name, lambda _, response: response)
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)


# The report -----------------------------------------------------------------------------------------------------------
def rows(figures: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    """Yield the lines of the page."""
    for name in POLICIES:
        for what, kind, aim in (('admit 12 steps', 'admission_cpu', ADMISSION_MS), ('one step', 'step_cpu', STEP_MS)):
            yield line(f'{what}, policy of the {name.replace("_", " ")}, CPU', figures['policies'][name][kind], aim)
    yield line('one record made durable', figures['audit'], AUDIT_MS)
    yield line('jsonschema validates the plan, CPU', figures['validators']['jsonschema'], math.inf)
    yield line('jsonschema-rs validates the plan, CPU', figures['validators']['jsonschema_rs'], math.inf)
    if 'skipped' not in figures['service']:
        yield line('bare rclpy service, round trip', figures['service'], math.inf)


def line(what: str, found: Mapping[str, float], aim_ms: float) -> tuple[object, ...]:
    """Return one line: what, how often, p50, p99, greatest, aim."""
    aim = f'{aim_ms:g}' if math.isfinite(aim_ms) else '-'
    return (what, found['count'], found['p50_ms'], found['p99_ms'], found['max_ms'], aim)


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description='How long the gate takes.')
    parser.add_argument('--short', action='store_true', help='a few of each, without ROS: whether it works at all')
    parser.add_argument('--out', type=Path, default=REPORTS, help='folder of the report')
    parser.add_argument('--serve', default='', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    plans, records, calls = SHORT if options.short else FULL
    measured = {name: measure_policy(files, plans) for name, files in POLICIES.items()}
    policies = {name: figures for name, (figures, _) in measured.items()}
    full = policies['mobile_manipulator']
    audit = measure_audit(measured['mobile_manipulator'][1].dispatch, records, options.out)
    figures = {
        'admission_p99_ms': full['admission_cpu']['p99_ms'],
        'step_p99_ms': full['step_cpu']['p99_ms'],
        'audit_p99_ms': audit['p99_ms'],
        'aims_p99_ms': {'admission': ADMISSION_MS, 'step': STEP_MS, 'audit': AUDIT_MS},
        'short': options.short,
        'policies': policies,
        'audit': audit,
        'validators': measure_validators(plans),
        'service': {'skipped': 'short form'} if options.short else measure_service(calls),
    }
    head = ('what', 'times', 'p50 ms', 'p99 ms', 'greatest ms', 'aim, p99 ms')
    page = f'# How long the gate takes\n\n{table(head, rows(figures))}\n'
    print(page)
    print(f'written: {write("gate", figures, page, options.out, PACKAGES)}')


if __name__ == '__main__':
    main()
