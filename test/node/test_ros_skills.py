# SPDX-License-Identifier: Apache-2.0
"""Skills of a vendor or a policy: parameters go out as JSON text, what comes back as JSON text is read by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from gemma4_ros.action import ExecuteSkill
from rclpy.action import ActionServer
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from gemma4_ros.core.tools import Arg, Tool, Toolset, fill_goal, load_tools
from gemma4_ros.core.world import World
from gemma4_ros.core.world_file import load_world
from gemma4_ros.ros.clients import CallOutcome, ControllerClients, Outcome
from gemma4_ros.ros.convert import to_message
from gemma4_ros.ros.gate_dispatch import returned_values, unmet_condition

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.ros, pytest.mark.timeout(60)]
CONFIG = Path(__file__).resolve().parents[2] / 'config'
SKILL = 'gemma4_ros/action/ExecuteSkill'
ROBOTS = {'lab': 'lab', 'warehouse': 'warehouse', 'bench': 'arm'}


def _read(path: Path) -> str:
    return path.read_text(encoding='utf-8')


def robot(name: str) -> tuple[World, Toolset]:
    """Load a world of config/worlds with the tools of its robot."""
    world, tools = CONFIG / 'worlds' / f'{name}.yaml', CONFIG / 'tools' / f'{ROBOTS[name]}.yaml'
    loaded = load_world(_read(world), world.name)
    return loaded, load_tools([(tools.name, _read(tools))], loaded)


def some(arg: Arg) -> Any:
    """Pick a value that the argument allows."""
    if arg.type == 'enum':
        return arg.values[-1]
    return True if arg.type == 'boolean' else int(arg.low) if arg.type == 'integer' else arg.low


class Skills:
    """A server of skills and the clients that call it, in one thread."""

    def __init__(self) -> None:
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = Node('skills', context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.seen: list[tuple[str, str]] = []
        self.result = ExecuteSkill.Result()
        self.server = ActionServer(self.node, ExecuteSkill, 'execute_skill', self._execute)
        self.clients = ControllerClients(self.node)

    def _execute(self, goal: Any) -> ExecuteSkill.Result:
        self.seen.append((goal.request.skill, goal.request.parameters))
        goal.succeed()
        return self.result

    def call(self, tool: Tool, goal: dict[str, Any]) -> CallOutcome:
        face = tool.interface

        async def run() -> CallOutcome:
            return await self.clients.call(face.kind, face.type, face.name, goal, 5.0, 5.0)

        task = self.executor.create_task(run)
        self.executor.spin_until_future_complete(task, timeout_sec=15.0)
        assert task.done(), 'no outcome before the deadline'
        outcome: CallOutcome = task.result()
        return outcome

    def close(self) -> None:
        self.clients.shutdown()
        self.server.destroy()
        self.executor.shutdown(timeout_sec=0.0)
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)


@pytest.fixture
def skills() -> Iterator[Skills]:
    made = Skills()
    yield made
    made.close()


@pytest.mark.parametrize('name', ROBOTS)
def test_every_skill_of_the_tools_files_fits_its_interface(name: str) -> None:
    world, toolset = robot(name)
    tools = [tool for tool in toolset.tools.values() if tool.interface.type == SKILL]
    assert tools
    for tool in tools:
        goal = fill_goal(tool, {arg.name: some(arg) for arg in tool.args.values()}, world)
        message = to_message(SKILL, goal, 'goal')
        assert message.skill == goal['skill'] and json.loads(message.parameters) == goal['parameters']


def test_skill_gets_canonical_text_and_its_returns_are_read_by_name(skills: Skills) -> None:
    world, toolset = robot('lab')
    tool = toolset.tools['read_thermometer']
    goal = fill_goal(tool, {'thermometer': 'fridge_thermometer'}, world)
    skills.result = ExecuteSkill.Result(returns='{"temperature_degc": 4.25, "left": "over"}')
    outcome = skills.call(tool, goal)
    assert outcome.outcome is Outcome.SUCCEEDED, outcome.text
    assert skills.seen == [('read_thermometer', '{"thermometer":"fridge_thermometer"}')]
    assert unmet_condition(tool, outcome.result, outcome.status) == ''
    assert returned_values(tool, outcome.result) == {'temperature_degc': 4.25}


@pytest.mark.parametrize(
    'returns',
    ['', 'warm', '[4.25]', '{}', '{"temperature_degc": "4.25"}', '{"temperature_degc": NaN}', '[' * 2000, '4'],
    ids=['nothing', 'prose', 'list', 'empty', 'text for a number', 'NaN', 'nesting', 'number'],
)
def test_returns_that_are_none_are_unknown(skills: Skills, returns: str) -> None:
    world, toolset = robot('lab')
    tool = toolset.tools['read_thermometer']
    skills.result = ExecuteSkill.Result(returns=returns)
    outcome = skills.call(tool, fill_goal(tool, {'thermometer': 'fridge_thermometer'}, world))
    assert outcome.outcome is Outcome.SUCCEEDED, outcome.text
    assert returned_values(tool, outcome.result) == {}


def test_skill_that_says_it_failed_did_not_succeed(skills: Skills) -> None:
    world, toolset = robot('lab')
    tool = toolset.tools['grab']
    skills.result = ExecuteSkill.Result(error_code=3, error_msg='slipped')
    outcome = skills.call(tool, fill_goal(tool, {'object': 'ice_box'}, world))
    problem = unmet_condition(tool, outcome.result, outcome.status)
    assert 'error_code is 3' in problem and 'slipped' in problem
