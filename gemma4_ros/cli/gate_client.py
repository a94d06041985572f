# SPDX-License-Identifier: Apache-2.0
"""Talk to the running gate and deadman from a terminal: a few calls with a deadline, then gone."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from gemma4_ros.msg import ApprovalRequest, DeadmanState, GateState
from gemma4_ros.ros import qos, transport
from gemma4_ros.srv import Approve, SetArmed, SetLockout

__all__ = ['GateClient']

AGAIN_S = 1.5


class GateClient:
    """
    A short-lived node.

    Parameters
    ----------
    wait_s : float
        Deadline of every call.
    namespace : str
        Of the robot; empty: none.
    not_running, refused : callable
        End the command with a sentence.

    """

    def __init__(
        self, wait_s: float, namespace: str, not_running: Callable[[str], NoReturn], refused: Callable[[str], NoReturn]
    ) -> None:
        self._namespace = '/' + namespace.strip('/') if namespace else None
        self._wait_s, self._not_running, self._refused = wait_s, not_running, refused
        self._gate: list[GateState] = []
        self._deadman: list[DeadmanState] = []
        self._requests: list[ApprovalRequest] = []

    def __enter__(self) -> GateClient:
        transport.apply()
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = Node('gemma4_gate_cli', context=self._context, namespace=self._namespace)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self._node)
        self._node.create_subscription(GateState, 'gate/state', self._gate.append, qos.STATE_LATCHED)
        self._node.create_subscription(DeadmanState, 'deadman/state', self._deadman.append, qos.STATE_LATCHED)
        self._node.create_subscription(
            ApprovalRequest, 'gate/approval_request', self._requests.append, qos.STATE_LATCHED
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(timeout_sec=0.0)
        self._node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def set_armed(self, service: str, command: int, person: str) -> str:
        """Arm, disarm or reset; return what the node said."""
        answer = self._call(SetArmed, service, SetArmed.Request(command=command, person=person), may_repeat=True)
        if not answer.accepted:
            self._refused(f'{answer.code}: {answer.text}')
        return f'{service.partition("/")[0]}: {answer.text}'

    def is_latched(self, node: str) -> bool:
        """Say whether the gate or the deadman has a latched stop."""
        if node == 'gate':
            self._until(lambda: bool(self._gate), 'the gate does not show its state; start it: gemma4 up')
            return bool(self._gate[-1].state == GateState.STOPPED)
        self._until(lambda: bool(self._deadman), 'the deadman does not show its state; start it: gemma4 up')
        cancelling = DeadmanState.CANCELLING  # it takes 2 s of stillness until it can be reset
        self._until(
            lambda: self._deadman[-1].state != cancelling, 'the deadman is still cancelling goals; look at the robot'
        )
        return bool(self._deadman[-1].state == DeadmanState.TRIPPED)

    def open_request(self, approval_id: str) -> ApprovalRequest:
        """Return the open request."""
        self._until(lambda: bool(self._gate), 'the gate does not show its state; start it: gemma4 up')
        end = time.monotonic() + min(1.0, self._wait_s)
        while time.monotonic() < end and not self._requests:
            self._executor.spin_once(timeout_sec=0.05)
        request = self._requests[-1] if self._requests else None
        if request is None or not request.open or approval_id not in ('', request.approval_id):
            self._refused('the gate asks for nothing like that now')
        return request

    def set_lockout(self, command: int, person: str, reason: str) -> str:
        """Put a lock on or take it off; return what the gate said."""
        request = SetLockout.Request(command=command, person=person, reason=reason[:200])
        answer = self._call(SetLockout, 'gate/set_lockout', request)
        if not answer.accepted:
            self._refused(f'{answer.code}: {answer.text}')
        return f'gate: {answer.text}'

    def locked_by(self) -> list[str]:
        """Return the people whose locks are on."""
        self._until(lambda: bool(self._gate), 'the gate does not show its state; start it: gemma4 up')
        return list(self._gate[-1].locked_by)

    def answer(self, request: ApprovalRequest, person: str, *, approve: bool, signature: bytes = b'') -> str:
        """Answer a request; return what came of it."""
        fields = {'approval_id': request.approval_id, 'plan_sha256': request.plan_sha256, 'signature': signature}
        answer = self._call(Approve, 'gate/approve', Approve.Request(person=person, approve=approve, **fields))
        if not answer.accepted:
            self._refused(f'{answer.code}: {answer.text}')
        return f'{answer.text}; permit {answer.permit_id}' if answer.permit_id else str(answer.text)

    def _call(self, kind: Any, name: str, request: Any, *, may_repeat: bool = False) -> Any:
        client = self._node.create_client(kind, name)
        self._until(client.service_is_ready, f'nobody serves {name}; start the stack: gemma4 up')
        future = client.call_async(request)
        end = time.monotonic() + self._wait_s - AGAIN_S
        while may_repeat and time.monotonic() < end and not self._spun_until(future.done, AGAIN_S):
            future = client.call_async(request)  # the answer to a client that was not discovered yet is lost
        self._until(future.done, f'{name} does not answer within {self._wait_s:g} s')
        return future.result()

    def _spun_until(self, predicate: Callable[[], bool], seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not predicate() and time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.05)
        return predicate()

    def _until(self, predicate: Callable[[], bool], otherwise: str) -> None:
        end = time.monotonic() + self._wait_s
        while not predicate():
            if time.monotonic() > end:
                self._not_running(otherwise)
            self._executor.spin_once(timeout_sec=0.05)
