# SPDX-License-Identifier: Apache-2.0
"""``gemma4 tree`` without a plan: the tree that the executor publishes."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.msg import TreeNode, TreeState
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import serialize_message

from gemma4_ros.cli import main as cli
from gemma4_ros.ros import qos
from gemma4_ros.ros.recording import Recording

pytestmark = [pytest.mark.ros]


def test_the_running_tree_is_shown_with_phases_durations_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    context = Context()
    rclpy.init(context=context)
    node = Node('executor', context=context)
    topic = node.create_publisher(TreeState, '~/tree', qos.STATE_LATCHED)
    rows = [
        TreeNode(id='/', kind='sequence', label='sequence', status=TreeNode.RUNNING),
        TreeNode(
            id='a',
            parent_id='/',
            kind='step',
            label='dock()',
            status=TreeNode.SUCCEEDED,
            duration_s=2.5,
            why='to charge',
        ),
        TreeNode(
            id='b', parent_id='/', kind='step', label='go()', status=TreeNode.FAILED, code=405, text='a\x1b[2J wall'
        ),
    ]
    values = '{"a": {"battery_percent": 80.5, "said": "\\u001b[2J"}}'
    state = TreeState(status=TreeState.RUNNING, plan_sha256='ab' * 32, nodes=rows, blackboard=values)
    topic.publish(state)
    try:
        assert cli.main(['tree', '--once']) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith('running, plan abababababab')
        assert lines[1:] == [
            '▶ sequence',
            '  ✓ dock()  [a]  2.5 s',
            '  ✗ go()  [b]  405 a?[2J wall',
            '  a.battery_percent = 80.5',
            '  a.said = ?[2J',
        ]
        assert cli.main(['tree', '--once', '--why']) == 0
        assert '  ✓ dock()  [a]  2.5 s  (to charge)' in capsys.readouterr().out
        assert cli.main(['tree', '--once', '--format', 'svg']) == 0
        assert capsys.readouterr().out.startswith('<svg')
        assert cli.main(['tree', '--once', '--format', 'xml']) == 2
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


def state(number: int, status: int, duration_s: float) -> TreeState:
    node = TreeNode(id='s1', kind='step', label='dock()', status=status, duration_s=duration_s)
    return TreeState(status=number, plan_sha256='cd' * 32, nodes=[node])


def test_a_recording_shows_the_same_pictures_as_the_running_tree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'run.mcap'
    recording = Recording(path)
    recording.add_topic('/robot7/executor/tree', 'gemma4_ros/msg/TreeState')
    recording.add_topic('/robot7/odom', 'std_msgs/msg/String')
    for after_s, message in ((0.0, state(0, TreeNode.RUNNING, 0.0)), (2.5, state(2, TreeNode.SUCCEEDED, 2.5))):
        at_ns = int(1e18 + after_s * 1e9)
        recording.write('/robot7/executor/tree', serialize_message(message), at_ns, at_ns)
    recording.close()
    assert cli.main(['tree', '--recording', str(path)]) == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        '0.00 s running, plan cdcdcdcdcdcd',
        '▶ dock()  [s1]',
        '2.50 s succeeded, plan cdcdcdcdcdcd',
        '✓ dock()  [s1]  2.5 s',
    ]
    assert cli.main(['tree', '--recording', str(path), '--at', '1.0', '--format', 'svg']) == 0
    assert '▶ dock()' in capsys.readouterr().out
    assert cli.main(['tree', '--recording', str(path), '--format', 'svg']) == 2
    assert 'say which with --at' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('data', 'says'),
    [(b'', 'is no MCAP recording'), (b'no recording at all', 'is no MCAP recording'), (None, 'cannot be read')],
)
def test_what_is_no_recording_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes | None, says: str
) -> None:
    path = tmp_path / 'run.mcap'
    if data is not None:
        path.write_bytes(data)
    assert cli.main(['tree', '--recording', str(path)]) == 2
    assert says in capsys.readouterr().err


def test_a_recording_that_was_cut_off_is_shown_as_far_as_it_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / 'run.mcap'
    recording = Recording(path)
    recording.add_topic('/executor/tree', 'gemma4_ros/msg/TreeState')
    recording.write('/executor/tree', serialize_message(state(0, TreeNode.RUNNING, 0.0)), 10**18, 10**18)
    recording.flush()
    whole = path.read_bytes()
    recording.close()
    assert cli.main(['tree', '--recording', str(path)]) == 0
    for cut in range(0, len(whole) + 1, 7):
        path.write_bytes(whole[:cut])
        code = cli.main(['tree', '--recording', str(path)])
        said = capsys.readouterr()
        assert (code == 0 and '▶ dock()' in said.out) or (code == 2 and said.err.startswith('gemma4: '))
    path.write_bytes(whole)
    assert cli.main(['tree', '--recording', str(path)]) == 0
    assert '▶ dock()' in capsys.readouterr().out
