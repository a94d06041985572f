# SPDX-License-Identifier: Apache-2.0
"""The cell's controllers as action and service servers: a goal goes to the physics thread, its outcome comes back."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.action.server import ActionServer, CancelResponse, GoalResponse, ServerGoalHandle
from rclpy.node import Node
from rclpy.task import Future

from gemma4_ros.action import Dock, DriveTo, MoveArm, OperateValve, PickObject, PlaceObject
from gemma4_ros.ros.workers import Workers
from gemma4_ros.sim.cell import Cell
from gemma4_ros.sim.controller import Ticket
from gemma4_ros.sim.layout import Pose
from gemma4_ros.sim.robot import Outcome
from gemma4_ros.srv import SetPanelValue

__all__ = ['Servers']

FEEDBACK_PERIOD_S = 0.2
RESERVED_S = 1.0
UNLISTED = 65535  # an error that the interface has no constant for


@dataclass(frozen=True, slots=True)
class _Action:
    type: Any
    arguments: Callable[[Any], Mapping[str, Any]]
    feedback: Callable[[Any, Mapping[str, Any]], None]


def _drive_arguments(goal: Any) -> Mapping[str, Any]:
    position, q = goal.pose.pose.position, goal.pose.pose.orientation
    yaw = math.atan2(2 * (q.w * q.z + q.x * q.y), 1 - 2 * (q.y * q.y + q.z * q.z))
    return {'pose': Pose(position.x, position.y, yaw), 'frame': goal.pose.header.frame_id}


def _drive_feedback(message: Any, seen: Mapping[str, Any]) -> None:
    pose = seen['pose']
    message.current_pose.header.frame_id = 'map'
    message.current_pose.pose.position.x, message.current_pose.pose.position.y = pose.x, pose.y
    message.current_pose.pose.orientation.z = math.sin(pose.yaw / 2)
    message.current_pose.pose.orientation.w = math.cos(pose.yaw / 2)
    message.distance_remaining_m = float(seen['distance_remaining_m'])


def _copy(*names: str) -> Callable[[Any, Mapping[str, Any]], None]:
    def fill(message: Any, seen: Mapping[str, Any]) -> None:
        for name in names:
            setattr(message, name, seen[name])

    return fill


_ACTIONS: Mapping[str, _Action] = {
    'drive_to': _Action(DriveTo, _drive_arguments, _drive_feedback),
    'pick_object': _Action(PickObject, lambda g: {'object_id': g.object_id}, _copy('phase')),
    'place_object': _Action(PlaceObject, lambda g: {'place_id': g.place_id}, _copy('phase')),
    'dock': _Action(Dock, lambda g: {'undock': g.undock}, _copy('phase')),
    'operate_valve': _Action(
        OperateValve,
        lambda g: {'valve_id': g.valve_id, 'opening': g.command == OperateValve.Goal.OPEN},
        _copy('angle_rad'),
    ),
    'move_arm': _Action(MoveArm, lambda g: {'posture': g.posture}, _copy('remaining_rad')),
}


def error_code(result: type[Any], outcome: Outcome) -> int:
    """Return the interface's number of an outcome; a cancelled goal has none."""
    if outcome.code == 'CANCELLED':
        return 0
    return int(getattr(result, outcome.code, UNLISTED))


async def _outcome(future: Future[Outcome]) -> Outcome:
    outcome: Outcome | None = await future
    assert outcome is not None  # `done` sets one
    return outcome


class Servers:
    """
    Serve the controllers of a cell on a node.

    Parameters
    ----------
    node : Node
        Carries the servers; its executor must be single-threaded.
    cell : Cell
        Does the work in its own thread.
    workers : Workers
        Brings answers of that thread back to the executor.

    """

    def __init__(self, node: Node, cell: Cell, workers: Workers) -> None:
        self._node, self._cell, self._workers = node, cell, workers
        self._reserved: dict[str, float] = {}
        self._tickets: dict[bytes, Ticket] = {}
        self._servers = [self._serve(name, action) for name, action in _ACTIONS.items()]
        self._panel = node.create_service(
            SetPanelValue, 'set_panel_value', self._set_panel_value, callback_group=workers.group
        )

    def destroy(self) -> None:
        """Take the servers down."""
        for server in self._servers:
            server.destroy()

    def _serve(self, name: str, action: _Action) -> ActionServer[Any, Any, Any]:
        async def execute(handle: ServerGoalHandle[Any, Any, Any]) -> Any:
            return await self._execute(name, action, handle)

        return ActionServer(
            self._node,
            action.type,
            name,
            execute,
            goal_callback=lambda _: self._accept(name),
            cancel_callback=self._cancel,
        )

    def _accept(self, name: str) -> GoalResponse:
        resource = self._cell.controllers[name].kind.resource
        refused = self._cell.refusal(name)
        # between accepting a goal and its execution another one may arrive
        if not refused and time.monotonic() - self._reserved.get(resource, -math.inf) < RESERVED_S:
            refused = 'an earlier goal is about to start'
        if refused:
            self._node.get_logger().warning(f'goal rejected: controller={name} reason="{refused}"')
            return GoalResponse.REJECT
        self._reserved[resource] = time.monotonic()
        return GoalResponse.ACCEPT

    def _cancel(self, handle: ServerGoalHandle[Any, Any, Any]) -> CancelResponse:
        ticket = self._tickets.get(bytes(handle.goal_id.uuid))
        if ticket is not None:
            ticket.cancelled = True
        return CancelResponse.ACCEPT

    async def _execute(self, name: str, action: _Action, handle: ServerGoalHandle[Any, Any, Any]) -> Any:
        key = bytes(handle.goal_id.uuid)
        future, done = self._answer()
        self._reserved.pop(self._cell.controllers[name].kind.resource, None)
        if handle.is_cancel_requested:
            done(Outcome('CANCELLED', 'cancelled before it started'))
        else:
            self._tickets[key] = self._cell.start(
                name, action.arguments(handle.request), done, self._reporter(action, handle)
            )
        outcome = await _outcome(future)
        self._tickets.pop(key, None)
        return self._finish(name, action, handle, outcome)

    def _answer(self) -> tuple[Future[Outcome], Callable[[Outcome], None]]:
        future: Future[Outcome] = Future()

        def done(outcome: Outcome) -> None:
            future.set_result(outcome)
            self._workers.wake()

        return future, done

    def _reporter(
        self, action: _Action, handle: ServerGoalHandle[Any, Any, Any]
    ) -> Callable[[Mapping[str, Any]], None]:
        last = [-math.inf]

        def report(seen: Mapping[str, Any]) -> None:
            now = time.monotonic()
            if now - last[0] < FEEDBACK_PERIOD_S:
                return
            last[0] = now
            message = action.type.Feedback()
            action.feedback(message, seen)
            self._workers.call_soon(self._publish_feedback, handle, message)

        return report

    @staticmethod
    def _publish_feedback(handle: ServerGoalHandle[Any, Any, Any], message: Any) -> None:
        if handle.is_active:
            handle.publish_feedback(message)

    def _finish(self, name: str, action: _Action, handle: ServerGoalHandle[Any, Any, Any], outcome: Outcome) -> Any:
        result = action.type.Result()
        result.error_code = error_code(action.type.Result, outcome)
        result.error_msg = outcome.text[:256]
        for field, value in outcome.values.items():
            setattr(result, field, float(value))
        if outcome.ok:
            handle.succeed()
        elif outcome.code == 'CANCELLED' and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
            self._node.get_logger().warning(
                f'goal aborted: controller={name} code={outcome.code} reason="{outcome.text}"'
            )
        return result

    async def _set_panel_value(self, request: Any, response: Any) -> Any:
        future, done = self._answer()
        arguments = {'panel': request.panel, 'value': request.value, 'unit': request.unit}
        self._cell.start('set_panel_value', arguments, done)
        outcome = await _outcome(future)
        response.success = outcome.ok
        response.error_code = error_code(SetPanelValue.Response, outcome)
        if not outcome.ok and response.error_code == 0:
            response.error_code = SetPanelValue.Response.BUSY
        response.error_msg = outcome.text[:256]
        return response
