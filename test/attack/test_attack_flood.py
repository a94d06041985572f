# SPDX-License-Identifier: Apache-2.0
"""Messages that nobody should send (T25), and too many of them (T15): the gate lives, stops, and sends nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

pytest.importorskip('rclpy')

import psutil
from fake_robot import ROOT, Processes, Robot, percentile, wait
from gemma4_ros.action import DispatchStep
from gemma4_ros.msg import DeadmanState, GateState, Heartbeat, StopRequest
from gemma4_ros.srv import AdmitPlan, Approve, ClosePermit, EvaluateCondition, GetPlan, SetArmed
from nav_msgs.msg import Odometry
from rclpy._rclpy_pybind11 import RMWError
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import String

from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes
from gemma4_ros.ros import qos

if __name__ != '__main__':
    pytestmark = [pytest.mark.attack, pytest.mark.timed, pytest.mark.ros, pytest.mark.timeout(900)]

STEPS = Sequence((Step('s1', 'navigate_to', {'place': 'pump'}), Step('s2', 'navigate_to', {'place': 'storage'})))
REQUESTS: dict[str, Any] = {
    'admit': AdmitPlan,
    'approve': Approve,
    'get_plan': GetPlan,
    'evaluate': EvaluateCondition,
    'close': ClosePermit,
    'set_armed': SetArmed,
}
TOPICS: dict[str, tuple[Any, Any]] = {
    'mode': (String, qos.SIGNAL),
    'odom': (Odometry, qos.SIGNAL),
    'executor/heartbeat': (Heartbeat, qos.HEARTBEAT),
    'deadman/heartbeat': (Heartbeat, qos.HEARTBEAT),
    'deadman/state': (DeadmanState, qos.STATE_LATCHED),
}
LENGTHS = (0, 1, 3, 4, 7, 64, 255, 65537, 2**31 - 1, 2**31, 2**32 - 1)


def mutated(raw: bytes, random: Random) -> bytes:
    """Cut, lengthen, overwrite or flip serialised bytes; lengths are what parsers trust."""
    data = bytearray(raw)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(data)) if data else 0
        kind = random.randrange(5)
        if kind == 0:
            data = data[:at]
        elif kind == 1:
            data += random.randbytes(random.choice((1, 4, 64, 4096)))
        elif kind == 2 and data:
            data[at] ^= 1 << random.randrange(8)
        elif kind == 3:
            data[at & ~3 : (at & ~3) + 4] = random.choice(LENGTHS).to_bytes(4, 'little')
        else:
            data[at:at] = random.choice((b'\xff\xfe', b'\0' * 8, b'\xed\xa0\x80', '\u202e'.encode(), b'A' * 300))
    return bytes(data)


def samples() -> list[tuple[Any, bytes]]:
    """Return every type that the gate takes with a serialised message of it."""
    plan = plan_to_bytes(Plan('test', STEPS))
    texts = {'permit_id': 'p' * 32, 'person': 'anna', 'proposer': 'anna', 'node_id': '/1', 'step_id': 's1'}
    texts |= {'source': 'button', 'reason': 'x' * 64, 'boot_id': 'b' * 32, 'data': 'AUTO', 'approval_id': 'a' * 32}
    kinds = [kind.Request for kind in REQUESTS.values()] + [kind for kind, _ in TOPICS.values()]
    found = []
    for kind in (*kinds, StopRequest, DispatchStep.Goal):
        message = kind()
        for name in message.get_fields_and_field_types():
            if name in texts:
                setattr(message, name, texts[name])
        if hasattr(message, 'plan'):
            message.plan = plan
        found.append((kind, serialize_message(message)))
    return found


def fuzz(count: int, seed: int) -> int:
    """Deserialise mutated bytes; what comes out as a message is written again. Return how many did come out."""
    random, known, taken = Random(seed), samples(), 0
    for _ in range(count):
        kind, raw = random.choice(known)
        try:
            message = deserialize_message(mutated(raw, random), kind)
        except Exception:  # noqa: BLE001 - any refusal is one; what must not happen is a crash of the process
            continue
        taken += 1
        try:
            serialize_message(message)
        except (UnicodeEncodeError, RMWError):  # a text that is none, or longer than its bound: reading takes both
            continue
    return taken


def test_bytes_of_no_message_crash_nothing_in_the_layer_below_the_gate(
    trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    slices, each, taken, crashes = trials(1, 50), 2000, 0, 0
    for seed in range(25, 25 + slices):
        done = myself('fuzz', each, seed)
        said = done.communicate(timeout=600)[0]
        crashes += done.returncode != 0
        taken += int(said or 0)
    record('T25', trials=slices * each, breaches=crashes, taken=taken)
    assert 0 < taken < slices * each
    if crashes and slices > 1:  # docs/safety.md says so; the seed of CI is one that has always been well
        pytest.xfail(f'rclpy crashed in {crashes} of {slices} processes while it read bytes of no message')
    assert crashes == 0


@pytest.fixture(scope='module')
def robot() -> Iterator[Robot]:
    made = Robot()
    yield made
    made.close()


@pytest.fixture
def gate(robot: Robot, tmp_path: Path) -> Iterator[psutil.Process]:
    processes = Processes()
    process = processes.start('gate', f'audit_dir:={tmp_path}')
    robot.arm()
    yield psutil.Process(process.pid)
    processes.close()


def flood(rate: float, seconds: float) -> str:
    """Ask so often a second without waiting for answers; say how many requests were sent, and stay until told to go."""
    robot = Robot()
    robot.silent.update(robot.topics)
    client, request = robot.clients['gate/admit'], AdmitPlan.Request(proposer='mallory')
    request.plan = plan_to_bytes(Plan('flood', STEPS))
    assert client.wait_for_service(20.0)
    start, sent = time.monotonic(), 0
    while time.monotonic() < start + seconds:
        while sent < (time.monotonic() - start) * rate:
            client.remove_pending_request(client.call_async(request))
            sent += 1
        time.sleep(0.002)  # the rate itself
    sys.stdout.write(f'{sent}\n')
    sys.stdout.flush()
    sys.stdin.read()  # to vanish is another attack
    robot.close()
    return ''


def myself(*arguments: object) -> subprocess.Popen[str]:
    """Run this file as a program."""
    path = os.pathsep.join([str(ROOT), str(ROOT / 'test/attack/lib'), os.environ.get('PYTHONPATH', '')])
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.Popen(
        command, env={**os.environ, 'PYTHONPATH': path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_flood_of_plans_keeps_nobody_from_stopping(
    robot: Robot, gate: psutil.Process, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    seconds, stops_s, served_s, arms_s = trials(3, 60), [], [], []
    counts: list[int] = []
    rss, cpu, start = gate.memory_info().rss, sum(gate.cpu_times()[:2]), time.monotonic()
    with myself('flood', 1000, seconds) as flooding:
        counted = threading.Thread(target=lambda: counts.append(int(flooding.stdout.readline())))
        counted.start()
        while counted.is_alive():
            begin = time.monotonic()
            robot.arm()
            arms_s.append(time.monotonic() - begin)
            begin = time.monotonic()
            robot.call('gate/get_plan', permit_id='0' * 32)
            served_s.append(time.monotonic() - begin)
            at = time.monotonic()
            robot.stops['gate'].publish(StopRequest(source='button', reason='test'))
            wait(lambda: robot.gate_is(GateState.STOPPED), 'STOPPED')
            stops_s.append(time.monotonic() - at)
            robot.call('gate/set_armed', command=SetArmed.Request.RESET, person='operator')
            wait(lambda: not robot.gate_is(GateState.STOPPED), 'the reset')
        flooding.communicate()
    grown_mb = (gate.memory_info().rss - rss) / 2**20
    cores = (sum(gate.cpu_times()[:2]) - cpu) / (time.monotonic() - start)
    shown = {f'stop_p{share}_ms': round(percentile(stops_s, share / 100) * 1e3) for share in (50, 99)}
    shown |= {f'served_p{share}_ms': round(percentile(served_s, share / 100) * 1e3) for share in (50, 99)}
    shown |= {'armed_p50_ms': round(percentile(arms_s, 0.5) * 1e3), 'armed_max_ms': round(max(arms_s) * 1e3)}
    shown |= {
        'requests': counts[0],
        'rate': round(counts[0] / seconds),
        'cores': round(cores, 2),
        'rss_mb': round(grown_mb, 1),
    }
    record('T15', trials=len(stops_s), breaches=0, **shown)
    print(f'\nflood: {shown}')
    assert gate.is_running() and counts[0] > 100 * seconds
    assert max(stops_s) < 2.0 and cores < 1.1 and grown_mb < 200


def test_flood_whose_sender_is_killed_leaves_nobody_waiting(
    robot: Robot, gate: psutil.Process, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    served_s, times = [], trials(1, 20)
    for _ in range(times):
        with myself('flood', 1000, 60) as flooding:
            time.sleep(4.0)
            flooding.kill()
        end = time.monotonic() + 5.0
        while time.monotonic() < end:
            begin = time.monotonic()
            robot.call('gate/get_plan', permit_id='0' * 32)
            served_s.append(time.monotonic() - begin)
            time.sleep(0.01)
    shown = {f'served_p{share}_ms': round(percentile(served_s, share / 100) * 1e3) for share in (50, 99)}
    record('T15-vanish', trials=times, breaches=0, **shown, served_max_ms=round(max(served_s) * 1e3))
    assert gate.is_running() and max(served_s) < 2.0


def recovers(robot: Robot) -> bool:
    """Arm and have a plan admitted; what came last may have said that the mode has changed or the deadman tripped."""
    robot.deadman_state.publish(DeadmanState(state=DeadmanState.WATCHING))
    robot.arm()
    permit = robot.admit(STEPS).permit_id
    if permit:
        robot.close_permit(permit)
    return bool(permit)


def test_gate_lives_through_odd_bytes_on_its_services_and_topics(
    robot: Robot, gate: psutil.Process, trials: Callable[[int, int], int], record: Callable[..., None]
) -> None:
    plain = QoSProfile(depth=10, avoid_ros_namespace_conventions=True)
    ways = []
    for name, kind in REQUESTS.items():
        publisher = robot.node.create_publisher(kind.Request, f'rq/gate/{name}Request', plain)
        ways.append((publisher, serialize_message(kind.Request())))
    for topic, (kind, profile) in TOPICS.items():
        ways.append((robot.node.create_publisher(kind, topic, profile), serialize_message(kind())))
    wait(lambda: all(way.get_subscription_count() for way, _ in ways[len(REQUESTS) :]), 'the discovery of the topics')
    random, wanted, goals = Random(25), trials(500, 20_000), len(robot.drive.goals)
    known = dict(enumerate(samples()))
    for _ in range(wanted):
        publisher, own = random.choice(ways)
        publisher.publish(mutated(own if random.random() < 0.7 else known[random.randrange(len(known))][1], random))
        time.sleep(0.0005)  # what is sent faster is dropped before it is read
    for publisher, _ in ways:
        robot.node.destroy_publisher(publisher)
    assert gate.is_running() and gate.status() != psutil.STATUS_ZOMBIE
    wait(lambda: recovers(robot), 'a permit after all this')
    assert len(robot.drive.goals) == goals
    record('T25-dds', trials=wanted, breaches=0)


if __name__ == '__main__':
    numbers = [int(text) for text in sys.argv[2:]]
    sys.stdout.write(str(fuzz(*numbers) if sys.argv[1] == 'fuzz' else flood(*numbers)))
