# SPDX-License-Identifier: Apache-2.0
"""The table of interfaces: loaded strictly, written out for a robot, held against a graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.interfaces import Allowed, Graph, Robot, Table, difference, load_table, node_names

FILE = Path(__file__).parents[2] / 'config' / 'interfaces.yaml'
HEAD = """
interfaces: "1"
every: {publishes: {/rosout: rcl_interfaces/msg/Log}, serves: {~/get_parameters: rcl_interfaces/srv/GetParameters}}
lifecycle: {serves: {~/get_state: lifecycle_msgs/srv/GetState}}
nodes:
"""
NODES = """
  gate:
    publishes: {~/state: gemma4_ros/msg/GateState}
    subscribes: {$policy.signals: each}
    executes: {~/dispatch: gemma4_ros/action/DispatchStep}
    later: {calls: {$tools.services: each}, sends_goals: {$tools.actions: each}}
  deadman:
    subscribes: {$tools.actions/_action/status: action_msgs/msg/GoalStatusArray}
    calls: {$tools.actions/_action/cancel_goal: action_msgs/srv/CancelGoal}
  planner: {lifecycle: true, subscribes: {$world.pose: each}}
  perception: {later: {subscribes: {$world.cameras: each}}}
  recorder: {later: {subscribes: {$recorder.topics: each}}}
  operator: {later: {calls: {gate/set_armed: gemma4_ros/srv/SetArmed}}}
"""
ROBOT = Robot(
    actions={'wheels/drive_to': 'nav2_msgs/action/NavigateToPose'},
    services={'lamp/set': 'std_srvs/srv/SetBool', '/plc/valve': 'std_srvs/srv/Trigger'},
    signals={'mode': 'std_msgs/msg/String', '/plc/estop': 'std_msgs/msg/Bool'},
    pose={'odom': 'nav_msgs/msg/Odometry'},
    cameras={'camera/image': 'sensor_msgs/msg/Image'},
    recorded=('gate/*', '*/_action/status', '/plc/*', 'odom'),
)


def table(nodes: str = NODES) -> Table:
    return load_table(HEAD + nodes, 'interfaces.yaml')


def written(namespace: str = '/') -> dict[str, Allowed]:
    return table().of(ROBOT, namespace)


def test_names_are_of_the_node_of_the_namespace_or_absolute() -> None:
    gate = written('/r1')['gate'].always
    assert gate.publishes == {'/r1/gate/state': 'gemma4_ros/msg/GateState', '/rosout': 'rcl_interfaces/msg/Log'}
    assert gate.serves == {'/r1/gate/get_parameters': 'rcl_interfaces/srv/GetParameters'}
    assert gate.subscribes == {'/r1/mode': 'std_msgs/msg/String', '/plc/estop': 'std_msgs/msg/Bool'}


def test_placeholders_become_the_names_of_the_robot() -> None:
    made = written()
    assert made['gate'].later.calls == {'/lamp/set': 'std_srvs/srv/SetBool', '/plc/valve': 'std_srvs/srv/Trigger'}
    assert made['gate'].later.sends_goals == {'/wheels/drive_to': 'nav2_msgs/action/NavigateToPose'}
    assert made['deadman'].always.calls == {'/wheels/drive_to/_action/cancel_goal': 'action_msgs/srv/CancelGoal'}
    assert made['planner'].always.subscribes == {'/odom': 'nav_msgs/msg/Odometry'}
    assert made['perception'].later.subscribes == {'/camera/image': 'sensor_msgs/msg/Image'}
    assert table().of(Robot())['gate'].later.sends_goals == {}


def test_only_lifecycle_nodes_have_the_services_of_lifecycle() -> None:
    made = written()
    assert '/planner/get_state' in made['planner'].always.serves
    assert not any(name.endswith('get_state') for name in made['gate'].all.serves)


def test_the_recorder_may_subscribe_what_its_patterns_match_and_no_more() -> None:
    assert set(written()['recorder'].later.subscribes) == {
        '/gate/state',
        '/gate/dispatch/_action/status',
        '/wheels/drive_to/_action/status',
        '/plc/estop',
        '/odom',
    }
    assert '/r1/odom' in written('/r1')['recorder'].later.subscribes


def test_the_operator_has_nothing_that_must_be_there() -> None:
    operator = written()['operator']
    assert operator.always.graph() == Graph()
    assert '/gate/set_armed' in operator.later.calls and '/gemma4_*/get_parameters' in operator.later.serves


def test_an_action_is_three_services_and_two_topics() -> None:
    graph = written()['gate'].always.graph()
    assert {name for name, _ in graph.servers} == {
        '/gate/get_parameters',
        *(f'/gate/dispatch/_action/{name}' for name in ('send_goal', 'get_result', 'cancel_goal')),
    }
    assert ('/gate/dispatch/_action/feedback', 'gemma4_ros/action/DispatchStep_FeedbackMessage') in graph.publishers
    client = written()['gate'].later.graph()
    assert ('/wheels/drive_to/_action/status', 'action_msgs/msg/GoalStatusArray') in client.subscriptions
    assert ('/wheels/drive_to/_action/send_goal', 'nav2_msgs/action/NavigateToPose_SendGoal') in client.clients


def test_what_the_table_says_is_right() -> None:
    gate = written()['gate']
    assert difference(gate.always.graph(), gate) == []
    assert difference(gate.all.graph(), gate) == []


@pytest.mark.parametrize('role', ['publishers', 'subscriptions', 'servers'])
def test_whatever_is_missing_is_named(role: str) -> None:
    gate = written()['gate']
    graph = gate.always.graph()
    gone = min(getattr(graph, role))
    rest = {each: getattr(graph, each) for each in ('publishers', 'subscriptions', 'servers', 'clients')}
    have = Graph(**{**rest, role: rest[role] - {gone}})
    assert difference(have, gate) == [f'gate: {role}: {gone[0]} [{gone[1]}] is in the table and not on the graph']


@pytest.mark.parametrize('role', ['publishers', 'subscriptions', 'servers', 'clients'])
def test_whatever_is_too_much_is_named(role: str) -> None:
    gate = written()['gate']
    extra = Graph(**{role: frozenset({('/cmd_vel', 'geometry_msgs/msg/Twist')})})
    (found,) = difference(gate.always.graph() | extra, gate)
    assert found == f'gate: {role}: /cmd_vel [geometry_msgs/msg/Twist] is on the graph and not in the table'
    assert difference(gate.always.graph() | extra, gate, others=['/cmd_vel']) == []


def test_the_right_name_with_another_type_is_both_missing_and_too_much() -> None:
    planner = written()['planner']
    wrong = Graph(subscriptions=frozenset({('/odom', 'std_msgs/msg/String')}))
    graph = planner.always.graph()
    have = Graph(graph.publishers, wrong.subscriptions, graph.servers, graph.clients)
    assert [line.split(' is ')[1] for line in difference(have, planner)] == [
        'in the table and not on the graph',
        'on the graph and not in the table',
    ]


@pytest.mark.parametrize(
    ('nodes', 'says'),
    [
        ('  gate: {publish: {}}', "nodes.gate: unknown key 'publish'; did you mean 'publishes'?"),
        ('  Gate: {}', "'Gate'"),
        ('  gate: {publishes: {~/state: gemma4_ros/srv/SetArmed}}', 'is no type for publishes; write package/msg/Name'),
        ('  gate: {publishes: {~/state: GateState}}', "'GateState' is not a type of an interface"),
        ('  gate: {publishes: {~state: std_msgs/msg/Bool}}', "'~state'"),
        ('  gate: {publishes: {a//b: std_msgs/msg/Bool}}', "'a//b'"),
        ('  gate: {calls: {$tool.services: each}}', "'$tool.services'"),
        ('  gate: {calls: {$tools.services: std_srvs/srv/SetBool}}', 'brings its types along; write each'),
        ('  gate: {calls: {gate/close: each}}', 'each is the type of a name like $tools.actions'),
        ('  gate: {calls: {$tools.actions/_action/cancel_goal: each}}', 'write the type out'),
        ('  gate: {publishes: {$recorder.topics: each}}', 'stands under later, subscribes'),
        ('  gate: {subscribes: {$recorder.topics: each}}', 'stands under later, subscribes'),
        ('  gate: {later: {subscribes: {$recorder.topics/x: std_msgs/msg/Bool}}}', 'nothing follows $recorder.topics'),
        ('  operator: {calls: {gate/set_armed: gemma4_ros/srv/SetArmed}}', 'write it under later'),
        ('  gate: {publishes: {mode: std_msgs/msg/Bool, mode: std_msgs/msg/Bool}}', 'stands twice'),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(nodes: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        table(nodes)
    assert says in str(caught.value) and str(caught.value).startswith('interfaces.yaml:6')


@pytest.mark.parametrize('key', ['interfaces', 'every', 'lifecycle', 'nodes'])
def test_every_part_must_be_there(key: str) -> None:
    lines = (HEAD + '  gate: {}\n').replace('nodes:\n  gate: {}', 'nodes: {gate: {}}').splitlines()
    with pytest.raises(ConfigError, match=f"'{key}' is missing"):
        load_table('\n'.join(line for line in lines if not line.startswith(key)), 'interfaces.yaml')


def test_the_table_of_the_package_loads_and_names_no_velocity() -> None:
    made = load_table(FILE.read_text(encoding='utf-8'), str(FILE)).of(ROBOT)
    names = {name for allowed in made.values() for name in allowed.all.publishes}
    assert names and not {
        name for name in names if 'cmd_vel' in name or 'traject' in name or name.endswith('goal_pose')
    }


def test_nodes_are_the_lines_without_comments() -> None:
    assert node_names('# nodes\ngate\n\ncell\n') == ('gate', 'cell')
