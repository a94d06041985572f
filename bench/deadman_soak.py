# SPDX-License-Identifier: Apache-2.0
"""
Does the deadman trip without a reason? Gate, deadman and a controller as real processes, on a computer that is busy.

The model decodes flat out and a process has the disk sync. Phases take turns: in an active one a plan is admitted and
its drives are sent, so that the deadman's short patience counts; in an idle one nothing moves. Whatever stops the gate
or cancels a drive in that time is a false trip. At the end the gate is killed during a drive: that drive must be
cancelled, and so must goals that the controller accepts afterwards.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from _load import DecodingModel, DiskWriter, missing_model
from _report import REPORTS, ROOT, summary, table, write

os.environ.setdefault('ROS_DOMAIN_ID', '89')  # before ROS is imported: a stack that runs here is not to be met

import rclpy
from gemma4_ros.action import DispatchStep, DriveTo
from gemma4_ros.msg import DeadmanState, GateState, Heartbeat
from gemma4_ros.srv import AdmitPlan, ClosePermit, SetArmed
from rclpy.action import ActionClient
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import String

from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes
from gemma4_ros.ros import qos, transport

PHASE_S, DRIVE_S, DRIVES = 20.0, 3.0, 5
FIND_S, ANSWER_S = 60.0, 30.0
STRANGERS = 5  # goals that somebody else sends after the gate's death
PLACES = ('pump', 'storage', 'valve_station', 'control_desk', 'pump')
PACKAGES = ('ros-rclpy', 'ros-rmw-fastrtps-cpp', 'llama-cpp-python')


class GoneError(Exception):
    """Something did not happen in time."""


def wait(holds: Callable[[], bool], what: str, deadline_s: float) -> float:
    """Wait for a predicate; return how long it took, s."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > deadline_s:
            raise GoneError(f'{what} did not happen within {deadline_s:g} s')
        time.sleep(0.005)  # how finely it looks
    return time.monotonic() - start


class Watcher:
    """Sees beats, states and what the controller says; asks the gate as planner, executor and people do."""

    def __init__(self) -> None:
        transport.apply()
        rclpy.init(args=[])
        self.node = node = rclpy.create_node('soak')
        self.gaps: dict[str, list[float]] = {'idle': [], 'active': []}
        self.deadman, self.gate, self.trips = DeadmanState(), GateState(), 0
        self.count = {'accepted': 0, 'finished': 0, 'cancelled': 0}
        self._beat_at_s = 0.0
        node.create_subscription(Heartbeat, 'gate/heartbeat', self._on_beat, qos.HEARTBEAT)
        node.create_subscription(DeadmanState, 'deadman/state', self._on_deadman, qos.STATE_LATCHED)
        node.create_subscription(GateState, 'gate/state', lambda m: setattr(self, 'gate', m), qos.STATE_LATCHED)
        node.create_subscription(String, 'soak/controller', self._on_controller, qos.STATE_LATCHED)
        types = {'gate/admit': AdmitPlan, 'gate/close': ClosePermit}
        types |= {'gate/set_armed': SetArmed, 'deadman/set_armed': SetArmed}
        self._clients = {name: node.create_client(cls, name) for name, cls in types.items()}
        self._dispatcher = ActionClient(node, DispatchStep, 'gate/dispatch')
        self._driver = ActionClient(node, DriveTo, 'drive_to')
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._over.is_set():
            self._executor.spin_once(timeout_sec=0.05)

    def close(self) -> None:
        """End."""
        self._over.set()
        self._thread.join(5.0)
        self._executor.shutdown(timeout_sec=0.0)
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _on_beat(self, message: Any) -> None:
        now = time.monotonic()
        if self._beat_at_s:
            self.gaps['active' if message.active else 'idle'].append(now - self._beat_at_s)
        self._beat_at_s = now

    def _on_deadman(self, message: Any) -> None:
        self.deadman, self.trips = message, max(self.trips, message.trips)

    def _on_controller(self, message: Any) -> None:
        self.count = json.loads(message.data)

    def call(self, name: str, **fields: Any) -> Any:
        """Call a service of the gate or the deadman."""
        client = self._clients[name]
        wait(client.service_is_ready, name, FIND_S)
        future = client.call_async(client.srv_type.Request(**fields))
        wait(future.done, f'the answer of {name}', ANSWER_S)
        return future.result()

    def arm(self) -> None:
        """Clear what is latched, then arm, as a person does."""

        said = ['']

        def reset() -> bool:
            if self.deadman.state in (DeadmanState.CANCELLING, DeadmanState.TRIPPED):
                self.call('deadman/set_armed', command=SetArmed.Request.RESET, person='soak')
            if self.gate.state == GateState.STOPPED:
                self.call('gate/set_armed', command=SetArmed.Request.RESET, person='soak')
            answer = self.call('gate/set_armed', command=SetArmed.Request.ARM, person='soak')
            said[0] = answer.text
            return bool(answer.accepted)

        try:
            wait(reset, 'arming', FIND_S)
        except GoneError as error:
            raise GoneError(f'{error}: {said[0]}') from None

    def start_plan(self) -> str:
        """Have a plan of drives admitted and return its permit."""
        steps = tuple(Step(f's{n}', 'navigate_to', {'place': place}) for n, place in enumerate(PLACES[:DRIVES], 1))
        answer = self.call('gate/admit', plan=plan_to_bytes(Plan('soak', Sequence(steps))), proposer='soak')
        if not answer.permit_id:
            raise GoneError(f'no permit: {answer.verdict.code} {answer.verdict.text}')
        return str(answer.permit_id)

    def begin_step(self, permit_id: str, step_id: str) -> Any:
        """Ask the gate to send a step; return the future of its handle."""
        wait(self._dispatcher.server_is_ready, 'gate/dispatch', FIND_S)
        return self._dispatcher.send_goal_async(DispatchStep.Goal(permit_id=permit_id, step_id=step_id))

    def step(self, permit_id: str, step_id: str) -> str:
        """Have the gate send a step; return what went wrong, if anything."""
        accepted = self.begin_step(permit_id, step_id)
        wait(accepted.done, f'the acceptance of {step_id}', ANSWER_S)
        ended = accepted.result().get_result_async()
        wait(ended.done, f'the end of {step_id}', ANSWER_S + DRIVE_S)
        result = ended.result().result
        return '' if result.outcome == DispatchStep.Result.SUCCEEDED else f'{step_id}: {result.code} {result.text}'

    def drive(self) -> None:
        """Send a goal to the controller past the gate, as nobody should."""
        wait(self._driver.server_is_ready, 'drive_to', FIND_S)
        self._driver.send_goal_async(DriveTo.Goal())


class Processes:
    """Gate, deadman and robot."""

    def __init__(self, audit: Path) -> None:
        config, env = ('-p', f'config:={ROOT / "config"}'), {**os.environ, 'GEMMA4_DIE_WITH_PARENT': '1'}
        nodes = {'deadman': config, 'gate': (*config, '-p', f'audit_dir:={audit}')}
        run = [sys.executable, '-m', 'gemma4_ros.nodes.run']
        self.all = {
            name: subprocess.Popen([*run, name, '--ros-args', *given], env=env) for name, given in nodes.items()
        }
        robot = [sys.executable, str(Path(__file__).with_name('_soak_robot.py')), str(DRIVE_S)]
        self.all['robot'] = subprocess.Popen(robot)

    def close(self) -> None:
        """End them."""
        for process in self.all.values():
            process.terminate()
        for process in self.all.values():
            try:
                process.wait(10.0)
            except subprocess.TimeoutExpired:
                process.kill()


def soak(watcher: Watcher, seconds: float) -> dict[str, Any]:
    """Let phases take turns; return what happened that should not have."""
    end, phases, false = time.monotonic() + seconds, {'active': 0, 'idle': 0}, []
    while time.monotonic() < end:
        trips, cancelled = watcher.trips, watcher.count['cancelled']
        is_active = phases['active'] <= phases['idle']
        phases['active' if is_active else 'idle'] += 1
        problem = _active(watcher) if is_active else _idle(watcher, min(PHASE_S, max(1.0, end - time.monotonic())))
        seen = (watcher.trips - trips, watcher.count['cancelled'] - cancelled, watcher.gate.state == GateState.STOPPED)
        if problem or any(seen):
            reason = f'{watcher.deadman.reason} | gate: {watcher.gate.text}'
            false.append({'phase': 'active' if is_active else 'idle', 'problem': problem, 'reason': reason})
            print(f'deadman_soak: {false[-1]}', flush=True)
            try:
                watcher.arm()
            except GoneError as error:
                false.append({'phase': 'after an incident', 'problem': str(error), 'reason': watcher.gate.text})
                break
    return {'phases': phases, 'false_trips': watcher.trips, 'incidents': false}


def _active(watcher: Watcher) -> str:
    try:
        permit_id = watcher.start_plan()
        problem = next(filter(None, (watcher.step(permit_id, f's{n}') for n in range(1, DRIVES + 1))), '')
        watcher.call('gate/close', permit_id=permit_id, outcome=ClosePermit.Request.SUCCEEDED, text='soak')
    except GoneError as error:
        return str(error)
    return problem


def _idle(watcher: Watcher, seconds: float) -> str:
    end = time.monotonic() + seconds
    with contextlib.suppress(GoneError):
        wait(lambda: watcher.gate.state == GateState.STOPPED, 'a stop', end - time.monotonic())
        return 'stopped while nothing moved'
    return ''


def kill_gate(watcher: Watcher, gate: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Kill the gate in a drive, then send goals past it; return what was cancelled, and how soon."""
    before = dict(watcher.count)
    watcher.begin_step(watcher.start_plan(), 's1')
    wait(lambda: watcher.count['accepted'] > before['accepted'], 'the drive', ANSWER_S)
    killed_at = time.monotonic()
    gate.send_signal(signal.SIGKILL)
    print(f'deadman_soak: the gate was killed at {time.time():.3f}', flush=True)  # to be read beside the nodes' logs
    took_s, late = None, []
    with contextlib.suppress(GoneError):
        wait(lambda: watcher.count['cancelled'] > before['cancelled'], 'the cancel', DRIVE_S + 1.0)
        took_s = time.monotonic() - killed_at
    for _ in range(STRANGERS):
        accepted, cancelled = watcher.count['accepted'], watcher.count['cancelled']
        watcher.drive()
        wait(lambda accepted=accepted: watcher.count['accepted'] > accepted, 'the acceptance', ANSWER_S)
        with contextlib.suppress(GoneError):
            wait(lambda cancelled=cancelled: watcher.count['cancelled'] > cancelled, 'the cancel', DRIVE_S + 1.0)
            late.append(1)
    return {
        'cancelled_after_s': took_s,
        'goals_after_death': STRANGERS,
        'cancelled_after_death': len(late),
        'finished_after_death': watcher.count['finished'] - before['finished'],
    }


def measure(minutes: float, model: DecodingModel | None, out: Path) -> dict[str, Any]:
    """Run everything."""
    with tempfile.TemporaryDirectory(dir=out) as audit:
        processes, watcher = Processes(Path(audit)), Watcher()
        try:
            watcher.arm()
            for gaps in watcher.gaps.values():  # those of the start are none
                gaps.clear()
            started = time.monotonic()
            if model is not None:
                model.begin()
            found = soak(watcher, 60.0 * minutes)
            found['soaked_s'] = time.monotonic() - started
            found['beat_gaps'] = {name: summary(gaps) for name, gaps in watcher.gaps.items() if gaps}
            found['drives'] = dict(watcher.count)
            found['gate_killed'] = kill_gate(watcher, processes.all['gate'])
            return found
        finally:
            watcher.close()
            processes.close()


def make_page(found: dict[str, Any], decoded: dict[str, Any]) -> str:
    """Return the report to read."""
    killed, rows = found['gate_killed'], found['beat_gaps'].items()
    gaps = [(name, it['count'], it['p50_ms'], it['p99_ms'], it['p999_ms'], it['max_ms']) for name, it in rows]
    head = ('gate', 'beats', 'p50 ms', 'p99 ms', 'p99.9 ms', 'greatest ms')
    busy = f'the model decoded {decoded["tokens_per_s"]:.1f} tokens a second' if decoded else 'no model'
    after_s = killed['cancelled_after_s']
    cancelled = 'not cancelled' if after_s is None else f'cancelled after {1e3 * after_s:.0f} ms'
    phases = found['phases']
    return (
        '# The deadman on a busy computer\n\n'
        f'{found["soaked_s"] / 60:.1f} minutes, {busy}, a process that syncs the disk all the time. '
        f'**{found["false_trips"]} false trips**, {len(found["incidents"])} incidents in {phases["active"]} active and '
        f'{phases["idle"]} idle phases, {found["drives"]["finished"]} drives to the end.\n\n'
        f'Time between two beats of the gate, as a third process saw them:\n\n{table(head, gaps)}\n\n'
        f'Gate killed in a drive: {cancelled}. Goals accepted after its death: {killed["cancelled_after_death"]} of '
        f'{killed["goals_after_death"]} cancelled, {killed["finished_after_death"]} carried out.\n'
    )


def main() -> int:
    """Soak, report, and say whether it was as it must be."""
    parser = argparse.ArgumentParser(description='False trips of the deadman on a busy computer.')
    parser.add_argument('--minutes', type=float, default=60.0)
    parser.add_argument('--no-model', action='store_true', help='without the model, to try this out')
    parser.add_argument('--out', type=Path, default=REPORTS, help='folder of the report')
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    why = 'left out' if options.no_model else missing_model()
    with contextlib.ExitStack() as stack:
        model = None if why else stack.enter_context(DecodingModel())
        stack.enter_context(DiskWriter(options.out))
        found = measure(options.minutes, model, options.out)
        decoded = model.figures() if model is not None else {}
    page = make_page(found, decoded)
    print(page)
    figures = {'minutes': options.minutes, **found, 'decoding': decoded, 'without_model': why}
    print(f'written: {write("deadman_soak", figures, page, options.out, PACKAGES)}')
    killed = found['gate_killed']
    late = (killed['cancelled_after_death'], killed['finished_after_death'])
    all_cancelled = late == (STRANGERS, 0) and killed['cancelled_after_s'] is not None
    return 0 if not found['incidents'] and all_cancelled and not decoded.get('error') else 1


if __name__ == '__main__':
    sys.exit(main())
