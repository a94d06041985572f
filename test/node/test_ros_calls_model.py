# SPDX-License-Identifier: Apache-2.0
"""Calls of a controller that answers early, late, twice, never, lies, ignores a cancel, dies and comes back.

No DDS and no waiting: the call's own code runs on a clock that jumps from event to event, against a controller that
hypothesis makes up. Each property is one that users of other stacks reported as broken: an orphaned goal
(navigation2#6426), a hang in RUNNING (py_trees_ros#213, #234), a cancel reported as success (ros_bt_py#188).
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip('rclpy')

from gemma4_ros.action import DriveTo
from hypothesis import given, settings
from hypothesis import strategies as st
from rclpy.task import Future

from gemma4_ros.ros import action_results, clients
from gemma4_ros.ros.clients import ControllerClients
from gemma4_ros.ros.outcomes import CallOutcome, Outcome

pytestmark = [pytest.mark.ros]
ACCEPT_S, RESULT_S, ACKNOWLEDGE_S, END_S = 2.0, 10.0, 0.5, 3.0
LONGEST_S = 2 * ACCEPT_S + RESULT_S + ACKNOWLEDGE_S + END_S + 4 * clients.GONE_S + 1.0
UNKNOWN, SUCCEEDED, CANCELED, ABORTED = 0, 4, 5, 6
TIME = st.floats(0.0, 14.0).map(lambda s: round(s, 2))
SOON = st.floats(0.0, 4.0).map(lambda s: round(s, 2))


@dataclass
class Script:
    """What the controller and whoever wants the step to end do, and when, s."""

    ready_s: float | None
    accept: tuple[float, bool] | None
    result: tuple[float, int] | None
    acknowledge: tuple[float, bool] | None
    after_cancel: tuple[float, int] | None
    gone: tuple[float, float] | None
    feedback_s: list[float]
    cancel_s: float | None
    answers_twice: bool


SCRIPTS = st.builds(
    Script,
    ready_s=st.one_of(st.just(0.0), SOON, st.none()),
    accept=st.one_of(st.none(), st.tuples(SOON, st.booleans())),
    result=st.one_of(st.none(), st.tuples(TIME, st.sampled_from((UNKNOWN, SUCCEEDED, CANCELED, ABORTED)))),
    acknowledge=st.one_of(st.none(), st.tuples(SOON, st.booleans())),
    after_cancel=st.one_of(st.none(), st.tuples(SOON, st.sampled_from((SUCCEEDED, CANCELED, ABORTED)))),
    gone=st.one_of(st.none(), st.tuples(TIME, SOON)),
    feedback_s=st.lists(TIME, max_size=3),
    cancel_s=st.one_of(st.none(), TIME),
    answers_twice=st.booleans(),
)


@dataclass
class World:
    """The clock, what is due, and what has happened."""

    script: Script
    start_s: float = field(default_factory=time.monotonic)
    now_s: float = 0.0
    due: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    sent_s: float | None = None
    accepted_s: float | None = None
    cancels: list[float] = field(default_factory=list)
    result_status: int | None = None
    result: Future[Any] = field(default_factory=Future)
    states: list[str] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.start_s + self.now_s

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self.due, (self.now_s + delay_s, next(self.numbers), do))

    def advance(self, until_s: float, is_over: Callable[[], bool]) -> None:
        """Let what is due happen, until a time or until something holds."""
        while not is_over():
            if not self.due or self.due[0][0] > until_s:
                self.now_s = max(self.now_s, until_s)
                return
            self.now_s, _, do = heapq.heappop(self.due)
            do()

    # the graph and whoever cancels
    def is_ready(self) -> bool:
        script = self.script
        if script.ready_s is None or self.now_s < script.ready_s:
            return False
        return script.gone is None or not script.gone[0] <= self.now_s < script.gone[0] + script.gone[1]

    @property
    def is_cancel_requested(self) -> bool:
        return self.script.cancel_s is not None and self.now_s >= self.script.cancel_s

    # the controller
    def send(self, feedback: Callable[[Any], None]) -> Future[Any]:
        self.sent_s = self.now_s
        answer: Future[Any] = Future()
        if self.script.accept is not None:
            delay_s, is_accepted = self.script.accept
            self.at(delay_s, lambda: self.answer_goal(answer, is_accepted=is_accepted))
        for when_s in self.script.feedback_s:
            self.at(when_s, lambda: feedback(SimpleNamespace(feedback=DriveTo.Feedback())))
        return answer

    def answer_goal(self, answer: Future[Any], *, is_accepted: bool) -> None:
        if is_accepted:
            self.accepted_s = self.now_s
            if self.script.result is not None:
                delay_s, status = self.script.result
                self.at(delay_s, lambda: self.end(status))
                if self.script.answers_twice:
                    self.at(delay_s + 0.01, lambda: self.end(ABORTED))
        handle = SimpleNamespace(accepted=is_accepted, get_result_async=lambda: self.result)
        handle.cancel_goal_async = self.cancel
        answer.set_result(handle)

    def end(self, status: int) -> None:
        if self.result_status is None:
            self.result_status = status
            self.result.set_result(SimpleNamespace(status=status, result=DriveTo.Result()))

    def cancel(self) -> Future[Any]:
        self.cancels.append(self.now_s)
        answer: Future[Any] = Future()
        if self.script.acknowledge is not None:
            delay_s, is_taken = self.script.acknowledge
            goals = [object()] if is_taken else []
            self.at(delay_s, lambda: answer.set_result(SimpleNamespace(goals_canceling=goals)))
            if is_taken and self.script.after_cancel is not None and self.accepted_s is not None:
                after_s, status = self.script.after_cancel
                self.at(delay_s + after_s, lambda: self.end(status))
        return answer


class Client:
    """What a call uses of rclpy's action client."""

    _action_type = DriveTo

    def __init__(self, world: World) -> None:
        self._world = world
        self.server_is_ready = world.is_ready

    def send_goal_async(self, _goal: Any, feedback_callback: Callable[[Any], None], **_: Any) -> Future[Any]:
        return self._world.send(feedback_callback)

    def _cancel_goal_async(self, _handle: Any) -> Future[Any]:
        return self._world.cancel()


class Waits:
    """`Workers` on the clock that jumps."""

    group = None

    def __init__(self, world: World) -> None:
        self._world = world

    async def until(self, future: Future[Any], timeout_s: float) -> bool:
        self._world.advance(self._world.now_s + timeout_s, future.done)
        return bool(future.done())

    async def wait_for(self, predicate: Callable[[], bool], timeout_s: float) -> bool:
        end_s = self._world.now_s + timeout_s
        while not predicate() and self._world.now_s < end_s:
            self._world.advance(min(self._world.now_s + clients.POLL_S, end_s), lambda: False)
        return predicate()


class Calls(ControllerClients):
    def __init__(self, world: World) -> None:
        node = SimpleNamespace(get_logger=lambda: SimpleNamespace(warning=lambda _: None))
        super().__init__(node, Waits(world))  # type: ignore[arg-type]
        self._client = Client(world)

    def _action(self, *_: Any) -> Any:
        return self._client


@dataclass(frozen=True)
class Run:
    """One call: how and when it ended, and the controller's last word by then."""

    world: World
    outcome: CallOutcome
    took_s: float
    status: int | None


def run(script: Script) -> Run:
    """Call; then let a minute pass, in which whatever is still due happens."""
    world = World(script)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, 'time', world)
        patch.setattr(action_results, 'time', world)
        call = Calls(world).call(
            'action',
            'gemma4_ros/action/DriveTo',
            'drive_to',
            {},
            ACCEPT_S,
            RESULT_S,
            on_state=lambda state, _: world.states.append(state),
            cancel_from=world,
            cancel_acknowledge_s=ACKNOWLEDGE_S,
            cancel_result_s=END_S,
        )
        with pytest.raises(StopIteration) as end:
            call.send(None)
        ended = Run(world, end.value.value, world.now_s, world.result_status)
        told = list(world.states)
        world.advance(world.now_s + 60.0, lambda: False)
        assert world.states == told, 'a call that has ended says nothing more'
    return ended


@settings(max_examples=500, deadline=None)
@given(SCRIPTS)
def test_every_call_ends_once_and_says_what_is_true(script: Script) -> None:
    ended = run(script)
    world, outcome = ended.world, ended.outcome
    assert ended.took_s <= LONGEST_S, 'it hangs'
    assert world.states[0] == 'requested' and world.states[-1] == 'done'
    order = [clients._STATES.index(state) for state in world.states]
    assert order == sorted(set(order)), 'a state comes again, or lies behind'
    if outcome.outcome is Outcome.SUCCEEDED:
        assert ended.status == SUCCEEDED, 'nobody said that it succeeded'
    if outcome.outcome is Outcome.CANCELLED:
        assert world.sent_s is None or ended.status == CANCELED, 'a cancel that nobody confirmed'
    if outcome.stopped and world.sent_s is not None:
        was_refused = script.accept is not None and not script.accept[1]
        assert was_refused or ended.status not in (None, UNKNOWN), 'the robot is said to stand, and nobody knows'


@settings(max_examples=500, deadline=None)
@given(SCRIPTS)
def test_no_goal_is_left_to_itself(script: Script) -> None:
    ended = run(script)
    accepted_s = ended.world.accepted_s
    if accepted_s is None or ended.status is not None:
        return
    assert not ended.outcome.stopped, 'whoever asks is told that it may still run, so that the deadman takes over'
    died = 'went away while the goal was running' in ended.outcome.text  # there was nobody to cancel at
    assert died or any(cancel_s >= accepted_s for cancel_s in ended.world.cancels), 'a goal runs that nobody cancels'
