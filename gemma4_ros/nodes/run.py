# SPDX-License-Identifier: Apache-2.0
"""Run one node, or several composed in one process, until a signal: the only place that spins and handles signals.

``python -m gemma4_ros.nodes.run gate --ros-args -p name:=value``, or composed: ``… run planner copilot --ros-args …``.
A node may have a method ``shutdown()``, plain or ``async``; it is called (and awaited, while callbacks go on) before
the process ends.
"""

from __future__ import annotations

import signal

if __name__ == '__main__':
    # Until the nodes listen, SIGINT simply ends the process: an import may swallow a KeyboardInterrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import contextlib
import importlib
import inspect
import os
import select
import socket
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import rclpy
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from gemma4_ros.core.errors import ConfigError, Gemma4Error
from gemma4_ros.nodes.table import TABLE
from gemma4_ros.ros import production, transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rclpy.node import Node

__all__ = ['NODES', 'bring_up', 'main']

NODES: dict[str, str] = {process.name: process.target for process in TABLE}
NICE: dict[str, int] = {process.name: process.nice for process in TABLE}
PICTURES: set[str] = {process.name for process in TABLE if process.pictures}
SHUTDOWN_DEADLINE_S = 5.0
DONE, CRASHED, MISCONFIGURED = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the nodes that `argv` names until SIGINT or SIGTERM.

    Parameters
    ----------
    argv : sequence of str
        The node's name, or the names of several composable ones, then ``--ros-args …``.

    Returns
    -------
    int
        0 stopped by a signal, 1 a callback failed, 2 wrong usage or configuration.

    """
    try:
        names, ros_args = _split(list(sys.argv[1:] if argv is None else argv))
        return _run(names, ros_args)
    except Gemma4Error as error:
        _say(str(error))
        return MISCONFIGURED


def bring_up(node: Node) -> bool:
    """Configure and activate a lifecycle node unless its parameter `autostart` is false; say whether that worked."""
    if not isinstance(node, LifecycleNode):
        return True
    if not node.has_parameter('autostart'):
        node.declare_parameter('autostart', True)
    if not node.get_parameter('autostart').value:
        return True
    for transition in (node.trigger_configure, node.trigger_activate):
        if transition() != TransitionCallbackReturn.SUCCESS:
            node.get_logger().error(f'{transition.__name__} failed')
            return False
    return True


def _say(text: str) -> None:
    """Write to stderr; the log of ROS may not work yet, or any more."""
    sys.stderr.write(f'gemma4_ros: {text}\n')


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    cut = argv.index('--ros-args') if '--ros-args' in argv else len(argv)
    names, ros_args = argv[:cut], argv[cut:]
    names = names[1:] if names[:1] == ['composed'] else names
    if not names:
        raise ConfigError(f'name the node to run: {", ".join(NODES)}')
    for name in names:
        if name not in NODES:
            raise ConfigError(f'there is no node {name!r}; there are {", ".join(NODES)}')
    alone = [process.name for process in TABLE if process.name in names and not process.composable]
    if len(names) > 1 and alone:
        raise ConfigError(f'{alone[0]} runs in a process of its own and is never composed')
    return names, ros_args


def _run(names: list[str], ros_args: list[str]) -> int:
    is_production = production.is_said(production.PRODUCTION, names, ros_args)
    if is_production:
        production.require(names, ros_args)
    transport.apply(pictures=not PICTURES.isdisjoint(names))
    os.nice(min(NICE.get(name, 0) for name in names))
    context = Context()
    # the node's own handlers: rclpy's would end the context before a running step could be cancelled
    try:
        rclpy.init(args=['gemma4_ros', *ros_args], context=context, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy raises many kinds for wrong --ros-args
        raise ConfigError(f'wrong --ros-args: {error}') from error
    executor = SingleThreadedExecutor(context=context)
    nodes: list[Node] = []
    with _signals(executor) as stopped:
        try:
            for name in names:
                nodes.append(_construct(name, context))
                production.hold(nodes[-1], is_known=is_production)
                executor.add_node(nodes[-1])
            for node in nodes:
                if not bring_up(node):
                    return MISCONFIGURED
            return _spin(executor, stopped)
        finally:
            _close(executor, nodes)
            rclpy.try_shutdown(context=context)


def _construct(name: str, context: Context) -> Node:
    module, _, cls = NODES[name].partition(':')
    try:
        node: Node = getattr(importlib.import_module(module), cls)(context=context)
    except ImportError as error:
        raise ConfigError(f'node {name} cannot be loaded: {error}') from error
    return node


def _spin(executor: SingleThreadedExecutor, stopped: threading.Event) -> int:
    while not stopped.is_set():
        try:
            executor.spin_once()
        except ExternalShutdownException:
            break
        except Exception:  # noqa: BLE001 - a callback failed: say it and end, whoever supervises restarts
            _say(f'a callback failed\n{traceback.format_exc()}')
            return CRASHED
    return DONE


def _close(executor: SingleThreadedExecutor, nodes: list[Node]) -> None:
    for node in reversed(nodes):
        with _reported(node, 'shutdown'):
            _shut_down(executor, node)
    executor.shutdown(timeout_sec=0.0)
    for node in reversed(nodes):
        with _reported(node, 'destroy'):
            node.destroy_node()


def _shut_down(executor: SingleThreadedExecutor, node: Any) -> None:
    shutdown = getattr(node, 'shutdown', None)
    if shutdown is None:
        return
    if not inspect.iscoroutinefunction(shutdown):
        shutdown()
        return
    task = executor.create_task(shutdown)
    end = time.monotonic() + SHUTDOWN_DEADLINE_S
    while not task.done() and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    if not task.done():
        node.get_logger().warning(f'shutdown did not end within {SHUTDOWN_DEADLINE_S:g} s')


@contextlib.contextmanager
def _reported(node: Node, what: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - one node that cannot end must not keep the others from ending
        _say(f'{what} of {node.get_name()} failed\n{traceback.format_exc()}')


@contextlib.contextmanager
def _signals(executor: SingleThreadedExecutor) -> Iterator[threading.Event]:
    """
    Set an event and wake the executor on SIGINT and SIGTERM.

    The executor waits in C, where Python runs no handler; the wake-up descriptor reaches a thread that wakes it. With
    GEMMA4_DIE_WITH_PARENT=1 the end of the parent process counts as a signal: no orphans. The parent's process id in
    place of 1 also tells a parent that ended before this line.
    """
    stopped = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    handlers = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    old_descriptor = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
    told = os.environ.get('GEMMA4_DIE_WITH_PARENT', '')
    parent = os.getppid() if told == '1' else int(told) if told.isdigit() and told != '0' else None
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            ready, _, _ = select.select([near], [], [], None if parent is None else 0.5)
            if ready:
                near.recv(64)
            if ready or os.getppid() != parent:
                stopped.set()
                executor.create_task(stopped.set)  # spin_once goes on waiting after a bare wake()

    watcher = threading.Thread(target=watch, name='signals', daemon=True)
    watcher.start()
    try:
        yield stopped
    finally:
        ended.set()
        far.send(b'\0')
        watcher.join()
        signal.set_wakeup_fd(old_descriptor)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        near.close()
        far.close()


if __name__ == '__main__':
    sys.exit(main())
