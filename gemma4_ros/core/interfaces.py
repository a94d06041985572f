# SPDX-License-Identifier: Apache-2.0
"""The table of who does what on the ROS graph (config/interfaces.yaml): loaded strictly, written out for one robot."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from gemma4_ros.core import documents
from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.interfaces_schema import EACH, INTERFACES, ROLES
from gemma4_ros.core.strict_yaml import Document, Path
from gemma4_ros.core.watch import resolved

__all__ = [
    'OPERATOR',
    'OPERATOR_NODES',
    'Allowed',
    'Endpoints',
    'Graph',
    'Robot',
    'Table',
    'difference',
    'load_table',
    'node_names',
]

OPERATOR, OPERATOR_NODES = 'operator', 'gemma4_*'
"""The entry that is no node of the stack: the commands that a person runs beside it; and how their nodes are named."""

Names = Mapping[str, str]
_TOPICS = 'recorder.topics'


@dataclass(frozen=True, slots=True)
class Robot:
    """
    What the placeholders stand for: names and types from the files of one robot.

    Parameters
    ----------
    actions, services : mapping
        Of the tools files.
    signals, pose, cameras : mapping
        Topics of the policy's signals, of the world's signal ``pose`` and of the world's cameras.
    recorded : tuple of str
        Names or shell patterns of the topics that the recorder writes.

    """

    actions: Names = field(default_factory=dict)
    services: Names = field(default_factory=dict)
    signals: Names = field(default_factory=dict)
    pose: Names = field(default_factory=dict)
    cameras: Names = field(default_factory=dict)
    recorded: tuple[str, ...] = ()

    def source(self, name: str) -> Names:
        """Return what a placeholder stands for."""
        sources: dict[str, Names] = {
            'tools.actions': self.actions,
            'tools.services': self.services,
            'policy.signals': self.signals,
            'world.pose': self.pose,
            'world.cameras': self.cameras,
        }
        return sources[name]


@dataclass(frozen=True, slots=True)
class Graph:
    """What the graph shows of a node: pairs of absolute name and type; an action is three services and two topics."""

    publishers: frozenset[tuple[str, str]] = frozenset()
    subscriptions: frozenset[tuple[str, str]] = frozenset()
    servers: frozenset[tuple[str, str]] = frozenset()
    clients: frozenset[tuple[str, str]] = frozenset()

    def __or__(self, other: Graph) -> Graph:
        return Graph(
            self.publishers | other.publishers,
            self.subscriptions | other.subscriptions,
            self.servers | other.servers,
            self.clients | other.clients,
        )


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Absolute names and types of one node, by what it does with them."""

    publishes: Names = field(default_factory=dict)
    subscribes: Names = field(default_factory=dict)
    serves: Names = field(default_factory=dict)
    calls: Names = field(default_factory=dict)
    executes: Names = field(default_factory=dict)
    sends_goals: Names = field(default_factory=dict)

    def __or__(self, other: Endpoints) -> Endpoints:
        return Endpoints(**{role: {**getattr(self, role), **getattr(other, role)} for role in ROLES})

    def graph(self) -> Graph:
        """Return what the graph shows of them."""
        executed_topics, executed_services = _of_actions(self.executes)
        asked_topics, asked_services = _of_actions(self.sends_goals)
        return Graph(
            frozenset(self.publishes.items()) | executed_topics,
            frozenset(self.subscribes.items()) | asked_topics,
            frozenset(self.serves.items()) | executed_services,
            frozenset(self.calls.items()) | asked_services,
        )


@dataclass(frozen=True, slots=True)
class Allowed:
    """What one node always has, and what it may make later."""

    node: str
    always: Endpoints
    later: Endpoints

    @property
    def all(self) -> Endpoints:
        """Both together."""
        return self.always | self.later


@dataclass(frozen=True, slots=True)
class Table:
    """The table as it is written, placeholders and all; `load_table` has checked ``raw``."""

    raw: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """The entries, in the order of the file."""
        return tuple(self.raw['nodes'])

    def of(self, robot: Robot, namespace: str = '/') -> dict[str, Allowed]:
        """
        Write the table out for one robot.

        Parameters
        ----------
        robot : Robot
            What the placeholders stand for.
        namespace : str
            Of the stack, ``/`` or ``/r1``.

        Returns
        -------
        dict
            By the name of the entry; names in it are absolute.

        """
        made = {name: self._allowed(name, robot, namespace) for name in self.names}
        known: dict[str, str] = {}
        for allowed in made.values():
            graph = allowed.all.graph()
            known.update(graph.publishers | graph.subscriptions)
        known.update(_of_actions(_absolute(robot.actions, namespace, ''))[0])
        for name, item in self.raw['nodes'].items():
            if _has_topics(item.get('later', {})):
                made[name] = _recording(made[name], robot, namespace, known)
        return made

    def _allowed(self, name: str, robot: Robot, namespace: str) -> Allowed:
        item: Mapping[str, Any] = self.raw['nodes'][name]
        parts = [item]
        if name != OPERATOR:
            parts.append(self.raw['every'])
        if item.get('lifecycle'):
            parts.append(self.raw['lifecycle'])
        always, later = Endpoints(), _endpoints(item.get('later', {}), robot, namespace, name)
        for part in parts:
            always = always | _endpoints(part, robot, namespace, name)
        if name == OPERATOR:
            later = later | _endpoints(self.raw['every'], robot, namespace, OPERATOR_NODES)
        return Allowed(name, always, later)


def load_table(text: str, source: str) -> Table:
    """Load the table; raise ConfigError with file, line, path and what is wrong."""
    document = documents.load(text, source, INTERFACES, ConfigError)
    for path, item in _parts(document.root):
        for role in ROLES:
            for name, type_name in item.get(role, {}).items():
                _check(document, (*path, role), name, type_name)
    for role in ROLES:
        if role in document.root['nodes'].get(OPERATOR, {}):
            where = document.at(('nodes', OPERATOR), role)
            raise ConfigError(f'{where}: the operator is no node and has nothing always; write it under later')
    return Table(document.root)


def node_names(text: str) -> tuple[str, ...]:
    """Return the names in config/nodes.txt."""
    return tuple(line for line in text.split('\n') if re.fullmatch('[a-z][a-z0-9_]*', line))


def difference(have: Graph, allowed: Allowed, others: Iterable[str] = ()) -> list[str]:
    """
    Hold what the graph shows of a node against the table, in both directions.

    Parameters
    ----------
    have : Graph
        What the node has now.
    allowed : Allowed
        What it must have (always) and may have (later).
    others : iterable of str
        Prefixes of names that do not count.

    Returns
    -------
    list of str
        One sentence each: what is missing, what is not allowed; empty where all is right.

    """
    must, may, found = allowed.always.graph(), allowed.all.graph(), []
    prefixes = tuple(others)
    for role in ('publishers', 'subscriptions', 'servers', 'clients'):
        there: frozenset[tuple[str, str]] = getattr(have, role)
        for name, type_name in sorted(getattr(must, role) - there):
            found.append(f'{allowed.node}: {role}: {name} [{type_name}] is in the table and not on the graph')
        for name, type_name in sorted(there - getattr(may, role)):
            if not (prefixes and name.startswith(prefixes)):
                found.append(f'{allowed.node}: {role}: {name} [{type_name}] is on the graph and not in the table')
    return found


# The file ------------------------------------------------------------------------------------------------------------
def _parts(root: Mapping[str, Any]) -> Iterable[tuple[Path, Mapping[str, Any]]]:
    yield ('every',), root['every']
    yield ('lifecycle',), root['lifecycle']
    for name, item in root['nodes'].items():
        yield ('nodes', name), item
        yield ('nodes', name, 'later'), item.get('later', {})


def _check(document: Document, path: Path, name: str, type_name: str) -> None:
    where = document.at((*path, name))
    role = str(path[-1])
    if type_name == EACH:
        if not name.startswith('$') or '/' in name:
            raise ConfigError(f'{where}: each is the type of a name like $tools.actions; write the type out')
        if name == f'${_TOPICS}' and (role != 'subscribes' or 'later' not in path):
            raise ConfigError(f'{where}: ${_TOPICS} stands under later, subscribes')
        return
    if type_name.split('/')[1] != ROLES[role]:
        raise ConfigError(f'{where}: {type_name} is no type for {role}; write package/{ROLES[role]}/Name')
    if name.startswith('$') and '/' not in name:
        raise ConfigError(f'{where}: {name} brings its types along; write each')
    if name.startswith(f'${_TOPICS}'):
        raise ConfigError(f'{where}: nothing follows ${_TOPICS}')


def _has_topics(item: Mapping[str, Any]) -> bool:
    return f'${_TOPICS}' in item.get('subscribes', {})


# One robot -----------------------------------------------------------------------------------------------------------
def _endpoints(item: Mapping[str, Any], robot: Robot, namespace: str, node: str) -> Endpoints:
    made: dict[str, dict[str, str]] = {role: {} for role in ROLES}
    for role in ROLES:
        for name, type_name in item.get(role, {}).items():
            if name == f'${_TOPICS}':
                continue
            if not name.startswith('$'):
                made[role][_full(name, namespace, node)] = type_name
                continue
            source, slash, rest = name[1:].partition('/')
            for full, own in _absolute(robot.source(source), namespace, node).items():
                made[role][f'{full}{slash}{rest}'] = own if type_name == EACH else type_name
    return Endpoints(**made)


def _full(name: str, namespace: str, node: str) -> str:
    return resolved(f'{node}{name[1:]}' if name.startswith('~/') else name, namespace)


def _absolute(names: Names, namespace: str, node: str) -> dict[str, str]:
    return {_full(name, namespace, node): type_name for name, type_name in names.items()}


def _recording(allowed: Allowed, robot: Robot, namespace: str, known: Names) -> Allowed:
    """Let a node subscribe what its patterns match; the type of feedback cannot be looked up, so nobody records it."""
    patterns = [resolved(pattern, namespace) for pattern in robot.recorded]
    own = set(allowed.all.publishes)
    topics = {
        name: type_name
        for name, type_name in known.items()
        if not name.endswith('/_action/feedback') and any(fnmatchcase(name, pattern) for pattern in patterns)
    }
    subscribes = {name: topics[name] for name in sorted(set(topics) - own)}
    return Allowed(allowed.node, allowed.always, allowed.later | Endpoints(subscribes=subscribes))


def _of_actions(actions: Names) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]:
    """Return the topics and the services of which actions consist."""
    topics, services = set(), set()
    for name, type_name in actions.items():
        inner = f'{name}/_action'
        topics |= {
            (f'{inner}/feedback', f'{type_name}_FeedbackMessage'),
            (f'{inner}/status', 'action_msgs/msg/GoalStatusArray'),
        }
        services |= {
            (f'{inner}/send_goal', f'{type_name}_SendGoal'),
            (f'{inner}/get_result', f'{type_name}_GetResult'),
            (f'{inner}/cancel_goal', 'action_msgs/srv/CancelGoal'),
        }
    return frozenset(topics), frozenset(services)
