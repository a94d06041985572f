# SPDX-License-Identifier: Apache-2.0
"""Start the stack with the simulated cell: ``ros2 launch gemma4_ros sim.launch.py``; see gemma4.launch.py."""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    """Include the stack with sim:=true; arguments that are given reach it by themselves."""
    stack = PythonLaunchDescriptionSource(str(Path(__file__).parent / 'gemma4.launch.py'))
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'sim', default_value='true', description='with the simulated cell instead of a robot'
            ),
            IncludeLaunchDescription(stack, launch_arguments={'sim': LaunchConfiguration('sim')}.items()),
        ]
    )
