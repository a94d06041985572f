# SPDX-License-Identifier: Apache-2.0
"""The tools files for controllers that a robot already has: they load, and fit the types where these are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from gemma4_ros.core.errors import CheckError, ToolsError
from gemma4_ros.core.tool import fill_goal
from gemma4_ros.core.tools import load_tools
from gemma4_ros.core.world_file import load_world

CONFIG = Path(__file__).resolve().parents[2] / 'config'
WORLD = load_world((CONFIG / 'world.yaml').read_text(encoding='utf-8'))
FILES = {
    'nav2.yaml': 'nav2_msgs',
    'moveit2.yaml': 'moveit_msgs',
    'ros2_control.yaml': 'control_msgs',
    'skills.yaml': 'gemma4_ros',
}


@pytest.mark.parametrize('name', FILES)
def test_a_file_loads_and_everything_that_moves_can_be_cancelled(name: str) -> None:
    text = (CONFIG / 'tools' / name).read_text(encoding='utf-8')
    tools = load_tools([(name, text)], WORLD).tools
    for tool in tools.values():
        assert tool.interface.type.startswith((f'{FILES[name]}/', 'std_srvs/'))
        assert tool.interface.kind == 'action' or tool.risk in ('read', 'reversible')
        assert not tool.draft
        assert tool.timeout_s >= 2 * tool.typical_s


@pytest.mark.parametrize('name', FILES)
def test_a_file_fits_the_installed_types(name: str) -> None:
    if importlib.util.find_spec(FILES[name]) is None:
        pytest.skip(f'{FILES[name]} is not installed here: it comes with a ROS distribution')
    from gemma4_ros.ros.tool_types import problems

    text = (CONFIG / 'tools' / name).read_text(encoding='utf-8')
    found = [problem for tool in load_tools([(name, text)], WORLD).tools.values() for problem in problems(tool, WORLD)]
    assert not found


def test_arms_take_motions_by_name_and_nothing_switches_controllers() -> None:
    texts = [(name, (CONFIG / 'tools' / name).read_text(encoding='utf-8')) for name in FILES]
    tools = load_tools(texts, WORLD).tools
    for tool in tools.values():
        assert tool.interface.type.rpartition('/')[2] not in ('ExecuteTrajectory', 'SwitchController')
    for name, values in (('move_arm_to', ('home', 'stow')), ('play_motion', ('nod',))):
        (arg,) = tools[name].args.values()
        assert arg.values == values
    goal = fill_goal(tools['play_motion'], {'motion': 'nod'}, WORLD)
    assert goal['trajectory']['points'][1] == {'positions': [-0.2, 0.0], 'time_from_start': 6.0}
    with pytest.raises(CheckError, match="unknown 'jump'"):
        fill_goal(tools['play_motion'], {'motion': 'jump'}, WORLD)


@pytest.mark.parametrize('template', ['$motion.pose', '$motion.values', '$motion.unit'])
def test_a_name_stands_for_its_value_and_nothing_else(template: str) -> None:
    text = (CONFIG / 'tools' / 'ros2_control.yaml').read_text(encoding='utf-8').replace('$motion.value', template)
    with pytest.raises(ToolsError, match=r"play_motion.goal.trajectory: .*write '\$motion.value'"):
        load_tools([('ros2_control.yaml', text)], WORLD)
