# SPDX-License-Identifier: Apache-2.0
"""The node ``watcher``: holds the ROS graph against the names expected on it; a stranger stops the robot.

Deny only, in its own process: it sends stops to gate and deadman and takes nothing back. It needs no model and nothing
but the graph.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from gemma4_ros.core import strict_yaml, watch
from gemma4_ros.core.errors import ToolsError
from gemma4_ros.msg import StopRequest, WatcherState
from gemma4_ros.ros import gate_files, params, qos

STOP_TOPICS = ('gate/stop', 'deadman/stop')
AGAIN_S = 1.0


@dataclass(frozen=True)
class WatcherConfig:
    """Parameters of the watcher."""

    config: str = params.param('', doc='folder of the configuration; empty: the one that comes with the package')
    tools: tuple[str, ...] = params.param(gate_files.CELL_TOOLS, doc='tools files, below the folder or absolute')
    watch: str = params.param('watch.yaml', doc='who may be where; a file that is not there guards the tools alone')
    period_s: float = params.param(0.25, doc='how often the graph is looked at', unit='s', low=0.05, high=2.0)
    confirm_s: float = params.param(0.4, doc='how long a stranger must be seen', unit='s', low=0.0, high=10.0)
    unnamed_s: float = params.param(
        5.0,
        doc='how long somebody without a name must be seen; discovery shows names last',
        unit='s',
        low=0.5,
        high=60.0,
    )
    double_s: float = params.param(
        30.0, doc='how long two of one name must be seen; a killed one is seen for 20 s', unit='s', low=1.0, high=600.0
    )


def guarded(files: list[Path]) -> Iterator[tuple[str, bool]]:
    """Yield name and whether it is an action, of each interface in tools files that does more than read."""
    for path in files:
        root = strict_yaml.parse(gate_files.read_text(path), str(path), ToolsError).root
        for tool in root.values() if isinstance(root, dict) else ():
            interface = tool.get('interface') if isinstance(tool, dict) else None
            if isinstance(interface, dict) and tool.get('risk') != 'read':
                yield str(interface.get('name')), 'action' in interface


class WatcherNode(Node):
    """Looks at the graph; sends stops."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__('watcher', **kwargs)
        params.declare(self, WatcherConfig)
        config = params.read(self, WatcherConfig)
        folder = gate_files.config_folder(config.config)
        (path,) = gate_files.files_in(folder, [config.watch]) or [folder / 'watch.yaml']
        text = gate_files.read_text(path) if path.is_file() else ''
        tools = guarded(gate_files.files_in(folder, config.tools))
        self._rules = watch.load_rules(text, str(path), tools, self.get_namespace())
        self._patience = watch.Patience(config.confirm_s, config.unnamed_s, config.double_s)
        self._told: tuple[watch.Finding, ...] = ()
        self._told_s = 0.0
        self._stops = [self.create_publisher(StopRequest, topic, qos.STOP) for topic in STOP_TOPICS]
        self._state = self.create_publisher(WatcherState, '~/state', qos.STATE_LATCHED)
        self.create_timer(config.period_s, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))
        if not text:
            self.get_logger().warning(f'no {path}: only the actions and services of the tools files are guarded')
        counts = f'topics={len(self._rules.publishers)} endpoints={len(self._rules.endpoints)}'
        self.get_logger().info(f'watching {counts}')
        self._show(())

    def _look(self) -> None:
        now = time.monotonic()
        confirmed = self._patience.confirmed(watch.findings(self._rules, self._graph()), now)
        if confirmed and (confirmed != self._told or now - self._told_s >= AGAIN_S):
            self._stop(confirmed[0].text)
            self._told_s = now
        if confirmed != self._told:
            for finding in confirmed:
                self.get_logger().error(finding.text)
            self._show(confirmed)

    def _stop(self, reason: str) -> None:
        request = StopRequest(stamp=self.get_clock().now().to_msg(), source='watcher', reason=reason[:256])
        for publisher in self._stops:
            publisher.publish(request)

    def _show(self, confirmed: tuple[watch.Finding, ...]) -> None:
        self._told = confirmed
        self._state.publish(
            WatcherState(
                stamp=self.get_clock().now().to_msg(),
                state=WatcherState.STRANGER if confirmed else WatcherState.WATCHING,
                findings=[finding.text[:256] for finding in confirmed[:32]],
                topics=len(self._rules.publishers),
                endpoints=len(self._rules.endpoints),
            )
        )

    # The graph -------------------------------------------------------------------------------------------------------
    def _graph(self) -> watch.Graph:
        """Return who is on the guarded names now."""
        publishers = {topic: _nodes(self.get_publishers_info_by_topic(topic)) for topic in self._rules.publishers}
        services = {_called(endpoint): endpoint.name for endpoint in self._rules.endpoints}
        servers: dict[str, list[str]] = {name: [] for name in services.values()}
        clients: dict[str, list[str]] = {name: [] for name in services.values()}
        for name, namespace in self.get_node_names_and_namespaces():
            full = watch.shown(f'{namespace.rstrip("/")}/{name}')
            _note(self.get_service_names_and_types_by_node, name, namespace, full, services, servers)
            _note(self.get_client_names_and_types_by_node, name, namespace, full, services, clients)
        for service, endpoint in services.items():  # who is there and has no node's name
            servers[endpoint] += self._unnamed(f'rr{service}Reply')
            clients[endpoint] += self._unnamed(f'rq{service}Request')
        return watch.Graph(publishers, _frozen(servers), _frozen(clients))

    def _unnamed(self, topic: str) -> list[str]:
        """Return those without a node's name that write on the DDS topic of a service; a node may have several."""
        found = _nodes(self.get_publishers_info_by_topic(topic, no_mangle=True))
        return [name for name in found if name == watch.UNNAMED]


def _called(endpoint: watch.Endpoint) -> str:
    """Return the service by which an endpoint is called."""
    return f'{endpoint.name}/_action/send_goal' if endpoint.is_action else endpoint.name


def _nodes(infos: Iterable[Any]) -> tuple[str, ...]:
    """Return the absolute names of the nodes of topic endpoints."""
    names = []
    for info in infos:
        is_named = info.node_name and not info.node_name.startswith('_NODE_NAME_UNKNOWN_')
        full = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
        names.append(watch.shown(full) if is_named else watch.UNNAMED)
    return tuple(names)


def _note(
    query: Any, name: str, namespace: str, full: str, services: dict[str, str], found: dict[str, list[str]]
) -> None:
    try:
        offered = query(name, namespace)
    except Exception:  # noqa: BLE001 - the node has gone since it was listed; rclpy raises several kinds
        return
    for service, _ in offered:
        if service in services:
            found[services[service]].append(full)


def _frozen(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(nodes) for name, nodes in found.items()}
