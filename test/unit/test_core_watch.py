# SPDX-License-Identifier: Apache-2.0
"""Who may be where on the graph: rules, strangers, patience. No ROS."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.watch import UNNAMED, Finding, Graph, Patience, Rules, findings, load_rules, shown

FILE = """
watch: "1"
publishers:
  mode: [cell]
  /estop: [/plc]
  goal_pose: []
endpoints:
  gate/dispatch: {action: true, servers: [gate], clients: [executor]}
clients:
  drive_to: [bt_navigator]
"""
TOOLS = (('drive_to', True), ('set_value', False))


def rules(namespace: str = '/') -> Rules:
    return load_rules(FILE, 'watch.yaml', TOOLS, namespace)


def texts(graph: Graph, namespace: str = '/') -> list[str]:
    return sorted(finding.text for finding in findings(rules(namespace), graph))


def test_names_are_of_the_namespace_unless_absolute() -> None:
    made = rules('/r1')
    assert made.publishers == {'/r1/mode': {'/r1/cell'}, '/estop': {'/plc'}, '/r1/goal_pose': frozenset()}
    by_name = {endpoint.name: endpoint for endpoint in made.endpoints}
    assert by_name['/r1/drive_to'].clients == {'/r1/gate', '/r1/bt_navigator'} and by_name['/r1/drive_to'].is_action
    assert by_name['/r1/set_value'].clients == {'/r1/gate'} and not by_name['/r1/set_value'].is_action
    assert by_name['/r1/gate/dispatch'].servers == {'/r1/gate'}


def test_those_who_may_are_no_strangers() -> None:
    graph = Graph(
        publishers={'/mode': ('/cell',), '/estop': ('/plc',)},
        servers={'/drive_to': ('/cell',), '/set_value': ('/cell',), '/gate/dispatch': ('/gate',)},
        clients={'/drive_to': ('/gate', '/bt_navigator'), '/set_value': ('/gate',), '/gate/dispatch': ('/executor',)},
    )
    assert texts(graph) == []
    assert texts(Graph()) == []


@pytest.mark.parametrize(
    ('graph', 'text'),
    [
        (Graph(publishers={'/mode': ('/cell', '/spoof')}), '/spoof publishes on /mode; only /cell may'),
        (Graph(publishers={'/goal_pose': ('/rviz',)}), '/rviz publishes on /goal_pose; nobody may'),
        (Graph(publishers={'/mode': (UNNAMED,)}), f'{UNNAMED} publishes on /mode; only /cell may'),
        (Graph(publishers={'/mode': ('/r2/cell',)}), '/r2/cell publishes on /mode; only /cell may'),
        (Graph(servers={'/drive_to': ('/cell', '/evil')}), '/cell and /evil serve /drive_to; one server may'),
        (Graph(servers={'/gate/dispatch': ('/fake',)}), '/fake serves /gate/dispatch; only /gate may'),
        (
            Graph(clients={'/drive_to': ('/gate', '/cli')}),
            '/cli is a client of /drive_to; only /bt_navigator, /gate may',
        ),
        (Graph(clients={'/gate/dispatch': ('/gate',)}), '/gate is a client of /gate/dispatch; only /executor may'),
    ],
)
def test_a_stranger_is_named_with_what_it_does_and_who_may(graph: Graph, text: str) -> None:
    assert texts(graph) == [text]
    assert {finding.kind for finding in findings(rules(), graph)} == {'unnamed' if UNNAMED in text else 'stranger'}


@pytest.mark.parametrize(
    'graph',
    [
        Graph(publishers={'/mode': ('/cell', '/cell')}),
        Graph(servers={'/drive_to': ('/cell', '/cell')}),
        Graph(clients={'/drive_to': ('/gate', '/gate')}),
    ],
)
def test_a_second_one_of_a_name_is_told_apart_from_a_stranger(graph: Graph) -> None:
    (found,) = findings(rules(), graph)
    assert found.kind == 'double'


def test_a_running_nav2_is_no_stranger() -> None:
    """The servers and clients of Nav2's nodes by their names in Kilted, with the gate as one more client."""
    tools = (('navigate_to_pose', True), ('navigate_through_poses', True), ('dock_robot', True), ('spin', True))
    text = """
watch: "1"
publishers:
  goal_pose: []
  cmd_vel: [collision_monitor]
clients:
  navigate_to_pose: [bt_navigator, waypoint_follower, bt_navigator_navigate_to_pose_rclcpp_node]
  spin: [bt_navigator_navigate_to_pose_rclcpp_node, bt_navigator_navigate_through_poses_rclcpp_node]
  dock_robot: [bt_navigator_navigate_to_pose_rclcpp_node]
"""
    graph = Graph(
        publishers={'/cmd_vel': ('/collision_monitor',)},
        servers={
            '/navigate_to_pose': ('/bt_navigator',),
            '/navigate_through_poses': ('/bt_navigator',),
            '/spin': ('/behavior_server',),
            '/dock_robot': ('/docking_server',),
        },
        clients={
            '/navigate_to_pose': ('/waypoint_follower', '/bt_navigator', '/gate'),
            '/navigate_through_poses': ('/gate',),
            '/spin': (
                '/bt_navigator_navigate_to_pose_rclcpp_node',
                '/bt_navigator_navigate_through_poses_rclcpp_node',
                '/gate',
            ),
            '/dock_robot': ('/bt_navigator_navigate_to_pose_rclcpp_node', '/gate'),
        },
    )
    made = load_rules(text, 'watch.yaml', tools, '/')
    assert findings(made, graph) == frozenset()
    rviz = Graph(publishers={'/goal_pose': ('/rviz2',)}, clients={'/navigate_to_pose': ('/rviz_navigation_dialog',)})
    assert len(findings(made, rviz)) == 2


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('watch: "2"\n', 'watch'),
        ('watch: "1"\npublisher: {}\n', 'publisher'),
        ('watch: "1"\npublishers: {mode: cell}\n', 'mode'),
        ('watch: "1"\npublishers: {"a b": [cell]}\n', 'a b'),
        ('watch: "1"\nendpoints: {gate/dispatch: {servers: [gate]}}\n', 'clients'),
        ('watch: "1"\nclients: {drive_too: [nav]}\n', '/drive_too is no action or service of the tools files'),
        ('watch: "1"\nwatch: "1"\n', 'watch'),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_rules(text, 'watch.yaml', TOOLS, '/')
    assert 'watch.yaml' in str(caught.value) and says in str(caught.value)


def test_without_a_file_the_tools_are_guarded() -> None:
    made = load_rules('', 'watch.yaml', TOOLS, '/')
    assert not made.publishers and {endpoint.name for endpoint in made.endpoints} == {'/drive_to', '/set_value'}
    assert len(findings(made, Graph(clients={'/drive_to': ('/cli',)}))) == 1


def test_patience_confirms_what_stays_and_forgets_what_goes() -> None:
    stranger, double = Finding('a'), Finding('b', 'double')
    patience = Patience(0.4, 5.0, 30.0)
    both = frozenset((stranger, double))
    assert patience.confirmed(both, 10.0) == ()
    assert patience.confirmed(both, 10.5) == (stranger,)
    assert patience.confirmed(frozenset((double,)), 11.0) == ()
    assert patience.confirmed(both, 12.0) == ()  # it came back: its time starts anew
    assert patience.confirmed(both, 40.5) == (stranger, double)


@pytest.mark.parametrize('name', ['/a\nERROR fake line', '/\x1b[31mred', '/caf\u00e9', '/\u202egate', '/x' * 200, ''])
def test_no_name_breaks_a_line_of_the_log(name: str) -> None:
    safe = shown(name)
    assert safe.isascii() and safe.isprintable() and len(safe) <= 128


def test_names_of_ros_are_shown_as_they_are() -> None:
    assert shown('/r1/bt_navigator') == '/r1/bt_navigator'


NODES = st.sampled_from(('/gate', '/cell', '/plc', '/executor', '/bt_navigator', '/x', UNNAMED))
SOME = st.lists(NODES, max_size=4).map(tuple)


@given(SOME, SOME, SOME)
def test_whoever_may_not_is_always_found(
    publishers: tuple[str, ...], servers: tuple[str, ...], clients: tuple[str, ...]
) -> None:
    graph = Graph({'/mode': publishers}, {'/gate/dispatch': servers}, {'/drive_to': clients})
    found = findings(rules(), graph)
    strangers = set(publishers) - {'/cell'}, set(servers) - {'/gate'}, set(clients) - {'/gate', '/bt_navigator'}
    assert len([finding for finding in found if finding.kind != 'double']) == sum(map(len, strangers))
