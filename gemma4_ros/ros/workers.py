# SPDX-License-Identifier: Apache-2.0
"""Slow work in threads and waiting with a deadline, for ``async def`` callbacks of a single-threaded executor.

An awaited future that another thread completes resumes a callback only when the executor is woken; everything here does
that. Action callbacks run outside of callback groups; an ``async def`` callback of a service or topic holds its group
while it waits: give it `Workers.group`, or nothing else of that group is called meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.task import Future

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

__all__ = ['Cancellable', 'Workers']

T = TypeVar('T')
CANCEL_POLL_S = 0.02
IDLE_PERIOD_S = 3600.0


class Cancellable(Protocol):
    """What tells whether somebody wants the work to end; a goal handle of an action server is one."""

    @property
    def is_cancel_requested(self) -> bool:
        """Whether somebody wants the work to end."""


class Workers:
    """
    Threads and timed waits of one node.

    Parameters
    ----------
    node : Node
        Its executor resumes those who wait.
    threads : int
        How many calls of `run` may work at the same time; the rest wait their turn. Threads start with the first call.

    Attributes
    ----------
    group : ReentrantCallbackGroup
        For services, clients and subscriptions whose callbacks wait.

    """

    def __init__(self, node: Node, threads: int = 2) -> None:
        self.group = ReentrantCallbackGroup()
        self._node = node
        self._limit = threads
        self._threads: list[threading.Thread] = []
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._alarms: list[tuple[float, int, Future[Any]]] = []
        self._count = itertools.count()
        # its own group: a callback that waits must not keep the timer from ending the wait
        self._timer = node.create_timer(
            IDLE_PERIOD_S,
            self._ring,
            callback_group=self.group,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        self._timer.cancel()

    async def run(
        self,
        fn: Callable[..., T],
        *args: Any,
        cancel_from: Cancellable | None = None,
        on_cancel: Callable[[], None] | None = None,
        **kwargs: Any,
    ) -> T:
        """
        Run `fn` in a thread and wait for it without blocking the executor.

        Parameters
        ----------
        fn : callable
            Gets `args` and `kwargs`; its exception is raised here.
        cancel_from : Cancellable
            Looked at every 20 ms.
        on_cancel : callable
            Called once, on the executor's thread, when `cancel_from` says so; it must make `fn` return soon.

        """
        future: Future[T] = Future()
        self._start_threads()
        self._jobs.put(lambda: self._work(future, fn, args, kwargs))
        while cancel_from is not None and not future.done():
            if cancel_from.is_cancel_requested:
                if on_cancel is not None:
                    on_cancel()
                break
            await self.until(future, CANCEL_POLL_S)
        result: T = await future
        return result

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of steady time."""
        alarm: Future[None] = Future()
        self._set_alarm(seconds, alarm)
        await alarm

    async def until(self, future: Future[Any], timeout_s: float) -> bool:
        """Wait until `future` is done, but at most `timeout_s`; say whether it is."""
        if future.done():
            return True
        alarm: Future[None] = Future()

        def ring(_: Future[Any]) -> None:
            alarm.set_result(None)
            self.wake()

        future.add_done_callback(ring)
        self._set_alarm(timeout_s, alarm)
        await alarm
        future.remove_done_callback(ring)
        return bool(future.done())

    async def wait_for(self, predicate: Callable[[], bool], deadline_s: float, poll_s: float = CANCEL_POLL_S) -> bool:
        """Wait until `predicate` holds, but at most `deadline_s`; say whether it does."""
        end = time.monotonic() + deadline_s
        while not predicate():
            left = end - time.monotonic()
            if left <= 0.0:
                return False
            await self.sleep(min(poll_s, left))
        return True

    def call_soon(self, fn: Callable[..., Any], *args: Any) -> None:
        """Have the executor's thread call `fn`; for threads that want to publish."""
        executor = self._node.executor
        if executor is not None:
            executor.create_task(fn, *args)

    def wake(self) -> None:
        """Make the executor look at waiting callbacks again."""
        executor = self._node.executor
        if executor is not None:
            executor.wake()

    def shutdown(self) -> None:
        """Let the threads end after what they do now; nothing is waited for."""
        for _ in self._threads:
            self._jobs.put(None)
        self._threads.clear()
        self._timer.cancel()

    def _start_threads(self) -> None:
        while len(self._threads) < self._limit:
            name = f'{self._node.get_name()}_worker_{len(self._threads)}'
            # daemons: a call that hangs must not keep a stopped process alive
            thread = threading.Thread(target=self._serve, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()

    def _work(self, future: Future[T], fn: Callable[..., T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            result = fn(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the one who awaits
            future.set_exception(error)
        else:
            future.set_result(result)
        self.wake()

    def _set_alarm(self, seconds: float, alarm: Future[Any]) -> None:
        heapq.heappush(self._alarms, (time.monotonic() + max(seconds, 0.0), next(self._count), alarm))
        self._wind()

    def _ring(self) -> None:
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            alarm = heapq.heappop(self._alarms)[2]
            if not alarm.done():
                alarm.set_result(None)
        self._wind()

    def _wind(self) -> None:
        """Set the one timer to the next alarm."""
        while self._alarms and self._alarms[0][2].done():
            heapq.heappop(self._alarms)
        if not self._alarms:
            self._timer.cancel()
            return
        left_s = max(self._alarms[0][0] - time.monotonic(), 0.0005)
        self._timer.timer_period_ns = int(left_s * 1e9)
        self._timer.reset()
