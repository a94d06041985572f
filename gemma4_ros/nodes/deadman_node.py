# SPDX-License-Identifier: Apache-2.0
"""The node ``deadman``: when the gate falls silent or a stop arrives, cancel every goal of every controller, latched.

On purpose small, in its own process and with few imports: it works when everything else is dead. It starts nothing.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from action_msgs.msg import GoalStatus, GoalStatusArray
from action_msgs.srv import CancelGoal
from rclpy.client import Client
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_action_status_default

from gemma4_ros.core import strict_yaml
from gemma4_ros.core.errors import ConfigError, ToolsError
from gemma4_ros.msg import DeadmanState, Heartbeat, StopRequest
from gemma4_ros.ros import gate_files, params, qos
from gemma4_ros.srv import SetArmed

ACTIVE = (GoalStatus.STATUS_ACCEPTED, GoalStatus.STATUS_EXECUTING, GoalStatus.STATUS_CANCELING)
CHECK_S, CANCEL_S, BEAT_S = 0.02, 0.1, 0.1


@dataclass(frozen=True)
class DeadmanConfig:
    """Parameters of the deadman."""

    config: str = params.param('', doc='folder of the configuration; empty: the one that comes with the package')
    tools: tuple[str, ...] = params.param(gate_files.CELL_TOOLS, doc='tools files, below the folder or absolute')
    misses: int = params.param(3, doc='beats of the gate, at 10 Hz, that may be missed', low=2, high=20)
    idle_misses: int = params.param(
        15, doc='the same while the gate dispatches nothing and no goal is active', low=2, high=100
    )
    idle_s: float = params.param(2.0, doc='how long an endpoint must show no active goal', unit='s', low=0.1, high=30.0)


@dataclass
class Endpoint:
    """One action: its cancel service and since when its status shows no active goal."""

    name: str
    cancel: Client[Any, Any]
    is_active: bool = False
    idle_since_s: float = field(default_factory=time.monotonic)
    asked_s: float = 0.0


def action_names(files: list[Path]) -> list[str]:
    """Return the actions that the tools files name, each once; raise ToolsError."""
    names: dict[str, None] = {}
    for path in files:
        root = strict_yaml.parse(gate_files.read_text(path), str(path), ToolsError).root
        for tool in root.values() if isinstance(root, dict) else ():
            interface = tool.get('interface') if isinstance(tool, dict) else None
            if isinstance(interface, dict) and 'action' in interface:
                names[str(interface.get('name'))] = None
    if not names:
        raise ConfigError(
            f'no action in {", ".join(map(str, files)) or "no file"}: the deadman would watch over nothing'
        )
    return list(names)


class DeadmanNode(Node):
    """Watches the gate's heartbeat; cancels everything."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('deadman', **kwargs)
        params.declare(self, DeadmanConfig)
        self._config = params.read(self, DeadmanConfig)
        folder = gate_files.config_folder(self._config.config)
        self._endpoints = [self._watch(name) for name in action_names(gate_files.files_in(folder, self._config.tools))]
        self._boot_id, self._beats, self._trips = secrets.token_hex(16), 0, 0
        self._gate_boot, self._gate_is_active, self._gate_at_s, self._checked_s = '', False, 0.0, time.monotonic()
        self._state, self._reason, self._shown = DeadmanState.WAITING, 'no gate seen yet', ()
        self._state_topic = self.create_publisher(DeadmanState, '~/state', qos.STATE_LATCHED)
        self._beat_topic = self.create_publisher(Heartbeat, '~/heartbeat', qos.HEARTBEAT)
        self.create_subscription(Heartbeat, 'gate/heartbeat', self._on_beat, qos.HEARTBEAT)
        self.create_subscription(StopRequest, '~/stop', self._on_stop, qos.STOP)
        self.create_service(SetArmed, '~/set_armed', self._set_armed)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(CHECK_S, self._check, clock=steady)
        self.create_timer(BEAT_S, self._beat, clock=steady)
        self._show()

    def _watch(self, name: str) -> Endpoint:
        endpoint = Endpoint(name, self.create_client(CancelGoal, f'{name}/_action/cancel_goal'))

        def on_status(message: GoalStatusArray) -> None:
            is_active = any(status.status in ACTIVE for status in message.status_list)
            if endpoint.is_active or is_active:
                endpoint.idle_since_s = time.monotonic()
            endpoint.is_active = is_active
            self._check()

        self.create_subscription(
            GoalStatusArray, f'{name}/_action/status', on_status, qos_profile_action_status_default
        )
        return endpoint

    def _on_beat(self, message: Heartbeat) -> None:
        self._gate_at_s = time.monotonic()
        if self._gate_boot and message.boot_id != self._gate_boot and self._state == DeadmanState.WATCHING:
            self._trip('the gate has started again')
        self._gate_boot, self._gate_is_active = message.boot_id, message.active
        if self._state == DeadmanState.WAITING:
            self._state, self._reason = DeadmanState.WATCHING, ''
            self._show()

    def _on_stop(self, message: StopRequest) -> None:
        self._trip(f'stop of {message.source!a}: {message.reason!a}')

    def _trip(self, reason: str) -> None:
        if self._state not in (DeadmanState.CANCELLING, DeadmanState.TRIPPED):
            self._state, self._reason, self._trips = DeadmanState.CANCELLING, reason[:256], self._trips + 1
            now = time.monotonic()
            for endpoint in self._endpoints:  # an acceptance may be on its way: nothing counts as idle yet
                endpoint.idle_since_s = now
                endpoint.asked_s = 0.0
            self._cancel()  # before a word of it is written: a log may wait for a disk
            self.get_logger().error(f'cancelling every goal: {self._reason}')
        self._cancel()
        self._show()

    def _check(self) -> None:
        now = time.monotonic()
        # when this process itself got no time, what has arrived must be read first: look again next time
        starved, self._checked_s = now - self._checked_s > 0.15, now
        if self._state == DeadmanState.WATCHING and not starved and now - self._gate_at_s > self._limit_s():
            self._trip(f'no beat of the gate for {now - self._gate_at_s:.2f} s')
        if self._state in (DeadmanState.CANCELLING, DeadmanState.TRIPPED):
            self._cancel()
            idle = all(self._is_idle(endpoint, now) for endpoint in self._endpoints)
            self._state = DeadmanState.TRIPPED if idle else DeadmanState.CANCELLING
            self._show()

    def _limit_s(self) -> float:
        """Return how long the gate may be silent: longer while nothing moves, as there is nothing to cancel then."""
        moves = self._gate_is_active or any(endpoint.is_active for endpoint in self._endpoints)
        return ((self._config.misses if moves else self._config.idle_misses) + 0.5) * BEAT_S

    def _is_idle(self, endpoint: Endpoint, now: float) -> bool:
        return not endpoint.is_active and now - endpoint.idle_since_s >= self._config.idle_s

    def _cancel(self) -> None:
        """Ask every endpoint that is not idle to cancel all goals: zero id and zero stamp."""
        now = time.monotonic()
        for endpoint in self._endpoints:
            if (
                self._is_idle(endpoint, now)
                or now - endpoint.asked_s < CANCEL_S
                or not endpoint.cancel.service_is_ready()
            ):
                continue
            endpoint.asked_s = now
            endpoint.cancel.call_async(CancelGoal.Request()).add_done_callback(lambda _: None)

    def _set_armed(self, request: SetArmed.Request, response: SetArmed.Response) -> SetArmed.Response:
        if request.command != SetArmed.Request.RESET or not request.person:
            response.code, response.text = 650, 'only RESET, by a named person'
        elif self._state != DeadmanState.TRIPPED:
            response.code, response.text = 650, 'nothing to reset, or goals are still being cancelled'
        else:
            self._state, self._reason, self._gate_boot = DeadmanState.WAITING, f'reset by {request.person!a}', ''
            response.accepted, response.text = True, 'watching as soon as the gate beats'
            self.get_logger().warning(self._reason)
        self._show()
        return response

    def _beat(self) -> None:
        self._beats += 1
        stamp = self.get_clock().now().to_msg()
        self._beat_topic.publish(Heartbeat(stamp=stamp, boot_id=self._boot_id, sequence=self._beats))

    def _show(self) -> None:
        now = time.monotonic()
        idle = [self._is_idle(endpoint, now) for endpoint in self._endpoints]
        shown = (self._state, self._reason, self._trips, *idle)
        if shown != self._shown:
            self._shown = shown
            stamp, names = self.get_clock().now().to_msg(), [endpoint.name for endpoint in self._endpoints]
            self._state_topic.publish(
                DeadmanState(
                    stamp=stamp,
                    state=self._state,
                    reason=self._reason[:256],
                    endpoints=names,
                    idle=idle,
                    trips=self._trips,
                )
            )
