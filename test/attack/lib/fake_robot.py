# SPDX-License-Identifier: Apache-2.0
"""A robot over real DDS that counts what reaches it: signals, signs of life, controllers that misbehave on demand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from gemma4_ros.action import DispatchStep, DriveTo
from gemma4_ros.msg import DeadmanState, GateState, Heartbeat, StopRequest
from gemma4_ros.srv import AdmitPlan, ClosePermit, GetPlan, SetArmed
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import qos_profile_action_status_default
from rclpy.task import Future
from std_msgs.msg import Bool, String

from gemma4_ros.core.plan import Node as PlanNode
from gemma4_ros.core.plan import Plan, plan_to_bytes
from gemma4_ros.ros import qos

__all__ = ['Controller', 'Processes', 'Robot', 'percentile', 'wait']

ROOT = Path(__file__).resolve().parents[3]
DEADLINE_S = 20.0
PATIENCE_S = 0.7  # a request to a process that was just killed, or is not discovered yet, is lost


def wait(predicate: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> float:
    """Wait for a predicate; return how long it took, s."""
    start = time.monotonic()
    while not predicate():
        assert time.monotonic() - start < deadline_s, f'{what} did not happen within {deadline_s} s'
        time.sleep(0.001)
    return time.monotonic() - start


def percentile(values: list[float], share: float) -> float:
    """Return the value that this share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1 if share < 1 else len(ordered) - 1))]


class Controller:
    """
    An action server made of its raw services, so that it can also do what no server should.

    ``mode``: ``works`` drives until it is cancelled, ``done`` succeeds at once, ``never_accepts`` answers no goal,
    ``silent`` accepts and is not heard of again but for cancels, ``lies`` says SUCCEEDED with an error in its result,
    ``ignores_cancel`` does not answer cancels, ``late`` says SUCCEEDED when it is cancelled.
    """

    def __init__(self, node: Node, action: Any, name: str) -> None:
        self.mode = 'works'
        self.goals: list[float] = []
        self.cancels: list[float] = []
        self.running: dict[bytes, Future] = {}
        self._results: dict[bytes, Future] = {}
        self.action, self._node = action, node
        group = ReentrantCallbackGroup()
        served = (
            (action.Impl.SendGoalService, 'send_goal', self._send),
            (CancelGoal, 'cancel_goal', self._cancel),
            (action.Impl.GetResultService, 'get_result', self._result),
        )
        for kind, part, handler in served:
            node.create_service(kind, f'{name}/_action/{part}', handler, callback_group=group)
        node.create_publisher(action.Impl.FeedbackMessage, f'{name}/_action/feedback', 10)
        topic = f'{name}/_action/status'
        self._status = node.create_publisher(GoalStatusArray, topic, qos_profile_action_status_default)

    async def _send(self, request: Any, response: Any) -> Any:
        self.goals.append(time.monotonic())
        if self.mode == 'never_accepts':
            await Future()
        name = bytes(request.goal_id.uuid)
        self._results[name] = self.running[name] = Future()
        response.accepted = True
        if self.mode in ('done', 'lies'):
            self._end(name, GoalStatus.STATUS_SUCCEEDED)
        self._show()
        return response

    async def _result(self, request: Any, response: Any) -> Any:
        future = self._results.get(bytes(request.goal_id.uuid))
        if future is None:
            response.status = GoalStatus.STATUS_UNKNOWN
            return response
        response.status = await future
        if self.mode == 'lies':
            response.result.error_code, response.result.error_msg = 9, 'did not move'
        return response

    async def _cancel(self, request: Any, response: Any) -> Any:
        self.cancels.append(time.monotonic())
        if self.mode == 'ignores_cancel':
            await Future()
        wanted = bytes(request.goal_info.goal_id.uuid)
        for name in [name for name in self.running if wanted in (bytes(16), name)]:
            info = request.goal_info.__class__(goal_id=request.goal_info.goal_id.__class__(uuid=list(name)))
            response.goals_canceling.append(info)
            self._end(name, GoalStatus.STATUS_SUCCEEDED if self.mode == 'late' else GoalStatus.STATUS_CANCELED)
        self._show()
        return response

    def _end(self, name: bytes, status: int) -> None:
        self.running.pop(name).set_result(status)

    def end_all(self) -> None:
        """Let everything end as aborted; to be called in the node's own thread."""
        for name in list(self.running):
            self._end(name, GoalStatus.STATUS_ABORTED)
        self._show()

    def _show(self) -> None:
        array = GoalStatusArray()
        for name in self.running:
            status = GoalStatus(status=GoalStatus.STATUS_EXECUTING)
            status.goal_info.goal_id.uuid = list(name)
            array.status_list.append(status)
        self._status.publish(array)


class Robot:
    """Everything that surrounds gate and deadman, in a thread of its own."""

    def __init__(self, *controllers: tuple[Any, str]) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = node = Node('cell', context=self.context)
        self.silent: set[str] = set()
        self.beats = 0
        self.mode, self.estop = 'AUTO', False
        self.controllers = {
            name: Controller(node, kind, name) for kind, name in controllers or ((DriveTo, 'drive_to'),)
        }
        signals = [('mode', String, 'mode'), ('estop', Bool, 'estop'), ('pose', Odometry, 'odom')]
        beats = [('executor', Heartbeat, 'executor/heartbeat'), ('deadman', Heartbeat, 'deadman/heartbeat')]
        self.topics = {name: node.create_publisher(cls, topic, qos.SIGNAL) for name, cls, topic in signals + beats}
        self.stops = {
            name: node.create_publisher(StopRequest, f'{name}/stop', qos.STOP) for name in ('gate', 'deadman')
        }
        self.deadman_state = node.create_publisher(DeadmanState, 'deadman/state', qos.STATE_LATCHED)
        self.states: list[GateState] = []
        self.deadman: list[DeadmanState] = []
        self.abandoned: list[StopRequest] = []
        node.create_subscription(GateState, 'gate/state', self.states.append, qos.STATE_LATCHED)
        node.create_subscription(DeadmanState, 'deadman/state', self.deadman.append, qos.STATE_LATCHED)
        node.create_subscription(StopRequest, 'deadman/stop', self.abandoned.append, qos.STOP)
        types = {
            'gate/admit': AdmitPlan,
            'gate/close': ClosePermit,
            'gate/set_armed': SetArmed,
            'gate/get_plan': GetPlan,
        }
        types['deadman/set_armed'] = SetArmed
        self.clients = {name: node.create_client(cls, name) for name, cls in types.items()}
        self.dispatcher = ActionClient(node, DispatchStep, 'gate/dispatch')
        node.create_timer(0.05, self._publish)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(node)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    @property
    def drive(self) -> Controller:
        return self.controllers['drive_to']

    def _spin(self) -> None:
        while not self._is_over.is_set():
            self.executor.spin_once(timeout_sec=0.02)

    def _publish(self) -> None:
        self.beats += 1
        stamp = self.node.get_clock().now().to_msg()
        odometry = Odometry()
        odometry.header.stamp, odometry.header.frame_id = stamp, 'map'
        odometry.pose.pose.orientation.w = 1.0
        messages = {
            'mode': String(data=self.mode),
            'estop': Bool(data=self.estop),
            'pose': odometry,
            'executor': Heartbeat(stamp=stamp, boot_id='e', sequence=self.beats),
            'deadman': Heartbeat(stamp=stamp, boot_id='d', sequence=self.beats),
        }
        for name, message in messages.items():
            if name not in self.silent:
                self.topics[name].publish(message)

    def call(self, name: str, **fields: Any) -> Any:
        """Call a service; asked again where the answer was lost to late discovery or a process that is dying."""
        client, end = self.clients[name], time.monotonic() + DEADLINE_S
        while True:
            assert client.wait_for_service(DEADLINE_S), f'there is no {name}'
            future = client.call_async(client.srv_type.Request(**fields))
            again = time.monotonic() + PATIENCE_S
            while not future.done() and time.monotonic() < again:
                time.sleep(0.001)
            if future.done():
                return future.result()
            assert time.monotonic() < end, f'no answer of {name} within {DEADLINE_S} s'

    def arm(self) -> None:
        """Arm, after a reset where one is needed."""
        asked = SetArmed.Request
        wait(
            lambda: (
                self.call('gate/set_armed', command=asked.ARM, person='operator').accepted
                or (self.call('gate/set_armed', command=asked.RESET, person='operator').accepted and False)
            ),
            'arming',
        )

    def reset_deadman(self) -> None:
        """Wait until the deadman has tripped, and reset it."""
        reset = {'command': SetArmed.Request.RESET, 'person': 'operator'}
        wait(lambda: self.call('deadman/set_armed', **reset).accepted, 'the reset of the deadman')

    def deadman_is(self, *states: int) -> bool:
        return bool(self.deadman) and self.deadman[-1].state in states

    def gate_is(self, *states: int) -> bool:
        return bool(self.states) and self.states[-1].state in states

    def admit(self, root: PlanNode | bytes, proposer: str = 'operator', **fields: Any) -> AdmitPlan.Response:
        raw = root if isinstance(root, bytes) else plan_to_bytes(Plan('test', root))
        return self.call('gate/admit', plan=raw, proposer=proposer, **fields)

    def close_permit(self, permit_id: str) -> None:
        self.call('gate/close', permit_id=permit_id, outcome=2)

    def send(self, permit_id: str, step_id: str) -> Any:
        """Ask for a step; return the gate's goal handle. Asked twice, a step is refused, so it may be asked again."""
        goal, end = DispatchStep.Goal(permit_id=permit_id, step_id=step_id), time.monotonic() + DEADLINE_S
        while True:
            assert self.dispatcher.wait_for_server(DEADLINE_S)
            future = self.dispatcher.send_goal_async(goal)
            again = time.monotonic() + PATIENCE_S
            while not future.done() and time.monotonic() < again:
                time.sleep(0.001)
            if future.done():
                return future.result()
            assert time.monotonic() < end, f'the gate did not accept {step_id} within {DEADLINE_S} s'

    def dispatch(self, permit_id: str, step_id: str) -> DispatchStep.Result:
        future = self.send(permit_id, step_id).get_result_async()
        wait(future.done, f'the end of {step_id}')
        return future.result().result

    def begin(self, step: PlanNode, step_id: str) -> str:
        """Have a plan of one step admitted and started; return its permit when the controller runs."""
        before = len(self.drive.goals)
        admission = self.admit(step)
        assert admission.permit_id, admission.verdict.text
        is_begun = lambda: len(self.drive.goals) > before and bool(self.drive.running)  # noqa: E731
        end = time.monotonic() + DEADLINE_S
        while not is_begun():  # a step that is held, as the first beat has not come yet, is asked for again
            result = self.send(admission.permit_id, step_id).get_result_async()
            wait(lambda result=result: is_begun() or result.done(), 'the goal')
            said = result.result().result if result.done() else None
            held = said is None or said.outcome == DispatchStep.Result.HELD
            assert held and time.monotonic() < end, f'{said.code}: {said.text}'
        return admission.permit_id

    def close(self) -> None:
        self._is_over.set()
        self._thread.join(5.0)
        self.executor.shutdown(timeout_sec=0.0)
        self.dispatcher.destroy()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


class Processes:
    """Nodes as processes of their own."""

    def __init__(self) -> None:
        self.all: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *parameters: str, config: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a node with parameters ``name:=value``."""
        folder = config or ROOT / 'config'
        arguments = [part for parameter in (f'config:={folder}', *parameters) for part in ('-p', parameter)]
        command = [sys.executable, '-m', 'gemma4_ros.nodes.run', name, '--ros-args', *arguments]
        path = os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')])
        environment = {**os.environ, 'PYTHONPATH': path, 'GEMMA4_DIE_WITH_PARENT': '1'}
        self.all[name] = subprocess.Popen(command, env=environment)
        return self.all[name]

    def kill(self, name: str) -> float:
        """Kill a node and return when."""
        killed_at = time.monotonic()
        self.all[name].kill()
        self.all.pop(name).wait(10.0)
        return killed_at

    def pause(self, name: str) -> float:
        """Stop a node's process and return when."""
        stopped_at = time.monotonic()
        self.all[name].send_signal(signal.SIGSTOP)
        return stopped_at

    def go_on(self, name: str) -> None:
        self.all[name].send_signal(signal.SIGCONT)

    def close(self) -> None:
        for process in self.all.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.all.values():
            process.wait(10.0)
