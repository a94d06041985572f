# SPDX-License-Identifier: Apache-2.0
"""The launch files start what stands in the table, and stop it again."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip('rclpy')
pytest.importorskip(
    'launch', reason='ros2 launch is not installed here: it comes with a ROS distribution, not as a wheel'
)
pytest.importorskip('launch_ros', reason='launch_ros is not installed here: it comes with a ROS distribution')
pytest.importorskip('launch_pytest', reason='launch_pytest is not installed here')

import launch_pytest
import rclpy
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from rclpy.context import Context
from rclpy.node import Node

from gemma4_ros.nodes.table import processes
from launch import LaunchContext, LaunchDescription

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.timed, pytest.mark.ros]
FOLDER = Path(__file__).parents[2] / 'launch'
SAFE = ('deadman', 'gate', 'executor')


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name.replace('.', '_'), FOLDER / name)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def nodes_of(name: str = 'gemma4.launch.py', **arguments: str) -> list[Any]:
    """Resolve a launch file without starting anything."""
    context = LaunchContext()
    description = module(name).generate_launch_description()
    context.launch_configurations.update(arguments)
    found: list[Any] = []
    pending = list(description.entities)
    while pending:
        entity = pending.pop(0)
        inner = entity.visit(context) if not hasattr(entity, 'node_executable') else None
        if hasattr(entity, 'node_executable'):
            found.append(entity)
        pending = [*(inner or []), *pending]
    return found


@pytest.mark.parametrize('sim', ['true', 'false'])
@pytest.mark.parametrize('composed', ['true', 'false'])
def test_the_nodes_are_those_of_the_table(sim: str, composed: str) -> None:
    nodes = nodes_of(sim=sim, composed=composed)
    expected = processes(sim=sim == 'true', composed=composed == 'true')
    assert [node.node_executable for node in nodes] == [group[0].name for group in expected]


def test_sim_launch_brings_the_cell() -> None:
    assert nodes_of('sim.launch.py')[0].node_executable == 'cell'
    assert 'cell' not in [node.node_executable for node in nodes_of()]


def test_a_wrong_argument_is_refused() -> None:
    with pytest.raises(ValueError, match='sim:=maybe is neither true nor false'):
        nodes_of(sim='maybe')
    with pytest.raises(Exception, match="there is no node 'gait'"):
        nodes_of(nodes='gait')


@launch_pytest.fixture
def safe_stack() -> LaunchDescription:
    """Start the nodes that need no model and no robot, in a namespace."""
    stack = PythonLaunchDescriptionSource(str(FOLDER / 'gemma4.launch.py'))
    arguments = {'nodes': ','.join(SAFE), 'namespace': 'robot1'}
    return LaunchDescription(
        [IncludeLaunchDescription(stack, launch_arguments=arguments.items()), launch_pytest.actions.ReadyToTest()]
    )


@pytest.fixture
def observer() -> Iterator[Node]:
    context = Context()
    rclpy.init(context=context)
    node = Node('observer', context=context)
    yield node
    node.destroy_node()
    rclpy.try_shutdown(context=context)


def wait_for_nodes(observer: Node, namespace: str, names: tuple[str, ...], deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    wanted = {(name, namespace) for name in names}
    while not wanted <= set(observer.get_node_names_and_namespaces()):
        assert time.monotonic() < end, f'only {observer.get_node_names_and_namespaces()}'
        rclpy.spin_once(observer, executor=_executor(observer), timeout_sec=0.1)


def _executor(node: Node) -> Any:
    if node.executor is None:
        executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
    return node.executor


@pytest.mark.launch(fixture=safe_stack)
def test_launched_nodes_appear_in_their_namespace(safe_stack: Any, observer: Node) -> None:
    wait_for_nodes(observer, '/robot1', SAFE)
    services = dict(observer.get_service_names_and_types())
    assert '/robot1/gate/admit' in services
    assert '/robot1/executor/pause' in services


def test_ctrl_c_on_ros2_launch_ends_every_process(observer: Node) -> None:
    script = (
        'import sys; from launch import LaunchService; from launch.actions import IncludeLaunchDescription as I;'
        'from launch.launch_description_sources import PythonLaunchDescriptionSource as P;'
        'from launch import LaunchDescription as D; s = LaunchService();'
        f's.include_launch_description(D([I(P({str(FOLDER / "sim.launch.py")!r}),'
        ' launch_arguments={"nodes": "deadman,gate,executor", "namespace": "robot2"}.items())])); sys.exit(s.run())'
    )
    process = subprocess.Popen([sys.executable, '-c', script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        wait_for_nodes(observer, '/robot2', SAFE)
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=30)[0].decode()
    finally:
        if process.poll() is None:
            process.kill()
    for name in SAFE:
        assert f'{name}-' in output
        assert 'process has died' not in output, output
    pids = [
        int(line.split('pid [')[1].split(']')[0])
        for line in output.splitlines()
        if 'process started with pid [' in line
    ]
    assert len(pids) == len(SAFE)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
