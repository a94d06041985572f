# SPDX-License-Identifier: Apache-2.0
"""The node ``executor``: carries out the plan of one permit at a time by asking the gate for single steps."""

from __future__ import annotations

import math
import secrets
import time
from dataclasses import dataclass
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

from gemma4_ros.action import ExecutePlan
from gemma4_ros.core.errors import Gemma4Error
from gemma4_ros.core.tree.build import limits_of
from gemma4_ros.core.tree.plan_tree import PlanTree, TreeStatus
from gemma4_ros.core.tree.ports import TreeLimits
from gemma4_ros.msg import Heartbeat, TreeState
from gemma4_ros.ros import gate_files, params, qos
from gemma4_ros.ros.clients import ControllerClients
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_catalogue
from gemma4_ros.ros.gate_permit import GateWatch, close_permit, fetch_plan
from gemma4_ros.ros.gate_runner import GateRunner
from gemma4_ros.ros.tree_messages import feedback_message, result_message, tree_message
from gemma4_ros.ros.workers import Workers

BEAT_S = 0.1
SHUTDOWN_S = 4.0


@dataclass(frozen=True)
class ExecutorConfig:
    """Parameters of the executor."""

    config: str = params.param('', doc='folder of the configuration; empty: the one that comes with the package')
    world: str = params.param('world.yaml', doc='world file, below the folder or absolute')
    tools: tuple[str, ...] = params.param(gate_files.CELL_TOOLS, doc='tools files, below the folder or absolute')
    hold_deadline_s: float = params.param(30.0, doc='how long the gate may hold a step', unit='s', low=0.0, high=3600.0)
    hold_retry_s: float = params.param(
        0.5, doc='wait before a held step is asked for again', unit='s', low=0.05, high=60.0
    )
    watchdog_margin_s: float = params.param(
        20.0, doc="time after a tool's timeout until a silent step is cancelled", unit='s', low=1.0, high=600.0
    )
    cancel_grace_s: float = params.param(
        15.0, doc='time after that until it counts as lost', unit='s', low=1.0, high=600.0
    )


class ExecutorNode(Node):
    """Wires the tree to the gate. It knows no controller."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('executor', **kwargs)
        params.declare(self, ExecutorConfig)
        self._config = params.read(self, ExecutorConfig)
        files = GateFiles(self._config.config, self._config.world, self._config.tools)
        self._tools = limits_of(load_catalogue(files).toolset)
        self._workers = Workers(self, threads=0)
        self._gate_clients = ControllerClients(self, self._workers)
        self._is_busy = False
        self._is_cancelled = False
        self._tree: PlanTree | None = None
        self._runner: GateRunner | None = None
        self._news: Future[None] = Future()
        self._boot_id, self._beats = secrets.token_hex(16), 0
        self._gate_watch = GateWatch(self, self._on_gate_lost)
        self._tree_topic = self.create_publisher(TreeState, '~/tree', qos.STATE_LATCHED)
        self._beat_topic = self.create_publisher(Heartbeat, '~/heartbeat', qos.HEARTBEAT)
        self.create_service(Trigger, '~/pause', self._pause)
        self.create_service(Trigger, '~/resume', self._resume)
        self._server = ActionServer(
            self,
            ExecutePlan,
            '~/execute_plan',
            self._execute,
            callback_group=self._workers.group,
            goal_callback=self._on_goal,
            handle_accepted_callback=self._on_accepted,
            cancel_callback=self._on_cancel,
        )
        self.create_timer(BEAT_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # goals -----------------------------------------------------------------------------------------------------------
    def _on_goal(self, request: ExecutePlan.Goal) -> GoalResponse:
        if self._is_busy or not request.permit_id:
            self.get_logger().warning(
                'goal refused: ' + ('another plan is being carried out' if self._is_busy else 'no permit')
            )
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _on_accepted(self, goal: Any) -> None:
        self._is_busy, self._is_cancelled = True, False
        goal.execute()

    def _on_cancel(self, _: Any) -> CancelResponse:
        self._cancel()
        return CancelResponse.ACCEPT

    def _cancel(self) -> None:
        self._is_cancelled = True
        self._tell()

    async def _execute(self, goal: Any) -> ExecutePlan.Result:
        start_s = time.monotonic()
        try:
            return await self._carry_out(goal, start_s)
        except Gemma4Error as error:
            self.get_logger().error(f'plan not carried out: permit={goal.request.permit_id} code={error.code} {error}')
            goal.abort()
            return ExecutePlan.Result(
                outcome=ExecutePlan.Result.FAILED,
                code=error.code,
                error_msg=str(error)[:512],
                results='{}',
                total_s=time.monotonic() - start_s,
            )
        finally:
            self._is_busy, self._tree, self._runner = False, None, None

    async def _carry_out(self, goal: Any, start_s: float) -> ExecutePlan.Result:
        permit_id = goal.request.permit_id
        plan, sha256 = await fetch_plan(self._gate_clients, permit_id)
        self._runner = GateRunner(self, self._gate_clients, permit_id, self._tell)
        config = self._config
        limits = TreeLimits(
            config.hold_deadline_s, config.hold_retry_s, config.watchdog_margin_s, config.cancel_grace_s
        )
        tree = self._tree = PlanTree(plan, self._tools, self._runner, limits)
        self.get_logger().info(f'plan started: permit={permit_id} plan={sha256[:12]} steps={tree.steps_total}')
        while tree.status in (TreeStatus.RUNNING, TreeStatus.PAUSED):
            self._news = Future()
            if self._is_cancelled:
                tree.cancel()
            tree.tick(time.monotonic())
            self._show(goal, tree, permit_id, sha256)
            if tree.status in (TreeStatus.RUNNING, TreeStatus.PAUSED):
                await self._wait(tree.wake_s)
        result = result_message(tree, time.monotonic() - start_s)
        self.get_logger().info(f'plan ended: permit={permit_id} status={tree.status.name} {result.error_msg}')
        if tree.failure is None or not tree.failure[1].is_final:  # a gate that is lost closes nothing
            problem = await close_permit(self._gate_clients, permit_id, result.outcome, result.error_msg)
            if problem:
                self.get_logger().warning(f'permit not closed: permit={permit_id} {problem}')
        _finish(goal, tree.status)
        return result

    async def _wait(self, wake_s: float) -> None:
        """Sleep until something happens, or the tree wants to be ticked."""
        left_s = 3600.0 if math.isinf(wake_s) else max(wake_s - time.monotonic(), 0.0)
        await self._workers.until(self._news, min(left_s, 3600.0))

    def _tell(self) -> None:
        """Say that something happened."""
        if not self._news.done():
            self._news.set_result(None)
            self._workers.wake()

    def _show(self, goal: Any, tree: PlanTree, permit_id: str, sha256: str) -> None:
        for event in tree.take_events():
            goal.publish_feedback(feedback_message(event, tree))
        if tree.take_change():
            self._tree_topic.publish(tree_message(tree, permit_id, sha256, self.get_clock().now().to_msg()))

    def _beat(self) -> None:
        self._beats += 1
        stamp = self.get_clock().now().to_msg()
        self._beat_topic.publish(Heartbeat(stamp=stamp, boot_id=self._boot_id, sequence=self._beats))
        self._gate_watch.tick()

    def _on_gate_lost(self, reason: str) -> None:
        if self._runner is not None:
            self.get_logger().error(reason)
            self._runner.abandon(reason)

    # people ----------------------------------------------------------------------------------------------------------
    def _pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._switch(
            response,
            'paused: no step is started; running ones go on to their end, or are cancelled, as their tool says',
        )

    def _resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._switch(response, 'resumed')

    def _switch(self, response: Trigger.Response, message: str) -> Trigger.Response:
        response.success = self._tree is not None
        response.message = message if self._tree is not None else 'no plan is being carried out'
        if self._tree is not None:
            (self._tree.resume if message == 'resumed' else self._tree.pause)()
            self._tell()
        return response

    async def shutdown(self) -> None:
        """Cancel the running step and wait for its end."""
        self._cancel()
        if not await self._workers.wait_for(lambda: not self._is_busy, SHUTDOWN_S):
            self.get_logger().warning('the running step has not ended; the gate ends it when our heartbeat stops')
        self._workers.shutdown()

    def destroy_node(self) -> None:
        """Take the server down as well; rclpy leaves it."""
        self._server.destroy()
        self._gate_clients.shutdown()
        super().destroy_node()


def _finish(goal: Any, status: TreeStatus) -> None:
    if status is TreeStatus.SUCCEEDED:
        goal.succeed()
    elif goal.is_cancel_requested:
        goal.canceled()
    else:
        goal.abort()
