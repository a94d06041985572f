# SPDX-License-Identifier: Apache-2.0
"""A person at the simulated cell: sets the scene, arms the gate, has plans admitted and carried out, looks around."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import rfc8785
from rclpy.action import ActionClient

from gemma4_ros.action import ExecutePlan
from gemma4_ros.cli.eval_physical import Run, setup_steps, truth_facts
from gemma4_ros.cli.ros_session import RosSession
from gemma4_ros.core.errors import NotRunningError
from gemma4_ros.core.facts import State, Variable
from gemma4_ros.msg import DeadmanState, Fact, Utterance, Verdict
from gemma4_ros.ros import qos
from gemma4_ros.srv import AdmitPlan, Approve, GetWorld, SetArmed, SetFacts

__all__ = ['CellRun']

PERSON = 'evaluation'
ARM_S, PLAN_S, CANCEL_S, START_S, NEWS_S = 30.0, 300.0, 30.0, 10.0, 1.0


class CellRun:
    """
    Carries out single plans in a running cell.

    Parameters
    ----------
    session : RosSession
        Spun while something is waited for.
    robot : str
        As the world file calls it.
    alive : callable
        Called while waiting; raises where the stack cannot go on.

    """

    def __init__(self, session: RosSession, robot: str, alive: Callable[[], None]) -> None:
        self._session, self._robot, self._alive = session, robot, alive
        self._clients: dict[str, Any] = {}
        self._deadman: list[DeadmanState] = []
        session.node.create_subscription(DeadmanState, 'deadman/state', self._deadman.append, qos.STATE_LATCHED)
        self._execute: Any = ActionClient(session.node, ExecutePlan, 'executor/execute_plan')

    def _until(self, predicate: Callable[[], bool], deadline_s: float) -> bool:
        end = time.monotonic() + deadline_s
        while not predicate():
            if time.monotonic() > end:
                return False
            self._session.spin(0.02)
            self._alive()
        return True

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """Call a service; the client stays for the next call."""
        client = self._clients.get(name) or self._session.node.create_client(kind, name)
        self._clients[name] = client
        if not self._until(client.service_is_ready, START_S):
            raise NotRunningError(f'nobody serves {name}; look at the logs')
        future = client.call_async(request)
        if not self._until(future.done, START_S):
            raise NotRunningError(f'{name} does not answer within {START_S:g} s; look at its log')
        return future.result()

    def truth(self) -> dict[Variable, str]:
        """Return what is true in the cell."""
        answer = self.call(GetWorld, 'cell/get_state', GetWorld.Request())
        return {(fact.name, tuple(fact.args)): fact.value for fact in answer.facts}

    def arm(self) -> None:
        """Arm the gate; after a stop, reset deadman and gate first."""
        end, asked = time.monotonic() + ARM_S, SetArmed.Request
        while True:
            answer = self.call(SetArmed, 'gate/set_armed', asked(command=asked.ARM, person=PERSON))
            if answer.accepted:
                return
            if time.monotonic() > end:
                raise NotRunningError(f'the gate does not arm: {answer.text}')
            for name in ('deadman/set_armed', 'gate/set_armed'):
                self.call(SetArmed, name, asked(command=asked.RESET, person=PERSON))
            self._until(lambda: False, 0.5)

    def begin(self, start: State) -> str:
        """Bring the cell into a state; return why that cannot be, or an empty string."""
        at_once, steps = setup_steps(start, self._robot)
        facts = [Fact(name=fact.name, args=list(fact.args), value=fact.value) for fact in at_once.facts()]
        answer = self.call(SetFacts, 'cell/arrange', SetFacts.Request(facts=facts, person=PERSON))
        if not answer.accepted:
            return f'the cell cannot be put into the start state: {answer.text}'
        if not self._until(lambda: truth_facts(self.truth(), at_once) == at_once, START_S):
            return f'the cell was not in the start state within {START_S:g} s: {self._difference(at_once)}'
        self.arm()
        if steps:
            root = steps[0] if len(steps) == 1 else {'sequence': steps}
            run = self.carry_out(rfc8785.dumps({'plan': '1', 'goal': 'the start of an evaluation', 'root': root}))
            if not run.is_done:
                return f'the start state could not be brought about: {run.text}'
        return self._difference(start)

    def _difference(self, wanted: State) -> str:
        found = truth_facts(self.truth(), wanted)
        return ', '.join(f'{fact} is not so' for fact in wanted.facts() if not found.holds(fact))

    def carry_out(self, plan: bytes) -> Run:
        """Have a plan admitted, confirm it where that is asked for, and have it executed; a refusal has no trace."""
        permit_id, code, text = self._admit(plan)
        if not permit_id:
            return Run(is_done=False, code=code, text=text)
        states: list[tuple[str, str]] = []
        goal = ExecutePlan.Goal(permit_id=permit_id)
        if not self._until(self._execute.server_is_ready, START_S):
            raise NotRunningError('nobody serves executor/execute_plan; look at the logs')
        sent = self._execute.send_goal_async(
            goal, feedback_callback=lambda m: states.append((m.feedback.step_id, m.feedback.state))
        )
        if not self._until(sent.done, START_S) or not sent.result().accepted:
            return Run(is_done=False, text='the executor did not take the plan', permit=permit_id)
        handle = sent.result()
        future = handle.get_result_async()
        late = not self._until(future.done, PLAN_S)
        if late:
            handle.cancel_goal_async()
            if not self._until(future.done, CANCEL_S):
                raise NotRunningError('the executor neither ends nor cancels a plan; look at its log')
        result = future.result().result
        results = json.loads(result.results or '{}')
        self._until(lambda: set(results) <= _succeeded(states), NEWS_S)  # feedback may come after the result
        is_done = result.outcome == ExecutePlan.Result.SUCCEEDED and not late
        text = f'not done within {PLAN_S:g} s' if late else result.error_msg
        trace = tuple(step for step, state in states if state == 'succeeded')
        return Run(is_done, result.code, text, trace, results, permit_id)

    def _admit(self, plan: bytes) -> tuple[str, int, str]:
        """Return (permit, code, text)."""
        request = AdmitPlan.Request(plan=list(plan), proposer=PERSON, channel=Utterance.SOURCE_TYPED)
        answer = self.call(AdmitPlan, 'gate/admit', request)
        if answer.verdict.decision == Verdict.NEEDS_APPROVAL:
            confirm = Approve.Request(
                approval_id=answer.approval_id, person=PERSON, approve=True, plan_sha256=answer.plan_sha256
            )
            answer = self.call(Approve, 'gate/approve', confirm)
            return answer.permit_id, answer.code, answer.text
        return answer.permit_id, answer.verdict.code, answer.verdict.text

    def trips(self) -> int:
        """Return how often the deadman has told its state; for `was_interrupted`."""
        return len(self._deadman)

    def was_interrupted(self, before: int) -> bool:
        """Say whether the deadman tripped for want of the gate's beats: the computer was too busy, nothing physical."""
        return self._until(lambda: any(s.reason.startswith('no beat') for s in self._deadman[before:]), NEWS_S)


def _succeeded(states: list[tuple[str, str]]) -> set[str]:
    return {step for step, state in states if state == 'succeeded'}
