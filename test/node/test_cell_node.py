# SPDX-License-Identifier: Apache-2.0
"""The node `cell` over DDS: signals, controllers, cancel, faults, cameras."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('mujoco')

import rclpy
from action_msgs.msg import GoalStatus
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from gemma4_ros.action import Dock, DriveTo, MoveArm, OperateValve, PickObject, PlaceObject
from gemma4_ros.srv import GetWorld, InjectFault, SetPanelValue
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from sensor_msgs.msg import BatteryState, CompressedImage, Image, JointState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.nodes.cell_node import CellNode
from gemma4_ros.ros import images, qos

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0
ACTIONS = {
    'drive_to': DriveTo, 'dock': Dock, 'pick_object': PickObject, 'place_object': PlaceObject, 'move_arm': MoveArm,
    'operate_valve': OperateValve,
}  # fmt: skip
SERVICES = {
    'cell/inject_fault': InjectFault, 'cell/reset': Trigger, 'cell/get_state': GetWorld,
    'set_panel_value': SetPanelValue,
}  # fmt: skip


class Operator:
    """A cell and somebody who calls it, in one process."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.cell = CellNode(context=self.context, parameter_overrides=[Parameter('speed', value=4.0)])
        self.node = Node('operator', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.cell)
        self.executor.add_node(self.node)
        self.actions = {name: ActionClient(self.node, kind, name) for name, kind in ACTIONS.items()}
        self.services = {name: self.node.create_client(kind, name) for name, kind in SERVICES.items()}
        self.estop = self.node.create_publisher(Bool, 'cell/set_estop', qos.SIGNAL)
        self.mode = self.node.create_publisher(String, 'cell/set_mode', qos.SIGNAL)
        self.feedback: list[Any] = []

    def until(self, predicate: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> float:
        start = time.monotonic()
        while not predicate():
            assert time.monotonic() - start < deadline_s, f'{what} did not happen within {deadline_s} s'
            self.executor.spin_once(timeout_sec=0.02)
        return time.monotonic() - start

    def wait(self, future: Any, what: str) -> Any:
        self.until(future.done, what)
        return future.result()

    def call(self, name: str, **fields: Any) -> Any:
        client = self.services[name]
        self.until(client.service_is_ready, f'service {name}')
        return self.wait(client.call_async(SERVICES[name].Request(**fields)), f'answer of {name}')

    def send(self, name: str, **fields: Any) -> Any:
        client = self.actions[name]
        self.until(client.server_is_ready, f'action {name}')
        goal = ACTIONS[name].Goal(**fields)
        sent = client.send_goal_async(goal, feedback_callback=lambda m: self.feedback.append(m.feedback))
        return self.wait(sent, f'acceptance by {name}')

    def carry_out(self, name: str, **fields: Any) -> Any:
        handle = self.send(name, **fields)
        assert handle.accepted, name
        return self.wait(handle.get_result_async(), f'result of {name}')

    def pose(self, place: str) -> Any:
        wanted = self.cell.cell.layout.benches[place].pose
        goal = DriveTo.Goal()
        goal.pose.header.frame_id = 'map'
        goal.pose.pose.position.x, goal.pose.pose.position.y = wanted.x, wanted.y
        goal.pose.pose.orientation.z, goal.pose.pose.orientation.w = math.sin(wanted.yaw / 2), math.cos(wanted.yaw / 2)
        return goal.pose

    def facts(self) -> dict[tuple[str, str], str]:
        return {(fact.name, fact.args[0]): fact.value for fact in self.call('cell/get_state').facts}

    def close(self) -> None:
        task = self.executor.create_task(self.cell.shutdown)
        self.until(task.done, 'end of the cell')
        self.executor.shutdown(timeout_sec=0.0)
        self.cell.destroy_node()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture(scope='module')
def shared() -> Iterator[Operator]:
    operator = Operator()
    yield operator
    operator.close()


@pytest.fixture
def operator(shared: Operator) -> Operator:
    assert shared.call('cell/reset').success
    shared.feedback.clear()
    return shared


def test_an_object_is_brought_through_the_interfaces_of_the_tools_file(operator: Operator) -> None:
    assert operator.carry_out('dock', undock=True).status == GoalStatus.STATUS_SUCCEEDED
    operator.feedback.clear()
    driven = operator.carry_out('drive_to', pose=operator.pose('storage'))
    assert driven.status == GoalStatus.STATUS_SUCCEEDED and driven.result.distance_m > 3.0
    assert any(f.distance_remaining_m > 0.5 for f in operator.feedback)
    picked = operator.carry_out('pick_object', object_id='red_toolbox')
    assert (picked.status, picked.result.error_code) == (GoalStatus.STATUS_SUCCEEDED, PickObject.Result.NONE)
    assert picked.result.grip_force_n > 5.0
    assert operator.facts()['at', 'red_toolbox'] == 'robot'
    assert operator.carry_out('place_object', place_id='storage').status == GoalStatus.STATUS_SUCCEEDED
    assert operator.facts()['at', 'red_toolbox'] == 'storage'


def test_failures_carry_code_and_words(operator: Operator) -> None:
    docked = operator.carry_out('drive_to', pose=operator.pose('pump'))
    assert (docked.status, docked.result.error_code) == (GoalStatus.STATUS_ABORTED, DriveTo.Result.DOCKED)
    assert 'undock' in docked.result.error_msg
    unknown = operator.carry_out('operate_valve', valve_id='moon', command=OperateValve.Goal.CLOSE)
    assert unknown.result.error_code == OperateValve.Result.UNKNOWN_VALVE
    assert operator.carry_out('move_arm', posture='wave').result.error_code == MoveArm.Result.UNKNOWN_POSTURE
    answer = operator.call('set_panel_value', panel='setpoint_panel', value=3.0, unit='bar')
    assert (answer.success, answer.error_code) == (False, SetPanelValue.Response.NOT_IN_REACH)


def test_cancel_is_answered_and_done_within_200_ms(operator: Operator, quickest: Callable[..., float]) -> None:
    operator.carry_out('dock', undock=True)

    def once() -> float:
        handle = operator.send('drive_to', pose=operator.pose('storage'))
        operator.until(lambda: abs(operator.cell.cell.snapshot().speed) > 0.5, 'driving')
        result = handle.get_result_async()
        asked = time.monotonic()
        answer = operator.wait(handle.cancel_goal_async(), 'answer to cancel')
        assert len(answer.goals_canceling) == 1
        assert operator.wait(result, 'result').status == GoalStatus.STATUS_CANCELED
        return time.monotonic() - asked

    assert quickest(once, 0.2) < 0.2
    where = operator.cell.cell.snapshot().pose
    end = time.monotonic() + 0.5
    operator.until(lambda: time.monotonic() > end, 'half a second')
    after = operator.cell.cell.snapshot().pose
    assert math.hypot(after.x - where.x, after.y - where.y) < 0.02


def test_a_second_goal_is_rejected_while_one_runs(operator: Operator) -> None:
    first = operator.send('move_arm', posture='ready')
    assert first.accepted
    assert not operator.send('move_arm', posture='stowed').accepted
    assert operator.wait(first.get_result_async(), 'first').status == GoalStatus.STATUS_SUCCEEDED


def test_two_goals_sent_at_once_are_not_both_accepted(operator: Operator) -> None:
    client = operator.actions['move_arm']
    operator.until(client.server_is_ready, 'move_arm')
    sent = [client.send_goal_async(MoveArm.Goal(posture=posture)) for posture in ('ready', 'stowed')]
    operator.until(lambda: all(f.done() for f in sent), 'answers')
    accepted = [f.result() for f in sent if f.result().accepted]
    assert len(accepted) == 1
    operator.wait(accepted[0].get_result_async(), 'result')


def test_the_emergency_stop_ends_and_refuses_goals(operator: Operator) -> None:
    operator.carry_out('dock', undock=True)
    handle = operator.send('drive_to', pose=operator.pose('storage'))
    operator.until(lambda: operator.cell.cell.snapshot().speed > 0.3, 'driving')
    operator.estop.publish(Bool(data=True))
    result = operator.wait(handle.get_result_async(), 'result')
    assert (result.status, result.result.error_code) == (GoalStatus.STATUS_ABORTED, DriveTo.Result.ESTOPPED)
    assert not operator.send('drive_to', pose=operator.pose('storage')).accepted
    operator.estop.publish(Bool(data=False))
    operator.until(lambda: not operator.cell.cell.estop, 'release')
    assert operator.send('move_arm', posture='ready').accepted


def test_reset_ends_goals_and_restores_the_world(operator: Operator) -> None:
    operator.carry_out('dock', undock=True)
    handle = operator.send('drive_to', pose=operator.pose('storage'))
    operator.until(lambda: operator.cell.cell.snapshot().speed > 0.3, 'driving')
    assert operator.call('cell/reset').success
    assert operator.wait(handle.get_result_async(), 'result').status == GoalStatus.STATUS_ABORTED
    assert operator.facts()['docked', 'robot'] == 'yes'


def test_silent_and_lying_controllers(operator: Operator) -> None:
    assert operator.call('cell/inject_fault', fault='silent_controller', target='move_arm').success
    handle = operator.send('move_arm', posture='ready')
    result = handle.get_result_async()
    assert handle.accepted
    operator.wait(handle.cancel_goal_async(), 'answer to cancel')
    end = time.monotonic() + 1.0
    operator.until(lambda: time.monotonic() > end, 'a second')
    assert not result.done()
    assert operator.call('cell/inject_fault', fault='clear').success
    assert operator.wait(result, 'result').status == GoalStatus.STATUS_ABORTED
    operator.call('cell/inject_fault', fault='lying_controller', target='pick_object')
    lie = operator.carry_out('pick_object', object_id='red_toolbox')
    assert lie.status == GoalStatus.STATUS_SUCCEEDED
    assert operator.facts()['at', 'red_toolbox'] == 'storage'
    refused = operator.call('cell/inject_fault', fault='earthquake')
    assert not refused.success and 'blocked_path' in refused.text


def test_signals_arrive_with_their_rates_and_values(operator: Operator) -> None:
    seen: dict[str, list[Any]] = {}
    topics = {
        'odom': Odometry, 'battery_state': BatteryState, 'mode': String, 'estop': Bool, 'joint_states': JointState,
        'diagnostics': DiagnosticArray,
    }  # fmt: skip
    listeners = [
        operator.node.create_subscription(kind, name, seen.setdefault(name, []).append, qos.EVENTS)
        for name, kind in topics.items()
    ]
    operator.until(lambda: all(seen.values()), 'all signals')
    counted = len(seen['odom'])
    end = time.monotonic() + 1.0
    operator.until(lambda: time.monotonic() > end, 'a second')
    assert len(seen['odom']) - counted >= 30
    odom = seen['odom'][-1]
    assert (odom.header.frame_id, odom.child_frame_id) == ('map', 'base_link')
    assert odom.pose.pose.position.x == pytest.approx(operator.cell.cell.layout.start.x, abs=0.05)
    assert 0.0 < seen['battery_state'][-1].percentage <= 1.0
    assert (seen['mode'][-1].data, seen['estop'][-1].data) == ('AUTO', False)
    assert 'arm_elbow' in seen['joint_states'][-1].name
    assert {s.name for s in seen['diagnostics'][-1].status} >= {
        'robot: physics',
        'robot: cameras',
        'robot: base',
        'robot: battery',
    }
    operator.mode.publish(String(data='MAINTENANCE'))
    operator.until(lambda: seen['mode'][-1].data == 'MAINTENANCE', 'the new mode')
    operator.mode.publish(String(data='PARTY'))
    operator.call('cell/inject_fault', fault='sensor_stall', target='odom')
    stalled = len(seen['odom'])
    end = time.monotonic() + 0.5
    operator.until(lambda: time.monotonic() > end, 'half a second')
    assert len(seen['odom']) <= stalled + 1
    assert seen['mode'][-1].data == 'MAINTENANCE'
    for listener in listeners:
        operator.node.destroy_subscription(listener)


def test_cameras_and_screen_are_published_while_somebody_listens(operator: Operator) -> None:
    seen: dict[str, list[Any]] = {}
    topics = {
        'hmi/image_raw': Image,
        'camera/front/image_raw': Image,
        'camera/overview/image_raw/compressed': CompressedImage,
    }
    if operator.cell._video.failed:
        topics = {'hmi/image_raw': Image}
    listeners = [
        operator.node.create_subscription(kind, name, seen.setdefault(name, []).append, qos.SENSOR)
        for name, kind in topics.items()
    ]
    operator.until(lambda: all(seen.values()), 'all pictures')
    assert images.to_rgb(seen['hmi/image_raw'][-1]).shape == (480, 800, 3)
    if len(topics) > 1:
        front = images.to_rgb(seen['camera/front/image_raw'][-1])
        assert front.shape == (480, 640, 3) and np.std(front) > 10
        assert images.to_rgb(seen['camera/overview/image_raw/compressed'][-1]).shape[2] == 3
    for listener in listeners:
        operator.node.destroy_subscription(listener)


def test_without_opengl_the_cell_runs_and_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MUJOCO_GL', 'disable')
    operator = Operator()
    try:
        reports: list[DiagnosticArray] = []
        screens: list[Image] = []
        operator.node.create_subscription(DiagnosticArray, 'diagnostics', reports.append, qos.EVENTS)
        operator.node.create_subscription(Image, 'hmi/image_raw', screens.append, qos.SENSOR)
        operator.until(lambda: bool(reports and screens), 'diagnostics and screen')
        camera = next(s for s in reports[-1].status if s.name == 'robot: cameras')
        assert camera.level == DiagnosticStatus.ERROR and 'libegl1' in camera.message
        assert operator.carry_out('move_arm', posture='ready').status == GoalStatus.STATUS_SUCCEEDED
    finally:
        operator.close()


def test_a_wrong_config_folder_is_named(tmp_path: Path) -> None:
    context = Context()
    rclpy.init(context=context)
    try:
        with pytest.raises(ConfigError, match='nowhere'):
            CellNode(context=context, parameter_overrides=[Parameter('config', value=str(tmp_path / 'nowhere'))])
    finally:
        rclpy.try_shutdown(context=context)
