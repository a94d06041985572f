# SPDX-License-Identifier: Apache-2.0
"""A robot that drives with Nav2 is no stranger to the watcher; whoever else touches it is.

Names are those of Nav2's default bringup (navigation, localization, keep-out and speed zones, its default behaviour
trees), read in its sources, main branch of August 2026. Only what a watch file could guard stands here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.core.watch import UNNAMED, Finding, Graph, Rules, findings, load_rules, resolved


@dataclass(frozen=True)
class Node:
    """What a node of Nav2 has on the graph; a name stands as often as the node has it."""

    publishes: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    executes: tuple[str, ...] = ()
    sends_goals: tuple[str, ...] = ()


COSTMAP = ('costmap', 'costmap_raw', 'costmap_updates', 'costmap_raw_updates', 'published_footprint')
CLEARING = ('clear_except', 'clear_around', 'clear_around_pose', 'clear_entirely', 'get_cost')
CLEARED = ('global_costmap/clear_entirely_global_costmap', 'local_costmap/clear_entirely_local_costmap')
SELECTED = ('navigate_to_pose', 'navigate_through_poses')
BEHAVIOURS = ('spin', 'backup', 'drive_on_heading', 'assisted_teleop', 'wait')
IN_TREES = ('spin', 'backup', 'wait', 'follow_path')
MANAGED = {
    'lifecycle_manager_navigation': (
        'controller_server', 'smoother_server', 'planner_server', 'route_server', 'behavior_server',
        'velocity_smoother', 'collision_monitor', 'bt_navigator', 'waypoint_follower', 'docking_server',
        'following_server',
    ),
    'lifecycle_manager_localization': ('map_server', 'amcl'),
    'lifecycle_manager_keepout_zone': ('keepout_filter_mask_server', 'keepout_costmap_filter_info_server'),
    'lifecycle_manager_speed_zone': ('speed_filter_mask_server', 'speed_costmap_filter_info_server'),
}  # fmt: skip


def costmap(name: str, *more: str) -> Node:
    published = tuple(f'{name}/{each}' for each in COSTMAP)
    return Node((*published, *more), tuple(f'{name}/{each}_{name}' for each in CLEARING))


def tree(*planned: str) -> Node:
    """The node of a behaviour tree: each Clear… of the tree has a client of its own, the graph shows the name once."""
    return Node(publishes=('behavior_tree_log',), calls=(*CLEARED, 'is_path_valid'), sends_goals=(*IN_TREES, *planned))


def manager(name: str) -> Node:
    calls = tuple(f'{node}/{verb}' for node in MANAGED[name] for verb in ('change_state', 'get_state'))
    return Node(
        ('diagnostics', f'{name}/managed_nodes_activated'), (f'{name}/manage_nodes', f'{name}/is_active'), calls
    )


NAV2: Mapping[str, Node] = {
    'map_server': Node(('map',), ('map_server/map', 'map_server/load_map')),
    'amcl': Node(
        ('amcl_pose', 'particle_cloud', 'tf'),
        ('reinitialize_global_localization', 'set_initial_pose', 'request_nomotion_update'),
    ),
    'controller_server': Node(
        ('cmd_vel_nav', 'transformed_global_plan', 'tracking_feedback'), executes=('follow_path',)
    ),
    'local_costmap/local_costmap': costmap('local_costmap', 'local_costmap/voxel_grid'),
    'smoother_server': Node(('plan_smoothed',), executes=('smooth_path',)),
    'planner_server': Node(
        ('plan',), ('is_path_valid',), executes=('compute_path_to_pose', 'compute_path_through_poses')
    ),
    'global_costmap/global_costmap': costmap('global_costmap', 'speed_limit'),
    'route_server': Node(
        ('route_graph', 'route', 'plan', 'speed_limit'),
        ('route_server/set_route_graph',),
        executes=('compute_route', 'compute_and_track_route'),
    ),
    'behavior_server': Node(('cmd_vel_nav',) * len(BEHAVIOURS), executes=BEHAVIOURS),
    'velocity_smoother': Node(('cmd_vel_smoothed',)),
    'collision_monitor': Node(('cmd_vel', 'collision_monitor_state'), ('collision_monitor/toggle',)),
    'bt_navigator': Node(executes=SELECTED, sends_goals=('navigate_to_pose',)),  # of goal_pose, which it subscribes
    'bt_navigator_navigate_to_pose_rclcpp_node': tree('compute_path_to_pose'),
    'bt_navigator_navigate_through_poses_rclcpp_node': tree('compute_path_through_poses'),
    'waypoint_follower': Node(
        executes=('follow_waypoints', 'follow_gps_waypoints'), calls=('/fromLL',), sends_goals=('navigate_to_pose',)
    ),
    'docking_server': Node(
        ('cmd_vel', 'dock_pose', 'filtered_dock_pose', 'staging_pose', 'docking_trajectory'),
        ('docking_server/reload_database',),
        executes=('dock_robot', 'undock_robot'),
        sends_goals=('navigate_to_pose',),  # to the staging pose
    ),
    'following_server': Node(('cmd_vel', 'filtered_dynamic_pose'), executes=('follow_object',)),
    **{name: manager(name) for name in MANAGED},
    'keepout_filter_mask_server': Node(('keepout_filter_mask',), ('keepout_filter_mask_server/map',)),
    'keepout_costmap_filter_info_server': Node(('keepout_costmap_filter_info',)),
    'speed_filter_mask_server': Node(('speed_filter_mask',), ('speed_filter_mask_server/map',)),
    'speed_costmap_filter_info_server': Node(('speed_costmap_filter_info',)),
    'robot_state_publisher': Node(('tf', 'tf_static', 'robot_description')),
}
ROBOT: Mapping[str, Node] = {
    'base_driver': Node(('odom', 'battery_state', 'scan', 'joint_states')),
    'panel': Node(('mode', 'estop')),
}
# The stack's own nodes, as far as the watch file names them; the gate calls what the tools files name.
STACK: Mapping[str, Node] = {
    'gate': Node(
        ('gate/state', 'gate/heartbeat'),
        ('gate/close',),
        CLEARED,
        executes=('gate/dispatch',),
        sends_goals=(*SELECTED, 'dock_robot', 'undock_robot', 'spin', 'backup', 'follow_waypoints'),
    ),
    'deadman': Node(('deadman/state', 'deadman/heartbeat')),
    'executor': Node(calls=('gate/close',), sends_goals=('gate/dispatch',)),
}
TOOLS = (
    *((name, True) for name in (*SELECTED, 'dock_robot', 'undock_robot', 'spin', 'backup', 'follow_waypoints')),
    *((name, False) for name in CLEARED),
)
TREES = '[bt_navigator_navigate_to_pose_rclcpp_node, bt_navigator_navigate_through_poses_rclcpp_node]'
WATCH = f"""
watch: "1"
publishers:
  mode: [panel]
  estop: [panel]
  odom: [base_driver]
  battery_state: [base_driver]
  gate/heartbeat: [gate]
  gate/state: [gate]
  deadman/heartbeat: [deadman]
  deadman/state: [deadman]
  cmd_vel: [collision_monitor, docking_server, following_server]
  cmd_vel_smoothed: [velocity_smoother]
  speed_limit: [global_costmap/global_costmap, route_server]
  goal_pose: []
  initialpose: []
endpoints:
  gate/dispatch: {{action: true, servers: [gate], clients: [executor]}}
  gate/close: {{servers: [gate], clients: [executor]}}
  follow_path: {{action: true, servers: [controller_server], clients: {TREES}}}
  drive_on_heading: {{action: true, servers: [behavior_server], clients: []}}
  assisted_teleop: {{action: true, servers: [behavior_server], clients: []}}
  set_initial_pose: {{servers: [amcl], clients: []}}
  collision_monitor/toggle: {{servers: [collision_monitor], clients: []}}
clients:
  navigate_to_pose: [bt_navigator, waypoint_follower, docking_server]
  spin: {TREES}
  backup: {TREES}
  {CLEARED[0]}: {TREES}
  {CLEARED[1]}: {TREES}
"""


def seen(rules: Rules, namespace: str = '/', **more: Node) -> Graph:
    """Return what the watcher would see of all these nodes on the names that the rules guard."""
    publishers: dict[str, list[str]] = {topic: [] for topic in rules.publishers}
    servers: dict[str, list[str]] = {endpoint.name: [] for endpoint in rules.endpoints}
    clients: dict[str, list[str]] = {endpoint.name: [] for endpoint in rules.endpoints}
    for name, node in {**NAV2, **ROBOT, **STACK, **more}.items():
        for found, names in (
            (publishers, node.publishes),
            (servers, (*node.serves, *node.executes)),
            (clients, (*node.calls, *node.sends_goals)),
        ):
            for each in names:
                if (full := resolved(each, namespace)) in found:
                    found[full].append(name if name == UNNAMED else resolved(name, namespace))
    return Graph(*({name: tuple(nodes) for name, nodes in each.items()} for each in (publishers, servers, clients)))


def rules(namespace: str = '/', text: str = WATCH) -> Rules:
    return load_rules(text, 'watch.yaml', TOOLS, namespace)


@pytest.mark.parametrize('namespace', ['/', '/r1'])
def test_nav2_with_its_default_bringup_has_no_stranger(namespace: str) -> None:
    made = rules(namespace)
    graph = seen(made, namespace)
    assert findings(made, graph) == frozenset()
    assert sum(map(len, graph.publishers.values())) >= 14 and sum(map(len, graph.clients.values())) >= 20


def test_every_guarded_action_of_nav2_has_its_one_server() -> None:
    made = rules()
    graph = seen(made)
    assert {name: len(nodes) for name, nodes in graph.servers.items() if len(nodes) != 1} == {}


@pytest.mark.parametrize(
    ('name', 'node', 'says'),
    [
        ('rviz', Node(('goal_pose',)), '/rviz publishes on /goal_pose; nobody may'),
        ('rviz', Node(('initialpose',)), '/rviz publishes on /initialpose; nobody may'),
        ('teleop', Node(('cmd_vel',)), '/teleop publishes on /cmd_vel; only /collision_monitor, /docking_server'),
        ('joy', Node(('cmd_vel_smoothed',)), '/joy publishes on /cmd_vel_smoothed; only /velocity_smoother may'),
        ('boost', Node(('speed_limit',)), '/boost publishes on /speed_limit'),
        ('spoof', Node(('odom',)), '/spoof publishes on /odom; only /base_driver may'),
        ('plc', Node(('mode',)), '/plc publishes on /mode; only /panel may'),
        ('cli', Node(sends_goals=('navigate_to_pose',)), '/cli is a client of /navigate_to_pose; only /bt_navigator'),
        ('cli', Node(sends_goals=('navigate_through_poses',)), 'navigate_through_poses; only /gate may'),
        ('cli', Node(sends_goals=('follow_path',)), '/cli is a client of /follow_path'),
        ('cli', Node(sends_goals=('spin',)), '/cli is a client of /spin'),
        ('cli', Node(sends_goals=('drive_on_heading',)), '/cli is a client of /drive_on_heading; nobody may'),
        ('cli', Node(sends_goals=('dock_robot',)), '/cli is a client of /dock_robot; only /gate may'),
        ('cli', Node(calls=('collision_monitor/toggle',)), '/cli is a client of /collision_monitor/toggle; nobody may'),
        ('cli', Node(calls=('set_initial_pose',)), '/cli is a client of /set_initial_pose; nobody may'),
        ('cli', Node(calls=(CLEARED[1],)), '/cli is a client of /local_costmap/clear_entirely_local_costmap'),
        ('evil', Node(executes=('navigate_to_pose',)), '/bt_navigator and /evil serve /navigate_to_pose'),
        ('evil', Node(executes=('follow_path',)), '/evil serves /follow_path; only /controller_server may'),
        ('evil', Node(executes=('gate/dispatch',)), '/evil serves /gate/dispatch; only /gate may'),
        (UNNAMED, Node(sends_goals=('navigate_to_pose',)), f'{UNNAMED} is a client of /navigate_to_pose'),
    ],
)
def test_one_stranger_among_them_is_found_and_named(name: str, node: Node, says: str) -> None:
    made = rules()
    (found,) = findings(made, seen(made, **{name: node}))
    assert says in found.text
    assert found.kind == ('unnamed' if name == UNNAMED else 'stranger')


@pytest.mark.parametrize('topic', ['navigate_to_pose', 'spin', 'backup', *CLEARED])
def test_whoever_leaves_nav2s_own_clients_out_is_told_each_of_them(topic: str) -> None:
    lines = [line for line in WATCH.splitlines() if not line.startswith(f'  {topic}:')]
    made = rules(text='\n'.join(lines))
    by_right = {node for node, each in NAV2.items() if topic in (*each.calls, *each.sends_goals)}
    assert by_right
    assert {finding.text.split(' ')[0] for finding in findings(made, seen(made))} == {f'/{node}' for node in by_right}


def test_a_second_nav2_of_another_robot_is_a_stranger_only_on_the_own_names() -> None:
    made = rules('/r1')
    graph = seen(made, '/r1')
    with_other = Graph({**graph.publishers, '/r2/cmd_vel': ('/r2/collision_monitor',)}, graph.servers, graph.clients)
    assert findings(made, with_other) == frozenset()
    taken = {**graph.publishers, '/r1/cmd_vel': (*graph.publishers['/r1/cmd_vel'], '/r2/collision_monitor')}
    (found,) = findings(made, Graph(taken, graph.servers, graph.clients))
    assert found.text.startswith('/r2/collision_monitor publishes on /r1/cmd_vel')


def test_a_restarted_node_of_nav2_is_a_double_and_no_stranger() -> None:
    made = rules()
    graph = seen(made)
    twice = {**graph.clients, '/navigate_to_pose': (*graph.clients['/navigate_to_pose'], '/waypoint_follower')}
    found = findings(made, Graph(graph.publishers, graph.servers, twice))
    assert [finding.kind for finding in found] == ['double']


def test_five_publishers_of_one_node_count_as_two_of_a_name() -> None:
    """Why a watch file does not name ``cmd_vel_nav``: behavior_server publishes on it once a behaviour."""
    made = rules(
        text=WATCH.replace(
            '  cmd_vel_smoothed:', '  cmd_vel_nav: [controller_server, behavior_server]\n  cmd_vel_smoothed:'
        )
    )
    assert findings(made, seen(made)) == {
        Finding('/behavior_server publishes on /cmd_vel_nav more than once: two call themselves so', 'double')
    }


def test_a_client_list_for_what_no_tool_uses_is_refused() -> None:
    with pytest.raises(ConfigError, match='smooth_path is no action or service of the tools files'):
        rules(text=WATCH + '  smooth_path: [bt_navigator]\n')
