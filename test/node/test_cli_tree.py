# SPDX-License-Identifier: Apache-2.0
"""``gemma4 tree`` without a plan: the tree that the executor publishes."""

from __future__ import annotations

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.msg import TreeNode, TreeState
from rclpy.context import Context
from rclpy.node import Node

from gemma4_ros.cli import main as cli
from gemma4_ros.ros import qos

pytestmark = [pytest.mark.ros]


def test_the_running_tree_is_shown_with_phases_durations_and_reasons(capsys: pytest.CaptureFixture[str]) -> None:
    context = Context()
    rclpy.init(context=context)
    node = Node('executor', context=context)
    topic = node.create_publisher(TreeState, '~/tree', qos.STATE_LATCHED)
    rows = [
        TreeNode(id='/', kind='sequence', label='sequence', status=TreeNode.RUNNING),
        TreeNode(id='a', parent_id='/', kind='step', label='dock()', status=TreeNode.SUCCEEDED, duration_s=2.5),
        TreeNode(
            id='b', parent_id='/', kind='step', label='go()', status=TreeNode.FAILED, code=405, text='a\x1b[2J wall'
        ),
    ]
    topic.publish(TreeState(status=TreeState.RUNNING, plan_sha256='ab' * 32, nodes=rows))
    try:
        assert cli.main(['tree', '--once']) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].endswith('running, plan abababababab')
        assert lines[1:] == ['▶ sequence', '  ✓ dock()  [a]  2.5 s', '  ✗ go()  [b]  405 a?[2J wall']
        assert cli.main(['tree', '--once', '--format', 'svg']) == 0
        assert capsys.readouterr().out.startswith('<svg')
        assert cli.main(['tree', '--once', '--format', 'xml']) == 2
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)
