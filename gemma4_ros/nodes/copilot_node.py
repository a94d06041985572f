# SPDX-License-Identifier: Apache-2.0
"""The node `copilot`: one conversation per operator, typed and spoken, from utterance to report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from rclpy.action import ActionServer, CancelResponse
from rclpy.node import Node

from gemma4_ros.action import Say
from gemma4_ros.core.copilot.dialogue import Conversation
from gemma4_ros.msg import Reply, TurnEvent, Utterance
from gemma4_ros.nodes.copilot_turn import Turn, TurnResult
from gemma4_ros.ros import gate_files, params, qos
from gemma4_ros.ros.awaited import Awaited
from gemma4_ros.ros.gate_config import GateFiles
from gemma4_ros.ros.gate_load import load_catalogue
from gemma4_ros.ros.params import param
from gemma4_ros.ros.workers import Workers

__all__ = ['CopilotNode', 'CopilotParameters']

_KINDS = {
    Say.Goal.NEEDS_ANSWER: Reply.KIND_QUESTION,
    Say.Goal.NEEDS_APPROVAL: Reply.KIND_CONFIRM,
    Say.Goal.DONE: Reply.KIND_INFO,
}


@dataclass(frozen=True)
class CopilotParameters:
    """Parameters of the copilot."""

    config: str = param('', doc='folder of the configuration; empty: the one that comes with the package')
    tools: tuple[str, ...] = param(gate_files.CELL_TOOLS, doc='tools files, below the folder or absolute')
    confidence_floor: float = param(0.45, doc='a spoken command below this is not understood', low=0.0, high=1.0)
    confirm_s: float = param(90.0, doc='how long a read-back waits for a yes', unit='s', low=5.0, high=600.0)


class CopilotNode(Node):
    """Wire ROS to the turns; contains no dialogue logic."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('copilot', **kwargs)
        params.declare(self, CopilotParameters)
        config = params.read(self, CopilotParameters)
        self._workers = Workers(self, threads=1)
        catalogue = load_catalogue(GateFiles(config=config.config, tools=config.tools))
        awaited = Awaited(self, self._workers)
        self._turn = Turn(self, awaited, catalogue, config.confidence_floor, config.confirm_s)
        self._talks: dict[str, Conversation] = {}
        self._replies = self.create_publisher(Reply, '~/reply', qos.LATCHED_HISTORY)
        self._events = self.create_publisher(TurnEvent, '~/events', qos.LATCHED_HISTORY)
        group = self._workers.group
        self._server = ActionServer(
            self, Say, '~/say', self._say, callback_group=group, cancel_callback=lambda _: CancelResponse.ACCEPT
        )
        self.create_subscription(Utterance, 'speech/utterance', self._heard, qos.EVENTS, callback_group=group)

    async def _say(self, handle: Any) -> Say.Result:
        utterance = handle.request.utterance
        key = handle.request.conversation_id or utterance.operator_id or 'operator'

        def tell(phase: str, text: str, data: dict[str, Any]) -> None:
            handle.publish_feedback(Say.Feedback(phase=phase[:32], text=text, data=json.dumps(data)))

        result = await self._carry_out(key, utterance, tell, handle)
        if handle.is_cancel_requested:
            handle.canceled()
        elif result.outcome in (Say.Goal.FAILED, Say.Goal.NOT_RUNNING):
            handle.abort()
        else:
            handle.succeed()
        return Say.Result(
            outcome=result.outcome,
            code=result.code,
            text=result.text[:4000],
            choices=[choice[:256] for choice in result.choices[:32]],
            plan_sha256=result.plan_sha256,
            approval_id=result.approval_id,
            results=json.dumps(result.results),
        )

    async def _heard(self, utterance: Utterance) -> None:
        await self._carry_out(utterance.operator_id or 'operator', utterance, None, None)

    async def _carry_out(self, key: str, utterance: Utterance, tell: Any, handle: Any) -> TurnResult:
        talk = self._talks.setdefault(key, Conversation())

        def sink(phase: str, text: str, data: dict[str, Any]) -> None:
            stamp = self.get_clock().now().to_msg()
            event = TurnEvent(
                stamp=stamp, conversation_id=key[:64], phase=phase[:32], text=text[:4000], data=json.dumps(data)
            )
            self._events.publish(event)
            if tell is not None:
                tell(phase, text, data)

        result = await self._turn.run(utterance, talk, sink, handle)
        sink('result', result.text, {'outcome': result.outcome, 'code': result.code, 'results': result.results})
        reply = Reply(
            conversation_id=key[:64],
            operator_id=utterance.operator_id,
            kind=_KINDS.get(result.outcome, Reply.KIND_ERROR),
            code=result.code,
            text=result.text[:4000],
            choices=[choice[:256] for choice in result.choices[:32]],
        )
        reply.header.stamp = self.get_clock().now().to_msg()
        self._replies.publish(reply)
        return result

    def shutdown(self) -> None:
        """End the worker threads."""
        self._workers.shutdown()
        self._server.destroy()
