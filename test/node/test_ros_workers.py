# SPDX-License-Identifier: Apache-2.0
"""Threads and timed waits beside a single-threaded executor."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.action import Dock
from rclpy.action import ActionClient, ActionServer, CancelResponse
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from gemma4_ros.ros.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.ros


@pytest.fixture
def ros() -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    context = Context()
    rclpy.init(context=context)
    executor = SingleThreadedExecutor(context=context)
    node = Node('workers_test', context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown(timeout_sec=0.0)
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def finish(executor: SingleThreadedExecutor, future: Any, deadline_s: float = 5.0) -> Any:
    executor.spin_until_future_complete(future, timeout_sec=deadline_s)
    assert future.done(), 'not done before the deadline'
    return future.result()


def test_a_result_of_a_thread_resumes_the_callback_at_once(ros: tuple[Node, SingleThreadedExecutor]) -> None:
    node, executor = ros
    workers = Workers(node)
    times: dict[str, float] = {}

    def slow() -> str:
        threading.Event().wait(0.1)
        times['end'] = time.monotonic()
        return threading.current_thread().name

    async def work() -> str:
        name = await workers.run(slow)
        times['resumed'] = time.monotonic()
        return name

    name = finish(executor, executor.create_task(work))
    assert name.startswith('workers_test_worker')
    assert times['resumed'] - times['end'] < 0.1
    workers.shutdown()


def test_the_exception_of_a_thread_reaches_the_one_who_waits(ros: tuple[Node, SingleThreadedExecutor]) -> None:
    node, executor = ros
    workers = Workers(node)

    def fail() -> None:
        raise KeyError('valve')

    async def work() -> str:
        try:
            await workers.run(fail)
        except KeyError as error:
            return str(error)
        return 'nothing raised'

    assert finish(executor, executor.create_task(work)) == "'valve'"
    workers.shutdown()


def test_sleep_and_wait_for_keep_their_deadlines(ros: tuple[Node, SingleThreadedExecutor]) -> None:
    node, executor = ros
    workers = Workers(node, threads=0)

    async def work() -> list[float | bool]:
        start = time.monotonic()
        await workers.sleep(0.05)
        slept = time.monotonic() - start
        held = await workers.wait_for(lambda: time.monotonic() - start > 0.1, 1.0)
        missed = await workers.wait_for(lambda: False, 0.1)
        return [slept, held, missed, time.monotonic() - start]

    slept, held, missed, total = finish(executor, executor.create_task(work))
    assert 0.05 <= slept < 0.2
    assert (held, missed) == (True, False)
    assert total < 1.0


def test_until_says_whether_the_future_came_in_time(ros: tuple[Node, SingleThreadedExecutor]) -> None:
    node, executor = ros
    workers = Workers(node, threads=0)
    late: rclpy.task.Future[int] = rclpy.task.Future()
    soon: rclpy.task.Future[int] = rclpy.task.Future()

    async def work() -> tuple[bool, bool, bool]:
        timer = threading.Timer(0.05, lambda: soon.set_result(1))
        timer.start()
        return await workers.until(late, 0.05), await workers.until(soon, 2.0), await workers.until(soon, 0.0)

    assert finish(executor, executor.create_task(work)) == (False, True, True)


def test_many_waits_at_once_end_in_their_own_order(ros: tuple[Node, SingleThreadedExecutor]) -> None:
    node, executor = ros
    workers = Workers(node, threads=0)
    order: list[int] = []

    async def one(number: int, seconds: float) -> None:
        await workers.sleep(seconds)
        order.append(number)

    tasks = [executor.create_task(one, number, seconds) for number, seconds in ((1, 0.15), (2, 0.05), (3, 0.1))]
    for task in tasks:
        finish(executor, task)
    assert order == [2, 3, 1]


def test_an_action_server_answers_a_cancel_within_200_ms(
    ros: tuple[Node, SingleThreadedExecutor], quickest: Callable[..., float]
) -> None:
    node, executor = ros
    workers = Workers(node)
    stop = threading.Event()

    async def execute(goal: Any) -> Dock.Result:
        await workers.run(stop.wait, 5.0, cancel_from=goal, on_cancel=stop.set)
        goal.canceled() if goal.is_cancel_requested else goal.succeed()
        return Dock.Result()

    server = ActionServer(node, Dock, 'dock', execute, cancel_callback=lambda _: CancelResponse.ACCEPT)
    client = ActionClient(node, Dock, 'dock')
    finish(executor, executor.create_task(workers.wait_for, client.server_is_ready, 5.0))

    def once() -> float:
        stop.clear()
        handle = finish(executor, client.send_goal_async(Dock.Goal()))
        result = handle.get_result_async()
        start = time.monotonic()
        answer = finish(executor, handle.cancel_goal_async())
        status = finish(executor, result).status
        assert len(answer.goals_canceling) == 1
        assert status == 5  # CANCELED
        return time.monotonic() - start

    assert quickest(once, 0.2) < 0.2  # answered, and ended
    client.destroy()
    server.destroy()
    workers.shutdown()


@pytest.mark.timed
def test_an_idle_node_is_not_woken(ros: tuple[Node, SingleThreadedExecutor]) -> None:
    node, executor = ros
    workers = Workers(node)
    finish(executor, executor.create_task(workers.run, lambda: None))
    finish(executor, executor.create_task(workers.sleep, 0.01))
    executor.spin_once(timeout_sec=0.0)
    start = time.process_time()
    end = time.monotonic() + 0.5
    turns = 0
    while time.monotonic() < end:
        executor.spin_once(timeout_sec=0.5)
        turns += 1
    assert turns < 20
    assert time.process_time() - start < 0.3
    workers.shutdown()
