# SPDX-License-Identifier: Apache-2.0
"""The reference monitor: holds plans, permits, approvals and state; asked before everything. No clock, no I/O."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from gemma4_ros.core.gate.approvals import Answer, Approvals, Request, check_person
from gemma4_ros.core.gate.automaton import Automaton, Outcome
from gemma4_ros.core.gate.bind import Catalogue, Result, check_binding, goal_of, resolve
from gemma4_ros.core.gate.cases import case_of, end_of_step, goals_sha256
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.gate.conditions import conditions
from gemma4_ros.core.gate.decide import (
    PermitFacts,
    decide,
    permit_findings,
    permit_step_findings,
    running_findings,
    step_findings,
)
from gemma4_ros.core.gate.decode import decode
from gemma4_ros.core.gate.evaluate import evaluate
from gemma4_ros.core.gate.history import after_asking, after_result, after_sending, rate_findings
from gemma4_ros.core.gate.moment import Journal, Moment
from gemma4_ros.core.gate.permits import Candidate, Permit, Permits, Ticket
from gemma4_ros.core.gate.policy import Policy
from gemma4_ros.core.gate.rendering import MAX_RENDERING, changed_lines, render
from gemma4_ros.core.gate.state import Latch, Past, State, is_fresh
from gemma4_ros.core.gate.verdict import Allow, Deny, Hold, NeedsApproval, Refused, Verdict, demand, refuse, worst
from gemma4_ros.core.gate.zones import Point
from gemma4_ros.core.plan import MAX_NUMBER, If, Scalar, Step, walk

__all__ = ['Admission', 'Monitor', 'View']


T = TypeVar('T')
STARVED_S = 0.25
KEPT_RENDERINGS = 16


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a plan; ``candidate`` is there where a permit may follow."""

    verdict: Verdict
    sha256: str
    steps: tuple[tuple[str, Verdict], ...] = ()
    rendering: str = ''
    candidate: Candidate | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What is shown of the state; ``state`` is a number of GateState.msg."""

    state: int
    epoch: int
    mode: str
    verdict: Verdict
    permit_id: str = ''
    plan_sha256: str = ''
    locked_by: tuple[str, ...] = ()


class Monitor:
    """
    The gate's only memory.

    Parameters
    ----------
    policy, catalogue : Policy, Catalogue
        What is allowed, and the gate's own copies of tools and world.
    boot_id : str
        Changes with every start.
    new_id : callable
        Gives ids that nobody can guess.
    journal : Journal
        Gets every decision.

    """

    def __init__(
        self, policy: Policy, catalogue: Catalogue, boot_id: str, new_id: Callable[[], str], journal: Journal
    ) -> None:
        self.policy, self.catalogue, self.boot_id = policy, catalogue, boot_id
        self.moment = Moment(policy, journal, self._on_epoch)
        self._closed_requests: list[Request] = []
        self._new_id = new_id
        self._permits, self._approvals = Permits(), Approvals(policy.people)
        self._retries = {tool.name: (tool.retry_times, tool.recover) for tool in catalogue.toolset.tools.values()}
        self._last_tick_s: float | None = None
        own = {'world': catalogue.world_sha256, 'tools': catalogue.tools_sha256}
        self._hashes = {'policy': policy.sha256, **own}
        self._signed = {**self._hashes, 'boot': boot_id}
        self._agreed: tuple[str, ...] = ()

    @property
    def state(self) -> State:
        """Return the state of the moment."""
        return self.moment.state

    # plans -----------------------------------------------------------------------------------------------------------
    def admit(self, raw: bytes, proposer: str, channel: int, now: float) -> Admission:
        """Judge the bytes of a plan. When its record is durable, `issue` or `ask` may follow."""
        sha256 = hashlib.sha256(raw).hexdigest()
        admission = self._guarded(lambda: self._admit(raw, sha256, proposer, channel, now), now)
        self._remember(after_asking(self.state.past, proposer, now))
        admission = admission if isinstance(admission, Admission) else Admission(admission, sha256)
        asked = {'plan': sha256, 'proposer': proposer[:64], 'channel': channel, 'bytes': len(raw)}
        self.moment.note('admit', now, admission.verdict, **asked, inputs=self.moment.inputs(now))
        return admission

    def _admit(self, raw: bytes, sha256: str, proposer: str, channel: int, now: float) -> Admission:
        demand(worst(rate_findings(self.policy, self.state.past, proposer, now)))  # first: a flood is to cost little
        plan = decode(raw)
        check_binding(plan, self.catalogue)
        check_person(proposer)
        case = case_of(plan, self.policy, self.catalogue, proposer, channel)
        verdict = worst([decide(self.policy, self.state, case, None, now), *self._busy()])
        rendering = render(plan, self.catalogue.toolset)
        if isinstance(verdict, NeedsApproval) and len(rendering.encode()) > MAX_RENDERING:
            verdict = Deny(Code.RENDERING_TOO_LONG, 'admission.rendering', Code.RENDERING_TOO_LONG.meaning)
        each = tuple((step.id, worst(step_findings(self.policy, case, step))) for step in plan.steps())
        may_follow = isinstance(verdict, Allow | NeedsApproval)
        goals = goals_sha256(case, self.catalogue) if may_follow else ''
        candidate = Candidate(raw, sha256, plan, case, self.state.epoch, rendering, goals) if may_follow else None
        return Admission(verdict, sha256, each, rendering[:MAX_RENDERING], candidate)

    def _busy(self) -> list[Verdict]:
        permit = self._permits.live
        if permit is None:
            return []
        text = f'plan {permit.candidate.sha256[:12]} holds the permit; wait or stop it'
        return [Hold(Code.BUSY, 'permit.single', text)]

    def issue(self, candidate: Candidate, now: float) -> Permit:
        """Give the permit if everything still stands as it was judged; raise Refused otherwise."""
        stale = [Deny(Code.PERMIT_EPOCH, 'permit.epoch', 'the safety epoch rose meanwhile; ask again')]
        verdict = self._guarded(lambda: decide(self.policy, self.state, candidate.case, None, now), now)
        demand(worst([*(stale if candidate.epoch != self.state.epoch else []), verdict, *self._busy()]))
        expires_s, start_s = now + self.policy.permit_ttl_s, now + self.policy.start_within_s
        automaton = Automaton(candidate.plan.root, self._retries)
        permit = Permit(self._new_id(), candidate, self.state.epoch, expires_s, start_s, automaton)
        self._permits.add(permit)
        held = {'permit': permit.id, 'plan': candidate.sha256, 'ttl_s': self.policy.permit_ttl_s}
        self.moment.note('permit', now, Allow(), **held, **self._hashes)
        return permit

    def plan_bytes(self, permit_id: str) -> bytes:
        """Return the stored bytes of a permit's plan, dead or alive."""
        return self._permit(permit_id).candidate.raw

    def close(self, permit_id: str, outcome: int, text: str, now: float) -> None:
        """Let a permit die because its plan has ended; what still runs is cancelled."""
        permit = self._permit(permit_id)
        if permit.dead is not Code.NONE:
            raise refuse(permit.dead, 'permit.dead', permit.dead.meaning)
        permit.dead = Code.PERMIT_CLOSED
        self.moment.note('close', now, Allow(), permit=permit_id, outcome=outcome, text=text[:200])

    def _permit(self, permit_id: str) -> Permit:
        permit = self._permits.find(permit_id)
        if permit is None:
            raise refuse(Code.PERMIT_UNKNOWN, 'permit.unknown', 'there is no such permit')
        return permit

    # people ----------------------------------------------------------------------------------------------------------
    def ask(self, candidate: Candidate, needs: NeedsApproval, now: float) -> tuple[Request, list[Request]]:
        """Open a request for people; also return the requests that it closed."""
        expires_s = now + self.policy.approval_ttl_s
        wanted = (needs.confirm, needs.people, expires_s, needs.roles, self._signed)
        request = Request(self._new_id(), candidate, *wanted)
        pushed = self._approvals.open(request)
        self.moment.note('ask', now, needs, approval=request.id, plan=candidate.sha256)
        return request, pushed

    def changed_lines(self, rendering: str) -> tuple[int, ...]:
        """Return the lines (from 0) that the most similar plan that people agreed to did not have."""
        return changed_lines(rendering, self._agreed)

    def answer(self, answer: Answer, now: float) -> Request:
        """Take a person's answer; a no closes the request. A complete one goes to `grant` when it is on record."""
        said = {'approval': answer.approval_id[:64], 'person': answer.person[:64], 'approve': answer.approve}
        try:
            request = self._approvals.take(answer, now)
        except Refused as refused:
            self.moment.note('answer', now, refused.verdict, **said)
            raise
        self.moment.note('answer', now, Allow(), **said, plan=answer.plan_sha256)
        return request

    def grant(self, request: Request, now: float) -> Permit:
        """Turn a complete request into a permit, if nothing has changed; raise Refused otherwise."""
        if not request.is_complete:
            raise refuse(Code.NEEDS_APPROVAL, 'approvals.people', f'{request.people_needed} more must answer')
        self._approvals.find(request.id, now)
        permit = self.issue(replace(request.candidate, case=replace(request.candidate.case, agreed=True)), now)
        self._approvals.close(request.id)
        self._agreed = (*self._agreed, request.candidate.rendering)[-KEPT_RENDERINGS:]
        return permit

    # steps -----------------------------------------------------------------------------------------------------------
    def authorise(self, permit_id: str, step_id: str, now: float) -> Ticket:
        """Reserve one step; raise Refused. When its record is durable, `confirm` comes just before the goal is sent."""
        outcome = self._guarded(lambda: self._authorise(permit_id, step_id, now), now)
        if isinstance(outcome, Verdict):
            self.moment.note('dispatch', now, outcome, permit=permit_id[:64], step=step_id[:128])
            raise Refused(outcome)
        sent = {'permit': permit_id, 'step': step_id, 'tool': outcome.step.tool, 'goal': dict(outcome.goal)}
        self.moment.note('dispatch', now, Allow(), **sent, inputs=self.moment.inputs(now))
        return outcome

    def _authorise(self, permit_id: str, step_id: str, now: float) -> Ticket:
        permit = self._permit(permit_id)
        found = next((item for item in permit.candidate.case.steps if item.id == step_id), None)
        step, facts = found or Step(step_id, '', {}), permit.facts(step_id)
        demand(worst(permit_step_findings(self.policy, self.state, facts, step, now)))
        if found is None:  # a condition that is to be evaluated now is known and enabled, and no step
            raise refuse(Code.STEP_UNKNOWN, 'permit.step', 'the plan has no such step')
        step = resolve(step, permit.results)
        goal = goal_of(step, self.catalogue)
        demand(self._judge(permit, facts, step, now))
        ticket = Ticket(permit_id, step, goal, end_of_step(step, self.policy, self.catalogue))
        permit.begin(ticket)
        return ticket

    def confirm(self, ticket: Ticket, now: float) -> None:
        """Look at the state once more, after the record became durable; else raise Refused and withdraw the step."""
        permit = self._permit(ticket.permit_id)
        only, facts = frozenset({ticket.step.id}), permit.facts(ticket.step.id)
        beside = tuple(step for step in facts.beside if step is not ticket.step)
        facts = replace(facts, enabled=only, running=frozenset(), beside=beside)
        verdict = self._guarded(lambda: self._judge(permit, facts, ticket.step, now), now)
        if isinstance(verdict, Allow):
            past, permit.states = after_sending(self.policy, self.state.past, permit.states, ticket.step, now)
            self._remember(past)
        else:
            permit.end(ticket, Outcome.WITHDRAWN)
            self.moment.note('withdraw', now, verdict, permit=permit.id, step=ticket.step.id)
            raise Refused(verdict)

    def _judge(self, permit: Permit, facts: PermitFacts, step: Step, now: float) -> Verdict:
        # people agreed to the whole plan before its permit was given
        end = end_of_step(step, self.policy, self.catalogue)
        ends = {} if end is None else {step.id: end}
        case = replace(permit.candidate.case, agreed=True, permit=facts, ends=ends)
        return decide(self.policy, self.state, case, step, now)

    def _remember(self, past: Past) -> None:
        self.moment.state = replace(self.state, past=past)

    def must_end(self, ticket: Ticket, now: float) -> Verdict | None:
        """Say why a running step may not go on, or None."""
        permit = self._permits.find(ticket.permit_id)
        if permit is None or permit.dead is not Code.NONE or permit.epoch != self.state.epoch:
            return Deny(Code.STEP_INTERRUPTED, 'permit.dead', self.view(now).verdict.text or 'the permit is dead')
        return next(running_findings(self.policy, self.state, ticket.step, now), None)

    def post_problem(self, ticket: Ticket, since_s: float) -> str:
        """Say what an independent signal does not show yet of a step that ended at ``since_s``; empty: all is shown."""
        post = self.policy.tools[ticket.step.tool].post
        if post is None:
            return ''
        value = self.state.signals.get(post.test.signal)
        if value is None or value.at_s <= since_s:
            return f'no new {post.test.signal} after the step'
        if ticket.end is None or not post.near_end_m < math.inf:
            return '' if post.test.holds(value.value) else f'{post.test.signal} is {value.value!a}'
        away_m = value.value.distance(ticket.end) if isinstance(value.value, Point) else math.inf
        return '' if away_m <= post.near_end_m else f'{post.test.signal} is {away_m:.2f} m from the goal'

    def finish(self, ticket: Ticket, succeeded: bool, values: Mapping[str, Scalar], now: float, text: str = '') -> None:
        """Record how a step that was sent has ended."""
        permit = self._permits.find(ticket.permit_id)
        values = {name: value for name, value in values.items() if _is_usable(value)}
        if permit is not None:
            outcome = Outcome.SUCCEEDED if succeeded else Outcome.FAILED
            permit.end(ticket, outcome, Result(dict(values), now))
            self._remember(after_result(self.policy, self.state.past, ticket.step.tool, values, now))
        ended = {'permit': ticket.permit_id, 'step': ticket.step.id, 'ok': succeeded, 'text': text[:200]}
        self.moment.note('result', now, Allow(), **ended, returns=dict(values))

    def evaluate(self, permit_id: str, node_id: str, now: float) -> tuple[bool | None, str]:
        """Decide an ``if`` once; None means hold: unknown, ask again later. Raise Refused where it is not its turn."""
        permit = self._permit(permit_id)
        problem = next(permit_findings(self.state, permit.facts(node_id), now), None)
        if problem is not None:
            raise Refused(problem)
        node = next((item for path, item in walk(permit.candidate.plan.root) if path == node_id), None)
        if not isinstance(node, If):
            raise refuse(Code.STEP_UNKNOWN, 'permit.step', 'the plan has no such condition')
        if node_id not in permit.automaton.enabled(permit.progress):
            raise refuse(Code.STEP_NOT_ENABLED, 'permit.automaton', f'the plan does not ask {node_id} now')
        value, text = evaluate(node.condition, permit.results, now)
        if value is not None:
            outcome = Outcome.TRUE if value else Outcome.FALSE
            permit.progress = permit.automaton.record(permit.progress, node_id, outcome)
            permit.is_started = True
        self.moment.note('condition', now, Allow(), permit=permit_id, node=node_id, value=value, text=text)
        return value, text

    # time -------------------------------------------------------------------------------------------------------------
    def tick(self, now: float) -> list[Request]:
        """Let time pass: leases, permits, requests; at 20 Hz. Return the requests that nobody answered in time."""
        # a process that itself got no time must first read what has arrived; once, so that this is no way around
        starved = self._last_tick_s is not None and now - self._last_tick_s > STARVED_S
        self._last_tick_s = None if starved else now
        if not starved:
            self.moment.check_deadman(now)
        self._check_due(now)
        permit = self._permits.live
        if permit is not None:
            self._check_permit(permit, starved, now)
        return self._approvals.expired(now)

    def _check_due(self, now: float) -> None:
        """Stop where what had to follow did not follow in time; forget it where a person has taken over."""
        due_s = self.state.past.due_s
        late = next((name for name, at_s in due_s.items() if now > at_s), None)
        if late is not None and self.state.latch is Latch.ARMED:
            self.moment.stop(Code.SEQUENCE, f'{late}: what had to follow did not follow in time', now)
        if due_s and self.state.latch is not Latch.ARMED:
            self._remember(replace(self.state.past, due_s={}))

    def take_closed_requests(self) -> list[Request]:
        """Return, once, the requests that a rise of the epoch closed."""
        closed, self._closed_requests = self._closed_requests, []
        return closed

    def _check_permit(self, permit: Permit, starved: bool, now: float) -> None:
        if not permit.running and (now > permit.expires_s or (not permit.is_started and now > permit.start_before_s)):
            permit.dead = Code.PERMIT_EXPIRED
            self.moment.note('expired', now, Deny(Code.PERMIT_EXPIRED, 'permit.time_to_live', ''), permit=permit.id)
        lapsed = not is_fresh(self.state.executor_at_s, now, self.policy.executor_lease_s)
        if permit.is_started and not starved and lapsed and permit.dead is Code.NONE:
            permit.dead = Code.EXECUTOR_LEASE
            self.moment.lapse(now)

    def _on_epoch(self) -> None:
        self._permits.kill(Code.PERMIT_EPOCH)
        self._closed_requests += self._approvals.clear()

    def _guarded(self, ask: Callable[[], T], now: float) -> T | Verdict:
        try:
            return ask()
        except Refused as refused:
            return refused.verdict
        except Exception as error:  # noqa: BLE001 - whatever fails in a decision must end in a stop, not in a way around it
            text = f'{type(error).__name__} while deciding'
            self.moment.stop(Code.INTERNAL, text, now)
            return Deny(Code.INTERNAL, 'gate.internal', text)

    # views -----------------------------------------------------------------------------------------------------------
    def view(self, now: float) -> View:
        """Return what is shown: the five states, and why."""
        mode = self.state.signals.get('mode')
        limit_s = self.policy.signals['mode'].max_age_s
        shown = str(mode.value) if mode is not None and is_fresh(mode.at_s, now, limit_s) else ''
        reason = worst(conditions(self.policy, self.state, 3, now))
        permit = self._permits.live
        number = int(self.state.latch)
        if self.state.latch is Latch.ARMED:
            number = 3 if not isinstance(reason, Allow) else 2 if permit is not None and permit.is_started else 1
        ids = ('', '') if permit is None else (permit.id, permit.candidate.sha256)
        return View(number, self.state.epoch, shown, reason, *ids, tuple(lock.person for lock in self.state.locks))


def _is_usable(value: Scalar) -> bool:
    """Say whether a result can be compared: a controller can return what is no number, or an endless one."""
    return isinstance(value, str | bool) or -MAX_NUMBER <= value <= MAX_NUMBER
