# SPDX-License-Identifier: Apache-2.0
"""Inputs that go silent, stand still or come late (T17), and clocks that lie (T26)."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hand_gate import CONFIG, HandGate, load

from gemma4_ros.core.gate.state import Latch
from gemma4_ros.core.gate.verdict import Refused
from gemma4_ros.core.plan import Sequence, Step

pytestmark = [pytest.mark.attack]

FILES = load()
STEPS = Sequence((Step('s1', 'navigate_to', {'place': 'pump'}), Step('s2', 'navigate_to', {'place': 'storage'})))
VALUES = {'mode': 'AUTO', 'estop': False}
INPUTS = ('mode', 'estop', 'pose', 'executor', 'deadman')
FROZEN_S = 0.8
SLACK_S = {'mode': 0.05, 'estop': 0.05, 'pose': 0.05, 'executor': 0.07, 'deadman': 0.07}  # leases: a tick, then a look


# T17: time is moved by hand, in steps of 10 ms
@dataclass
class Stream:
    """One input at 20 Hz; from a moment on it is dropped, its stamp stands still, or it comes late."""

    name: str
    next_s: float
    way: str = ''
    since_s: float = 0.0
    late_s: float = 0.0
    last_s: float = 0.0

    def publish(self, gate: HandGate) -> None:
        """Let what is due at the present time arrive."""
        if gate.now < self.next_s:
            return
        self.next_s += 0.05
        if self.way == 'dropped' or (self.way == 'late' and gate.now < self.since_s + self.late_s):
            return
        moment = gate.monitor.moment
        if self.name in ('executor', 'deadman'):
            (moment.executor if self.name == 'executor' else moment.deadman)(gate.now)
        else:
            stamp_s = self.last_s if self.way == 'frozen' else gate.now
            moment.signal(self.name, VALUES.get(self.name), gate.now, stamp_s)
        if self.way != 'frozen':
            self.last_s = gate.now


def limit_of(name: str, way: str) -> float:
    """Return the greatest age of an input."""
    policy = FILES[0]
    if name in ('executor', 'deadman'):
        return policy.executor_lease_s if name == 'executor' else policy.deadman_lease_s
    return FROZEN_S if way == 'frozen' else policy.signals[name].max_age_s


def overdue(name: str, way: str, random: Random) -> tuple[float, int]:
    """Run one step with one bad input; return by how much the end came later than its limit, and the goals after it."""
    policy = FILES[0]
    frozen_s = {'frozen_after_s': FROZEN_S} if way == 'frozen' else {}
    signals = {key: replace(rule, **frozen_s) for key, rule in policy.signals.items()}
    gate = HandGate(replace(policy, signals=signals), FILES[1])
    start = gate.now
    streams = [Stream(each, start + random.uniform(0.0, 0.05), last_s=start) for each in INPUTS]
    bad = next(stream for stream in streams if stream.name == name)
    permit, ticket = '', None
    begin_s = start + random.uniform(0.3, 0.6)
    for count in range(600):
        gate.now = start + 0.01 * count
        for stream in streams:
            stream.publish(gate)
        if count % 5 == 0:
            gate.monitor.tick(gate.now)
        if count == 15:
            permit = gate.arm().permit(*STEPS.children)
            ticket = gate.dispatch(permit, 's1')
        if not bad.way and gate.now >= begin_s:
            bad.way, bad.since_s, bad.late_s = way, gate.now, limit_of(name, way) * random.uniform(1.5, 3.0)
        if ticket is not None and count % 2 == 0 and gate.monitor.must_end(ticket, gate.now) is not None:
            break
    else:
        return float('inf'), 0
    assert ticket is not None and bad.way
    gate.monitor.finish(ticket, False, {}, gate.now)
    goals = len(gate.sent)
    with pytest.raises(Refused):
        gate.dispatch(permit, 's1')
    return gate.now - bad.last_s - limit_of(name, way), len(gate.sent) - goals


CASES = [(name, way) for name in INPUTS for way in ('dropped', 'frozen', 'late')]
STAMPED = [(name, way) for name, way in CASES if way != 'frozen' or name not in ('executor', 'deadman')]


def test_every_input_that_is_dropped_frozen_or_late_ends_the_step_in_time(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    random, each = Random(17), trials(5, 50)
    worst_s, goals = dict.fromkeys(INPUTS, 0.0), 0
    for name, way in STAMPED:
        for _ in range(each):
            late_s, sent = overdue(name, way, random)
            worst_s[name], goals = max(worst_s[name], late_s), goals + sent
            assert 0.0 < late_s <= SLACK_S[name] + 1e-6, f'{name} {way}: {late_s} s after its limit'
    record(
        'T17',
        trials=each * len(STAMPED),
        breaches=goals,
        worst_ms={name: round(late_s * 1e3) for name, late_s in worst_s.items()},
    )
    assert goals == 0


# T26: clocks
JUMPS = {
    'an hour ahead': 3600.0,
    'an hour back': -3600.0,
    '1970': -1.8e9,
    '2038': 4.0e8,
    'two seconds': 2.0,
    'a slow crawl': 0.9,
}


def validity_s(jump_s: float, when_s: float, **changes: Any) -> tuple[float, bool]:
    """Return for how long a permit was good while the wall clock jumped, and whether the jump was told."""
    gate = HandGate(*FILES, permit_ttl_s=2.0, start_within_s=2.0, **changes)
    gate.arm()
    permit = gate.permit(*STEPS.children)
    start, good_s, offset_s = gate.now, 0.0, 1.7e9
    while gate.now < start + 4.0:
        gate.later(0.05)
        gate.monitor.moment.clock(offset_s + (jump_s if gate.now - start > when_s else 0.0), gate.now)
        try:
            gate.monitor.finish(gate.dispatch(permit, 's1'), False, {}, gate.now)
            good_s = gate.now - start
        except Refused:
            pass
    return good_s, any(kind == 'clock' for kind, _ in gate.records)


@pytest.mark.parametrize('jump', JUMPS)
def test_wall_clock_that_jumps_makes_no_permit_live_longer(
    jump: str, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    random, told, longer = Random(26), 0, 0
    wanted = trials(5, 200)
    for _ in range(wanted):
        good_s, is_told = validity_s(JUMPS[jump], random.uniform(0.1, 1.8))
        told += is_told
        longer += good_s > 2.0 + 1e-6
    record(f'T26-{jump.replace(" ", "-")}', trials=wanted, breaches=longer, alarms=told)
    assert longer == 0
    assert told == (0 if jump == 'a slow crawl' else wanted)


class Node26:
    """A real gate node with simulated time, whose permits live for a second, in this process and its own thread."""

    def __init__(self, folder: Path) -> None:
        rclpy = pytest.importorskip('rclpy')
        from fake_robot import Robot
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter
        from rosgraph_msgs.msg import Clock

        from gemma4_ros.nodes.gate_node import GateNode

        text = (CONFIG / 'policy.yaml').read_text(encoding='utf-8')
        short = text.replace('time_to_live_s: 1800, start_within_s: 30', 'time_to_live_s: 1, start_within_s: 1')
        assert short != text
        (folder / 'policy.yaml').write_text(short, encoding='utf-8')
        self.context = Context()
        rclpy.init(context=self.context)
        values = {'config': str(CONFIG), 'policy': str(folder / 'policy.yaml'), 'audit_dir': str(folder)}
        values['use_sim_time'] = True
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.gate = GateNode(context=self.context, parameter_overrides=overrides)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.gate)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        self.robot = Robot()
        self.clock = self.robot.node.create_publisher(Clock, '/clock', 10)
        self._clock_type = Clock

    def _spin(self) -> None:
        while not self._is_over.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def say(self, seconds: float) -> None:
        """Publish a simulated time."""
        message = self._clock_type()
        message.clock.sec = int(seconds)
        self.clock.publish(message)

    def close(self) -> None:
        from fake_robot import wait

        task = self.executor.create_task(self.gate.shutdown)
        wait(task.done, 'the end of the gate')
        self._is_over.set()
        self._thread.join(5.0)
        self.robot.close()
        self.executor.shutdown(timeout_sec=0.0)
        self.gate.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node26]:
    made = Node26(tmp_path)
    yield made
    made.close()


class FalseDate(datetime.datetime):
    """A calendar that says what time.time says."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> FalseDate:
        return cls.fromtimestamp(time.time(), tz)


@pytest.mark.timed
@pytest.mark.ros
@pytest.mark.timeout(900)
def test_node_with_false_wall_and_simulated_clocks_lets_permits_die_in_time(
    node: Node26, monkeypatch: pytest.MonkeyPatch, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    from fake_robot import wait

    real, shift_s = time.time, [0.0]
    monkeypatch.setattr(time, 'time', lambda: real() + shift_s[0])
    monkeypatch.setattr('gemma4_ros.ros.gate_audit.datetime.datetime', FalseDate)
    extended = 0
    jumps: list[tuple[float, float]] = [(0.0, 100.0), (3600.0, 5.0), (-3600.0, 2e9), (-1.7e9, 0.0), (4e8, 1.0)]
    jumps *= trials(1, 20)
    node.robot.drive.mode = 'done'
    for wall_s, simulated_s in jumps:
        node.say(1000.0)
        wait(lambda: node.robot.call('gate/set_armed', command=0, person='operator').accepted, 'arming')
        admission = node.robot.admit(STEPS)
        assert admission.permit_id, admission.verdict.text
        start, goals = time.monotonic(), len(node.robot.drive.goals)
        shift_s[0] = wall_s
        node.say(simulated_s)
        wait(lambda start=start: time.monotonic() > start + 1.05, 'the end of the permit')
        result = node.robot.dispatch(admission.permit_id, 's1')
        assert result.code
        extended += len(node.robot.drive.goals) - goals
        shift_s[0] = 0.0
        node.robot.call('gate/set_armed', command=1, person='operator')
    record('T26', trials=len(jumps), breaches=extended)
    assert extended == 0
    assert node.gate.monitor.state.latch is Latch.DISARMED
