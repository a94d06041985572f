# SPDX-License-Identifier: Apache-2.0
"""A short-lived node of a command: everything with a deadline, spun by who waits."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from gemma4_ros.core.errors import NotRunningError
from gemma4_ros.ros import transport

__all__ = ['RosSession']

_NUMBERS = itertools.count(1)


class RosSession:
    """
    A private context with one node.

    Parameters
    ----------
    namespace : str
        Of the robot.
    domain_id : int, optional
        Default: that of the environment.

    """

    def __init__(self, namespace: str = '', domain_id: int | None = None) -> None:
        self._namespace, self._domain_id = namespace, domain_id

    def __enter__(self) -> RosSession:
        transport.apply()
        self.context = Context()
        rclpy.init(context=self.context, domain_id=self._domain_id, signal_handler_options=SignalHandlerOptions.NO)
        space = '/' + self._namespace.strip('/') if self._namespace else None
        self.node = Node(f'gemma4_cli_{os.getpid()}_{next(_NUMBERS)}', context=self.context, namespace=space)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.executor.shutdown(timeout_sec=0.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)

    def spin(self, seconds: float = 0.05) -> None:
        """Serve callbacks for a moment."""
        self.executor.spin_once(timeout_sec=seconds)

    def until(self, predicate: Callable[[], bool], deadline_s: float) -> bool:
        """Spin until something holds; say whether it came in time."""
        end = time.monotonic() + deadline_s
        while not predicate():
            if time.monotonic() > end:
                return False
            self.spin()
        return True

    def call(self, kind: Any, name: str, request: Any, deadline_s: float = 10.0, again_s: float = 0.0) -> Any:
        """
        Call a service; raise NotRunningError where nobody answers.

        Parameters
        ----------
        kind, name, request :
            Type, relative name and request of the service.
        deadline_s : float
            Of finding it, and of its answer.
        again_s : float
            Ask again after this time without an answer; 0: never. For requests that may be made twice: a server that
            has not discovered the client yet answers nobody.

        """
        client = self.node.create_client(kind, name)
        try:
            if not self.until(client.service_is_ready, deadline_s):
                raise NotRunningError(f'nobody serves {name}; start the stack with: gemma4 up')
            future, end = client.call_async(request), time.monotonic() + deadline_s
            while again_s and not self.until(future.done, again_s) and time.monotonic() < end:
                future = client.call_async(request)
            if not self.until(future.done, max(end - time.monotonic(), 0.0)):
                raise NotRunningError(f'{name} does not answer within {deadline_s:g} s; look at its log')
            return future.result()
        finally:
            self.node.destroy_client(client)
