# SPDX-License-Identifier: Apache-2.0
"""Who may be where on the ROS graph: rules from a file, and what on a graph breaks them. Deny only; no ROS in here."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gemma4_ros.core import documents
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.schemas import WATCH

__all__ = ['Endpoint', 'Finding', 'Graph', 'Patience', 'Rules', 'findings', 'load_rules', 'resolved', 'shown']

_NODE_NAME = re.compile(r'[A-Za-z0-9_/~]{1,128}')
UNNAMED = '(a participant without a name)'


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An action or service: its only servers (empty: any one) and its only clients, as absolute names."""

    name: str
    is_action: bool
    servers: frozenset[str]
    clients: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """``publishers``: the only nodes that may publish on a topic; all names absolute."""

    publishers: Mapping[str, frozenset[str]]
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes on guarded names now, as often as they are there: two of one name stand twice."""

    publishers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    servers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    clients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """
    One stranger.

    ``unnamed``: somebody whose name discovery has not shown, yet or at all. ``double``: a second one of a name that may
    be there, which a restart shows for a while too.
    """

    text: str
    kind: Literal['stranger', 'unnamed', 'double'] = 'stranger'


def resolved(name: str, namespace: str) -> str:
    """Return the absolute name: ``mode`` in ``/r1`` is ``/r1/mode``; ``/mode`` stays."""
    return name if name.startswith('/') else f'{namespace.rstrip("/")}/{name}'


def shown(name: str) -> str:
    """Return a name as it may stand in logs: who joins the graph by other means than ROS may call itself anything."""
    return name if _NODE_NAME.fullmatch(name) else ascii(name)[1:-1][:128]


def load_rules(text: str, source: str, tools: Iterable[tuple[str, bool]], namespace: str, gate: str = 'gate') -> Rules:
    """
    Build the rules.

    Parameters
    ----------
    text, source : str
        ``watch.yaml`` and its name for messages; an empty text guards the tools alone.
    tools : iterable of (str, bool)
        Name of each action or service that moves something, and whether it is an action.
    namespace : str
        Of the stack, ``/`` or ``/r1``.
    gate : str
        The node that alone may call them.

    Raises
    ------
    ConfigError
        With file, line, path and what is wrong.

    """
    raw: dict[str, Any] = documents.load(text, source, WATCH, ConfigError).root if text else {}

    def names(values: Iterable[str]) -> frozenset[str]:
        return frozenset(resolved(value, namespace) for value in values)

    more = {resolved(name, namespace): names(nodes) for name, nodes in raw.get('clients', {}).items()}
    endpoints: dict[str, Endpoint] = {}
    for name, is_action in tools:
        full = resolved(name, namespace)
        endpoints[full] = Endpoint(full, is_action, frozenset(), names([gate]) | more.get(full, frozenset()))
    unknown = sorted(more.keys() - endpoints.keys())
    if unknown:
        raise ConfigError(f'{source}: clients: {unknown[0]} is no action or service of the tools files')
    for name, item in raw.get('endpoints', {}).items():
        full = resolved(name, namespace)
        is_action = bool(item.get('action', False))
        endpoints[full] = Endpoint(full, is_action, names(item.get('servers', ())), names(item['clients']))
    publishers = {resolved(topic, namespace): names(nodes) for topic, nodes in raw.get('publishers', {}).items()}
    return Rules(publishers, tuple(endpoints.values()))


def findings(rules: Rules, graph: Graph) -> frozenset[Finding]:
    """Return everything on the graph that the rules do not allow."""
    found: list[Finding] = []
    for topic, allowed in rules.publishers.items():
        found += _strangers(graph.publishers.get(topic, ()), allowed, f'publishes on {topic}')
    for endpoint in rules.endpoints:
        servers = graph.servers.get(endpoint.name, ())
        if endpoint.servers:
            found += _strangers(servers, endpoint.servers, f'serves {endpoint.name}')
        elif len(set(servers)) > 1:
            both = ' and '.join(sorted(set(servers)))
            kind: Literal['unnamed', 'stranger'] = 'unnamed' if UNNAMED in servers else 'stranger'
            found.append(Finding(f'{both} serve {endpoint.name}; one server may', kind))
        elif len(servers) > 1:
            found.append(Finding(f'{servers[0]} serves {endpoint.name} {len(servers)} times', 'double'))
        found += _strangers(graph.clients.get(endpoint.name, ()), endpoint.clients, f'is a client of {endpoint.name}')
    return frozenset(found)


def _strangers(nodes: tuple[str, ...], allowed: frozenset[str], does: str) -> list[Finding]:
    may = f'only {", ".join(sorted(allowed))} may' if allowed else 'nobody may'
    found = [
        Finding(f'{node} {does}; {may}', 'unnamed' if node == UNNAMED else 'stranger')
        for node in sorted(set(nodes) - allowed)
    ]
    doubles = sorted(node for node, count in Counter(nodes).items() if count > 1 and node in allowed)
    return found + [Finding(f'{node} {does} more than once: two call themselves so', 'double') for node in doubles]


class Patience:
    """
    Findings count once they have stayed.

    Discovery shows a node's endpoints before its name, and a killed process until its lease runs out.

    Parameters
    ----------
    confirm_s : float
        How long a stranger must be seen.
    unnamed_s : float
        How long somebody without a name must be: longer than discovery takes on a busy computer.
    double_s : float
        How long two of one name must be; longer than the lease of a killed process.

    """

    def __init__(self, confirm_s: float, unnamed_s: float, double_s: float) -> None:
        self._limit_s = {'stranger': confirm_s, 'unnamed': unnamed_s, 'double': double_s}
        self._since: dict[Finding, float] = {}

    def confirmed(self, found: frozenset[Finding], now_s: float) -> tuple[Finding, ...]:
        """Return those that have stayed long enough, sorted; ``now_s`` is of a clock that never jumps."""
        self._since = {finding: self._since.get(finding, now_s) for finding in found}
        return tuple(
            sorted(finding for finding, since in self._since.items() if now_s - since >= self._limit_s[finding.kind])
        )
