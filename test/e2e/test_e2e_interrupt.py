# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and worse at any moment of ``gemma4 up``: it ends soon, and nothing of it is left."""

from __future__ import annotations

import math
import signal
import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy')

from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes

pytestmark = [pytest.mark.timed, pytest.mark.ros, pytest.mark.slow, pytest.mark.timeout(180)]
DRIVING = 'cell,deadman,gate,executor'
START_S = 60.0


def test_ctrl_c_a_moment_after_the_start(up: Callable[..., Any]) -> None:
    it = up('--nodes', DRIVING)
    with pytest.raises(subprocess.TimeoutExpired):
        it.process.wait(0.3)
    it.process.send_signal(signal.SIGINT)
    it.wait_gone()


@pytest.mark.parametrize('nodes', [1, 4])
def test_ctrl_c_while_the_nodes_start(up: Callable[..., Any], nodes: int) -> None:
    it = up('--nodes', DRIVING)
    it.wait_for(lambda: len(it.all()) > nodes, START_S, f'{nodes} nodes are being started')
    it.process.send_signal(signal.SIGINT)
    it.wait_gone()
    assert it.process.returncode == 0, it.said()
    assert 'stopping' in it.said() and 'all processes have ended' in it.said() and 'Traceback' not in it.said()


@pytest.mark.parametrize('times', [1, 2])
def test_ctrl_c_when_ready_once_and_in_quick_succession(up: Callable[..., Any], times: int) -> None:
    it = up('--nodes', 'deadman,gate,executor')
    it.wait_ready()
    for _ in range(times):
        it.process.send_signal(signal.SIGINT)
    it.wait_gone()
    assert it.process.returncode == 0, it.said()
    assert it.said().count('stopping') == 1 and 'Traceback' not in it.said() and 'did not end by' not in it.said()


@pytest.mark.parametrize(
    ('number', 'returncode'), [(signal.SIGINT, 0), (signal.SIGKILL, -9)], ids=['interrupted', 'killed']
)
def test_nothing_goes_on_while_a_plan_runs(up: Callable[..., Any], number: int, returncode: int) -> None:
    it = up('--nodes', DRIVING)
    it.wait_ready()
    with RosSession() as session:
        drive(session)
        assert len(it.all()) >= 5
        it.process.send_signal(number)
        it.wait_gone()
    assert it.process.returncode == returncode, it.said()
    executor = (it.out / 'executor.log').read_text(encoding='utf-8')
    assert 'plan started' in executor and 'plan ended' in executor, executor
    assert 'Traceback' not in executor + (it.out / 'cell.log').read_text(encoding='utf-8')


def test_nodes_that_are_only_starting_end_with_a_killed_parent(up: Callable[..., Any]) -> None:
    it = up('--nodes', DRIVING)
    it.wait_for(lambda: len(it.all()) > 4, START_S, 'all nodes are being started')
    it.process.kill()
    it.wait_gone(6.0)


@pytest.mark.model
def test_all_ends_with_a_killed_parent_and_the_engine_too(up: Callable[..., Any]) -> None:
    it = up()
    it.wait_for(lambda: 'gemma is ready' in it.said(), START_S, 'the model is loaded')
    assert any('engine' in ' '.join(each.cmdline()) for each in it.all())
    it.process.kill()
    it.wait_gone()


def drive(session: RosSession) -> None:
    """Let the robot drive by a permit of the gate, without planner and copilot, and return while it does."""
    from gemma4_ros.action import ExecutePlan
    from gemma4_ros.srv import AdmitPlan, SetArmed
    from nav_msgs.msg import Odometry
    from rclpy.action import ActionClient

    from gemma4_ros.ros import qos

    steps = (Step('s1', 'undock', {}), Step('s2', 'navigate_to', {'place': 'pump'}))
    data = plan_to_bytes(Plan('go to the pump', Sequence(steps)))
    odom: list[Any] = []
    session.node.create_subscription(Odometry, 'odom', odom.append, qos.SENSOR)
    seen = SimpleNamespace(answer=None)

    def armed() -> bool:
        request = SetArmed.Request(command=SetArmed.Request.ARM, person='anna')
        seen.answer = session.call(SetArmed, 'gate/set_armed', request)
        return bool(seen.answer.accepted)

    assert session.until(armed, 20.0), seen.answer
    admitted = session.call(AdmitPlan, 'gate/admit', AdmitPlan.Request(plan=data, proposer='anna'))
    assert admitted.permit_id, admitted.verdict.text
    client = ActionClient(session.node, ExecutePlan, 'executor/execute_plan')
    assert session.until(client.server_is_ready, 10.0)
    sent = client.send_goal_async(ExecutePlan.Goal(permit_id=admitted.permit_id))
    assert session.until(sent.done, 10.0) and sent.result().accepted
    assert session.until(lambda: bool(odom), 10.0)
    start = odom[0].pose.pose.position

    def away_m() -> float:
        now = odom[-1].pose.pose.position
        return math.hypot(now.x - start.x, now.y - start.y)

    assert session.until(lambda: away_m() > 1.0, 60.0), 'it does not drive'
