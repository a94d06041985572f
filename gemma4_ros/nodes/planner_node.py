# SPDX-License-Identifier: Apache-2.0
"""The node `planner`: what an operator says becomes a checked plan, an answer, a question or a refusal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nav_msgs.msg import Odometry
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from gemma4_ros.action import MakePlan
from gemma4_ros.core.errors import ConfigError, Gemma4Error, ModelCancelledError, NotRunningError
from gemma4_ros.core.facts import Fact as CoreFact
from gemma4_ros.core.plan import Plan
from gemma4_ros.core.planning.belief import Belief
from gemma4_ros.core.planning.planner import Outcome, Planner
from gemma4_ros.core.ports import LanguageModel
from gemma4_ros.msg import Fact, TreeNode, TreeState
from gemma4_ros.ros import params, plan_messages, qos
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_catalogue
from gemma4_ros.ros.generate_client import RosLanguageModel
from gemma4_ros.ros.lifecycle import LifecycleBase
from gemma4_ros.ros.params import param
from gemma4_ros.ros.workers import Workers
from gemma4_ros.srv import GetWorld, SetFacts

__all__ = ['PlannerNode', 'PlannerParameters']

ModelFactory = Callable[['PlannerNode', Workers], LanguageModel]
POSE_PERIOD_S = 0.2
PLANS_KEPT = 16


@dataclass(frozen=True)
class PlannerParameters:
    """Parameters of the planner."""

    config: str = param('', doc='folder with world.yaml and tools/; empty: the one of the package')
    tools: tuple[str, ...] = param(('tools/cell.yaml',), doc='tools files, below the folder')
    deadline_s: float = param(150.0, doc='longest time for one command', unit='s', low=1.0, high=600.0)
    warm: bool = param(True, doc='read the constant part of the prompt when the node is activated')


def _ros_model(node: PlannerNode, workers: Workers) -> LanguageModel:
    return RosLanguageModel(node, workers)


class PlannerNode(LifecycleBase):
    """Wire ROS to the planner; contains no planning logic."""

    def __init__(self, make_model: ModelFactory = _ros_model, **kwargs: Any) -> None:
        super().__init__('planner', **kwargs)
        params.declare(self, PlannerParameters)
        self._make_model = make_model
        self._workers = Workers(self, threads=2)
        self._lock = threading.Lock()
        self._plans: dict[str, Plan] = {}
        self._statuses: dict[str, int] = {}
        self._posed_at_s = 0.0
        self._busy = False

    def on_configure(self, _: LifecycleState) -> TransitionCallbackReturn:
        """Read the files and build the planner."""
        self._config = params.read(self, PlannerParameters)
        catalogue = load_catalogue(GateFiles(config=self._config.config, tools=self._config.tools))
        self._planner = Planner(catalogue.world, catalogue.toolset, self._make_model(self, self._workers))
        self._belief = Belief(self._planner.symbolic)
        group = self._workers.group
        self._server = ActionServer(
            self, MakePlan, '~/make_plan', self._execute, callback_group=group,
            goal_callback=self._goal, cancel_callback=lambda _: CancelResponse.ACCEPT,
        )  # fmt: skip
        self.create_service(GetWorld, '~/get_world', self._get_world, callback_group=group)
        self.create_service(SetFacts, '~/set_facts', self._set_facts, callback_group=group)
        self.create_subscription(TreeState, 'executor/tree', self._tree, qos.STATE_LATCHED, callback_group=group)
        pose = catalogue.world.signals.get('pose')
        if pose is not None:
            if pose.type != 'nav_msgs/msg/Odometry':
                raise ConfigError(
                    f'signals.pose: {pose.type} is not taken; nav_msgs/msg/Odometry in the world frame is'
                )
            self.create_subscription(Odometry, pose.topic, self._pose, qos.SIGNAL, callback_group=group)
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to read the prompt's constant part, once the model is there."""
        if self._config.warm:
            self._warming = self.create_timer(1.0, self._warm, callback_group=self._workers.group)
        return super().on_activate(state)

    async def _warm(self) -> None:
        self._warming.cancel()
        for _ in range(300):
            try:
                await self._workers.run(self._planner.warm)
            except NotRunningError:
                await self._workers.sleep(1.0)
            except Gemma4Error as error:
                self.get_logger().warning(f'the prompt is not warm: code={error.code} {error}')
                return
            else:
                self.get_logger().info('the prompt is warm')
                return

    def _goal(self, _: MakePlan.Goal) -> GoalResponse:
        return GoalResponse.REJECT if self._busy else GoalResponse.ACCEPT

    async def _execute(self, handle: Any) -> MakePlan.Result:
        self._busy = True
        started_s = time.monotonic()
        try:
            outcome = await self._workers.run(self._plan, handle, cancel_from=handle)
        except Gemma4Error as error:
            return self._fail(handle, error, started_s)
        finally:
            self._busy = False
        handle.succeed()
        return plan_messages.result(outcome, time.monotonic() - started_s)

    def _fail(self, handle: Any, error: Gemma4Error, started_s: float) -> MakePlan.Result:
        if isinstance(error, ModelCancelledError) and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
            self.get_logger().warning(f'no plan: code={error.code} {error}')
        return MakePlan.Result(code=error.code, error_msg=str(error)[:512], total_s=time.monotonic() - started_s)

    def _plan(self, handle: Any) -> Outcome:
        """Plan in a worker thread."""
        goal = handle.request

        def tell(phase: str, text: str) -> None:
            self._workers.call_soon(handle.publish_feedback, MakePlan.Feedback(phase=phase, text=text[:512]))

        with self._lock:
            state = self._belief.state()
        outcome = self._planner.plan(
            goal.text,
            state,
            dialogue=tuple(goal.dialogue),
            failure=plan_messages.failure(goal),
            deadline_s=goal.deadline_s or self._config.deadline_s,
            cancelled=lambda: handle.is_cancel_requested,
            on_phase=tell,
        )
        if outcome.plan is not None:
            with self._lock:
                self._plans[outcome.sha256] = outcome.plan
                while len(self._plans) > PLANS_KEPT:
                    self._plans.pop(next(iter(self._plans)))
        return outcome

    def _tree(self, tree: TreeState) -> None:
        """Take what the steps of our own plans did."""
        with self._lock:
            plan = self._plans.get(tree.plan_sha256)
            if plan is None:
                return
            for node in tree.nodes:
                key = f'{tree.permit_id}/{node.id}'
                if node.kind != 'step' or self._statuses.get(key) == node.status:
                    continue
                self._statuses[key] = node.status
                if node.status == TreeNode.SUCCEEDED:
                    self._belief.step_succeeded(plan, node.id, time.monotonic())
                elif node.status in (TreeNode.FAILED, TreeNode.CANCELLED):
                    self._belief.step_failed(plan, node.id)

    def _pose(self, message: Odometry) -> None:
        now_s = time.monotonic()
        if now_s - self._posed_at_s < POSE_PERIOD_S:
            return
        self._posed_at_s = now_s
        position = message.pose.pose.position
        with self._lock:
            self._belief.robot_pose(position.x, position.y, now_s)

    def _get_world(self, _: GetWorld.Request, response: GetWorld.Response) -> GetWorld.Response:
        with self._lock:
            known = self._belief.known()
        now_s = time.monotonic()
        response.facts = [
            Fact(name=k.fact.name, args=list(k.fact.args), value=k.fact.value, source=k.source, age_s=now_s - k.since_s)
            for k in known
        ]
        return response

    def _set_facts(self, request: SetFacts.Request, response: SetFacts.Response) -> SetFacts.Response:
        facts = [CoreFact(fact.name, tuple(fact.args), fact.value) for fact in request.facts]
        try:
            with self._lock:
                self._belief.tell(facts, f'operator:{request.person}', time.monotonic())
        except Gemma4Error as error:
            response.accepted, response.code, response.text = False, error.code, str(error)[:512]
            return response
        response.accepted = True
        return response

    def shutdown(self) -> None:
        """End the worker threads."""
        self._workers.shutdown()
