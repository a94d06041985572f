# SPDX-License-Identifier: Apache-2.0
"""Numbers, names and files that stand in two places are the same in both."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip('rclpy')

from gemma4_ros.action import DispatchStep, ExecutePlan
from gemma4_ros.msg import TreeNode, TreeState
from gemma4_ros.srv import ClosePermit

from gemma4_ros.core.tree import ports
from gemma4_ros.core.tree.plan_tree import TreeStatus
from gemma4_ros.core.tree.session import Phase
from gemma4_ros.nodes.executor_node import ExecutorConfig
from gemma4_ros.nodes.table import TABLE, command, processes
from gemma4_ros.ros import outcomes, qos
from gemma4_ros.ros.types import constants

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]


def numbers(enum: Any, only: int | None = None) -> dict[str, int]:
    return {member.name: member.value for member in enum if only is None or member.value < only}


def test_outcomes_are_those_of_the_action() -> None:
    of_action = constants(DispatchStep.Result)
    assert numbers(outcomes.Outcome) == of_action
    assert numbers(ports.Outcome, len(of_action)) == of_action
    assert constants(ExecutePlan.Result) == constants(ClosePermit.Request)


def test_phases_and_states_are_those_of_the_messages() -> None:
    assert numbers(Phase) == constants(TreeNode)
    assert numbers(TreeStatus) == constants(TreeState)


def test_the_table_has_every_node_that_is_installed() -> None:
    lines = (ROOT / 'config' / 'nodes.txt').read_text().splitlines()
    assert {line for line in lines if line and not line.startswith('#')} == {process.name for process in TABLE}


@pytest.mark.parametrize('process', TABLE, ids=lambda process: process.name)
def test_the_table_names_a_class_that_exists(process: Any) -> None:
    module, _, name = process.target.partition(':')
    assert hasattr(importlib.import_module(module), name)


def test_what_must_run_alone_is_never_composed() -> None:
    alone = {'gate', 'deadman', 'watcher', 'executor', 'gemma', 'spotter', 'cell', 'recorder'}
    assert {process.name for process in TABLE if not process.composable} == alone
    groups = processes(sim=False, composed=True)
    assert [len(group) for group in groups if len(group) > 1] == [len(TABLE) - len(alone)]
    assert sum(len(group) for group in processes(sim=True, composed=True)) == len(TABLE)


def test_the_deadman_is_started_before_the_gate_and_the_executor_after_it() -> None:
    names = [process.name for process in TABLE]
    assert names.index('deadman') < names.index('gate') < names.index('executor')


def test_command_lines_carry_parameters_namespace_and_level() -> None:
    group = next(group for group in processes(sim=False, composed=False) if group[0].name == 'gemma')
    values = {'config': '/robot', 'model': 'small'}
    line = command(group, values, parameters_from=ROOT / 'config', namespace='/r1', log_level='debug')
    assert line[1:5] == ['-m', 'gemma4_ros.nodes.run', 'gemma', '--ros-args']
    assert ' '.join(line).endswith('-p config:=/robot -p model:=small -r __ns:=/r1 --log-level debug')


def test_the_executors_parameter_file_names_every_parameter_with_its_default() -> None:
    document = yaml.safe_load((ROOT / 'config' / 'params' / 'executor.param.yaml').read_text())
    written = document['/**/executor']['ros__parameters']
    defaults = {field.name: field.default for field in dataclasses.fields(ExecutorConfig)}
    assert {name: tuple(value) if isinstance(value, list) else value for name, value in written.items()} == defaults


def test_every_qos_profile_is_public() -> None:
    assert sorted(name for name in vars(qos) if name.isupper()) == qos.__all__
