# SPDX-License-Identifier: Apache-2.0
"""One turn of a conversation: planner, gate, executor, in order, each awaited with a deadline."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rclpy.node import Node

from gemma4_ros.action import ExecutePlan, MakePlan, Say
from gemma4_ros.core.copilot import report
from gemma4_ros.core.copilot.dialogue import Command, Confirm, Conversation, Misheard, Open, Pending, Refuse, Stop
from gemma4_ros.core.errors import BusyError, ConfirmationError, DialogueError, Gemma4Error
from gemma4_ros.core.gate.bind import Catalogue
from gemma4_ros.core.plan import Plan, plan_from_json
from gemma4_ros.core.speech.words import is_stop
from gemma4_ros.msg import StopRequest, Utterance, Verdict
from gemma4_ros.ros import qos
from gemma4_ros.ros.awaited import Awaited
from gemma4_ros.srv import AdmitPlan, Approve

__all__ = ['Turn', 'TurnResult']

Sink = Callable[[str, str, dict[str, Any]], None]
EXECUTE_DEADLINE_S = 3600.0
PLAN_DEADLINE_S = 180.0


@dataclass(frozen=True, slots=True)
class TurnResult:
    """How a turn ended; ``outcome`` is one of Say's constants."""

    outcome: int
    text: str
    code: int = 0
    choices: tuple[str, ...] = ()
    plan_sha256: str = ''
    approval_id: str = ''
    results: dict[str, Any] = field(default_factory=dict)


class Turn:
    """Carries out what an utterance means; one at a time."""

    def __init__(self, node: Node, awaited: Awaited, catalogue: Catalogue, floor: float, confirm_s: float) -> None:
        self._catalogue, self._awaited, self._floor, self._confirm_s = catalogue, awaited, floor, confirm_s
        self._plan = awaited.action(MakePlan, 'planner/make_plan')
        self._execute = awaited.action(ExecutePlan, 'executor/execute_plan')
        self._admit = awaited.service(AdmitPlan, 'gate/admit')
        self._approve = awaited.service(Approve, 'gate/approve')
        self._clock = node.get_clock()
        self._stops = [node.create_publisher(StopRequest, f'{name}/stop', qos.STOP) for name in ('gate', 'deadman')]
        self._doing = ''

    async def run(self, utterance: Utterance, talk: Conversation, sink: Sink, cancel: Any = None) -> TurnResult:
        """Carry out one utterance; never raises a Gemma4Error, the result says what went wrong."""
        confidence = utterance.confidence if utterance.source == Utterance.SOURCE_SPEECH else 1.0
        sink('heard', utterance.text, {'source': int(utterance.source), 'confidence': round(float(confidence), 3)})
        if self._doing and not is_stop(utterance.text):  # unheard: what the conversation waits for stays open
            error = BusyError(f'I am busy with "{self._doing}"; say "stop" to stop it, or wait')
            return TurnResult(Say.Goal.REFUSED, str(error), error.code)
        meaning = talk.hear(utterance.text, time.monotonic(), confidence=confidence, floor=self._floor)
        if isinstance(meaning, Stop):
            return self._stop(utterance.operator_id)
        self._doing = utterance.text
        try:
            result = await self._act(meaning, utterance, talk, sink, cancel)
        except Gemma4Error as error:
            kind = Say.Goal.NOT_RUNNING if error.code == 504 else Say.Goal.FAILED
            result = TurnResult(kind, str(error), error.code)
        finally:
            self._doing = ''
        talk.say(result.text)
        return result

    def _stop(self, operator: str) -> TurnResult:
        request = StopRequest(
            stamp=self._clock.now().to_msg(), source=operator[:64] or 'copilot', reason='the operator said stop'
        )
        for publisher in self._stops:
            publisher.publish(request)
        return TurnResult(
            Say.Goal.DONE, 'Stopping. A person has to reset the gate before the robot moves again: gemma4 gate reset.'
        )

    async def _act(self, meaning: Any, utterance: Utterance, talk: Conversation, sink: Sink, cancel: Any) -> TurnResult:
        match meaning:
            case Misheard():
                return TurnResult(
                    Say.Goal.REFUSED, 'I did not understand that well enough. Please say it again.', DialogueError.code
                )
            case Confirm(pending=pending):
                permit = await self._answer(pending, utterance.operator_id, approve=True)
                sink('approval', 'confirmed', {'approval_id': pending.approval_id})
                return await self._carry_out(permit, pending.plan, pending.plan_sha256, utterance, talk, sink, cancel)
            case Refuse(pending=pending):
                await self._answer(pending, utterance.operator_id, approve=False)
                return TurnResult(Say.Goal.REFUSED, 'Cancelled. Nothing was done.', plan_sha256=pending.plan_sha256)
            case Command():
                goal = MakePlan.Goal(
                    text=meaning.text[:10001], operator_id=utterance.operator_id, channel=utterance.source,
                    dialogue=[turn[:512] for turn in meaning.dialogue][-16:],
                )  # fmt: skip
                return await self._command(goal, utterance, talk, sink, cancel)
        raise AssertionError(meaning)

    async def _command(
        self, goal: MakePlan.Goal, utterance: Utterance, talk: Conversation, sink: Sink, cancel: Any
    ) -> TurnResult:
        def tell(feedback: Any) -> None:
            sink(feedback.phase, feedback.text, {})

        made = await self._awaited.run(self._plan, goal, PLAN_DEADLINE_S, on_feedback=tell, cancel=cancel)
        if made.code:
            return TurnResult(Say.Goal.FAILED if made.code < 300 else Say.Goal.REFUSED, made.error_msg, made.code)
        if made.kind != MakePlan.Goal.PLAN:
            return self._reply(made, goal.text, talk)
        plan = _load(bytes(made.plan))
        shown = {
            'plan': json.loads(bytes(made.plan)), 'sha256': made.plan_sha256, 'draft': made.draft,
            'notes': list(made.notes), 'passes': made.passes, 'output_tokens': made.output_tokens,
            'repairs': made.repairs, 'model_s': round(made.model_s, 3), 'total_s': round(made.total_s, 3),
        }  # fmt: skip
        sink('plan', '; '.join(str(step) for step in plan.steps())[:4000], shown)
        return await self._to_gate(bytes(made.plan), goal.text, utterance, talk, sink, cancel)

    def _reply(self, made: Any, command: str, talk: Conversation) -> TurnResult:
        if made.kind == MakePlan.Goal.ASK:
            talk.question = Open(command, made.text)
            return TurnResult(Say.Goal.NEEDS_ANSWER, made.text, choices=tuple(made.choices))
        return TurnResult(Say.Goal.DONE if made.kind == MakePlan.Goal.ANSWER else Say.Goal.REFUSED, made.text)

    async def _to_gate(
        self, data: bytes, command: str, utterance: Utterance, talk: Conversation, sink: Sink, cancel: Any
    ) -> TurnResult:
        request = AdmitPlan.Request(plan=data, proposer=utterance.operator_id or 'operator', channel=utterance.source)
        admitted = await self._awaited.call(self._admit, request)
        verdict = admitted.verdict
        steps = [
            {'step': v.step_id, 'decision': v.decision, 'code': v.code, 'rule': v.rule, 'text': v.text}
            for v in admitted.steps
        ]
        shown = {
            'decision': verdict.decision,
            'code': verdict.code,
            'rule': verdict.rule,
            'steps': steps,
            'rendering': admitted.rendering,
        }
        sink('verdict', verdict.text or 'admitted', shown)
        if verdict.decision == Verdict.ALLOW:
            return await self._carry_out(admitted.permit_id, data, admitted.plan_sha256, utterance, talk, sink, cancel)
        if verdict.decision == Verdict.NEEDS_APPROVAL:
            expires_s = time.monotonic() + self._confirm_s
            talk.pending = Pending(admitted.approval_id, admitted.plan_sha256, data, command, expires_s)
            text = f'{admitted.rendering}\nSay "confirm" to do it, or "cancel".'
            return TurnResult(
                Say.Goal.NEEDS_APPROVAL,
                text[:4000],
                verdict.code,
                ('confirm', 'cancel'),
                admitted.plan_sha256,
                admitted.approval_id,
            )
        return TurnResult(
            Say.Goal.REFUSED, f'The gate refuses: {verdict.text}', verdict.code, plan_sha256=admitted.plan_sha256
        )

    async def _answer(self, pending: Pending, person: str, *, approve: bool) -> str:
        request = Approve.Request(
            approval_id=pending.approval_id,
            person=person or 'operator',
            approve=approve,
            plan_sha256=pending.plan_sha256,
        )
        answer = await self._awaited.call(self._approve, request)
        if approve and not answer.permit_id:
            raise ConfirmationError(answer.text or 'more people must approve; see gemma4 gate approve')
        return str(answer.permit_id)

    async def _carry_out(
        self, permit: str, data: bytes, sha256: str, utterance: Utterance, talk: Conversation, sink: Sink, cancel: Any,
    ) -> TurnResult:  # fmt: skip
        plan = _load(data)

        def tell(feedback: Any) -> None:
            text = f'{feedback.step_id} {feedback.state} {feedback.text}'.strip()
            sink(
                'step',
                text,
                {
                    'step': feedback.step_id,
                    'state': feedback.state,
                    'done': feedback.steps_done,
                    'total': feedback.steps_total,
                },
            )

        goal = ExecutePlan.Goal(permit_id=permit)
        done = await self._awaited.run(self._execute, goal, EXECUTE_DEADLINE_S, on_feedback=tell, cancel=cancel)
        results = json.loads(done.results or '{}')
        world, toolset = self._catalogue.world, self._catalogue.toolset
        if done.outcome == ExecutePlan.Result.SUCCEEDED:
            return TurnResult(Say.Goal.DONE, report.done(plan, results, toolset, world), 0, (), sha256, '', results)
        if done.outcome == ExecutePlan.Result.CANCELLED:
            return TurnResult(Say.Goal.FAILED, 'Cancelled on the way.', done.code, (), sha256, '', results)
        text = report.failed(plan, done.failed_step, done.error_msg, toolset)
        if talk.replanned or done.code >= 600:
            return TurnResult(Say.Goal.FAILED, text, done.code, (), sha256, '', results)
        return await self._replan(plan, data, done, text, utterance, talk, sink, cancel)

    async def _replan(
        self, plan: Plan, data: bytes, done: Any, text: str, utterance: Utterance, talk: Conversation, sink: Sink,
        cancel: Any,
    ) -> TurnResult:  # fmt: skip
        """Ask the planner once for a plan from the state reached; gate and people are asked again as for any plan."""
        sink('replan', text, {'step': done.failed_step, 'code': done.code})
        goal = MakePlan.Goal(
            text=plan.goal, operator_id=utterance.operator_id, channel=utterance.source, failed_plan=data,
            failed_step=done.failed_step, failure=done.error_msg[:512],
        )  # fmt: skip
        talk.replanned = True
        try:
            result = await self._command(goal, utterance, talk, sink, cancel)
        finally:
            talk.replanned = False
        if result.outcome == Say.Goal.DONE:
            return result
        return TurnResult(
            result.outcome,
            f'{text} {result.text}',
            result.code or done.code,
            result.choices,
            result.plan_sha256,
            result.approval_id,
            result.results,
        )


def _load(data: bytes) -> Plan:
    return plan_from_json(json.loads(data))
