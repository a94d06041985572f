# SPDX-License-Identifier: Apache-2.0
"""The node ``gate``: wires ROS to the reference monitor; contains no rule."""

from __future__ import annotations

import functools
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.task import Future

from gemma4_ros.action import DispatchStep
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.monitor import Monitor
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.msg import DeadmanState, Heartbeat, StopRequest
from gemma4_ros.ros import gate_config, gate_files, params, qos
from gemma4_ros.ros.clients import ControllerClients
from gemma4_ros.ros.gate_audit import AuditError, AuditFile
from gemma4_ros.ros.gate_dispatch import Dispatcher
from gemma4_ros.ros.gate_locks import LockFile, check_version
from gemma4_ros.ros.gate_services import GateServices
from gemma4_ros.ros.gate_signals import GateSignals
from gemma4_ros.ros.gate_views import GateViews, bounded
from gemma4_ros.ros.workers import Workers

MAX_DISPATCHES = 16
Load = Callable[[gate_config.GateFiles], tuple[Policy, Catalogue]]


@dataclass(frozen=True)
class GateConfig(gate_config.GateFiles):
    """Parameters of the gate."""

    config: str = params.param('', doc='folder of the configuration; empty: the one that comes with the package')
    world: str = params.param('world.yaml', doc='world file, below the folder or absolute')
    tools: tuple[str, ...] = params.param(gate_files.CELL_TOOLS, doc='tools files, below the folder or absolute')
    policy: str = params.param('policy.yaml', doc='policy file, below the folder or absolute')
    policy_key: str = params.param('', doc='public Ed25519 key file; with it, POLICY.sig must be its signature')
    audit_key: str = params.param('', doc='private Ed25519 key file without passphrase that signs audit checkpoints')
    audit_dir: str = params.param('', doc='folder of the audit logs; empty: gemma4_ros/audit in the user state folder')


class GateNode(Node):
    """The only process that reaches controllers."""

    def __init__(self, *, load: Load = gate_config.load, **kwargs: Any) -> None:
        super().__init__('gate', **kwargs)
        params.declare(self, GateConfig)
        config = params.read(self, GateConfig)
        policy, catalogue = load(config)
        boot_id = secrets.token_hex(16)
        sign = gate_config.signer(config.audit_key)
        self._audit = AuditFile(gate_files.audit_folder(config.audit_dir), boot_id, sign)
        self.monitor = Monitor(policy, catalogue, boot_id, functools.partial(secrets.token_hex, 16), self._audit)
        folder = gate_files.audit_folder(config.audit_dir)
        if config.policy_key:
            check_version(policy, folder / 'policy_versions.json')
        locks = LockFile(folder / 'lockouts.json')
        self.monitor.moment.restore(locks.read(), gate_config.expiry_s(policy, time.time(), time.monotonic()))
        self._views = GateViews(self, self.monitor)
        self._audit_workers, self._workers = Workers(self, threads=1), Workers(self, threads=0)
        self._controllers = ControllerClients(self, self._workers)
        shows = self._views.show_verdict
        hooks = (self._make_durable, shows, self._abandon, self._workers.wait_for)
        self._dispatcher = Dispatcher(self.monitor, self._controllers, *hooks)
        self._open_dispatches, self._beats, self._asked, self._written = 0, 0, 0, 0
        self._write: Future[None] = Future()
        self._write.set_result(None)
        self._beat_topic = self.create_publisher(Heartbeat, '~/heartbeat', qos.HEARTBEAT)
        self._deadman_topic = self.create_publisher(StopRequest, 'deadman/stop', qos.STOP)
        self._subscribe()
        self._served = GateServices(self, self.monitor, self._views, self._make_durable, locks)
        self._dispatch_server = self._serve_dispatch()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(0.05, self._tick, clock=steady)
        self.create_timer(0.1, self._beat, clock=steady)
        self.get_logger().info(f'policy={policy.name} version={policy.version} audit={self._audit.path}')

    def _subscribe(self) -> None:
        self.create_subscription(StopRequest, '~/stop', self._on_stop, qos.STOP)
        moment = self.monitor.moment
        for name, beat in (('executor', moment.executor), ('deadman', moment.deadman)):
            callback = functools.partial(lambda take, _: take(time.monotonic()), beat)
            self.create_subscription(Heartbeat, f'{name}/heartbeat', callback, qos.HEARTBEAT)
        self.create_subscription(DeadmanState, 'deadman/state', self._on_deadman_state, qos.STATE_LATCHED)
        self._signals = GateSignals(self, self.monitor.policy, moment)

    def _serve_dispatch(self) -> ActionServer[Any, Any, Any]:
        answers = {False: GoalResponse.REJECT, True: GoalResponse.ACCEPT}
        callbacks = {
            'goal_callback': lambda _: answers[self._open_dispatches < MAX_DISPATCHES],
            'cancel_callback': lambda _: CancelResponse.ACCEPT,
            'callback_group': ReentrantCallbackGroup(),
        }
        return ActionServer(self, DispatchStep, '~/dispatch', self._dispatch, **callbacks)

    async def _dispatch(self, goal: Any) -> DispatchStep.Result:
        self._open_dispatches += 1
        self._beat()  # the deadman is to know before the controller does
        try:
            return await self._dispatcher.execute(goal)
        finally:
            self._open_dispatches -= 1
            self._views.show_state()

    # state -----------------------------------------------------------------------------------------------------------
    def _on_stop(self, message: StopRequest) -> None:
        if self.monitor.moment.stop(Code.STOPPED, f'{message.source}: {message.reason}', time.monotonic()):
            self.get_logger().warning(f'stopped by {message.source!a}: {message.reason!a}')
        self._views.show_state()

    def _on_deadman_state(self, message: DeadmanState) -> None:
        tripped = message.state in (DeadmanState.CANCELLING, DeadmanState.TRIPPED)
        self.monitor.moment.deadman(time.monotonic(), tripped=tripped)
        self._views.show_state()

    def _abandon(self, reason: str) -> None:
        self.get_logger().error(f'a controller may still be moving: {reason}; the deadman takes over')
        message = StopRequest(stamp=self.get_clock().now().to_msg(), source='gate', reason=bounded(reason, 256))
        self._deadman_topic.publish(message)

    def _tick(self) -> None:
        now = time.monotonic()
        self._signals.tick(now)
        if self.monitor.moment.clock(time.time() - time.monotonic(), now):
            self.get_logger().error('the clock jumped; permits and requests are void')
        for request in self.monitor.tick(now):
            self._views.show_request(request, is_open=False)
        self._views.show_state()

    def _beat(self) -> None:
        self._beats += 1
        stamp = self.get_clock().now().to_msg()
        is_active = self._open_dispatches > 0
        self._beat_topic.publish(
            Heartbeat(stamp=stamp, boot_id=self.monitor.boot_id, sequence=self._beats, active=is_active)
        )

    async def _make_durable(self) -> None:
        """Wait until all that is noted by now is written; who comes while a write is under way shares the next one."""
        self._asked += 1
        wanted = self._asked
        while self._written < wanted:
            if self._write.done():
                self._write, covered = Future(), self._asked
                await self._write_audit()
                self._written = covered
                self._write.set_result(None)
                self._audit_workers.wake()
            else:
                await self._write

    async def _write_audit(self) -> None:
        try:
            await self._audit_workers.run(self._audit.write)
            self.monitor.moment.audit(True)
        except AuditError as error:
            self.monitor.moment.audit(False)
            self.get_logger().error(f'code={error.code} {error}', throttle_duration_sec=5.0)
        except Exception as error:  # noqa: BLE001 - others wait for this write: it ends, and nothing is sent any more
            self.monitor.moment.audit(False)
            self.monitor.moment.stop(Code.INTERNAL, f'{type(error).__name__} in the audit log', time.monotonic())

    async def shutdown(self) -> None:
        """Disarm, so that running steps are cancelled, and wait for their end; then close the log."""
        self.monitor.moment.shut(time.monotonic())
        await self._workers.wait_for(lambda: self._open_dispatches == 0, 3.0)
        await self._make_durable()
        try:
            self._audit.close()
        except AuditError as error:
            self.get_logger().error(str(error))
        self._audit_workers.shutdown()
        self._controllers.shutdown()
