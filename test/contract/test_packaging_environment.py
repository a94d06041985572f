# SPDX-License-Identifier: Apache-2.0
"""A bare command, a wrapped one and a sourced one see the same ROS 2."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gemma4_ros.cli import environment
from gemma4_ros.core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
WRAPPER = ROOT / 'scripts' / 'with_env.sh'
PYTHON = ROOT / '.venv' / 'bin' / 'python'
NAMES = ('AMENT_PREFIX_PATH', 'LD_LIBRARY_PATH', 'PYTHONPATH', 'PATH', *environment.DEFAULTS)
PUBLISH = (
    'from gemma4_ros.cli.environment import ensure_ros_environment; ensure_ros_environment(); '
    'import rclpy; from gemma4_ros.msg import Heartbeat; rclpy.init(); node = rclpy.create_node("probe"); '
    'node.create_publisher(Heartbeat, "probe", 1).publish(Heartbeat()); print("published")'
)


def _overlay_at(folder: Path) -> Path:
    marker = folder / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'gemma4_ros'
    marker.parent.mkdir(parents=True)
    marker.touch()
    return folder


def test_the_environment_puts_the_overlay_first_and_keeps_what_is_there(tmp_path: Path) -> None:
    prefix, venv = _overlay_at(tmp_path / 'install'), tmp_path / 'venv'
    before = {
        'AMENT_PREFIX_PATH': '/opt/ros/distribution',
        'PATH': '/usr/bin',
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
    }
    after = environment.ros_environment(before, prefix, venv)
    assert after['AMENT_PREFIX_PATH'] == f'{prefix}:/opt/ros/distribution'
    assert after['LD_LIBRARY_PATH'] == f'{prefix}/lib'
    assert after['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'SUBNET', 'what the user chose stays'
    assert environment.ros_environment({}, prefix, venv)['ROS_AUTOMATIC_DISCOVERY_RANGE'] == 'LOCALHOST'
    assert environment.ros_environment(after, prefix, venv) == after, 'a second time changes nothing'


def test_wheels_replace_a_foreign_underlay(tmp_path: Path) -> None:
    prefix, venv = _overlay_at(tmp_path / 'install'), tmp_path / 'venv'
    (venv / 'share' / 'ament_index').mkdir(parents=True)
    before = {'AMENT_PREFIX_PATH': '/elsewhere', '_ROS_WHEELS_BOOTSTRAP_COMPLETE': '1'}
    after = environment.ros_environment(before, prefix, venv)
    assert after['AMENT_PREFIX_PATH'] == f'{prefix}:{venv}'
    assert '_ROS_WHEELS_BOOTSTRAP_COMPLETE' not in after, 'the libraries of the wheels are not on the path yet'


def test_a_machine_without_built_messages_is_told_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, 'overlay', lambda: None)
    for name in ('AMENT_PREFIX_PATH', environment.MARK):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match='make setup'):
        environment.ensure_ros_environment()


def test_a_second_start_that_did_not_help_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    monkeypatch.setenv(environment.MARK, '1')
    with pytest.raises(ConfigError, match='cannot be set up'):
        environment.ensure_ros_environment()


@pytest.mark.ros
def test_wrapper_and_python_agree_on_every_variable(clean_environment: dict[str, str]) -> None:
    show = 'import os, json; print(json.dumps(dict(os.environ)))'
    ensure = 'from gemma4_ros.cli.environment import ensure_ros_environment as e; e(); '
    seen = []
    for command in ([str(WRAPPER), 'python', '-c', show], [str(PYTHON), '-c', ensure + show]):
        done = subprocess.run(
            command, cwd='/', env=clean_environment, capture_output=True, text=True, timeout=60, check=True
        )
        variables = json.loads(done.stdout)
        seen.append({name: set(filter(None, variables[name].split(os.pathsep))) for name in NAMES})
    assert seen[0] == seen[1]


@pytest.mark.ros
@pytest.mark.parametrize('folder', [Path('/'), ROOT], ids=['root', 'tree'])
@pytest.mark.parametrize(
    'command',
    [
        [str(PYTHON), '-c', PUBLISH],
        [str(WRAPPER), 'python', '-c', PUBLISH],
        ['sh', '-c', f'. {ROOT}/install/local_setup.sh && exec {PYTHON} -c "$0"', PUBLISH],
    ],
    ids=['bare', 'wrapped', 'sourced'],
)
def test_messages_can_be_published_however_it_was_started(
    command: list[str], folder: Path, clean_environment: dict[str, str]
) -> None:
    variables = {
        **clean_environment,
        'ROS_DOMAIN_ID': os.environ['ROS_DOMAIN_ID'],
        'ROS_LOG_DIR': os.environ['ROS_LOG_DIR'],
    }
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == 'published', done.stderr


def test_importing_the_environment_module_costs_no_ros() -> None:
    script = 'import sys, gemma4_ros.cli.environment; print("rclpy" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == 'False'
