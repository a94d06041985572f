# SPDX-License-Identifier: Apache-2.0
"""Start the stack, as nodes/table.py says: ``ros2 launch gemma4_ros gemma4.launch.py config:=/path/of/robot``."""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from gemma4_ros.nodes.table import ENVIRONMENT, Process, parameter_files, processes, production_arguments
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity

ARGUMENTS = {
    'config': ('', 'folder with world.yaml, policy.yaml, tools/ and params/ of the robot; empty: that of the package'),
    'model': ('', 'id of a profile of models.yaml; empty: the one that the parameters name'),
    'sim': ('false', 'true: with the simulated cell instead of a robot'),
    'composed': ('false', 'true: planner, perception, speech and copilot share one process'),
    'nodes': ('', 'names of the nodes that this computer runs, with commas in between; empty: all'),
    'namespace': ('', 'of every node, one a robot'),
    'production': ('false', 'true: refuse to start without DDS security, see docs/security.md'),
    'log_level': ('info', 'debug, info, warn or error'),
}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments; the nodes follow when their values are known."""
    declared = [
        DeclareLaunchArgument(name, default_value=value, description=text) for name, (value, text) in ARGUMENTS.items()
    ]
    environment = [SetEnvironmentVariable(name, value) for name, value in ENVIRONMENT.items()]
    return LaunchDescription([*declared, *environment, OpaqueFunction(function=_nodes)])


def _nodes(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    values = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    only = [name.strip() for name in values['nodes'].split(',') if name.strip()]
    groups = processes(sim=_is_true(values, 'sim'), composed=_is_true(values, 'composed'), only=only)
    return [_node(group, values) for group in groups]


def _node(group: tuple[Process, ...], values: dict[str, str]) -> Node:
    folder = Path(values['config'] or Path(get_package_share_directory('gemma4_ros')) / 'config')
    own = {name: values[name] for process in group for name in process.parameters if values[name]}
    production = production_arguments(group, values['namespace']) if _is_true(values, 'production') else []
    first, *others = (process.name for process in group)
    return Node(
        package='gemma4_ros',
        executable=first,
        namespace=values['namespace'],
        arguments=others,
        parameters=[*(str(file) for file in parameter_files(group, folder)), *([own] if own else [])],
        ros_arguments=['--log-level', values['log_level'], *production],
        output='screen',
        respawn=group[0].respawn,
        respawn_delay=2.0,
        sigterm_timeout='8',
    )


def _is_true(values: dict[str, str], name: str) -> bool:
    if values[name].lower() not in ('true', 'false'):
        raise ValueError(f'{name}:={values[name]} is neither true nor false')
    return values[name].lower() == 'true'
