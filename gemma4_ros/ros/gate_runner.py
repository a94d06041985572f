# SPDX-License-Identifier: Apache-2.0
"""The executor's way to the gate: steps through ``gate/dispatch``, conditions through ``gate/evaluate``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gemma4_ros.core.errors import ControllerLostError
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.tree.ports import Answer, Outcome
from gemma4_ros.ros.outcomes import Outcome as CallEnd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rclpy.node import Node

    from gemma4_ros.ros.clients import ControllerClients
    from gemma4_ros.ros.outcomes import CallOutcome

__all__ = ['GateRunner', 'condition_answer', 'step_answer']

FIND_S = 5.0  # for finding the gate, and for its acceptance
ANSWER_S = 5.0  # for a service of the gate
STEP_S = 86_400.0  # the gate and the tree's watchdog end steps, not this client
CANCEL_S = 30.0
_MAY_PASS = (
    Code.NONE,
    Code.CONDITION_UNKNOWN,
    Code.SIGNAL_MISSING,
    Code.SIGNAL_STALE,
    Code.MODE,
    Code.DEADMAN,
    Code.AUDIT,
)


class _Run:
    """One dispatch or question; tells the client when it is to end."""

    def __init__(self) -> None:
        self.is_cancel_requested = False
        self.answer: Answer | None = None
        self.stage = 'requested'

    def poll(self) -> Answer | None:
        return self.answer

    def cancel(self) -> None:
        self.is_cancel_requested = True


class GateRunner:
    """
    Dispatches the steps of one permit.

    Parameters
    ----------
    node : Node
        Its executor runs the calls.
    clients : ControllerClients
        Here their only endpoints are the gate's.
    permit_id : str
        All that is sent besides ids of steps and conditions.
    on_answer : callable
        Called when an answer can be polled, or the gate has said how far it is.

    """

    def __init__(self, node: Node, clients: ControllerClients, permit_id: str, on_answer: Callable[[], None]) -> None:
        self._node, self._clients, self._permit_id, self._on_answer = node, clients, permit_id, on_answer
        self._open: set[_Run] = set()

    def start(self, node_id: str) -> _Run:
        """Dispatch a step or a recovery."""
        return self._begin(self._dispatch, node_id)

    def ask(self, node_id: str) -> _Run:
        """Ask for the decision of a condition."""
        return self._begin(self._evaluate, node_id)

    def abandon(self, reason: str) -> None:
        """End everything that is open as lost: the gate does not answer any more."""
        lost = Answer(Outcome.LOST, ControllerLostError.code, reason, is_final=True)
        for run in list(self._open):
            run.cancel()
            self._finish(run, lost)

    def _begin(self, call: Callable[[str, _Run], Any], node_id: str) -> _Run:
        run = _Run()
        self._open.add(run)
        executor = self._node.executor
        assert executor is not None, 'the node must be spun before it carries out plans'
        executor.create_task(call, node_id, run)
        return run

    async def _dispatch(self, node_id: str, run: _Run) -> None:
        end = await self._clients.call(
            'action',
            'gemma4_ros/action/DispatchStep',
            'gate/dispatch',
            {'permit_id': self._permit_id, 'step_id': node_id},
            FIND_S,
            STEP_S,
            on_feedback=lambda said: self._follow(run, said.get('state')),
            cancel_from=run,
            cancel_acknowledge_s=FIND_S,
            cancel_result_s=CANCEL_S,
        )
        self._finish(run, step_answer(end))

    def _follow(self, run: _Run, state: object) -> None:
        if isinstance(state, str) and run in self._open:
            run.stage = state
            self._on_answer()

    async def _evaluate(self, node_id: str, run: _Run) -> None:
        end = await self._clients.call(
            'service',
            'gemma4_ros/srv/EvaluateCondition',
            'gate/evaluate',
            {'permit_id': self._permit_id, 'node_id': node_id},
            FIND_S,
            ANSWER_S,
        )
        self._finish(run, condition_answer(end))

    def _finish(self, run: _Run, answer: Answer) -> None:
        if run in self._open:
            self._open.discard(run)
            run.answer = answer
            self._on_answer()


def step_answer(end: CallOutcome) -> Answer:
    """Return the gate's answer to a dispatch."""
    if end.status:  # the gate itself has spoken
        result = end.result
        return Answer(Outcome(result['outcome']), result['code'], result['text'], _object(result['returns']))
    if end.outcome is CallEnd.CANCELLED:
        return Answer(Outcome.CANCELLED, end.code, end.text)
    if end.outcome is CallEnd.FAILED:  # it took no more dispatches just now
        return Answer(Outcome.HELD, end.code, end.text)
    return Answer(Outcome.LOST, end.code, end.text, is_final=True)


def condition_answer(end: CallOutcome) -> Answer:
    """Return the gate's answer to a question."""
    if end.outcome is not CallEnd.SUCCEEDED:
        return Answer(Outcome.LOST, end.code or ControllerLostError.code, end.text, is_final=True)
    value, code, text = end.result['value'], end.result['code'], end.result['text']
    if value in (0, 1):
        return Answer(Outcome.TRUE if value else Outcome.FALSE, 0, text)
    return Answer(Outcome.HELD if code in _MAY_PASS else Outcome.DENIED, code, text)


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text or '{}')
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
