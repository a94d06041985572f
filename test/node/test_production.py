# SPDX-License-Identifier: Apache-2.0
"""`production: true`: every node refuses to start without DDS security, says in one sentence why, and ends with 2."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip('rclpy')

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter

from gemma4_ros.core.errors import ConfigError
from gemma4_ros.nodes.table import TABLE, command, processes
from gemma4_ros.ros import production

pytestmark = pytest.mark.ros
ROOT = Path(__file__).parents[2]
NODE = 'spotter'  # needs no file to be constructed
SECURITY = ('ROS_SECURITY_ENABLE', 'ROS_SECURITY_STRATEGY', 'ROS_SECURITY_KEYSTORE', production.OVERRIDE)
ON = {'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce'}
ASKED = ('-p', 'production:=true')


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    """Return a keystore as far as names go: with the six files of the spotter's enclave."""
    folder = tmp_path / 'keystore' / 'enclaves' / NODE
    folder.mkdir(parents=True)
    for name in production.FILES:
        (folder / name).write_text('not read here')
    return tmp_path / 'keystore'


def environment(**more: str) -> dict[str, str]:
    return {**{name: value for name, value in os.environ.items() if name not in SECURITY}, **more}


def start(*words: str, **variables: str) -> subprocess.Popen[str]:
    line = [sys.executable, '-m', 'gemma4_ros.nodes.run', *words]
    pipes: dict[str, Any] = {'stdout': subprocess.PIPE, 'stderr': subprocess.STDOUT}
    return subprocess.Popen(line, text=True, env=environment(**variables), cwd=ROOT, **pipes)


def refusal(*words: str, **variables: str) -> str:
    """Start a node; return its one sentence."""
    process = start(*words, **variables)
    try:
        said, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 2, said
    (line,) = said.splitlines()
    assert line.startswith('gemma4_ros: production: ')
    return line.removeprefix('gemma4_ros: production: ')


@pytest.mark.parametrize(
    ('variables', 'says'),
    [
        ({}, 'ROS_SECURITY_ENABLE is not set; it must be true'),
        ({'ROS_SECURITY_ENABLE': '1'}, 'ROS_SECURITY_ENABLE is 1; it must be true'),
        ({'ROS_SECURITY_ENABLE': 'true'}, 'ROS_SECURITY_STRATEGY is not set; it must be Enforce'),
        ({**ON, 'ROS_SECURITY_STRATEGY': 'Permissive'}, 'ROS_SECURITY_STRATEGY is Permissive; it must be Enforce'),
        (ON, 'ROS_SECURITY_KEYSTORE: not set; make a keystore with: ros2 security create_keystore'),
        ({**ON, 'ROS_SECURITY_KEYSTORE': '/nonexistent'}, 'ROS_SECURITY_KEYSTORE: /nonexistent has no folder enclaves'),
    ],
)
def test_a_node_refuses_an_environment_without_enforced_security(variables: dict[str, str], says: str) -> None:
    assert refusal(NODE, '--ros-args', *ASKED, '--enclave', f'/{NODE}', **variables).startswith(says)


@pytest.mark.parametrize('name', production.FILES)
def test_a_node_refuses_an_enclave_that_lacks_a_file(keystore: Path, name: str) -> None:
    (keystore / 'enclaves' / NODE / name).unlink()
    said = refusal(NODE, '--ros-args', *ASKED, '--enclave', f'/{NODE}', **ON, ROS_SECURITY_KEYSTORE=str(keystore))
    assert said.startswith(f'the enclave /{NODE} lacks {name}: ') and said.endswith('No such file or directory')


def test_a_node_refuses_an_empty_file(keystore: Path) -> None:
    (keystore / 'enclaves' / NODE / 'permissions.p7s').write_text('')
    said = refusal(NODE, '--ros-args', *ASKED, '--enclave', f'/{NODE}', **ON, ROS_SECURITY_KEYSTORE=str(keystore))
    assert said.endswith('permissions.p7s is empty')


def test_a_node_refuses_the_enclave_of_all_and_that_of_another(keystore: Path) -> None:
    variables = {**ON, 'ROS_SECURITY_KEYSTORE': str(keystore)}
    own = ('--enclave', f'/{NODE}')
    assert refusal(NODE, '--ros-args', *ASKED, **variables).startswith('the enclave is /, not one of its own')
    said = refusal(NODE, '--ros-args', *ASKED, *own, **variables, **{production.OVERRIDE: '/gate'})
    assert said.startswith('the enclave is /gate, not one of its own')


@pytest.mark.parametrize('how', ['option', 'file'])
def test_a_node_refuses_simulated_time(keystore: Path, tmp_path: Path, how: str) -> None:
    file = tmp_path / 'time.yaml'
    file.write_text('/**:\n  ros__parameters:\n    use_sim_time: true\n')
    words = ('-p', 'use_sim_time:=true') if how == 'option' else ('--params-file', str(file))
    variables = {**ON, 'ROS_SECURITY_KEYSTORE': str(keystore)}
    said = refusal(NODE, '--ros-args', *ASKED, *words, '--enclave', f'/{NODE}', **variables)
    assert said.startswith('use_sim_time is true')


def test_composed_nodes_are_refused(keystore: Path) -> None:
    said = refusal('planner', 'copilot', '--ros-args', *ASKED, **ON, ROS_SECURITY_KEYSTORE=str(keystore))
    assert said.startswith('planner and copilot share a process and with it an enclave')


def test_a_node_refuses_a_middleware_without_security_plugins(keystore: Path) -> None:
    if not production.plugins_lacking():
        pytest.skip('this middleware has security plugins')
    said = refusal(NODE, '--ros-args', *ASKED, '--enclave', f'/{NODE}', **ON, ROS_SECURITY_KEYSTORE=str(keystore))
    assert 'was built without DDS security plugins' in said


@pytest.mark.parametrize('section', ['/**', f'/**/{NODE}', f'/{NODE}', f'/r1/{NODE}', 'spott*'])
def test_a_parameter_file_asks_as_well(tmp_path: Path, section: str) -> None:
    file = tmp_path / 'production.yaml'
    file.write_text(f'{section}:\n  ros__parameters:\n    production: true\n')
    assert refusal(NODE, '--ros-args', '--params-file', str(file)).startswith('ROS_SECURITY_ENABLE')


def test_every_node_refuses() -> None:
    running = {process.name: start(process.name, '--ros-args', *ASKED) for process in TABLE}
    try:
        said = {name: process.communicate(timeout=60)[0] for name, process in running.items()}
    finally:
        for process in running.values():
            process.kill()
    assert {name: process.returncode for name, process in running.items()} == dict.fromkeys(running, 2)
    assert set(said.values()) == {'gemma4_ros: production: ROS_SECURITY_ENABLE is not set; it must be true\n'}


def test_what_others_are_told_does_not_count() -> None:
    assert not production.is_said('production', ['gate'], ['--ros-args', '-p', 'spotter:production:=true'])
    assert not production.is_said('production', ['gate'], ['--ros-args', '-p', 'production:=false'])
    assert production.is_said('production', ['gate'], ['--ros-args', '-p', 'gate:production:=true'])
    assert production.is_said('production', ['gate'], ['--ros-args', '-p', 'production:=maybe']), 'in doubt yes'


def test_command_lines_give_every_node_its_own_enclave() -> None:
    for group in processes(sim=True, composed=False):
        line = command(group, {}, parameters_from=ROOT / 'config', namespace='/r1', production=True)
        assert production.is_said('production', [group[0].name], line)
        assert production.enclave_of(line, {}) == f'/r1/{group[0].name}'
        assert '--enclave' not in command(group, {}, parameters_from=ROOT / 'config')


@pytest.mark.parametrize(
    ('words', 'says'),
    [((), 'ROS_SECURITY_ENABLE is not set'), (('--composed',), 'share a process and with it an enclave')],
)
def test_the_command_up_refuses_before_it_starts_anything(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    line = [
        sys.executable,
        '-m',
        'gemma4_ros.cli.main',
        'up',
        '--sim',
        '--production',
        '--log-dir',
        str(tmp_path / 'logs'),
    ]
    done = subprocess.run(
        [*line, *words], text=True, env=environment(), cwd=ROOT, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / 'logs').exists() and 'Traceback' not in done.stderr


# The node itself ------------------------------------------------------------------------------------------------------
@pytest.fixture
def context() -> Iterator[Context]:
    own = Context()
    rclpy.init(context=own, domain_id=88)
    yield own
    rclpy.try_shutdown(context=own)


def plain(context: Context, **overrides: Any) -> Node:
    return Node('plain', context=context, parameter_overrides=[Parameter(k, value=v) for k, v in overrides.items()])


def test_a_node_that_learns_of_production_late_does_not_run(context: Context) -> None:
    with pytest.raises(ConfigError, match='set it in a parameter file'):
        production.hold(plain(context, production=True), is_known=False)
    with pytest.raises(ConfigError, match='use_sim_time is true'):
        production.hold(plain(context, production=True, use_sim_time=True), is_known=True)
    with pytest.raises(ConfigError, match='production: '):
        production.hold(plain(context, production='maybe'), is_known=True)


def test_nobody_switches_to_simulated_time_or_out_of_production_later(context: Context) -> None:
    node = plain(context, production=True)
    production.hold(node, is_known=True)
    for name, value in (('use_sim_time', True), ('production', False)):
        (result,) = node.set_parameters([Parameter(name, value=value)])
        assert not result.successful and result.reason
    assert not node.get_parameter('use_sim_time').value and node.get_parameter('production').value


def test_a_node_that_nobody_asked_is_left_alone(context: Context) -> None:
    node = plain(context)
    production.hold(node, is_known=False)
    assert node.get_parameter('production').value is False
    assert node.set_parameters([Parameter('use_sim_time', value=True)])[0].successful


# Libraries ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ('rmw', 'files', 'says'),
    [
        ('rmw_fastrtps_cpp', {'librmw_fastrtps_shared_cpp.so': 'x', 'libfastdds.so.3.2': 'x builtin.PKI-DH x'}, ''),
        ('rmw_fastrtps_cpp', {'librmw_fastrtps_shared_cpp.so': 'x', 'libfastdds.so.3.2': 'x'}, 'libfastdds.so.3.2 was'),
        (
            'rmw_fastrtps_cpp',
            {'librmw_fastrtps_shared_cpp.so': "This Fast DDS version doesn't have the security libraries",
             'libfastdds.so': 'PKI-DH'},
            'librmw_fastrtps_shared_cpp.so was',
        ),
        ('rmw_fastrtps_cpp', {'libother.so': 'x'}, 'is not loaded'),
        ('rmw_cyclonedds_cpp', {'librmw_cyclonedds_cpp.so': 'x'}, ''),
        (
            'rmw_cyclonedds_cpp',
            {'librmw_cyclonedds_cpp.so': production._WITHOUT['librmw_cyclonedds_cpp'].decode()},
            'librmw_cyclonedds_cpp.so was',
        ),
        ('rmw_zenoh_cpp', {}, 'nobody has said here how to see its security plugins'),
    ],
)  # fmt: skip
def test_a_library_without_plugins_is_told_by_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rmw: str, files: dict[str, str], says: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr('rclpy.utilities.get_rmw_implementation_identifier', lambda: rmw)
    monkeypatch.setattr(production, '_loaded', lambda: [tmp_path / name for name in files])
    said = production.plugins_lacking()
    assert (bool(said), says in said) == (bool(says), True), said


def test_the_loaded_middleware_is_found_in_this_process() -> None:
    production.plugins_lacking()
    assert any(path.name.startswith('librmw_') for path in production._loaded())
