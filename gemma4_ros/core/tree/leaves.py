# SPDX-License-Identifier: Apache-2.0
"""A step of the plan: dispatched, held, tried again with recoveries in between, watched, cancelled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from py_trees.behaviour import Behaviour
from py_trees.common import Status

from gemma4_ros.core.errors import ControllerLostError, StepCancelledError
from gemma4_ros.core.gate.codes import Code
from gemma4_ros.core.tree.ports import STAGES, Answer, Outcome, Running, StepLimits
from gemma4_ros.core.tree.session import Phase, Session

__all__ = ['Scope', 'StepLeaf']

# The gate cancelled it for want of a fresh signal: a failed try; the next one is held until the signal is back.
_PASSING = (Code.SIGNAL_MISSING, Code.SIGNAL_STALE)


class Scope(Protocol):
    """Something around a node that can end it: a parallel that is decided."""

    is_draining: bool


class StepLeaf(Behaviour):
    """
    One step.

    Parameters
    ----------
    step_id, label : str
        The plan's id, and words for people.
    limits : StepLimits
        Of the step's tool.
    recover_limits : sequence of StepLimits
        Of the tools in ``limits.recover``, in order.
    scopes : sequence of Scope
        The parallels around it.

    """

    def __init__(
        self,
        step_id: str,
        label: str,
        session: Session,
        limits: StepLimits,
        recover_limits: Sequence[StepLimits] = (),
        scopes: Sequence[Scope] = (),
    ) -> None:
        super().__init__(label)
        self.node_id = step_id
        self._session = session
        self._limits = limits
        self._ids = (*(f'{step_id}/recover/{name}' for name in limits.recover), step_id)
        self._resources = (*(limits.resources for limits in recover_limits), limits.resources)
        self._timeouts = (*(limits.timeout_s for limits in recover_limits), limits.timeout_s)
        self._scopes = tuple(scopes)
        self.reset()

    def reset(self) -> None:
        """Forget everything; a repeat goes round again."""
        self.phase = Phase.IDLE
        self.phases = [Phase.IDLE] * (len(self._ids) - 1)  # of the recoveries
        self.attempt = 0
        self.answer: Answer | None = None
        self.started_s: float | None = None
        self.ended_s: float | None = None
        self._at = len(self._ids) - 1  # what runs, or comes next: the index of a recovery, or the last: the step
        self._running: Running | None = None
        self._deadline_s = 0.0
        self._cancelled_s: float | None = None
        self._denied: Answer | None = None
        self._held_since_s: float | None = None
        self._ask_again_s = 0.0
        self._waits_for = ''
        self._is_paused_out = False
        self.stage = ''

    def initialise(self) -> None:
        """Start afresh."""
        self.reset()
        self.phase = Phase.RUNNING
        self.started_s = self._session.now_s
        self._session.is_changed = True

    def tick(self) -> Iterator[Behaviour]:
        """Tick as py_trees does, without its log line and its check of the status, which cost most of a tick."""
        if self.status is not Status.RUNNING:
            self.initialise()
        status = self.update()
        if status is not Status.RUNNING:
            self.stop(status)
        self.status = status
        yield self

    def update(self) -> Status:
        """Go on as far as possible without waiting."""
        running = self._running
        if running is None:
            return self._start() if self._denied is None else self._settle(self._denied)
        answer = running.poll()
        if answer is not None:
            self._leave()
            return self._take(answer)
        session = self._session
        if running.stage != self.stage:
            self._show(running.stage)
        if session.now_s >= self._deadline_s:
            return self._watch()
        if self._cancelled_s is None and (self._should_end() or (session.is_paused and self._is_interrupted())):
            self._cancel()
        session.wake_at(self._deadline_s)
        return Status.RUNNING

    def terminate(self, new_status: Status) -> None:  # noqa: ARG002 - the signature of py_trees
        """Leave nothing running behind."""
        if self._running is not None and self._cancelled_s is None:
            self._cancel()
        elif self._running is None:
            self._leave()

    @property
    def recovery_ids(self) -> tuple[str, ...]:
        """The ids of the recoveries, in order."""
        return self._ids[:-1]

    @property
    def is_running(self) -> bool:
        """Whether the gate works on it."""
        return self._running is not None

    def _should_end(self) -> bool:
        return self._session.is_ending or any(scope.is_draining for scope in self._scopes)

    def _start(self) -> Status:
        session = self._session
        if self._should_end():
            phase = Phase.CANCELLED if self.attempt else Phase.SKIPPED
            return self._end(phase, Answer(Outcome.CANCELLED, StepCancelledError.code, 'not started any more'))
        if session.is_paused:
            if self._held_since_s is not None:  # the time of a pause is not the gate's
                self._held_since_s = session.now_s
            return Status.RUNNING
        if session.now_s < self._ask_again_s:
            session.wake_at(self._ask_again_s)
            return Status.RUNNING
        taken = session.take(self, self._resources[self._at])
        if taken:
            self._wait(taken)
            return Status.RUNNING
        self._waits_for = ''
        if self._is_main:
            self.attempt += self._held_since_s is None
            state = 'started' if self.attempt == 1 else 'retrying'
        else:
            self.phases[self._at] = Phase.RUNNING
            state = 'recovering'
        if self._held_since_s is None:
            session.tell(self.node_id, state, self.name if self._is_main else self._ids[self._at])
        self._deadline_s = session.now_s + self._timeouts[self._at] + session.limits.watchdog_margin_s
        self._cancelled_s, self._is_paused_out = None, False
        self.stage = STAGES[0]
        self._running = session.runner.start(self._ids[self._at])
        return self.update()

    @property
    def _is_main(self) -> bool:
        return self._at == len(self._ids) - 1

    def _wait(self, resource: str) -> None:
        """Another branch has what this step needs."""
        if self._held_since_s is not None:  # the time of waiting is not the gate's
            self._held_since_s = self._session.now_s
        if self._waits_for != resource:
            self._waits_for, self.stage = resource, 'waiting'
            self._session.tell(self.node_id, 'waiting', f'for the {resource}, which another step has')

    def _leave(self) -> None:
        """Nothing runs any more."""
        self._running, self.stage = None, ''
        self._session.release(self)

    def _show(self, stage: str) -> None:
        """Follow the gate; what comes late, or is no stage, changes nothing."""
        if stage in STAGES and STAGES.index(stage) > STAGES.index(self.stage):
            self.stage, self._session.is_changed = stage, True

    def _is_interrupted(self) -> bool:
        """Whether a pause ends this try. Without a try left it goes on to its end: a pause must not fail a plan."""
        self._is_paused_out = (
            self._is_main and self._limits.is_cancelled_by_pause and self.attempt <= self._limits.retry_times
        )
        return self._is_paused_out

    def _cancel(self) -> None:
        self._cancelled_s = self._session.now_s
        self._deadline_s = self._cancelled_s + self._session.limits.cancel_grace_s
        if self._running is not None:
            self._running.cancel()

    def _watch(self) -> Status:
        """Cancel what takes too long, then give it up."""
        if self._cancelled_s is None:
            self._cancel()
            self._session.wake_at(self._deadline_s)
            return Status.RUNNING
        self._leave()
        text = 'the gate did not answer in time, not even to a cancel; whether the robot stands is unknown'
        return self._fail(Answer(Outcome.LOST, ControllerLostError.code, text), for_good=True)

    def _take(self, answer: Answer) -> Status:
        if answer.outcome is Outcome.HELD:
            return self._hold(answer)
        self._held_since_s = None
        # what is lost may still move: nothing else is sent after it
        if answer.is_final or (answer.outcome is Outcome.LOST and answer.code == ControllerLostError.code):
            return self._fail(answer, for_good=True)
        if answer.outcome is Outcome.DENIED:
            self._deadline_s = self._session.now_s + (self._session.limits.settle_s if self._scopes else 0.0)
            self._denied = answer
            return self._settle(answer)
        status = self._cancelled(answer) if answer.outcome is Outcome.CANCELLED else None
        if status is not None:
            return status
        if not self._is_main:
            return self._recovered(answer)
        if answer.outcome is Outcome.SUCCEEDED:
            self._session.results[self.node_id] = answer.returns
            return self._end(Phase.SUCCEEDED, answer)
        return self._tried(answer)

    def _cancelled(self, answer: Answer) -> Status | None:
        """Say what a cancelled try means; None: a failed one like any other."""
        if self._is_paused_out and not self._should_end():
            if answer.code == StepCancelledError.code:
                return self._tried(answer)
        elif self._cancelled_s is not None:
            return self._end(Phase.CANCELLED, answer)
        return None if answer.code in _PASSING else self._fail(answer, for_good=True)

    def _settle(self, denied: Answer) -> Status:
        if self._should_end():
            return self._end(Phase.CANCELLED, denied)
        if self._session.now_s < self._deadline_s:
            self._session.wake_at(self._deadline_s)
            return Status.RUNNING
        return self._fail(denied, for_good=True)

    def _hold(self, answer: Answer) -> Status:
        session = self._session
        if self._held_since_s is None:
            self._held_since_s = session.now_s
            session.tell(self.node_id, 'held', answer.text)
        self.answer = answer
        if session.now_s - self._held_since_s >= session.limits.hold_deadline_s:
            text = f'held for {session.limits.hold_deadline_s:g} s: {answer.text}'
            return self._fail(Answer(answer.outcome, answer.code, text), for_good=True)
        self._ask_again_s = session.now_s + session.limits.hold_retry_s
        return self._start()

    def _recovered(self, answer: Answer) -> Status:
        good = answer.outcome is Outcome.SUCCEEDED
        self.phases[self._at] = Phase.SUCCEEDED if good else Phase.FAILED
        self._at += 1
        return self._start()

    def _tried(self, answer: Answer) -> Status:
        if self.attempt > self._limits.retry_times:
            return self._fail(answer, for_good=False)
        self.answer = answer
        if self._should_end():
            return self._fail(answer, for_good=False)
        self._at = 0  # the first recovery, or the step itself where there is none
        return self._start()

    def _fail(self, answer: Answer, *, for_good: bool) -> Status:
        self._session.fail(self.node_id, answer, for_good=for_good)
        return self._end(Phase.FAILED, answer)

    def _end(self, phase: Phase, answer: Answer) -> Status:
        self.phase = phase
        self.answer = answer
        self.ended_s = self._session.now_s
        if not self._is_main:
            self.phases[self._at] = phase
        if self.attempt:
            self._session.done.add(self.node_id)
            self._session.tell(self.node_id, phase.name.lower(), answer.text)
        self._session.is_changed = True
        return Status.SUCCESS if phase is Phase.SUCCEEDED else Status.FAILURE
