# SPDX-License-Identifier: Apache-2.0
"""A gate over real DDS, a robot whose controllers count what reaches them, and somebody who calls the gate."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rclpy
from gemma4_ros.action import DispatchStep, DriveTo, OperateValve
from gemma4_ros.msg import ApprovalRequest, DeadmanState, GateState, Heartbeat, StopRequest, Verdict
from gemma4_ros.srv import (
    AdmitPlan,
    Approve,
    ClosePermit,
    EvaluateCondition,
    GetPlan,
    ReadGauge,
    SetArmed,
    SetLockout,
)
from nav_msgs.msg import Odometry
from rclpy.action import ActionClient, ActionServer, CancelResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, String

from gemma4_ros.core.gate.audit_verify import verify
from gemma4_ros.core.plan import Node as PlanNode
from gemma4_ros.core.plan import Plan, Sequence, Step, plan_to_bytes
from gemma4_ros.nodes.gate_node import GateNode
from gemma4_ros.ros import qos
from gemma4_ros.ros.gate_load import load_gate
from gemma4_ros.ros.workers import Workers

__all__ = [
    'CONFIG',
    'DEADLINE_S',
    'SPEECH',
    'TYPED',
    'Cell',
    'Operator',
    'Robot',
    'Spinner',
    'drive',
    'plan_of',
    'wait',
]

CONFIG = str(Path(__file__).resolve().parents[3] / 'config')
TYPED, SPEECH = 0, 1
DEADLINE_S = 10.0
# Each cell in turn: a participant that has just gone, or was killed by another test, slows the finding of new ones.
DOMAINS = itertools.cycle(range(93, 101))


def wait(predicate: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> float:
    """Wait for a predicate; return how long it took, s."""
    start = time.monotonic()
    while not predicate():
        assert time.monotonic() - start < deadline_s, f'{what} did not happen within {deadline_s} s'
        time.sleep(0.005)
    return time.monotonic() - start


class Spinner:
    """A node on its own context and thread."""

    def __init__(self, make: Callable[[Context], Node], domain_id: int) -> None:
        self.context = Context()
        rclpy.init(context=self.context, domain_id=domain_id)
        self.node = make(self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._spin, daemon=True)
        self.thread.start()

    def _spin(self) -> None:
        while not self.is_over.is_set():
            self.executor.spin_once(timeout_sec=0.05)

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join(5.0)

    def close(self) -> None:
        self.stop()
        self.executor.shutdown(timeout_sec=0.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


class Robot:
    """Signals, signs of life and controllers that count what reaches them."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.workers = Workers(node, threads=0)
        self.mode, self.estop = 'AUTO', False
        self.x_m, self.y_m = -3.0, -2.0
        self.silent: set[str] = set()
        self.works_s, self.fails, self.pressure = 0.05, 0, 3.7
        self.goals: list[str] = []
        self.running: list[str] = []
        self.cancelled = 0
        self.beats = 0
        signals = [('mode', String, 'mode'), ('estop', Bool, 'estop'), ('pose', Odometry, 'odom')]
        beats = [('executor', Heartbeat, 'executor/heartbeat'), ('deadman', Heartbeat, 'deadman/heartbeat')]
        self.topics = {name: node.create_publisher(cls, topic, qos.SIGNAL) for name, cls, topic in signals + beats}
        self.deadman_state = node.create_publisher(DeadmanState, 'deadman/state', qos.STATE_LATCHED)
        self.stop = node.create_publisher(StopRequest, 'gate/stop', qos.STOP)
        self.abandoned: list[StopRequest] = []
        node.create_subscription(StopRequest, 'deadman/stop', self.abandoned.append, qos.STOP)
        group = ReentrantCallbackGroup()
        self.servers = [
            ActionServer(node, DriveTo, 'drive_to', self._drive, cancel_callback=lambda _: CancelResponse.ACCEPT),
            ActionServer(
                node, OperateValve, 'operate_valve', self._operate, cancel_callback=lambda _: CancelResponse.ACCEPT
            ),
        ]
        node.create_service(ReadGauge, 'perception/read_gauge', self._read, callback_group=group)
        node.create_timer(0.05, self._publish)

    def _publish(self) -> None:
        self.beats += 1
        messages = {
            'mode': String(data=self.mode),
            'estop': Bool(data=self.estop),
            'pose': self._odometry(),
            'executor': Heartbeat(boot_id='e', sequence=self.beats),
            'deadman': Heartbeat(boot_id='d', sequence=self.beats),
        }
        for name, message in messages.items():
            if name not in self.silent:
                self.topics[name].publish(message)

    def _odometry(self) -> Odometry:
        message = Odometry()
        message.header.frame_id, message.header.stamp = 'map', self.node.get_clock().now().to_msg()
        message.pose.pose.position.x, message.pose.pose.position.y = self.x_m, self.y_m
        return message

    async def _drive(self, goal: Any) -> DriveTo.Result:
        position = goal.request.pose.pose.position
        done = await self._work(goal, f'drive {position.x:g} {position.y:g}')
        return DriveTo.Result(error_code=0 if done else 3, error_msg='' if done else 'blocked', distance_m=4.5)

    async def _operate(self, goal: Any) -> OperateValve.Result:
        await self._work(goal, f'valve {goal.request.valve_id} {goal.request.command}')
        return OperateValve.Result()

    async def _work(self, goal: Any, what: str) -> bool:
        self.goals.append(what)
        self.running.append(what)
        await self.workers.wait_for(lambda: goal.is_cancel_requested, self.works_s)
        self.running.remove(what)
        if goal.is_cancel_requested:
            self.cancelled += 1
            goal.canceled()
            return False
        if self.fails:
            self.fails -= 1
            goal.abort()
            return False
        goal.succeed()
        return True

    def _read(self, request: Any, response: Any) -> Any:
        self.goals.append(f'read {request.gauge}')
        response.success = True
        response.reading.value = self.pressure
        return response


class Operator:
    """Calls the gate as planner, executor and people do."""

    def __init__(self, node: Node) -> None:
        self.node = node
        group = ReentrantCallbackGroup()
        types = {
            'admit': AdmitPlan,
            'approve': Approve,
            'get_plan': GetPlan,
            'evaluate': EvaluateCondition,
            'close': ClosePermit,
        }
        types |= {'set_armed': SetArmed, 'set_lockout': SetLockout}
        self.clients = {
            name: node.create_client(cls, f'gate/{name}', callback_group=group) for name, cls in types.items()
        }
        self.dispatcher = ActionClient(node, DispatchStep, 'gate/dispatch')
        self.states: list[GateState] = []
        self.requests: list[ApprovalRequest] = []
        self.verdicts: list[Verdict] = []
        node.create_subscription(GateState, 'gate/state', self.states.append, qos.STATE_LATCHED)
        node.create_subscription(ApprovalRequest, 'gate/approval_request', self.requests.append, qos.STATE_LATCHED)
        node.create_subscription(Verdict, 'gate/verdicts', self.verdicts.append, qos.LATCHED_HISTORY)

    def call(self, name: str, **fields: Any) -> Any:
        client = self.clients[name]
        assert client.wait_for_service(DEADLINE_S)
        future = client.call_async(client.srv_type.Request(**fields))
        wait(future.done, f'the answer of {name}')
        return future.result()

    def admit(self, plan: Plan | bytes, channel: int = TYPED, proposer: str = 'operator') -> AdmitPlan.Response:
        raw = plan if isinstance(plan, bytes) else plan_to_bytes(plan)
        return self.call('admit', plan=raw, proposer=proposer, channel=channel)

    def send(self, permit_id: str, step_id: str) -> Any:
        assert self.dispatcher.wait_for_server(DEADLINE_S)
        future = self.dispatcher.send_goal_async(DispatchStep.Goal(permit_id=permit_id, step_id=step_id))
        wait(future.done, 'acceptance')
        return future.result().get_result_async()

    def dispatch(self, permit_id: str, step_id: str) -> DispatchStep.Result:
        future = self.send(permit_id, step_id)
        wait(future.done, f'the end of {step_id}')
        return future.result().result

    def arm(self, command: int = SetArmed.Request.ARM) -> SetArmed.Response:
        client = self.clients['set_armed']
        assert client.wait_for_service(DEADLINE_S)
        end = time.monotonic() + DEADLINE_S
        while True:  # the answer to a client that the gate has not discovered is lost; arming twice is arming
            future = client.call_async(SetArmed.Request(command=command, person='operator'))
            again = time.monotonic() + 1.0
            while not future.done() and time.monotonic() < again:
                time.sleep(0.005)
            if future.done():
                return future.result()
            assert time.monotonic() < end, f'no answer of set_armed within {DEADLINE_S} s'

    @property
    def state(self) -> int:
        return self.states[-1].state if self.states else -1


class Cell:
    """Everything of one test."""

    def __init__(self, audit_dir: Path, **parameters: Any) -> None:
        values = {'config': CONFIG, 'audit_dir': str(audit_dir), **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        self.audit_dir, self.domain_id = audit_dir, next(DOMAINS)
        self.gate = Spinner(
            lambda context: GateNode(load=load_gate, context=context, parameter_overrides=overrides), self.domain_id
        )
        parts: list[Any] = []

        def world(context: Context) -> Node:
            node = Node('cell', context=context)
            parts.extend((Robot(node), Operator(node)))
            return node

        self.world = Spinner(world, self.domain_id)
        self.robot: Robot = parts[0]
        self.operator: Operator = parts[1]

    def armed(self) -> Cell:
        wait(lambda: self.operator.arm().accepted, 'arming')
        return self

    def close(self) -> None:
        task = self.gate.executor.create_task(self.gate.node.shutdown)
        wait(task.done, 'the end of the gate')
        self.world.stop()  # what spins must not meet a server that is gone
        for server in self.robot.servers:
            server.destroy()
        self.world.close()
        self.gate.close()
        for log in self.audit_dir.glob('*.jsonl'):
            assert verify(log.read_bytes().splitlines(keepends=True)).problem == ''


def drive(step_id: str, place: str) -> Step:
    return Step(step_id, 'navigate_to', {'place': place})


def plan_of(*steps: PlanNode) -> Plan:
    return Plan('test', Sequence(steps))
