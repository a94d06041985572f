# SPDX-License-Identifier: Apache-2.0
"""Transports: no shared memory in what stops the robot, room for pictures elsewhere, and everybody is found."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip('rclpy')

from gemma4_ros.ros import transport

pytestmark = [pytest.mark.ros]
ROOT = Path(__file__).resolve().parents[2]
SMALL, PICTURES = (str(ROOT / 'config' / 'fastdds' / name) for name in ('small.xml', 'pictures.xml'))
LOCAL = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
HERE = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SYSTEM_DEFAULT', 'ROS_LOCALHOST_ONLY': '0'}
TALK = (
    'import sys, time, rclpy; from std_msgs.msg import String; rclpy.init(); n = rclpy.create_node(sys.argv[1])\n'
    'got = []; n.create_subscription(String, sys.argv[2], got.append, 1)\n'
    'p = n.create_publisher(String, sys.argv[1], 1)\n'
    'end = time.monotonic() + 20\n'
    'while time.monotonic() < end and not (got and p.get_subscription_count()):\n'
    '    p.publish(String()); rclpy.spin_once(n, timeout_sec=0.05)\n'
    'for _ in range(20): p.publish(String()); time.sleep(0.05)\n'
    'sys.exit(0 if got else 1)'
)


@pytest.mark.parametrize(
    ('environment', 'pictures', 'wanted'),
    [
        (LOCAL, False, {'FASTDDS_DEFAULT_PROFILES_FILE': SMALL, **HERE}),
        (LOCAL, True, {'FASTDDS_DEFAULT_PROFILES_FILE': PICTURES, **HERE}),
        ({'ROS_LOCALHOST_ONLY': '1'}, False, {'FASTDDS_DEFAULT_PROFILES_FILE': SMALL, **HERE}),
        ({'FASTDDS_DEFAULT_PROFILES_FILE': SMALL, **HERE}, True, {'FASTDDS_DEFAULT_PROFILES_FILE': PICTURES, **HERE}),
        ({}, False, {'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}),
        ({}, True, {'FASTDDS_BUILTIN_TRANSPORTS': 'DEFAULT?sockets_size=8MB'}),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, False, {}),
        ({'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}, True, {'FASTDDS_BUILTIN_TRANSPORTS': 'DEFAULT?sockets_size=8MB'}),
        ({**LOCAL, 'FASTDDS_DEFAULT_PROFILES_FILE': '/etc/own.xml'}, False, {}),
        ({**LOCAL, 'ROS_STATIC_PEERS': '192.168.0.7'}, False, {}),
        ({**LOCAL, 'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}, False, {}),
    ],
)
def test_a_process_gets_what_it_needs_and_a_person_keeps_what_they_chose(
    environment: dict[str, str], pictures: bool, wanted: dict[str, str]
) -> None:
    assert transport.choose(environment, pictures=pictures) == wanted


def test_profiles_differ_by_shared_memory_alone_and_reach_the_loopback_only() -> None:
    small, pictures = (ElementTree.parse(path).getroot() for path in (SMALL, PICTURES))
    space = '{http://www.eprosima.com}'
    assert [element.text for element in small.iter(f'{space}address')] == ['127.0.0.1', '127.0.0.1']
    assert [element.text for element in small.iter(f'{space}type')] == ['UDPv4']
    for parent, inner in (('transport_descriptors', 'memory'), ('userTransports', 'memory')):
        around = next(pictures.iter(space + parent))
        around.remove(next(one for one in around if inner in ''.join(one.itertext())))
    next(pictures.iter(f'{space}participant')).set('profile_name', 'gemma4_ros_small')
    shown = [[(one.tag, (one.text or '').strip(), one.attrib) for one in root.iter()] for root in (small, pictures)]
    assert shown[0] == shown[1]


@contextmanager
def running(name: str, *parameters: str) -> Iterator[subprocess.Popen[bytes]]:
    path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
    command = [sys.executable, '-m', 'gemma4_ros.nodes.run', name, '--ros-args', *parameters]
    process = subprocess.Popen(command, env={**os.environ, 'PYTHONPATH': path, 'GEMMA4_DIE_WITH_PARENT': '1'})
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20.0)


def threads(process: subprocess.Popen[bytes]) -> set[str]:
    return {
        kind
        for path in Path(f'/proc/{process.pid}/task').glob('*/comm')
        for kind in ('dds.shm', 'dds.udp', 'dds.tcp')
        if path.read_text().startswith(kind)
    }


@pytest.mark.parametrize(
    ('name', 'wanted'), [('deadman', {'dds.udp'}), ('gate', {'dds.udp'}), ('perception', {'dds.udp', 'dds.shm'})]
)
def test_gate_and_deadman_share_no_memory_with_anybody(name: str, wanted: set[str], tmp_path: Path) -> None:
    own = {'gate': ['-p', f'audit_dir:={tmp_path}'], 'perception': ['-p', f'evidence_dir:={tmp_path}']}
    with running(name, *own.get(name, [])) as process:
        end = time.monotonic() + 20.0
        while not threads(process) >= wanted and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.5)
        assert threads(process) == wanted


SUBNET = {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET', 'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4'}


@pytest.mark.parametrize(
    'other',
    [LOCAL, {'FASTDDS_DEFAULT_PROFILES_FILE': PICTURES, **HERE}, SUBNET],
    ids=['rmw', 'pictures', 'network'],
)
def test_who_uses_udp_alone_and_who_does_not_find_each_other(other: dict[str, str]) -> None:
    mine = {'FASTDDS_DEFAULT_PROFILES_FILE': SMALL, **HERE}
    bare = {name: value for name, value in os.environ.items() if name not in {*mine, 'FASTDDS_BUILTIN_TRANSPORTS'}}
    talkers = [
        subprocess.Popen([sys.executable, '-c', TALK, *names], env={**bare, **chosen})
        for names, chosen in ((('a', 'b'), mine), (('b', 'a'), other))
    ]
    assert [talker.wait(40.0) for talker in talkers] == [0, 0]
